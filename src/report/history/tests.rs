use super::*;
use std::sync::LazyLock;

const MINUTE: u64 = 60_000_000_000;
const DAY: u64 = 1_440 * MINUTE;
const T0: u64 = 20_600 * DAY;

static SAMPLE: LazyLock<Entry> = LazyLock::new(|| {
    let text = include_str!("../../../tests/snapshots/report__json_all_parity.snap");
    Entry::of(&crate::report::from_json(text.splitn(3, "---").last().unwrap()).unwrap()).unwrap()
});

fn entry(minute: u64, verdict: Verdict, score: Score, scene: Scene) -> Entry {
    let services = scene.services.iter().map(|_| (verdict, score)).collect();
    let at_ns = T0 + minute * MINUTE;
    let known = Entry { at_ns, verdict, score, services, described: Some(scene), ..SAMPLE.clone() };
    // The hash is that of the scene in it.
    let hash = known.described.as_ref().map(Scene::hash).unwrap();
    Entry { scene: hash, ..known }
}

fn scene(versions: &[&str], findings: &[&str]) -> Scene {
    let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let finding = |id: &&str| FindingScene {
        id: (*id).to_owned(),
        level: Level::Critical,
        aspect: Aspect::Latency,
        service: Some("web".to_owned()),
        operation: None,
        item: None,
        title: "slower".to_owned(),
        owner: None,
        waived_by: None,
    };
    Scene {
        baseline: "prod".to_owned(),
        candidate: "canary".to_owned(),
        owner: None,
        services: vec![ServiceScene {
            service: "web".to_owned(),
            baseline: own(&["1.0"]),
            candidate: own(versions),
        }],
        findings: findings.iter().map(finding).collect(),
    }
}

fn plain(minute: u64, verdict: Verdict) -> Entry {
    entry(minute, verdict, if verdict == Verdict::Parity { 100.0 } else { 40.0 }, scene(&["1.0"], &[]))
}

#[test]
fn a_verdict_holds_since_the_first_look_that_had_it_and_old_looks_are_forgotten() {
    let mut history = History::new(30 * DAY);
    assert_eq!((history.since(), history.looks().len()), (None, 0));
    for (minute, verdict) in [Verdict::Parity, Verdict::Divergent, Verdict::Divergent].into_iter().enumerate()
    {
        history.note(&plain(minute as u64, verdict));
    }
    assert_eq!(history.since(), Some(&*rfc3339(T0 + MINUTE)));
    (3..3 + LOOKS_MOST as u64).for_each(|minute| history.note(&plain(minute, Verdict::Divergent)));
    assert_eq!((history.since(), history.looks().len()), (Some(&*rfc3339(T0 + MINUTE)), LOOKS_MOST));
}

#[test]
fn a_month_of_looks_stays_within_its_bounds_and_a_week_of_it_is_told_with_the_week_before() {
    let mut history = History::new(30 * DAY);
    let days = 33;
    for minute in (0..days * 1_440).step_by(5) {
        // Divergent on the last seven days.
        let verdict = if minute >= (days - 7) * 1_440 { Verdict::Divergent } else { Verdict::Parity };
        history.note(&plain(minute, verdict));
    }
    assert!(history.points.len() <= POINTS_MOST + 1, "{}", history.points.len());
    assert_eq!(history.begins_ns().unwrap(), T0 + 3 * DAY - 10 * MINUTE, "what is older is gone");
    let now = T0 + days * DAY;
    let week = history.period("release", now - 7 * DAY, now);
    let total = week.total.unwrap();
    assert_eq!((total.n(), total.share(Verdict::Divergent)), (7 * 288, 1.0));
    assert_eq!((total.score, week.before.unwrap().score), (Some(40.0), Some(100.0)));
    assert!(week.points.len() <= 360, "{}", week.points.len());
    assert_eq!(week.services["web"].by(), Some(-60.0));
    let hour = history.period("release", now - 60 * MINUTE, now);
    assert_eq!((hour.points.len(), hour.point_s), (12, 10), "the latest looks are drawn one by one");
    let none = history.period("release", T0 - 2 * DAY, T0 - DAY);
    assert_eq!((none.total, none.points.len(), none.findings.len()), (None, 0, 0));
}

#[test]
fn a_new_version_is_a_deployment_and_one_that_goes_while_the_older_stays_came_back() {
    let mut history = History::new(30 * DAY);
    for (minute, versions) in
        [&["1.0"][..], &["1.0", "2.0"], &["2.0"], &[], &["2.0", "3.0"], &["2.0"], &["2.0"]].iter().enumerate()
    {
        history.note(&entry(minute as u64, Verdict::Parity, 100.0, scene(versions, &[])));
    }
    let told: Vec<(String, String, bool)> =
        history.deploys.iter().map(|d| (d.from.clone(), d.to.clone(), d.back)).collect();
    let own = |from: &str, to: &str, back| (from.to_owned(), to.to_owned(), back);
    assert_eq!(told, [own("1.0", "2.0", false), own("2.0", "3.0", false), own("2.0, 3.0", "2.0", true)]);
    assert!(history.deploys.iter().all(|deploy| deploy.side == SideName::Candidate));
}

#[test]
fn a_finding_that_goes_for_a_moment_has_not_gone_and_one_that_comes_again_later_came_twice() {
    let mut history = History::new(30 * DAY);
    for (minute, findings) in
        [(0, &["a", "b"][..]), (1, &["a"]), (2, &["a", "b"]), (3, &[]), (60, &["b"]), (61, &["b"])]
    {
        history.note(&entry(minute, Verdict::Divergent, 50.0, scene(&["1.0"], findings)));
    }
    let told: Vec<(&str, u64, u64, bool)> = history
        .episodes
        .iter()
        .map(|e| (&*e.finding.id, (e.from_ns - T0) / MINUTE, (e.to_ns - T0) / MINUTE, e.open))
        .collect();
    assert_eq!(told, [("a", 0, 2, false), ("b", 0, 2, false), ("b", 60, 61, true)]);
    let late = history.period("release", T0 + 30 * MINUTE, T0 + 90 * MINUTE);
    assert_eq!(late.findings.len(), 1);
}

#[test]
fn lists_are_bounded_and_what_is_forgotten_is_counted() {
    let mut history = History::new(30 * DAY);
    for look in 0..EPISODES_MOST as u64 + 5 {
        let id = format!("finding-{look}");
        let version = format!("v{look}");
        history.note(&entry(look * 20, Verdict::Divergent, 50.0, scene(&[&version], &[&id])));
    }
    assert!(history.episodes.len() <= EPISODES_MOST && history.deploys.len() <= DEPLOYS_MOST);
    assert!(history.forgotten >= 1_000, "{}", history.forgotten);
    let mut histories = Histories::new(DAY);
    for n in 0..COMPARISONS_MOST + 3 {
        histories.note(&Entry { comparison: format!("c{n}"), ..plain(0, Verdict::Parity) });
    }
    assert_eq!((histories.iter().count(), histories.left_out), (COMPARISONS_MOST, 3));
    histories.expire(T0 + 2 * DAY);
    assert_eq!(histories.iter().count(), 0);
}

#[test]
fn an_entry_is_read_back_and_names_are_written_when_they_are_others() {
    let one = plain(0, Verdict::Parity);
    let full = one.to_bytes(None);
    assert_eq!(Entry::from_bytes(&full), Some(one.clone()));
    let brief = one.to_bytes(Some(one.scene));
    assert!(brief.len() < full.len(), "{} {}", brief.len(), full.len());
    let read = Entry::from_bytes(&brief).unwrap();
    assert_eq!(read, Entry { described: None, ..one.clone() });
    // Without its scene an entry has a score and no services.
    let mut history = History::new(30 * DAY);
    history.note(&read);
    assert_eq!((history.looks().len(), history.running.len()), (1, 0));
    for length in 0..full.len() {
        assert_eq!(Entry::from_bytes(&full[..length]), None, "{length} bytes");
    }
    // No bytes are a panic, and no number is one that cannot be drawn.
    for at in 0..full.len() {
        for flip in [1u8, 0x80, 0xff] {
            let mut bad = full.clone();
            bad[at] ^= flip;
            if let Some(entry) = Entry::from_bytes(&bad) {
                let mut history = History::new(30 * DAY);
                history.note(&entry);
                let end = entry.at_ns.saturating_add(1);
                let period = history.period("release", entry.at_ns.saturating_sub(DAY), end);
                assert!(period.points.iter().all(|point| point.score.is_none_or(f64::is_finite)));
            }
        }
    }
}
