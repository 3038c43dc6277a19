use super::*;
use crate::judge::Verdict;
use crate::report::history::{Look, entry::rfc3339};
use std::time::Duration;

const HOUR: u64 = 3_600_000_000_000;
const T0: u64 = 20_600 * 24 * HOUR;

fn config(days: u64, max_bytes: u64) -> HistoryConfig {
    HistoryConfig { retention: Duration::from_secs(days * 86_400), max_bytes }
}

fn report(at_ns: u64, services: usize) -> Report {
    let text = include_str!("../../../tests/snapshots/report__json_all_parity.snap");
    let report = crate::report::from_json(text.splitn(3, "---").last().unwrap()).unwrap();
    let first = report.services[0].clone();
    let named = |n: usize| crate::judge::verdict::ServiceResult { service: format!("s{n}"), ..first.clone() };
    Report {
        generated_at: rfc3339(at_ns),
        verdict: Verdict::Divergent,
        services: (0..services).map(named).collect(),
        ..report
    }
}

fn files(directory: &Path) -> Vec<(String, u64)> {
    let mut files: Vec<(String, u64)> = std::fs::read_dir(directory.join(FOLDER))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
        .collect();
    files.sort();
    files
}

fn open(directory: &Path, config: &HistoryConfig, now_ns: u64) -> Archive {
    Archive::open(Some(directory), config, now_ns).unwrap()
}

fn looks(archive: &Archive) -> Vec<Look> {
    archive.of(&report(0, 1).comparison).looks().cloned().collect()
}

#[test]
fn what_was_judged_is_there_after_a_restart_with_services_and_a_torn_tail_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (config, name) = (config(30, 1 << 20), report(0, 1).comparison);
    let mut archive = open(folder.path(), &config, T0);
    (0..50).for_each(|hour| archive.note(&report(T0 + hour * HOUR, 3)));
    let (before, now_ns) = (looks(&archive), T0 + 50 * HOUR);
    assert_eq!(before.len(), 50);
    drop(archive);
    let archive = open(folder.path(), &config, now_ns);
    assert_eq!(looks(&archive), before);
    let period = archive.of(&name).period(&name, T0, now_ns);
    assert_eq!(period.services.len(), 3, "brief entries find their scene in their own segment");
    assert_eq!(period.services["s2"].now.as_ref().unwrap().n(), 50);
    // Reading beside a running agent changes nothing and sees the same.
    let (beside, read) = super::read(folder.path(), config.retention_ns()).unwrap();
    assert_eq!((beside.of(&name).unwrap().looks().len(), read.damaged.len()), (50, 0));
    drop(archive);
    let (last, bytes) = files(folder.path()).pop().unwrap();
    let file = std::fs::File::options().write(true).open(folder.path().join(FOLDER).join(last)).unwrap();
    file.set_len(bytes - 1).unwrap();
    let mut archive = open(folder.path(), &config, now_ns);
    assert_eq!(looks(&archive), before[..49]);
    archive.note(&report(now_ns, 3));
    drop(archive);
    assert_eq!(looks(&open(folder.path(), &config, now_ns)).len(), 50);
}

#[test]
fn what_is_out_of_retention_is_gone_from_disk_though_nothing_is_judged_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(3, 1 << 30);
    let mut archive = open(folder.path(), &config, T0);
    let marker = |hour: u64| format!("marker-of-hour-{hour:03}");
    for hour in 0..120 {
        let mut report = report(T0 + hour * HOUR, 1);
        report.services[0].service = marker(hour);
        archive.note(&report);
    }
    let on_disk = || -> String {
        let path = |(name, _): (String, u64)| folder.path().join(FOLDER).join(name);
        let bytes = files(folder.path()).into_iter().map(path).map(|path| std::fs::read(path).unwrap());
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    };
    // A segment holds a thirtieth of the retention: 2.4 hours of it may be left beyond.
    let held = |now_hour: u64| {
        (0..120).filter(|hour| on_disk().contains(&marker(*hour))).min().map(|h| now_hour - h)
    };
    assert!((72..=75).contains(&held(119).unwrap()), "{:?}", held(119));
    archive.expire(T0 + 150 * HOUR);
    assert!((72..=75).contains(&held(150).unwrap()), "{:?}", held(150));
    archive.expire(T0 + 192 * HOUR + HOUR);
    assert_eq!((held(193), files(folder.path()).len()), (None, 0));
    assert!(looks(&archive).is_empty());
    // It goes on from nothing.
    archive.note(&report(T0 + 200 * HOUR, 1));
    drop(archive);
    assert_eq!(looks(&open(folder.path(), &config, T0 + 200 * HOUR)).len(), 1);
    // And a start removes what went out of retention while nobody ran.
    drop(open(folder.path(), &config, T0 + 400 * HOUR));
    assert_eq!(files(folder.path()).len(), 0);
}

#[test]
fn at_its_bound_the_oldest_part_goes_and_that_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(30, 24 << 10);
    let mut archive = open(folder.path(), &config, T0);
    for hour in 0..300 {
        archive.note(&report(T0 + hour * HOUR, 20));
        let bytes: u64 = files(folder.path()).iter().map(|(_, bytes)| bytes).sum();
        assert!(bytes <= config.max_bytes, "hour {hour}: {bytes}");
    }
    let counters = archive.counters().unwrap();
    assert!(counters.dropped.load(Relaxed) > 0);
    assert_eq!((counters.looks.load(Relaxed), counters.failures.load(Relaxed)), (300, 0));
    drop(archive);
    let left = looks(&open(folder.path(), &config, T0 + 300 * HOUR));
    assert_eq!(left.last().unwrap().at, rfc3339(T0 + 299 * HOUR));
    assert!(left.len() > 24 && left.len() < 300, "{}", left.len());
}

#[test]
fn one_look_that_is_greater_than_the_bound_is_counted_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = open(folder.path(), &config(30, 600), T0);
    for hour in 0..100 {
        archive.note(&report(T0 + hour * HOUR, 40));
    }
    archive.note(&report(T0 + 200 * HOUR, 1));
    let counters = archive.counters().unwrap();
    assert_eq!((counters.looks.load(Relaxed), counters.failures.load(Relaxed)), (1, 100));
    assert_eq!(looks(&archive).len(), 101, "all of it is in memory");
    let log = archive.log.unwrap();
    assert!(log.begins.len() <= 2, "{:?}", log.begins);
}

#[test]
fn a_later_isotels_history_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(30, 1 << 20);
    drop(open(folder.path(), &config, T0));
    let log = Log::open(&folder.path().join(FOLDER), LOG, u64::MAX, 0).unwrap();
    let mut label: Label = [0; 16];
    label[8..12].copy_from_slice(&(FORMAT + 1).to_le_bytes());
    log.append(&label, b"of a later one").unwrap();
    drop(log);
    let before = files(folder.path());
    let refused = Archive::open(Some(folder.path()), &config, T0).unwrap_err().to_string();
    assert!(refused.contains(&format!("is of format {}", FORMAT + 1)), "{refused}");
    assert_eq!(files(folder.path()), before);
    assert!(super::read(folder.path(), config.retention_ns()).is_err());
}
