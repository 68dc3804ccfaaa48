//! Pinning: which core each worker asks for, which it is really bound to, and whether a pod's cores are its alone.

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

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

fn cores_of(thread: Option<Pid>) -> Vec<usize> {
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

/// Why the cores that a pod's processes may run on are not its alone; `None`: they are. A pure function.
///
/// Kubernetes tells no pod. But a kubelet that gives cores away grants exactly so many and keeps at least one for everybody
/// else, and one that does not grants every core of the machine. `given` is how many the pod is to have, 0 where it was not told.
#[must_use]
pub fn shared(granted: &[usize], online: &[usize], given: u16) -> Option<String> {
    let (may, has) = (granted.len(), online.len());
    if given == 0 {
        Some("it was not told how many cores are to be its own (--cores)".to_owned())
    } else if granted.is_empty() || online.is_empty() {
        Some("the kernel does not say which cores it may run on".to_owned())
    } else if granted == online {
        Some(format!("it may run on all {has} cores of its machine, as others may: the kubelet gives none away"))
    } else if may != usize::from(given) {
        Some(format!("it may run on {may} of {has} cores and was to have {given} of its own"))
    } else {
        None
    }
}

/// The cores that the kernel grants this process now, whatever its threads are bound to: those of its container. Starts a thread.
#[must_use]
pub fn granted() -> Vec<usize> {
    let ask = || {
        let mut every = CpuSet::new();
        (0..CpuSet::MAX_CPU).for_each(|core| every.set(core));
        // The kernel takes off what the container may not have.
        sched_setaffinity(None, &every).map_or_else(|_| Vec::new(), |()| cores_of(None))
    };
    std::thread::spawn(ask).join().unwrap_or_default()
}

/// The machine's cores; empty where the kernel does not say.
#[must_use]
pub fn online() -> Vec<usize> {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    match list.trim().parse::<Pin>() {
        Ok(Pin::Cores(cores)) => cores,
        _ => Vec::new(),
    }
}

/// The core that a thread, or else the calling one, is bound to now: the only one that it may run on.
#[must_use]
pub fn bound(thread: Option<Pid>) -> Option<usize> {
    match cores_of(thread)[..] {
        [core] => Some(core),
        _ => None,
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
    bound(None)
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

    #[test]
    fn cores_are_a_pods_alone_where_it_may_run_on_as_many_as_it_was_given_and_others_have_some_too() {
        assert_eq!(shared(&[1], &[0, 1], 1), None);
        assert_eq!(shared(&[2, 3], &[0, 1, 2, 3], 2), None);
        let is_shared = |granted: &[usize], online: &[usize], given, why: &str| {
            let said = shared(granted, online, given);
            assert!(said.as_ref().is_some_and(|said| said.contains(why)), "{said:?}");
        };
        // No kubelet gives the last core away, so on a machine of two cores these are everybody's.
        is_shared(&[0, 1], &[0, 1], 2, "all 2 cores of its machine");
        is_shared(&[0, 1], &[0, 1], 1, "all 2 cores of its machine");
        // What is left of the cores when others have been given theirs.
        is_shared(&[0, 2, 3], &[0, 1, 2, 3], 2, "3 of 4 cores and was to have 2");
        is_shared(&[1], &[0, 1, 2, 3], 2, "1 of 4 cores and was to have 2");
        is_shared(&[1], &[0, 1], 0, "--cores");
        is_shared(&[], &[0, 1], 1, "does not say");
        is_shared(&[0], &[], 1, "does not say");
    }

    #[test]
    fn what_is_granted_does_not_depend_on_what_a_thread_is_bound_to() {
        let before = granted();
        assert!(!before.is_empty() && before.iter().all(|core| online().contains(core)));
        let bound_first = std::thread::spawn(move || {
            let core = pin_current(before.first().copied());
            (core, granted() == before)
        });
        assert_eq!(bound_first.join().unwrap(), (granted().first().copied(), true));
    }

    #[test]
    fn a_thread_that_is_freed_is_no_longer_seen_as_bound() {
        let (Some(core), [_, _, ..]) = (allowed().first().copied(), &granted()[..]) else { return };
        let thread = std::thread::spawn(move || {
            let own = rustix::thread::gettid();
            pin_current(Some(core));
            let seen = |own| std::thread::spawn(move || bound(Some(own))).join().unwrap();
            let while_bound = seen(own);
            let mut every = CpuSet::new();
            (0..CpuSet::MAX_CPU).for_each(|core| every.set(core));
            sched_setaffinity(None, &every).unwrap();
            (while_bound, seen(own))
        });
        assert_eq!(thread.join().unwrap(), (Some(core), None));
    }
}
