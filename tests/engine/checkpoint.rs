//! An engine that crashes and goes on from its last checkpoint and the requests since says what one says that never crashed.

use crate::build::*;
use crate::determinism::{Sent, WINDOWS, eager, sent, warmup};
use isotel::engine::checkpoint::{FORMAT, RestoreError};
use isotel::engine::{Engine, Plan};
use isotel::judge::release::Begin;
use isotel::report::to_json;
use isotel::wire::Signal;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::path::Path;

/// Windows of a quarter of a minute, so that there are enough of them for a session to look.
fn live(warmup_ns: u64) -> Plan {
    Plan { observed_from_ns: T0, window_ns: MINUTE / 4, ..eager(warmup_ns) }
}

/// What survives a crash: the last checkpoint and the requests after it.
struct Disk {
    state: Option<Vec<u8>>,
    windows: Vec<Vec<u8>>,
    log: Vec<(u64, Signal, Vec<u8>)>,
}

impl Disk {
    fn save(&mut self, engine: &mut Engine) {
        let cut = engine.cut();
        let checkpoint = engine.checkpoint(cut).unwrap();
        self.windows = checkpoint.windows.iter().map(|index| engine.sealed_bytes(*index).unwrap()).collect();
        self.state = Some(checkpoint.state);
        self.log.clear();
    }

    fn restored(&self, plan: Plan, shards: usize) -> Engine {
        let engine = match &self.state {
            Some(state) => Engine::restore(plan, shards, state, self.windows.clone()).unwrap(),
            None => Engine::new(plan, shards),
        };
        for (now_ns, signal, request) in &self.log {
            engine.ingest().observe(*now_ns, None, *signal, request).unwrap();
        }
        engine
    }
}

/// What happens before a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    Checkpoint,
    Crash,
}

/// The verdicts after each window, of an engine to which this happens. `seal_lost` is the window after whose seal it crashes
/// before the checkpoint.
fn verdicts(
    sent: &[Sent],
    before: &[Before],
    shards: [usize; 2],
    warmup_ns: u64,
    seal_lost: u64,
) -> Vec<String> {
    let mut engine = Engine::new(live(warmup_ns), shards[0]);
    let mut disk = Disk { state: None, windows: Vec::new(), log: Vec::new() };
    let mut verdicts = Vec::new();
    let never = before.is_empty();
    let mut before = before.iter().copied().chain(std::iter::repeat(Before::Nothing));
    for window in 0..WINDOWS {
        let now_ns = T0 + (window + 1) * MINUTE;
        for sent in sent.iter().filter(|sent| sent.window == window) {
            match before.next() {
                Some(Before::Checkpoint) => disk.save(&mut engine),
                Some(Before::Crash) => engine = disk.restored(live(warmup_ns), shards[1]),
                _ => {}
            }
            disk.log.push((now_ns, sent.signal, sent.request.clone()));
            engine.ingest().observe(now_ns, None, sent.signal, &sent.request).unwrap();
        }
        engine.advance(now_ns, GENERATED_AT);
        if !never {
            if seal_lost == window {
                engine = disk.restored(live(warmup_ns), shards[1]);
                engine.advance(now_ns, GENERATED_AT);
            }
            disk.save(&mut engine);
        }
        verdicts.extend(engine.reports().map(|report| to_json(report)));
    }
    engine.finish(T0 + WINDOWS * MINUTE, GENERATED_AT);
    verdicts.extend(engine.reports().map(|report| to_json(report)));
    verdicts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn verdicts_after_crashes_are_the_bytes_of_an_engine_that_never_crashed(
        sent in vec(sent(), 1..40),
        before in vec(select(vec![Before::Nothing, Before::Nothing, Before::Checkpoint, Before::Crash]), 1..40),
        shards in (select(vec![1, 2, 7]), select(vec![1, 3])),
        warmup_ns in warmup(),
        seal_lost in 0..=WINDOWS,
    ) {
        let shards = [shards.0, shards.1];
        let expected = verdicts(&sent, &[], shards, warmup_ns, WINDOWS);
        prop_assert_eq!(verdicts(&sent, &before, shards, warmup_ns, seal_lost), expected);
    }
}

/// Requests of every kind, always the same while the generator is.
fn some() -> Vec<Sent> {
    vec(sent(), 30).new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

/// An engine that observed some, sealed some, has some open, and looks at a release.
fn engine_of(sent: &[Sent]) -> Engine {
    let mut engine = Engine::new(live(MINUTE), 2);
    let release = Begin { release: Some("2.0".to_owned()), ..Begin::default() };
    engine.begin(&release, T0, GENERATED_AT).unwrap();
    for window in 0..WINDOWS {
        let now_ns = T0 + (window + 1) * MINUTE;
        for sent in sent.iter().filter(|sent| sent.window == window) {
            engine.ingest().observe(now_ns, None, sent.signal, &sent.request).unwrap();
        }
        engine.advance(now_ns, GENERATED_AT);
    }
    engine
}

fn disk_of(engine: &mut Engine) -> Disk {
    let mut disk = Disk { state: None, windows: Vec::new(), log: Vec::new() };
    disk.save(engine);
    disk
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a developer asks for the file of a new format")]
fn what_an_earlier_build_wrote_in_this_format_is_read_and_written_alike() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/engine/checkpoint.format-{FORMAT}"));
    if std::env::var("ISOTEL_BLESS").is_ok() {
        let disk = disk_of(&mut engine_of(&some()));
        std::fs::write(&path, postcard::to_stdvec(&(disk.state, disk.windows)).unwrap()).unwrap();
    }
    let changed = "the layout of what is kept has changed: raise FORMAT in src/engine/checkpoint.rs, and write the file of \
                   the new format with ISOTEL_BLESS=1";
    let kept = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; {changed}", path.display()));
    let (state, windows): (Option<Vec<u8>>, Vec<Vec<u8>>) = postcard::from_bytes(&kept).unwrap();
    let disk = Disk { state, windows, log: Vec::new() };
    let restored = Engine::restore(live(MINUTE), 1, disk.state.as_ref().unwrap(), disk.windows.clone());
    let again = disk_of(&mut restored.unwrap_or_else(|error| panic!("{error}; {changed}")));
    assert!(disk.windows.len() > 8);
    assert_eq!(again.windows, disk.windows, "{changed}");
    // The order of what is in hash tables is another one.
    assert_eq!(again.state.unwrap().len(), disk.state.unwrap().len(), "{changed}");
}

#[test]
fn windows_of_another_width_and_bytes_that_are_no_engine_are_refused_by_name() {
    let disk = disk_of(&mut engine_of(&some()));
    let state = disk.state.unwrap();
    let wide = Plan { window_ns: MINUTE, ..live(0) };
    let refused = Engine::restore(wide, 1, &state, disk.windows.clone()).unwrap_err();
    assert_eq!(refused, RestoreError::OtherWindow { found_ns: MINUTE / 4, wanted_ns: MINUTE });
    assert!(refused.to_string().contains("parity.window"), "{refused}");
    for bytes in [&[][..], &state[..state.len() / 2], &[255; 64]] {
        let refused = Engine::restore(live(0), 1, bytes, Vec::new()).unwrap_err();
        assert!(matches!(refused, RestoreError::Unreadable(_)), "{refused}");
    }
    let torn = vec![disk.windows[0][..9].to_vec()];
    assert!(matches!(Engine::restore(live(0), 1, &state, torn), Err(RestoreError::Unreadable(_))));
}

#[test]
fn the_session_of_a_release_is_what_it_was_and_goes_on() {
    let mut engine = engine_of(&some());
    let disk = disk_of(&mut engine);
    let mut restored = disk.restored(live(MINUTE), 1);
    let sessions = |engine: &Engine| engine.releases().cloned().collect::<Vec<_>>();
    assert_eq!(sessions(&restored), sessions(&engine));
    assert!(sessions(&engine)[0].report.is_some());
    restored.expire_releases(T0 + 24 * 60 * MINUTE);
    restored.expire_releases(T0 + 72 * 60 * MINUTE);
    assert_eq!(sessions(&restored), [], "it is forgotten when its day is over");
}

#[test]
fn a_window_that_is_lost_is_missing_and_the_others_are_there() {
    let mut engine = engine_of(&some());
    let disk = disk_of(&mut engine);
    let some = disk.windows[1..].to_vec();
    let restored = Engine::restore(live(MINUTE), 1, &disk.state.unwrap(), some).unwrap();
    let indices = |engine: &Engine| engine.windows().map(|window| window.index).collect::<Vec<_>>();
    assert_eq!(indices(&restored), indices(&engine)[1..]);
}

#[test]
fn other_bounds_hold_from_a_restart_on_and_what_is_known_keeps_its_number() {
    let mut engine = engine_of(&some());
    let disk = disk_of(&mut engine);
    let services = engine.infer().services.len();
    let mut plan = live(MINUTE);
    plan.limits.environments = 1;
    let restored = Engine::restore(plan, 1, &disk.state.unwrap(), disk.windows).unwrap();
    let ingest = restored.ingest();
    assert_eq!(
        (ingest.environment("prod"), ingest.environment("new")),
        (engine.ingest().environment("prod"), None)
    );
    assert_eq!(restored.infer().services.len(), services);
}

#[test]
fn nobody_is_idle_because_nobody_listened() {
    let mut engine = Engine::new(live(0), 1);
    engine.ingest().observe(T0, None, Signal::Traces, &traces(PROD, vec![span(T0, MS)])).unwrap();
    let disk = disk_of(&mut engine);
    let mut restored = disk.restored(live(0), 1);
    let later = T0 + 20 * MINUTE;
    restored.resume(later);
    assert_eq!(restored.advance(later + MINUTE, GENERATED_AT).len(), 0);
    assert_eq!(restored.windows().count(), 0);
    restored.advance(later + 6 * MINUTE, GENERATED_AT);
    assert_eq!(restored.windows().count(), 1);
}
