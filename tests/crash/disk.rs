//! A disk that takes no more, a directory that cannot be written, and what goes from it when.

use crate::agent::{PATIENCE, Running, config};
use crate::kills::{now_ns, start_ns};
use crate::load::{Load, World};
use crate::oracle::{self, Oracle};
use isotel::agent::storage::Storage;
use isotel::config::{Fsync, StorageConfig};
use isotel::engine::Engine;
use isotel::wire::Signal;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const MINUTE: u64 = 60_000_000_000;

#[test]
fn a_disk_that_is_full_refuses_requests_until_there_is_room_and_loses_none_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("storage");
    // No file may be larger than 200 KiB; a checkpoint, which is due after 128, begins another.
    let text = config(&directory).replace("fsync_interval", "max_bytes: 1MiB, fsync_interval");
    let limited = ["bash", "-c", "trap '' XFSZ; ulimit -f 200; exec \"$@\"", "bash"];
    let mut agent = Running::start(&text, &limited);
    let addresses = agent.addresses();
    let world = Arc::new(Mutex::new(World::new(7, start_ns())));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let load = Load::start(&world, addresses);
        let deadline = Instant::now() + PATIENCE;
        while !agent.has_logged("the storage takes requests again") {
            assert!(Instant::now() < deadline, "{:?} in {:#?}", world.lock().unwrap().ended, agent.logged);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        load.end().await;
    });
    assert!(agent.has_logged("the storage takes no requests; senders are told to come again"));
    agent.kill();
    let mut world = world.lock().unwrap();
    assert!(world.ended[0] > 0 && world.ended[1] > 0, "{:?}", world.ended);
    let (found, recovered) = oracle::counts(&directory, oracle::plan(&text, now_ns()));
    assert_eq!(world.oracle.check(&found), Ok(0));
    assert_eq!((recovered.damaged_records, recovered.damaged_files), (0, 0));
}

#[test]
fn a_directory_that_cannot_be_written_fails_the_start_by_name() {
    let text = config(Path::new("/dev/null/storage"));
    let mut agent = Running::start(&text, &[]);
    assert_eq!(agent.ended().code(), Some(2));
    let said = format!("{:?}", agent.logged);
    for part in [
        "extensions.file_storage.directory",
        "/dev/null/storage",
        "Not a directory",
        "name another directory",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn a_reload_keeps_the_storage_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("storage");
    let text = config(&directory);
    let mut agent = Running::start(&text, &[]);
    let addresses = agent.addresses();
    let world = Arc::new(Mutex::new(World::new(3, start_ns())));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let load = Load::start(&world, addresses);
        for period in ["50m", "55m", "60m"] {
            tokio::time::sleep(Duration::from_millis(200)).await;
            std::fs::write(&agent.config, text.replace("period: 1h", &format!("period: {period}"))).unwrap();
            agent.signal("-HUP");
            agent.wait("configuration reloaded");
        }
        std::fs::write(&agent.config, text.replace("fsync_interval", "max_bytes: 2GiB, fsync_interval"))
            .unwrap();
        agent.signal("-HUP");
        agent.wait("until the next start");
        load.end().await;
    });
    agent.kill();
    let (found, _) = oracle::counts(&directory, oracle::plan(&text, now_ns()));
    assert_eq!(world.lock().unwrap().oracle.check(&found), Ok(0));
}

/// A storage under a clock of the test's own.
struct Kept {
    storage: Arc<Storage>,
    engine: Engine,
    world: World,
    folder: tempfile::TempDir,
    start_ns: u64,
}

impl Kept {
    fn open(max_bytes: u64) -> Kept {
        let folder = tempfile::tempdir().unwrap();
        let start_ns = start_ns();
        let plan = oracle::plan(&config(folder.path()), start_ns);
        let directory = folder.path().to_owned();
        let config =
            StorageConfig { id: "file_storage".to_owned(), directory, max_bytes, fsync: Fsync::Never };
        let (storage, engine) = Storage::open(&config, plan, 2, start_ns).unwrap();
        Kept { storage, engine, world: World::new(1, start_ns), folder, start_ns }
    }

    /// Sends one request; why it was not kept.
    fn send(&mut self) -> Result<(), &'static str> {
        let request = self.world.request().unwrap();
        let ingest = self.engine.ingest();
        let now_ns = now_ns();
        let record = || ingest.observe(now_ns, None, Signal::Traces, &request.body);
        let kept = self.storage.keep(now_ns, Signal::Traces, &request.body, record);
        self.world.end(
            request,
            if kept.is_ok() { crate::load::Answer::Acknowledged } else { crate::load::Answer::Refused },
        );
        kept.map(|recorded| assert_eq!(recorded.unwrap().total(), 0))
    }

    fn files(&self, prefix: &str) -> usize {
        let names = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().starts_with(prefix)).count()
    }

    /// What the metric says.
    fn refused(&self) -> u64 {
        let families = self.storage.families();
        let family = families.iter().find(|family| family.name == "isotel_storage_refused_requests").unwrap();
        family.points[0].value.number() as u64
    }

    fn bytes(&self) -> u64 {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    fn oracle(&mut self) -> &mut Oracle {
        &mut self.world.oracle
    }
}

#[test]
fn at_its_bound_the_storage_refuses_and_a_checkpoint_makes_room() {
    const BOUND: u64 = 256 << 10;
    let mut kept = Kept::open(BOUND);
    for round in 1..=3_u64 {
        let mut sent = 0;
        let refused = loop {
            match kept.send() {
                Ok(()) => sent += 1,
                Err(why) => break why,
            }
        };
        assert_eq!(refused, "the storage is full");
        assert!(sent > 10 && kept.bytes() <= BOUND, "round {round}: {sent} requests, {} bytes", kept.bytes());
        assert!(kept.storage.is_due(&kept.engine, kept.start_ns));
        // The second, since the one before might still be needed.
        for _ in 0..2 {
            kept.storage.checkpoint(&mut kept.engine, kept.start_ns).unwrap();
        }
        assert_eq!(kept.storage.room(), Ok(()));
        assert_eq!(kept.refused(), round);
    }
    let plan = oracle::plan(&config(kept.folder.path()), kept.start_ns);
    let (found, _) = oracle::counts(kept.folder.path(), plan);
    assert_eq!(kept.oracle().check(&found), Ok(0));
}

#[test]
fn requests_are_gone_after_two_checkpoints_and_windows_when_no_judgement_looks_at_them() {
    let mut kept = Kept::open(1 << 30);
    while kept.engine.windows().count() < 5 {
        kept.send().unwrap();
        kept.engine.advance(now_ns(), "");
    }
    let Kept { storage, engine, start_ns, .. } = &mut kept;
    assert!(
        !storage.is_due(engine, *start_ns + 4 * MINUTE) && storage.is_due(engine, *start_ns + 5 * MINUTE)
    );
    storage.checkpoint(engine, *start_ns + 5 * MINUTE).unwrap();
    assert!(
        !storage.is_due(engine, *start_ns + 9 * MINUTE) && storage.is_due(engine, *start_ns + 10 * MINUTE)
    );
    storage.checkpoint(engine, *start_ns + 10 * MINUTE).unwrap();
    let now_ns = *start_ns + 65 * MINUTE;
    assert!(
        !storage.is_due(engine, now_ns),
        "the windows were written at 5 minutes, and the period is an hour"
    );
    assert_eq!((kept.files("requests-"), kept.files("window-")), (0, 5));
    let Kept { storage, engine, .. } = &mut kept;
    for minutes in [1, 6] {
        assert!(storage.is_due(engine, now_ns + minutes * MINUTE));
        storage.checkpoint(engine, now_ns + minutes * MINUTE).unwrap();
    }
    assert!(!storage.is_due(engine, now_ns + 60 * MINUTE), "nothing is left");
    assert_eq!(engine.windows().count(), 5, "what is in memory waits for newer windows");
    assert_eq!(kept.files("window-"), 0);
}
