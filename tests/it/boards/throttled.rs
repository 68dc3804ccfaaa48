//! The kernel keeps a process under a quota off the CPU, and its metrics say so.

use std::path::{Path, PathBuf};

use pinion_spec::metrics;
use pinion_tests::kafka::Broker;
use pinion_tests::require::skip;
use pinion_tests::strategies;
use pinion_tests::wait::until;

use super::scene::{self, Process};
use crate::desk::STEP;

/// A control group with a fiftieth of a core; removed with this value.
struct Group(PathBuf);

impl Group {
    /// In v1's hierarchy or in v2's, whichever has the controller; or why there can be none here.
    fn make() -> Result<Self, String> {
        let name = format!("pinion-test-{}", std::process::id());
        let why = |error: std::io::Error| {
            format!("a control group with a quota takes root and a hierarchy that can be written: {error}")
        };
        let v1 = Path::new("/sys/fs/cgroup/cpu");
        if v1.join("cpu.cfs_quota_us").exists() {
            let group = Self(v1.join(name));
            std::fs::create_dir(&group.0).map_err(why)?;
            std::fs::write(group.0.join("cpu.cfs_quota_us"), "2000").map_err(why)?;
            return Ok(group);
        }
        let v2 = Path::new("/sys/fs/cgroup");
        std::fs::write(v2.join("cgroup.subtree_control"), "+cpu").map_err(why)?;
        let group = Self(v2.join(name));
        std::fs::create_dir(&group.0).map_err(why)?;
        std::fs::write(group.0.join("cpu.max"), "2000 100000").map_err(why)?;
        Ok(group)
    }

    fn take(&self, process: u32) {
        std::fs::write(self.0.join("cgroup.procs"), process.to_string()).expect("put a process into the group");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_process_under_a_quota_says_for_how_long_it_was_kept_off_the_cpu() {
    let (Some(broker), Some(frames)) = (Broker::shared(), scene::frames()) else { return };
    let group = match Group::make() {
        Ok(group) => group,
        Err(why) => return skip(&why),
    };
    let market = scene::market(broker);
    let process = Process::start(broker, &market, &[strategies::example_on(broker, "identity", &market)]);
    let throttled = || process.runtime.metric(&metrics::CPU_THROTTLED, &[]);
    group.take(process.runtime.id());
    let before = throttled().expect("a kernel that counts it");
    broker.produce_frames(&market, frames[..5_000].iter().map(|frame| (0, frame)));
    let after = until("a tenth of a second off the CPU", STEP, || throttled().filter(|now| *now > before + 0.1));
    println!("{before} s, then {after} s");
    assert!(process.runtime.metric(&metrics::PROCESS_CPU, &[]).unwrap() > 0.0);
    assert!(process.runtime.metric(&metrics::PROCESS_RESIDENT, &[]).unwrap() > 1e6);
    // It ends before its group can be removed.
    drop(process);
}
