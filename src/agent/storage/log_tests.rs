use super::*;

const PREFIX: &str = "requests";

fn open(directory: &Path) -> Log {
    Log::open(directory, PREFIX, u64::MAX, 0).unwrap()
}

fn label(at: u8) -> Label {
    [at; 16]
}

fn body(at: u8) -> Vec<u8> {
    (0..20 + 7 * usize::from(at)).map(|byte| byte as u8 ^ at).collect()
}

/// A log with these records, closed.
fn filled(directory: &Path, records: std::ops::Range<u8>) {
    let log = open(directory);
    for at in records {
        log.append(&label(at), &body(at)).unwrap();
    }
}

/// The numbers of the records from a position on, each as it was written.
fn read(directory: &Path, from: u64) -> (Vec<u8>, Read) {
    read_of(&open(directory), from)
}

fn read_of(log: &Log, from: u64) -> (Vec<u8>, Read) {
    let mut found = Vec::new();
    let read = log.read(from, |_, label, of| {
        assert_eq!((label, of), (&[label[0]; 16], &*body(label[0])));
        found.push(label[0]);
    });
    (found, read.unwrap())
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn records_are_read_back_in_order_from_any_position_over_segments_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let mut positions = vec![0];
    for start in [0, 5, 10] {
        let log = open(folder.path());
        for at in start..start + 5 {
            assert_eq!(log.append(&label(at), &body(at)).unwrap(), log.position());
            positions.push(log.position());
            if at % 2 == 0 {
                assert_eq!(log.roll(), log.position());
            }
        }
        log.sync().unwrap();
    }
    assert!(positions.is_sorted());
    for (at, position) in positions.iter().enumerate() {
        let (found, read) = read(folder.path(), *position);
        assert_eq!(found, (at as u8..15).collect::<Vec<_>>());
        assert_eq!((read.records, read.damaged), (15 - at as u64, Vec::new()));
    }
    assert_eq!(open(folder.path()).position(), positions[15]);
    // A position that was promised is not given again, though the log has lost its end.
    assert_eq!(Log::open(folder.path(), PREFIX, u64::MAX, 1_000_000).unwrap().position(), 1_000_000);
}

#[test]
fn a_torn_tail_is_cut_off_wherever_it_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 0..3);
    let [path] = &segments(folder.path())[..] else { panic!("one segment") };
    let whole = std::fs::read(path).unwrap();
    let ends: Vec<usize> =
        (0..=3).map(|n| FIRST + (0..n).map(|at| HEAD + body(at).len()).sum::<usize>()).collect();
    for length in 0..whole.len() {
        std::fs::write(path, &whole[..length]).unwrap();
        let log = open(folder.path());
        let (found, read) = read_of(&log, 0);
        let good: Vec<u8> = (0..3).filter(|at| ends[usize::from(*at) + 1] <= length).collect();
        assert_eq!(found, good, "{length} bytes");
        let kept = ends.iter().rev().find(|end| **end <= length).copied().unwrap_or(0);
        let torn: u64 = read.damaged.iter().map(|damage| damage.bytes).sum();
        assert!(read.damaged.iter().all(|damage| damage.what == Fault::Tail), "{length} bytes: {read:?}");
        assert_eq!(torn, (length - kept) as u64, "{length} bytes");
        assert_eq!(std::fs::metadata(path).map_or(0, |file| file.len()), kept as u64);
        // What is appended after that is read with what was good.
        log.append(&label(9), &body(9)).unwrap();
        let (again, read) = self::read(folder.path(), 0);
        assert_eq!((again, read.damaged), ([good, vec![9]].concat(), Vec::new()), "{length} bytes");
        for path in segments(folder.path()) {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_flipped_bit_loses_its_own_record_at_most_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 0..4);
    let [path] = &segments(folder.path())[..] else { panic!("one segment") };
    let whole = std::fs::read(path).unwrap();
    let starts: Vec<usize> =
        (0..=4).map(|at| FIRST + (0..at).map(|at| HEAD + body(at).len()).sum::<usize>()).collect();
    for bit in 0..whole.len() * 8 {
        let mut bad = whole.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(path, &bad).unwrap();
        let (found, read) = read(folder.path(), 0);
        let hit = starts.iter().rposition(|start| *start <= bit / 8);
        let expected: Vec<u8> = (0..4).filter(|at| hit != Some(usize::from(*at))).collect();
        assert_eq!(found, expected, "bit {bit}");
        let Some(hit) = hit else {
            assert_eq!(read.damaged, [], "the other header is good");
            continue;
        };
        let [damage] = &read.damaged[..] else { panic!("bit {bit}: {read:?}") };
        let in_head = bit / 8 < starts[hit] + HEAD;
        let what = match (in_head, hit) {
            (true, 3) => Fault::Tail,
            (true, _) => Fault::Head,
            (false, _) => Fault::Body,
        };
        let (offset, bytes) = (starts[hit] as u64, (starts[hit + 1] - starts[hit]) as u64);
        assert_eq!(*damage, Damage { path: path.clone(), offset, bytes, what }, "bit {bit}");
    }
}

#[test]
fn both_headers_damaged_lose_a_segment_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    for at in 0..3 {
        filled(folder.path(), at..at + 1);
    }
    let paths = segments(folder.path());
    let mut bytes = std::fs::read(&paths[1]).unwrap();
    bytes[20] ^= 1;
    bytes[HEADER + 20] ^= 1;
    std::fs::write(&paths[1], bytes).unwrap();
    let (found, read) = read(folder.path(), 0);
    assert_eq!((found, read.damaged[0].what, &read.damaged[0].path), (vec![0, 2], Fault::Header, &paths[1]));
}

#[test]
fn a_body_that_looks_like_a_record_is_none_where_the_way_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    // A sender knows the form, and not the seed.
    let elsewhere = tempfile::tempdir().unwrap();
    filled(elsewhere.path(), 7..8);
    let forged = std::fs::read(&segments(elsewhere.path())[0]).unwrap();
    let log = open(folder.path());
    log.append(&label(0), &forged).unwrap();
    log.append(&label(1), &body(1)).unwrap();
    drop(log);
    let path = &segments(folder.path())[0];
    let mut bytes = std::fs::read(path).unwrap();
    bytes[FIRST] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let (found, read) = read(folder.path(), 0);
    assert_eq!((found, read.damaged[0].what), (vec![1], Fault::Head));
}

#[test]
fn at_its_bound_a_log_refuses_and_after_a_trim_it_takes_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), PREFIX, 1_000, 0).unwrap();
    let mut kept = 0;
    let bound = loop {
        match log.append(&label(kept), &body(kept)) {
            Ok(_) => kept += 1,
            Err(AppendError::Full { bound }) => break bound,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(kept > 3 && log.bytes() <= bound && bound == 1_000);
    assert_eq!(read(folder.path(), 0).0, (0..kept).collect::<Vec<_>>(), "what was refused is not there");
    assert_eq!(log.trim(log.position()).unwrap(), 0, "the segment that is written to stays");
    let position = log.roll();
    assert_eq!((log.trim(position - 1).unwrap(), log.trim(position).unwrap(), log.bytes()), (0, 1, 0));
    assert!(log.has_room());
    log.append(&label(9), &body(9)).unwrap();
    assert_eq!(read(folder.path(), 0).0, [9]);
    log.set_bound(0);
    assert!(!log.has_room() && matches!(log.append(&label(1), &[]), Err(AppendError::Full { bound: 0 })));
}

#[test]
fn a_segment_of_a_later_format_is_refused_by_name_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 0..2);
    let path = &segments(folder.path())[0];
    let mut bytes = std::fs::read(path).unwrap();
    for at in [0, HEADER] {
        bytes[at + 8] = FORMAT as u8 + 1;
        let sum = xxh3_64_with_seed(&bytes[at..at + 32], 0);
        bytes[at + 32..at + 40].copy_from_slice(&sum.to_le_bytes());
    }
    std::fs::write(path, &bytes).unwrap();
    let error = Log::open(folder.path(), PREFIX, u64::MAX, 0).unwrap_err().to_string();
    assert!(error.contains(&path.display().to_string()) && error.contains("format 2"), "{error}");
    assert_eq!(std::fs::read(path).unwrap(), bytes);
}

#[test]
fn a_segment_ends_when_it_is_large_and_one_that_was_never_begun_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let large = vec![1; SEGMENT_BYTES as usize];
    for at in 0..3 {
        log.append(&label(at), &large).unwrap();
    }
    assert_eq!(segments(folder.path()).len(), 3);
    let next = log.position();
    drop(log);
    std::fs::write(folder.path().join(format!("{PREFIX}-{next:020}.log")), b"").unwrap();
    let log = open(folder.path());
    log.append(&label(1), &body(1)).unwrap();
    assert_eq!(read_of(&open(folder.path()), next).0, [1]);
}

#[test]
fn a_file_named_by_a_position_that_no_log_comes_to_is_no_segment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{PREFIX}-{}.log", u64::MAX));
    std::fs::write(&path, header(u64::MAX, 7).repeat(2)).unwrap();
    filled(folder.path(), 0..3);
    assert_eq!(read(folder.path(), 0).0, [0, 1, 2]);
    assert!(path.exists());
}

#[test]
fn where_a_name_leaves_no_positions_nothing_is_appended_that_would_not_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let last = folder.path().join(format!("{PREFIX}-{BASE_MAX}.log"));
    std::fs::write(&last, header(BASE_MAX, 7).repeat(2)).unwrap();
    let refused = open(folder.path()).append(&label(1), &body(1)).unwrap_err().to_string();
    assert!(refused.contains("move it out of the directory"), "{refused}");
    std::fs::remove_file(&last).unwrap();
    filled(folder.path(), 0..3);
    assert_eq!(read(folder.path(), 0).0, [0, 1, 2]);
}
