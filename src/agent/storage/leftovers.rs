//! What earlier agents left in the directories of storages, and no part of this one uses.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::evidence::CHECKPOINT;
use crate::config::Config;

/// Folders of queues and tenants that nobody has, and checkpoints where nobody's evidence is. `uses` says whether a folder is the
/// queue of somebody. A directory that cannot be read has been told of by whoever wanted to use it.
pub(crate) fn leftovers(config: &Config, uses: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let directories: BTreeSet<&PathBuf> = config.storages.iter().collect();
    let own: Vec<PathBuf> = evidence(config);
    let mut unused = Vec::new();
    for directory in directories {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let is_left = match () {
                () if name.starts_with("queue-") => !uses(&path),
                () if name.starts_with("tenant-") => !own.contains(&path),
                () => name.starts_with(CHECKPOINT) && !own.contains(directory),
            };
            if is_left {
                unused.push(path);
            }
        }
    }
    unused.sort();
    unused
}

/// Where the evidence of this agent is.
fn evidence(config: &Config) -> Vec<PathBuf> {
    let Some(storage) = &config.storage else { return Vec::new() };
    match &config.tenants {
        None => vec![storage.directory.clone()],
        Some(tenants) => {
            tenants.known.iter().map(|tenant| storage.of_tenant(Some(&tenant.name)).directory).collect()
        }
    }
}
