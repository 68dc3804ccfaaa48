//! How long the process's control group was kept off the CPU by its quota, of cgroup v2 and v1.
//!
//! Read on a scrape, from three small files; a worker has no part in it. In a pod the quota is the container's `limits.cpu`. With
//! whole exclusive cores nothing is ever throttled, so anything that is deserves a look.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// What throttled time is counted in, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stat {
    file: PathBuf,
    /// The line of the file, and how many nanoseconds its unit has.
    field: &'static str,
    unit_ns: u64,
}

/// The time so far; `None` where the kernel does not say.
pub(super) fn throttled() -> Option<Duration> {
    let read = |file: &str| std::fs::read_to_string(file).ok();
    let stat = find(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?)?;
    time_in(&std::fs::read_to_string(&stat.file).ok()?, &stat)
}

/// The file of the group that this process is in. v1's hierarchy of the controller `cpu` counts before v2's, which then has
/// no such controller.
fn find(cgroup: &str, mountinfo: &str) -> Option<Stat> {
    let group = |controller: Option<&str>| {
        cgroup.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let is_it = match controller {
                Some(name) => controllers.split(',').any(|other| other == name),
                None => controllers.is_empty(),
            };
            is_it.then_some(path)
        })
    };
    let v1 = group(Some("cpu")).zip(mount(mountinfo, "cgroup", Some("cpu")));
    if let Some((path, (root, point))) = v1 {
        return Some(Stat { file: inside(point, root, path), field: "throttled_time", unit_ns: 1 });
    }
    let (root, point) = mount(mountinfo, "cgroup2", None)?;
    Some(Stat { file: inside(point, root, group(None)?), field: "throttled_usec", unit_ns: 1_000 })
}

/// Where a hierarchy is mounted: the group that its mount shows as its root, and the mount point.
fn mount<'a>(mountinfo: &'a str, kind: &str, controller: Option<&str>) -> Option<(&'a str, &'a str)> {
    mountinfo.lines().find_map(|line| {
        let (place, what) = line.split_once(" - ")?;
        let mut what = what.split(' ');
        let (its_kind, _, options) = (what.next()?, what.next()?, what.next()?);
        let has = controller.is_none_or(|name| options.split(',').any(|option| option == name));
        let mut place = place.split(' ').skip(3);
        (its_kind == kind && has).then_some((place.next()?, place.next()?))
    })
}

/// A group's `cpu.stat`. A container sees its own group as the root of the mount, or below it by its path from the host's root.
fn inside(point: &str, root: &str, path: &str) -> PathBuf {
    let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
    Path::new(point).join(below).join("cpu.stat")
}

fn time_in(text: &str, stat: &Stat) -> Option<Duration> {
    let count = text.lines().find_map(|line| line.strip_prefix(stat.field)?.trim().parse::<u64>().ok())?;
    Some(Duration::from_nanos(count.saturating_mul(stat.unit_ns)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "31 23 0:28 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n";
    const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                      33 31 0:30 /kubepods/pod7/c1 /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n\
                      32 31 0:29 /kubepods/pod7/c1 /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n";

    fn file(cgroup: &str, mountinfo: &str) -> String {
        find(cgroup, mountinfo).unwrap().file.display().to_string()
    }

    #[test]
    fn the_group_is_found_in_v2_in_a_container_and_on_a_host() {
        assert_eq!(file("0::/\n", V2), "/sys/fs/cgroup/cpu.stat");
        assert_eq!(file("0::/user.slice/a.scope\n", V2), "/sys/fs/cgroup/user.slice/a.scope/cpu.stat");
        // A namespace that begins elsewhere than the mount: what is mounted is all that can be seen.
        let elsewhere = V2.replace("0:28 / ", "0:28 /../other ");
        assert_eq!(file("0::/\n", &elsewhere), "/sys/fs/cgroup/cpu.stat");
    }

    #[test]
    fn the_group_is_found_in_v1_by_its_controller_and_v2_beside_it_does_not_count() {
        let cgroup = "3:cpuset:/kubepods/pod7/c1\n2:cpu,cpuacct:/kubepods/pod7/c1\n0::/kubepods/pod7/c1\n";
        assert_eq!(file(cgroup, V1), "/sys/fs/cgroup/cpu,cpuacct/cpu.stat");
        let both = V1.to_owned() + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(find(cgroup, &both).unwrap().field, "throttled_time");
        let below = "2:cpu,cpuacct:/kubepods/pod7/c1/inner\n";
        assert_eq!(file(below, V1), "/sys/fs/cgroup/cpu,cpuacct/inner/cpu.stat");
    }

    #[test]
    fn a_machine_without_the_controller_says_nothing() {
        assert_eq!(find("", V2), None);
        assert_eq!(find("0::/\n", ""), None);
        let stat = find("0::/\n", V2).unwrap();
        assert_eq!(time_in("usage_usec 5\nuser_usec 3\n", &stat), None);
    }

    #[test]
    fn the_time_is_in_microseconds_in_v2_and_in_nanoseconds_in_v1() {
        let v2 = find("0::/\n", V2).unwrap();
        let text = "usage_usec 9\nnr_periods 4\nnr_throttled 2\nthrottled_usec 1500000\nnr_bursts 0\n";
        assert_eq!(time_in(text, &v2), Some(Duration::from_millis(1_500)));
        let v1 = find("2:cpu,cpuacct:/kubepods/pod7/c1\n", V1).unwrap();
        assert_eq!(
            time_in("nr_periods 4\nnr_throttled 2\nthrottled_time 1500000000\n", &v1),
            Some(Duration::from_millis(1_500))
        );
    }
}
