//! The page in a real browser (the peer `browser`: Chromium and axe-core).

use crate::agent::Agent;
use crate::served::until;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

/// A browser that lives no longer than the test.
struct Browser {
    child: Child,
    commands: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    /// `None`, told by name, where there is none.
    ///
    /// # Panics
    /// With `CI=true`, when there is none.
    fn start() -> Option<Browser> {
        let mut which = Command::new(peers().join("run"));
        if !which.args(["--which", "browser"]).output().unwrap().status.success() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "missing peer: browser; run tests/peers/setup"
            );
            eprintln!("skipped, and nothing shown: missing peer browser; run tests/peers/setup");
            return None;
        }
        let mut command = Command::new(peers().join("run"));
        let mut child = command.arg("browser").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Some(Browser { commands: child.stdin.take(), child, answers })
    }

    fn tell(&mut self, command: &Value) -> Value {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let answer = self.answers.next().expect("the browser answers").unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer.get("error"), None, "{command}");
        answer
    }

    fn open(&mut self, url: &str, width: u32, scheme: &str) {
        self.tell(&json!({"open": url, "width": width, "scheme": scheme}));
    }

    fn value(&mut self, script: &str) -> Value {
        self.tell(&json!({"evaluate": script}))["value"].clone()
    }

    /// Nothing failed, and nothing was asked of anybody but this origin.
    fn clean(&mut self, origin: &str) {
        let seen = self.tell(&json!({"seen": true}));
        assert_eq!(seen["problems"], json!([]), "{origin}");
        for request in seen["requests"].as_array().unwrap() {
            assert!(request.as_str().unwrap().starts_with(origin), "{request}");
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends itself and its helpers when nothing more can be said.
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}

/// Where screenshots go, if anybody wants them: ISOTEL_SCREENSHOTS.
fn screenshot(browser: &mut Browser, name: &str) {
    if let Some(folder) = std::env::var_os("ISOTEL_SCREENSHOTS") {
        let path = Path::new(&folder).join(format!("{name}.png"));
        browser.tell(&json!({"screenshot": path}));
    }
}

#[test]
fn every_page_is_accessible_fits_a_phone_and_fetches_nothing_from_elsewhere() {
    let Some(mut browser) = Browser::start() else { return };
    let mut agent = Agent::with_history();
    agent.until_divergent();
    let lines: Value =
        serde_json::from_str(&agent.get("/api/v1/comparisons/release%2F1/verdict").body).unwrap();
    let finding = format!("/findings/{}", lines["findings"][0]["id"].as_str().unwrap());
    let pages = [
        ("index", "/"),
        ("comparison", "/c/release%2F1"),
        ("service", "/c/release%2F1/s/shop%2Fweb"),
        ("operation", "/c/release%2F1/s/shop%2Fweb/o/server/POST%20%2Fcheckout"),
        ("facts", "/c/release%2F1/facts"),
        ("history", "/c/release%2F1/history?last=30d"),
        ("history-hour", "/c/release%2F1/history?last=1h"),
        ("finding", &finding),
    ];
    for (name, path) in pages {
        for (width, scheme) in [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")] {
            browser.open(&agent.url(path), width, scheme);
            screenshot(&mut browser, &format!("{name}-{width}-{scheme}"));
            let found = browser.tell(&json!({"axe": true}));
            assert_eq!(found["violations"], json!([]), "{path} at {width}, {scheme}");
            let wide = browser.value("document.documentElement.scrollWidth");
            assert_eq!(wide, json!(width), "{path} scrolls sideways");
            browser.clean(&agent.url(""));
        }
    }
}

#[test]
fn thousands_of_rows_are_filtered_sorted_and_shared_by_their_address() {
    let Some(mut browser) = Browser::start() else { return };
    let mut agent = Agent::start();
    agent.until_divergent();
    let matrix = agent.url("/c/release%2F1/matrix");
    let shown = "document.querySelectorAll('#matrix tbody tr:not([hidden])').length";
    for width in [390, 1440] {
        browser.open(&matrix, width, "light");
        screenshot(&mut browser, &format!("matrix-{width}-light"));
        assert!(browser.value(shown).as_u64().unwrap() > 5_000);
        assert_eq!(browser.value("document.documentElement.scrollWidth"), json!(width));
    }
    browser.value(
        "{ const search = document.querySelector('.tools input'); search.value = 'QUEUE 499 depth'; \
         search.dispatchEvent(new Event('input')); }",
    );
    // queue.499 and those with a digit before or behind it.
    assert_eq!(browser.value(shown), json!(15));
    let took = "{ const search = document.querySelector('.tools input'); const at = performance.now(); \
                search.dispatchEvent(new Event('input')); document.body.offsetHeight; performance.now() - at }";
    eprintln!("5,000 rows are filtered and laid out in {} ms, by the browser's clock", browser.value(took));
    let count = browser.value("document.querySelector('.tools output').value");
    assert!(count.as_str().unwrap().starts_with("15 of 5,"), "{count}");
    browser.value("[...document.querySelectorAll('#matrix th button')].find((one) => one.textContent === 'item').click()");
    let sorted = "document.querySelector('#matrix th[aria-sort]').ariaSort + ' ' + \
                  document.querySelector('#matrix tbody tr:not([hidden]) th').firstChild.textContent";
    assert_eq!(browser.value(sorted), "ascending queue.499.depth");
    let address = browser.value("location.href");
    browser.open(address.as_str().unwrap(), 1440, "light");
    assert_eq!(
        (browser.value(shown), browser.value(sorted)),
        (json!(15), json!("ascending queue.499.depth"))
    );
    browser.clean(&agent.url(""));
}

#[test]
fn a_judgement_is_drawn_without_a_reload_and_what_the_reader_types_stays() {
    let Some(mut browser) = Browser::start() else { return };
    let mut agent = Agent::start();
    browser.open(&agent.url("/"), 1440, "light");
    until("the stream is open", || {
        (browser.value("document.querySelector('.live').textContent") == "live").then_some(())
    });
    browser.value("window.sameDocument = true");
    agent.until_divergent();
    until("the page draws it", || {
        (browser.value("document.querySelector('.verdict')?.textContent") == "✗divergent").then_some(())
    });
    assert_eq!(browser.value("window.sameDocument"), true);

    browser.open(&agent.url("/c/release%2F1/matrix"), 1440, "light");
    until("the stream is open", || {
        (browser.value("document.querySelector('.live').textContent") == "live").then_some(())
    });
    browser.value("document.querySelector('.tools input').focus()");
    agent.round();
    until("it is told", || {
        let live = browser.value("document.querySelector('.live').textContent");
        live.as_str().unwrap().starts_with("live, judged").then_some(())
    });
    browser.value("document.querySelector('.tools input').dataset.same = 'yes'");
    assert_eq!(browser.value("document.activeElement.dataset.same"), "yes");
    browser.value("document.activeElement.blur()");
    until("it is drawn when the field is left", || {
        (browser.value("document.querySelector('.tools input').dataset.same ?? 'new'") == "new").then_some(())
    });
    browser.clean(&agent.url(""));
}

#[test]
fn the_report_in_one_file_works_without_any_network() {
    let Some(mut browser) = Browser::start() else { return };
    let mut agent = Agent::start();
    agent.until_divergent();
    let folder = tempfile::tempdir().unwrap();
    let verdict =
        isotel::report::from_json(&agent.get("/api/v1/comparisons/release%2F1/verdict").body).unwrap();
    let matrix = agent.get("/api/v1/comparisons/release%2F1/matrix").body;
    let matrix: isotel::report::Matrix = serde_json::from_str(&matrix).unwrap();
    let pictures = isotel::report::html::Pictures { worst: None, matrix: Some(&matrix) };
    let file = folder.path().join("verdict.html");
    std::fs::write(&file, isotel::report::html::of_report(&verdict, pictures)).unwrap();
    drop(agent);
    let url = format!("file://{}", file.display());
    for (width, scheme) in [(390, "light"), (1440, "dark")] {
        browser.open(&url, width, scheme);
        screenshot(&mut browser, &format!("file-{width}-{scheme}"));
        assert_eq!(browser.value("document.documentElement.scrollWidth"), json!(width));
        assert_eq!(browser.value("getComputedStyle(document.body).marginTop"), "0px", "the style is let in");
        let tools = browser.value("document.querySelectorAll('.tools').length");
        assert!(tools.as_u64().unwrap() > 0, "the script is let in");
        browser.clean(&url);
    }
}

#[test]
fn the_report_of_two_weeks_in_one_file_is_accessible_and_fetches_nothing() {
    let Some(mut browser) = Browser::start() else { return };
    let mut agent = Agent::with_history();
    agent.until_divergent();
    let period = agent.get("/api/v1/comparisons/release%2F1/history?last=14d").body;
    let period: isotel::report::history::Period = serde_json::from_str(&period).unwrap();
    // Two comparisons on one page share no id.
    let now_ns = isotel::report::history::entry::time_ns(&period.to).unwrap();
    let other = isotel::report::history::Period { comparison: "other".to_owned(), ..period.clone() };
    let review = isotel::report::review::Review::of(vec![period, other], &[], now_ns);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("week.html");
    std::fs::write(&file, isotel::report::html::of_review(&review)).unwrap();
    drop(agent);
    let url = format!("file://{}", file.display());
    for (width, scheme) in [(390, "dark"), (1440, "light")] {
        browser.open(&url, width, scheme);
        screenshot(&mut browser, &format!("week-{width}-{scheme}"));
        assert_eq!(browser.value("document.documentElement.scrollWidth"), json!(width));
        let found = browser.tell(&json!({"axe": true}));
        assert_eq!(found["violations"], json!([]), "at {width}, {scheme}");
        browser.clean(&url);
    }
}

#[test]
fn a_history_tells_what_changed_and_its_pinned_address_shows_the_same_for_ever() {
    let Some(mut browser) = Browser::start() else { return };
    let mut agent = Agent::with_history();
    agent.until_divergent();
    browser.open(&agent.url("/c/release%2F1/history?last=7d"), 1440, "light");
    let (marks, rows) = ("document.querySelectorAll('svg.wide line.deploy').length", "#deploys tbody tr");
    let rows = format!("document.querySelectorAll('{rows}').length");
    assert!(browser.value(marks).as_u64().unwrap() >= 2 && browser.value(&rows).as_u64().unwrap() >= 2);
    let state =
        "[...document.querySelectorAll('#episodes-table tbody tr')].map((row) => row.dataset.state).join()";
    let states = browser.value(state);
    assert!(
        states.as_str().unwrap().contains("there") && states.as_str().unwrap().contains("gone"),
        "{states}"
    );
    let pinned =
        "[...document.querySelectorAll('.periods a')].find((a) => a.textContent.includes('pinned')).search";
    let pinned = browser.value(pinned);
    assert!(pinned.as_str().unwrap().starts_with("?from=20"), "{pinned}");
    let history: Value =
        serde_json::from_str(&agent.get("/api/v1/comparisons/release%2F1/history?last=7d").body).unwrap();
    let day = |key: &str| history[key].as_str().unwrap()[..10].to_owned();
    let pinned = agent.url(&format!("/c/release%2F1/history?from={}&to={}", day("from"), day("to")));
    browser.open(&pinned, 1440, "light");
    screenshot(&mut browser, "history-pinned-1440-light");
    let period = "document.querySelector('#score').textContent";
    let before = browser.value(period);
    agent.round();
    agent.round();
    browser.open(&pinned, 1440, "light");
    assert_eq!(browser.value(period), before);
    // From there to what to do, and to how it came about.
    for (words, place) in [("findings and what to do", "#findings"), ("how the score comes about", "#score")]
    {
        let script = format!(
            "[...document.querySelectorAll('.depths a')].find((a) => a.textContent === '{words}').href"
        );
        let address = browser.value(&script);
        browser.open(address.as_str().unwrap(), 1440, "light");
        assert_ne!(browser.value(&format!("document.querySelector('{place}')")), Value::Null, "{words}");
        browser.open(&pinned, 1440, "light");
    }
    browser.clean(&agent.url(""));
}
