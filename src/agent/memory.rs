//! How much physical memory the process has, and how much it may have: what the configuration says, of what the container or
//! the machine gives.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::config::{Amount, MemoryLimit};

const MIB: u64 = 1 << 20;
/// Where the kernel tells about processes and control groups, below the root.
const GROUPS: &str = "sys/fs/cgroup";

/// The limits in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Beyond it nothing is let in.
    pub(crate) hard: u64,
    /// The soft limit lies so far below the hard one.
    pub(crate) spike: u64,
    /// How often memory is looked at.
    pub(crate) interval: Duration,
}

impl Bounds {
    /// The limits here, on this machine.
    pub(crate) fn of(limit: &MemoryLimit) -> Bounds {
        Bounds::with(limit, available_bytes(Path::new("/")))
    }

    /// The limits where so many bytes are available. Where nobody knows, shares are of no bound.
    fn with(limit: &MemoryLimit, available: Option<u64>) -> Bounds {
        let bytes = |amount: Amount| match amount {
            Amount::Mib(mib) => mib.saturating_mul(MIB),
            Amount::Percent(percent) => available.map_or(u64::MAX, |bytes| bytes / 100 * percent),
        };
        let hard = bytes(limit.limit);
        let spike = limit.spike.map_or(hard / 5, bytes);
        Bounds { hard, spike: spike.min(hard), interval: limit.check_interval }
    }

    pub(crate) fn soft(&self) -> u64 {
        self.hard - self.spike
    }

    /// How much requests may hold at a time while the process has `rss` bytes, `held` of them theirs already. That is half
    /// of what is free below the hard limit and of the spike: the other half is for what nobody counts, such as what a
    /// peer has sent and nobody has read yet, and for what grows between two looks.
    pub(crate) fn room(&self, rss: u64, held: u64) -> u64 {
        self.hard.saturating_sub(rss.saturating_sub(held)).min(self.spike) / 2
    }

    /// How much requests may hold at a time at the most.
    pub(crate) fn room_max(&self) -> u64 {
        self.spike / 2
    }
}

/// Physical memory in use, bytes. From `/proc/self/status`, which counts in kilobytes whatever the page size. `None` where
/// there is no such file.
pub(crate) fn resident_bytes() -> Option<u64> {
    kilobytes(Path::new("/proc/self/status"), "VmRSS:")
}

/// The memory of the machine or of the process's control group, whichever is less, bytes.
fn available_bytes(root: &Path) -> Option<u64> {
    let machine = kilobytes(&root.join("proc/meminfo"), "MemTotal:");
    group_limits(root).into_iter().chain(machine).min()
}

/// The limits of the process's control groups and of those above them.
fn group_limits(root: &Path) -> Vec<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut limits = Vec::new();
    for line in groups.lines() {
        // hierarchy:controllers:path, and for version 2 `0::path`.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (folder, file) = match controllers {
            "" => (GROUPS.to_owned(), "memory.max"),
            of if of.split(',').any(|name| name == "memory") => {
                (format!("{GROUPS}/memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // In a container the path may be that of the host, and the container's own limit stands at the top.
        let top: PathBuf = root.join(folder);
        let own = top.join(path.trim_start_matches('/'));
        let above = own.ancestors().take_while(|folder| folder.starts_with(&top));
        let limit = |folder: &Path| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
        limits.extend(above.filter_map(limit));
    }
    limits
}

fn kilobytes(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(limit: Amount, spike: Option<Amount>) -> MemoryLimit {
        MemoryLimit { limit, spike, check_interval: Duration::from_secs(1) }
    }

    #[test]
    fn limits_are_mebibytes_or_shares_of_what_there_is() {
        let gib = Some(1_000 * MIB);
        for (limit, available, soft, hard) in [
            (limit(Amount::Mib(100), Some(Amount::Mib(30))), gib, 70, 100),
            (limit(Amount::Mib(100), None), None, 80, 100),
            (limit(Amount::Percent(80), Some(Amount::Percent(25))), gib, 550, 800),
            (limit(Amount::Percent(80), None), gib, 640, 800),
        ] {
            let bounds = Bounds::with(&limit, available);
            assert_eq!((bounds.soft() / MIB, bounds.hard / MIB), (soft, hard), "{limit:?}");
        }
        assert_eq!(Bounds::with(&limit(Amount::Percent(80), None), None).hard, u64::MAX);
    }

    #[test]
    fn the_least_of_the_machine_and_of_all_groups_holds() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let available = || available_bytes(folder.path());
        assert_eq!(available(), None);
        write("proc/meminfo", "MemTotal:  2000 kB\nMemFree: 1 kB\n");
        assert_eq!(available(), Some(2_000 << 10));
        write("proc/self/cgroup", "0::/pod/container\n");
        write("sys/fs/cgroup/pod/container/memory.max", "max\n");
        assert_eq!(available(), Some(2_000 << 10));
        write("sys/fs/cgroup/pod/memory.max", "900000\n");
        assert_eq!(available(), Some(900_000));
        write("sys/fs/cgroup/memory.max", "800000\n");
        assert_eq!(available(), Some(800_000));
        write("proc/self/cgroup", "5:cpu,memory:/old\n1:name=systemd:/\n");
        write("sys/fs/cgroup/memory/old/memory.limit_in_bytes", "700000\n");
        assert_eq!(available(), Some(700_000));
    }

    #[test]
    fn this_process_has_memory_and_less_than_there_is() {
        let (resident, available) = (resident_bytes().unwrap(), available_bytes(Path::new("/")).unwrap());
        assert!(resident > 0 && resident < available, "{resident} of {available}");
    }
}
