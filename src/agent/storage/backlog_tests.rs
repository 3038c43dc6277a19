use super::*;

fn storage(directory: &Path, max_bytes: u64) -> StorageConfig {
    StorageConfig {
        id: "file_storage".to_owned(),
        directory: directory.to_owned(),
        max_bytes,
        fsync: Fsync::Never,
    }
}

fn open(directory: &Path, max_bytes: u64) -> (Arc<Backlog>, Found) {
    let storage = storage(directory, max_bytes);
    Backlog::open(&folder(&storage, "otlp"), &storage).unwrap()
}

fn body(at: usize) -> Vec<u8> {
    format!("request {at}").into_bytes()
}

fn append(backlog: &Backlog, numbers: std::ops::Range<usize>) -> Vec<Stored> {
    numbers.map(|at| backlog.append(Signal::Logs, &body(at)).unwrap()).collect()
}

#[test]
fn what_is_not_finished_is_found_in_order_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (backlog, found) = open(folder.path(), 1 << 30);
    assert_eq!((found.requests.len(), found.damaged), (0, 0));
    let stored = append(&backlog, 0..10);
    for at in [7, 0, 3, 1] {
        backlog.finish(stored[at]);
    }
    drop(backlog);
    let (backlog, found) = open(folder.path(), 1 << 30);
    let left: Vec<_> = [2, 4, 5, 6, 8, 9].map(|at| stored[at]).into();
    assert_eq!(found.requests, left);
    assert_eq!(backlog.fetch(stored[8]).unwrap(), body(8));
    append(&backlog, 10..12);
    left.into_iter().for_each(|stored| backlog.finish(stored));
    drop(backlog);
    let (backlog, found) = open(folder.path(), 1 << 30);
    let bodies: Vec<_> = found.requests.iter().map(|stored| backlog.fetch(*stored).unwrap()).collect();
    assert_eq!(bodies, [body(10), body(11)]);
}

#[test]
fn files_are_bounded_while_requests_come_and_go_over_restarts_and_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = None;
    let bound = 1 << 20;
    for round in 0..6 {
        let (backlog, found) = open(folder.path(), bound);
        assert_eq!(found.requests, Vec::from_iter(first), "round {round}");
        // Half of the rounds have an oldest request that is not delivered: the bound is then reached.
        if round % 2 == 0 {
            first.get_or_insert_with(|| append(&backlog, 0..1)[0]);
        } else if let Some(first) = first.take() {
            backlog.finish(first);
        }
        let mut sent = 0;
        while sent < 20_000 && backlog.has_room() {
            append(&backlog, sent..sent + 1).into_iter().for_each(|stored| backlog.finish(stored));
            sent += 1;
        }
        assert_eq!(sent < 20_000, round % 2 == 0, "round {round}: {sent}");
        let bytes: u64 = std::fs::read_dir(&backlog.folder)
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes < bound + 1000, "round {round}: {bytes}");
    }
}

#[test]
fn a_position_that_was_done_is_not_given_again_though_the_log_has_lost_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (backlog, _) = open(folder.path(), 1 << 30);
    let stored = append(&backlog, 0..5);
    backlog.finish(stored[4]);
    drop(backlog);
    let path = super::folder(&storage(folder.path(), 0), "otlp").join(format!("requests-{:020}.log", 0));
    std::fs::File::options().write(true).open(path).unwrap().set_len(stored[1].position).unwrap();
    let (backlog, found) = open(folder.path(), 1 << 30);
    assert_eq!(found.requests, stored[..1]);
    let new = append(&backlog, 5..6)[0];
    assert!(new.position > stored[4].position);
    drop(backlog);
    assert_eq!(open(folder.path(), 1 << 30).1.requests, [stored[0], new]);
}

#[test]
fn the_folder_is_of_one_process_and_its_name_is_the_exporters() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage(directory.path(), 1);
    let folder = folder(&storage, "otlp_grpc/a b/../c");
    assert_eq!(folder.parent(), Some(directory.path()));
    assert!(folder.ends_with("queue-otlp_grpc%2fa%20b%2f..%2fc"), "{}", folder.display());
    let _open = Backlog::open(&folder, &storage).unwrap();
    assert!(matches!(Backlog::open(&folder, &storage), Err(StorageError::Locked { .. })));
}
