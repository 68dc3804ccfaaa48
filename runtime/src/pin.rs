//! Pinning: which core each worker asks for, and which it was really given.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Which cores workers are to run on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Pin {
    /// The last of the allowed cores, one a worker; unpinned where there are fewer than two.
    #[default]
    Auto,
    /// None: the kernel decides.
    Off,
    /// These, in this order.
    Cores(Vec<usize>),
}

/// A text that is no [`Pin`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not auto, off or a list of cores such as 2,3 or 4-7")]
pub struct PinSyntax;

impl std::str::FromStr for Pin {
    type Err = PinSyntax;

    fn from_str(text: &str) -> Result<Self, PinSyntax> {
        match text {
            "auto" => return Ok(Self::Auto),
            "off" => return Ok(Self::Off),
            _ => {}
        }
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number =
                |text: &str| text.parse::<usize>().ok().filter(|core| *core < CpuSet::MAX_CPU).ok_or(PinSyntax);
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(PinSyntax);
            }
            cores.extend(first..=last);
        }
        Ok(Self::Cores(cores))
    }
}

/// The cores that this process may use, in order; empty where the kernel does not say.
#[must_use]
pub fn allowed() -> Vec<usize> {
    cores_of(None)
}

fn cores_of(thread: Option<rustix::thread::Pid>) -> Vec<usize> {
    sched_getaffinity(thread)
        .map_or_else(|_| Vec::new(), |set| (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// The core that each of `workers` workers is to ask for, from those allowed. A pure function.
///
/// # Errors
/// Names a core that is not allowed, or says how many are missing.
pub fn plan(pin: &Pin, allowed: &[usize], workers: usize) -> Result<Vec<Option<usize>>, String> {
    match pin {
        Pin::Off => Ok(vec![None; workers]),
        Pin::Auto if allowed.len() < 2 => Ok(vec![None; workers]),
        // One core stays for everything else: Kafka's client, egress, admin.
        Pin::Auto => {
            Ok((0..workers).map(|w| (w + 1 < allowed.len()).then(|| allowed[allowed.len() - 1 - w])).collect())
        }
        Pin::Cores(cores) => {
            if let Some(core) = cores.iter().find(|core| !allowed.contains(core)) {
                return Err(format!("core {core} is not among the allowed ones {allowed:?}"));
            }
            if cores.len() < workers {
                return Err(format!("{workers} workers need as many cores, {} given", cores.len()));
            }
            Ok(cores.iter().take(workers).map(|core| Some(*core)).collect())
        }
    }
}

/// Pins the calling thread, and says what it was really given: the core if it is exactly one.
pub fn pin_current(core: Option<usize>) -> Option<usize> {
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        if let Err(error) = sched_setaffinity(None, &set) {
            tracing::warn!(core, %error, "cannot pin; the worker runs where the kernel puts it");
        }
    }
    match cores_of(None)[..] {
        [core] => Some(core),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cores_is_read_and_nonsense_refused() {
        assert_eq!("2,4-6".parse(), Ok(Pin::Cores(vec![2, 4, 5, 6])));
        for text in ["", "a", "3-1", "1,,2", "-1", "99999"] {
            assert_eq!(text.parse::<Pin>(), Err(PinSyntax), "{text}");
        }
    }

    #[test]
    fn auto_leaves_one_core_for_the_rest_of_the_process() {
        assert_eq!(plan(&Pin::Auto, &[0, 1], 2), Ok(vec![Some(1), None]));
        assert_eq!(plan(&Pin::Auto, &[3], 1), Ok(vec![None]));
        assert_eq!(plan(&Pin::Auto, &[0, 1, 4, 5], 2), Ok(vec![Some(5), Some(4)]));
    }

    #[test]
    fn a_core_that_is_not_allowed_is_refused_by_name() {
        assert!(plan(&Pin::Cores(vec![7]), &[0, 1], 1).is_err_and(|why| why.contains("core 7")));
        assert!(plan(&Pin::Cores(vec![0]), &[0, 1], 2).is_err());
    }

    #[test]
    fn a_pinned_thread_reports_the_core_it_was_given() {
        let Some(core) = allowed().first().copied() else { return };
        let given = std::thread::spawn(move || pin_current(Some(core))).join().unwrap();
        assert_eq!(given, Some(core));
    }
}
