//! Configurations as people write them, right and wrong.

use super::*;
use crate::engine::Comparisons;
use std::time::Duration;

fn read(text: &str) -> Result<Loaded, Problems> {
    load(&[Source { name: "isotel.yaml".to_owned(), text: text.to_owned() }], &[], &|_| None)
}

#[track_caller]
fn problems(text: &str) -> String {
    read(text).expect_err("this text has problems").to_string()
}

#[test]
fn every_file_in_config_loads() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let source = Source { name: path.display().to_string(), text };
        load(&[source], &[], &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
        seen += 1;
    }
    assert!(seen >= 3);
}

#[test]
fn without_a_file_the_default_listens_on_this_machine_and_compares_what_it_sees() {
    let config = load(&[], &[], &|_| None).unwrap().config;
    let endpoints: Vec<_> = config.listeners.iter().map(|l| (l.endpoint.0.as_str(), l.endpoint.1)).collect();
    assert_eq!(endpoints, [("localhost", 4317), ("localhost", 4318)]);
    let (health, path) = config.health.unwrap();
    assert_eq!((health.endpoint, path.as_str()), (("localhost".to_owned(), 13133), "/"));
    assert_eq!(config.metrics.endpoint, ("localhost".to_owned(), 8888));
    assert_eq!(config.comparisons, Comparisons::Auto);
    assert_eq!(*config.policy.tolerances, crate::judge::Tolerances::default());
    assert_eq!(config.limits, crate::model::Limits::default());
    assert_eq!(config.window.0.as_secs(), 60);
}

#[test]
fn all_problems_are_reported_at_once_with_line_and_hint() {
    let text = "receivers:\n  otlp:\n    protocols:\n      grpc:\n        endpont: localhost\n\
                parity:\n  window: 0s\n  latenes: 3s\n  tolerances:\n    coverage: 95\n";
    let expected = "\
error: unknown key `receivers.otlp.protocols.grpc.endpont`
  --> isotel.yaml:5:9
  hint: did you mean `endpoint`?
error: parity.window: \"0s\" is not a duration between 1s and 1d, such as 30s or 1m30s
  --> isotel.yaml:7:11
error: unknown key `parity.latenes`
  --> isotel.yaml:8:3
  hint: did you mean `lateness`?
error: parity.tolerances.coverage: \"95\" is not a number between 0 and 1
  --> isotel.yaml:10:15
4 problem(s)";
    assert_eq!(problems(text), expected);
}

#[test]
fn volume_is_judged_where_it_is_said_against_the_share_that_a_canary_is_meant_to_get() {
    let plan = |text: &str| read(text).unwrap().config.plan(0);
    assert_eq!(plan("").policy.tolerances.volume, None);
    let plan = plan(
        "parity:
  comparisons: [{baseline: prod, candidate: canary, traffic: 0.1}]
  tolerances:
    volume: 0.2
    dependencies: {success: 0.02}
    overrides: [{service: cart, volume: 0.5}]
",
    );
    let Comparisons::Named(named) = &plan.comparisons else { panic!("named") };
    assert_eq!(named[0].traffic, Some(0.1));
    let (all, cart) = (plan.policy.of("pay", "x").tolerances, plan.policy.of("cart", "x").tolerances);
    assert_eq!((all.volume, cart.volume, all.dependency_success), (Some(0.2), Some(0.5), 0.02));
    assert!(
        problems("parity:\n  comparisons: [{baseline: a, candidate: b, traffic: 1}]\n").contains("traffic")
    );
}

#[test]
fn the_warm_up_is_off_by_default_and_reaches_the_plan() {
    assert_eq!(load(&[], &[], &|_| None).unwrap().config.plan(0).warmup_ns, 0);
    let sets = ["parity.warmup=90s".to_owned(), "parity.limits.instances=7".to_owned()];
    let loaded = load(&[], &sets, &|_| None).unwrap();
    let plan = loaded.config.plan(0);
    assert_eq!((plan.warmup_ns, plan.limits.instances), (90_000_000_000, 7));
    assert!(print::print(&loaded).contains("warmup: 90s"));
    assert_eq!(print::json_schema()["properties"]["parity"]["properties"]["warmup"]["default"], "0s");
    let found = problems("parity:\n  warmup: 2 days\n");
    assert!(
        found.contains("parity.warmup: \"2 days\" is not a duration between 0") && found.contains(":2:11"),
        "{found}"
    );
}

#[test]
fn references_to_what_is_not_defined_are_problems() {
    let text = "receivers: {otlp: {protocols: {grpc: }}}\nservice:\n  pipelines:\n    traces:\n      receivers: [otlp, jaeger]\n      exporters: [otlp_grpc]\n";
    let found = problems(text);
    assert!(
        found.contains(
            "`jaeger` is not defined under receivers\n  --> isotel.yaml:5:25\n  hint: defined receivers: otlp"
        ),
        "{found}"
    );
    assert!(found.contains("`otlp_grpc` is not defined under exporters"), "{found}");
}

#[test]
fn duplicate_keys_tabs_aliases_and_other_documents_are_refused() {
    for (text, expected) in [
        ("parity: {}\nparity: {}\n", "the key `parity` stands here twice"),
        ("parity:\n\twindow: 1m\n", "tab"),
        ("parity: &a {}\nservice: *a\n", "aliases are not read"),
        ("parity: {}\n---\nparity: {}\n", "a second YAML document"),
        ("- a\n", "the file is not a map of sections"),
        ("parity: [", "not YAML"),
    ] {
        let found = problems(text);
        assert!(found.contains(expected), "{text:?} gives {found}");
    }
}

#[test]
fn variables_are_expanded_with_defaults_and_dollars_stay() {
    let text = "exporters:\n  otlp_http:\n    endpoint: http://${env:HOST:-here}:4318\n    headers: {x: \"a$$b\", y: \"${env:TOKEN}\"}\n";
    let source = Source { name: "x".to_owned(), text: text.to_owned() };
    let loaded =
        load(std::slice::from_ref(&source), &[], &|name| (name == "TOKEN").then(|| "secret".to_owned()))
            .unwrap();
    let exporter = &loaded.config.exporters["otlp_http"];
    assert_eq!(exporter.url, "http://here:4318");
    assert_eq!((exporter.headers["x"].reveal(), exporter.headers["y"].reveal()), ("a$b", "secret"));
    assert!(!print::print(&loaded).contains("secret"));
    let unset = load(&[source], &[], &|_| None).unwrap_err().to_string();
    assert!(unset.contains("the environment variable TOKEN is not set"), "{unset}");
}

#[test]
fn later_files_and_set_win() {
    let file = |text: &str| Source { name: "f".to_owned(), text: text.to_owned() };
    let sources = [file("parity: {window: 1m, lateness: 1s}"), file("parity: {window: 2m}")];
    let sets = ["parity.tolerances.latency.quantiles.p95=0.3".to_owned(), "parity.period=1h".to_owned()];
    let config = load(&sources, &sets, &|_| None).unwrap().config;
    assert_eq!(
        (config.window.0.as_secs(), config.lateness.as_secs(), config.period.as_secs()),
        (120, 1, 3600)
    );
    assert!(config.policy.tolerances.quantiles.contains(&(0.95, 0.3)));
    assert!(load(&[], &["nonsense".to_owned()], &|_| None).is_err());
}

#[test]
fn what_is_printed_loads_again_to_the_same() {
    for text in [
        DEFAULT,
        include_str!("../../config/canary.yaml"),
        include_str!("../../config/staging-vs-production.yaml"),
    ] {
        let first = read(text).unwrap();
        let second = read(&print::print(&first)).unwrap_or_else(|e| panic!("{e}\n{}", print::print(&first)));
        let same = |config: Config| Config { window: (config.window.0, true), ..config };
        assert_eq!(same(first.config), same(second.config));
    }
}

#[test]
fn the_schema_knows_every_key_and_the_limits_their_memory() {
    let schema = print::json_schema();
    assert_eq!(schema["properties"]["parity"]["properties"]["window"]["default"], "1m");
    let table = print::limits_table(&load(&[], &[], &|_| None).unwrap());
    assert!(table.contains("series ") && table.contains("MiB for open windows"), "{table}");
    assert!(table.contains("near 80 % of the container's or machine's memory"), "{table}");
}

#[test]
fn a_waiver_without_expiry_and_a_comparison_with_itself_are_problems() {
    let found = problems(
        "parity:\n  waivers:\n    - {service: a, reason: b}\n  comparisons:\n    - {baseline: x, candidate: x}\n",
    );
    assert!(
        found.contains("lacks owner, expires") && found.contains("\"x\" is compared with itself"),
        "{found}"
    );
}

#[test]
fn a_baseline_is_an_environment_or_a_snapshot_beside_the_file_that_names_it() {
    let read_in = |folder: &str, comparisons: &str| {
        let text = format!("parity:\n  comparisons:\n{comparisons}");
        load(&[Source { name: format!("{folder}/isotel.yaml"), text }], &[], &|_| None)
    };
    let text = [
        "    - {baseline: {snapshot: golden.isotel}, candidate: canary, owner: ops}",
        "    - {name: other, baseline: {snapshot: /var/golden.isotel}, candidate: canary}",
    ];
    let text = &text.join("\n");
    let config = read_in("/var", text).unwrap().config;
    let Comparisons::Named(named) = &config.comparisons else { panic!("{:?}", config.comparisons) };
    assert_eq!((&*named[0].name, &*named[0].baseline), ("golden.isotel-vs-canary", "snapshot golden.isotel"));
    assert_eq!(named[1].baseline, named[0].baseline);
    let [file] = &config.snapshots[..] else { panic!("one file: {:?}", config.snapshots) };
    assert_eq!(file.path, Path::new("/var/golden.isotel"));
    assert!(config.policy.comparison_owners.contains_key("golden.isotel-vs-canary"));
    let problem = file.problem("is not there", "save it").to_string();
    assert!(problem.contains("/var/golden.isotel: is not there\n  --> /var/isotel.yaml:3:"), "{problem}");
    let found = read_in("/etc", text).expect_err("two files of one name").to_string();
    assert!(found.contains("another snapshot has that name: /etc/golden.isotel"), "{found}");
    for (text, said) in [
        ("{baseline: {snapshot: a}, candidate: b, offset: 1h}", "an offset has no meaning with a snapshot"),
        ("{baseline: {snapshot: ''}, candidate: b}", "needs a baseline and a candidate"),
        ("{baseline: {}, candidate: b}", "needs a baseline and a candidate"),
        (
            "{baseline: {snapshots: a}, candidate: b}",
            "unknown key `parity.comparisons[0].baseline.snapshots`",
        ),
        ("{baseline: [a], candidate: b}", "is not"),
    ] {
        let found = read_in("/etc", &format!("    - {text}\n")).expect_err(text).to_string();
        assert!(found.contains(said), "{text}: {found}");
    }
}

/// With a file that the configuration names.
fn read_with(text: &str, waivers: &str) -> Result<Loaded, Problems> {
    let source = Source { name: "conf/isotel.yaml".to_owned(), text: text.to_owned() };
    let file = |path: &std::path::Path| match path.to_str() {
        Some("conf/waivers.yaml") => Ok(waivers.to_owned()),
        _ => Err("no such file".to_owned()),
    };
    load_with(&[source], &[], &|_| None, &file)
}

#[test]
fn a_file_of_waivers_is_read_beside_the_file_that_names_it_and_its_problems_have_its_lines() {
    let text = "parity:\n  waivers_file: waivers.yaml\n  waivers:\n    - {service: a, reason: r, owner: o, expires: 2027-01-31}\n";
    let one =
        "waivers:\n  - item: metric x\n    reason: r\n    owner: o\n    expires: 2027-02-01T00:00:00Z\n";
    let waivers = read_with(text, one).unwrap().config.policy.waivers;
    assert_eq!(waivers.len(), 2);
    assert_eq!((waivers[0].service.as_deref(), waivers[1].item.as_deref()), (Some("a"), Some("metric x")));
    assert!(waivers[0].expires_ns < waivers[1].expires_ns);
    let found = read_with(text, "waivers:\n  - {item: x, reason: r, owner: ''}\n  - {itm: x}\n")
        .expect_err("problems")
        .to_string();
    for said in [
        "waivers: one lacks owner, expires\n  --> conf/waivers.yaml:2:5",
        "unknown key `waivers[1].itm`\n  --> conf/waivers.yaml:3:6\n  hint: did you mean `item`?",
    ] {
        assert!(found.contains(said), "{found}");
    }
    let absent = read_with("parity: {waivers_file: other.yaml}", "").expect_err("no file").to_string();
    assert!(absent.contains("cannot read conf/other.yaml: no such file"), "{absent}");
    let all = read_with(text, "waivers:\n  - {reason: r, owner: o, expires: 2027-01-01}\n").expect_err("all");
    assert!(all.to_string().contains("one accepts everything"), "{all}");
}

#[test]
fn a_waiver_for_more_than_a_year_is_a_warning() {
    let text = "parity: {waivers_file: waivers.yaml}";
    let loaded = read_with(
        text,
        "waivers:\n  - {item: x, reason: r, owner: o, expires: 2027-01-01}\n  - {item: x, reason: r, owner: o, expires: 2029-01-01}\n",
    );
    let now_ns = value::time_ns("2026-06-01").unwrap();
    let warnings: Vec<String> = loaded.unwrap().warnings(now_ns).iter().map(Problem::as_warning).collect();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("warning: waivers: one expires more than a year"), "{warnings:?}");
    assert!(warnings[0].contains("conf/waivers.yaml:3:5"), "{warnings:?}");
}

#[test]
fn rules_for_facts_owners_and_environments_are_read() {
    let text = "parity:
  facts:
    - {key: service.version, rule: must_differ, severity: critical, required: true}
    - {key: k8s.*, service: shop/*, rule: may_differ}
  environments:
    prod: {owner: sre, runbook: https://runbooks/prod, description: the real one}
  comparisons:
    - {baseline: prod, candidate: canary, owner: release}
  tolerances: {overrides: [{service: cart, owner: cart-team}]}
";
    let loaded = read(text).unwrap();
    let policy = &loaded.config.policy;
    assert_eq!(policy.facts.rules.len(), 2);
    assert!(policy.facts.rules[0].required);
    assert_eq!(policy.facts.rules[1].service.as_deref(), Some("shop/*"));
    assert_eq!(policy.environments["prod"].owner.as_deref(), Some("sre"));
    assert_eq!(policy.comparison_owners["prod-vs-canary"], "release");
    assert_eq!(policy.overrides[0].owner.as_deref(), Some("cart-team"));
    let again = read(&print::print(&loaded)).unwrap_or_else(|e| panic!("{e}\n{}", print::print(&loaded)));
    assert_eq!(again.config.policy, loaded.config.policy);
    let found = problems("parity:\n  facts:\n    - {rule: must_equal}\n    - {key: a, rule: equal}\n");
    assert!(found.contains("a rule needs a key\n  --> isotel.yaml:3:7"), "{found}");
    assert!(found.contains("\"equal\" is not one of must_equal, may_differ, must_differ"), "{found}");
}

#[test]
fn metrics_that_decide_are_read_with_defaults_and_print_as_they_were() {
    let text = "parity:
  values:
    - {metric: \"queue.*\", tolerance: 0.2, floor: 5, statistic: p95, by: [queue, region]}
    - {metric: rows.written, service: \"etl*\", per: request, severity: warning}
    - {attribute: report.checksum, equal: true}
";
    let loaded = read(text).unwrap();
    let [depth, rows, checksum] = &loaded.config.policy.values[..] else { panic!("three rules") };
    assert_eq!((depth.tolerance, depth.floor, depth.by.len()), (0.2, 5.0, 2));
    assert_eq!(depth.statistic.map(|statistic| statistic.as_str()), Some("p95"));
    assert_eq!((rows.tolerance, rows.per_request, rows.severity.as_str()), (0.1, true, "warning"));
    assert_eq!(
        (checksum.equal.as_deref(), checksum.severity.as_str()),
        (Some("report.checksum"), "critical")
    );
    let again = read(&print::print(&loaded)).unwrap();
    assert_eq!(again.config.policy.values, loaded.config.policy.values);
}

#[test]
fn metrics_that_cannot_be_compared_are_problems_with_their_lines() {
    let found = problems(
        "parity:
  values:
    - {tolerance: 0.1}
    - {equal: true}
    - {metric: a, statistic: p97}
    - {metric: a, tolerence: 1}
    - {metric: a, attribute: b}
    - attribute: b
      equal: true
      per: request
",
    );
    for said in [
        "needs a metric, or an attribute and `equal: true`\n  --> isotel.yaml:3",
        "`equal` needs the attribute that is compared\n  --> isotel.yaml:4",
        "\"p97\" is not one of mean, p50, p95, rate, last, max\n  --> isotel.yaml:5",
        "unknown key `parity.values[3].tolerence`\n  --> isotel.yaml:6",
        "`attribute` has no meaning here\n  --> isotel.yaml:7",
        "`per` has no meaning here\n  --> isotel.yaml:10",
    ] {
        assert!(found.contains(said), "{said}:\n{found}");
    }
}

const GUARDED: &str = "\
receivers:
  otlp:
    protocols:
      grpc: {auth: {authenticator: bearertokenauth/senders}}
      http: {auth: {authenticator: basicauth}}
extensions:
  bearertokenauth/senders: {token: \"${env:TOKEN}\"}
  basicauth: {htpasswd: {inline: 'alice:hunter2', file: users}}
  bearertokenauth/unused: {tokens: [hunter3, hunter4]}
  health_check:
service:
  extensions: [bearertokenauth/senders, basicauth, bearertokenauth/unused, health_check]
  pipelines: {traces: {receivers: [otlp]}}
";

fn with_token(text: &str, token: &str) -> Result<Loaded, Problems> {
    let source = Source { name: "isotel.yaml".to_owned(), text: text.to_owned() };
    load(&[source], &[], &|name| (name == "TOKEN").then(|| token.to_owned()))
}

#[test]
fn listeners_have_the_authenticators_that_they_name_and_no_output_has_their_secrets() {
    use super::auth::Credentials;
    let loaded = with_token(GUARDED, "hunter1").unwrap();
    let auth: Vec<_> =
        loaded.config.listeners.iter().map(|listener| listener.auth.clone().unwrap()).collect();
    assert_eq!((auth[0].id.as_str(), auth[1].id.as_str()), ("bearertokenauth/senders", "basicauth"));
    let Credentials::Bearer { scheme, tokens, file: None } = &auth[0].credentials else { panic!("a token") };
    assert_eq!((scheme.as_str(), tokens[0].reveal()), ("Bearer", "hunter1"));
    let Credentials::Basic { users, file: Some(file) } = &auth[1].credentials else { panic!("users") };
    assert_eq!((users[0].name.as_str(), file.as_str()), ("alice", "users"));
    assert!(loaded.config.health.is_some(), "an authenticator is not the health check");
    let printed = print::print(&loaded);
    let debug = format!("{:?}", loaded.config);
    assert!(!printed.contains("hunter") && !debug.contains("hunter"), "{printed}\n{debug}");
    for line in
        ["token: \"[REDACTED]\"", "tokens: [\"[REDACTED]\", \"[REDACTED]\"]", "inline: \"[REDACTED]\""]
    {
        assert!(printed.lines().any(|printed| printed.trim() == line), "{line}:\n{printed}");
    }
    // What was printed must not run with the mask for a password.
    let again = read(&printed).expect_err("the secrets are gone").to_string();
    assert!(again.contains("the token was masked") && again.contains("inline: line 1"), "{again}");
}

#[test]
fn an_authenticator_that_is_not_there_is_a_problem_with_its_line_and_the_nearest() {
    let misspelt =
        GUARDED.replace("authenticator: bearertokenauth/senders", "authenticator: bearertokenauth/sender");
    let found = with_token(&misspelt, "t").unwrap_err().to_string();
    let expected = "\
error: receivers.otlp.protocols.grpc.auth: `bearertokenauth/sender` is not an authenticator under extensions
  --> isotel.yaml:4:36
  hint: did you mean `bearertokenauth/senders`?
1 problem(s)";
    assert_eq!(found, expected);
    let health = GUARDED.replace("authenticator: basicauth", "authenticator: health_check");
    let found = with_token(&health, "t").unwrap_err().to_string();
    assert!(found.contains("`health_check` is not an authenticator"), "{found}");
    assert!(found.contains("defined authenticators: basicauth, bearertokenauth/senders"), "{found}");
    for named in ["{auth: }", "{auth: {}}", "{auth: {authenticator: }}"] {
        let text = GUARDED.replace("{auth: {authenticator: basicauth}}", named);
        let found = with_token(&text, "t").unwrap_err().to_string();
        assert!(
            found.contains("http.auth: names no authenticator\n  --> isotel.yaml:5:14"),
            "{named}: {found}"
        );
    }
    let found = with_token(&GUARDED.replace("{token:", "{tokn:"), "t").unwrap_err().to_string();
    assert!(found.contains("did you mean `token`?"), "{found}");
}

#[test]
fn credentials_that_nobody_or_anybody_could_show_are_problems_that_do_not_repeat_them() {
    let table = [
        ("bearertokenauth", "{}", "says no token"),
        ("bearertokenauth", "{scheme: Bearer}", "says no token"),
        ("bearertokenauth", "{token: ''}", "token: a token is empty"),
        ("bearertokenauth", "{token: }", "token: holds no credential"),
        ("bearertokenauth", "{tokens: []}", "tokens: holds no credential"),
        ("bearertokenauth", "{filename: ''}", "filename: names no file"),
        ("bearertokenauth", "{tokens: [a, '']}", "tokens: a token is empty"),
        ("bearertokenauth", "{token: hunter2 b}", "token: a token holds spaces"),
        ("bearertokenauth", "{token: hunter2, filename: f}", "says its tokens in more than one way"),
        ("bearertokenauth", "{token: hunter2, scheme: ''}", "scheme: is not the name of a scheme"),
        ("bearertokenauth", "{token: hunter2, scheme: A b}", "scheme: is not the name of a scheme"),
        ("bearertokenauth", "{token: {hunter: hunter2}}", "token: a map is not text"),
        ("bearertokenauth", "{token: 'hunter2${'}", "`${` without `}`"),
        ("basicauth", "{}", "names no user"),
        ("basicauth", "{htpasswd: {}}", "names no user"),
        ("basicauth", "{htpasswd: {inline: ''}}", "inline: holds no credential"),
        ("bearertokenauth", "hunter2", "bearertokenauth: a text is not a map"),
        ("bearertokenauth", "{tokens: hunter2}", "tokens: a text is not a list"),
        ("basicauth", "{htpasswd: hunter2}", "htpasswd: a text is not a map"),
        ("basicauth", "{htpasswd: {inline: hunter2}}", "line 1: is not of the form user:password"),
        ("basicauth", "{htpasswd: {inline: 'a:'}}", "line 1: the user or the password is empty"),
        ("basicauth", "{htpasswd: {inline: ':hunter2'}}", "line 1: the user or the password is empty"),
        (
            "basicauth",
            "{htpasswd: {inline: \"a:b\\na:hunter2\"}}",
            "line 2: the user \"a\" stands here twice",
        ),
        ("basicauth", "{htpasswd: {inline: 'a:$apr1$hunter2'}}", "hashed by Apache's MD5 cannot be checked"),
        ("basicauth", "{htpasswd: {inline: 'a:{SSHA}hunter2'}}", "hashed by salted SHA-1 cannot be checked"),
        (
            "basicauth",
            "{htpasswd: {inline: 'a:$y$j9T$hunter2'}}",
            "hashed by another method cannot be checked",
        ),
        ("basicauth", "{htpasswd: {inline: 'a:{SHA}hunter2'}}", "{SHA} is not followed by a SHA-1"),
    ];
    for (id, extension, said) in table {
        let found = problems(&format!("extensions:\n  {id}: {extension}\n"));
        assert!(found.contains(said) && found.contains("isotel.yaml:2"), "{id}: {extension}: {found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
    let many =
        |count| format!("extensions:\n  bearertokenauth: {{tokens: [{}]}}\n", vec!["a"; count].join(", "));
    assert!(read(&many(auth::CREDENTIALS_MAX)).is_ok());
    assert!(problems(&many(auth::CREDENTIALS_MAX + 1)).contains("holds more than 1000 credentials"));
    let file = vec!["a"; auth::CREDENTIALS_MAX + 1].join("\n");
    assert_eq!(auth::tokens(&file), Err(auth::CredentialError::Many));
}

#[test]
fn a_value_that_is_set_on_the_command_line_is_not_in_the_place_of_a_problem() {
    let sets = ["extensions.bearertokenauth.token=hunter2 spaced".to_owned()];
    let found = load(&[], &sets, &|_| None).unwrap_err().to_string();
    assert!(found.contains("--> --set extensions.bearertokenauth.token:1:1"), "{found}");
    assert!(!found.contains("hunter2"), "{found}");
}

#[test]
fn what_is_printed_opens_no_other_listener() {
    for (protocols, keys) in
        [("{grpc: }", &["grpc"][..]), ("{http: {}}", &["http"]), ("{grpc: , http: }", &["grpc", "http"])]
    {
        let text = format!(
            "receivers: {{otlp: {{protocols: {protocols}}}}}\nservice: {{pipelines: {{traces: {{receivers: [otlp]}}}}}}\n"
        );
        let again = read(&print::print(&read(&text).unwrap())).unwrap().config;
        let found: Vec<_> = again.listeners.iter().map(|listener| listener.key.as_str()).collect();
        let expected: Vec<_> = keys.iter().map(|key| format!("receivers.otlp.protocols.{key}")).collect();
        assert_eq!(found, expected, "{protocols}");
    }
}

#[test]
fn debug_output_of_a_configuration_shows_no_secret() {
    let text = "
exporters: {otlp_http: {endpoint: 'http://localhost:4318', headers: {x-key: hunter2}}}
extensions:
  bearertokenauth: {token: hunter2}
  basicauth: {htpasswd: {inline: 'alice:hunter2'}}
receivers: {otlp: {protocols: {grpc: {auth: {authenticator: bearertokenauth}}, http: {auth: {authenticator: basicauth}}}}}
service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp_http]}}}
";
    let loaded = read(text).unwrap();
    let shown = format!("{loaded:?}\n{:#?}", loaded.config);
    assert!(shown.contains("x-key") && shown.contains("[REDACTED]") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn the_policy_of_redaction_is_read_and_a_key_that_could_be_guessed_is_a_problem() {
    use crate::model::redaction::{Action, Kind};
    let policy = |text: &str| read(text).unwrap().config.policy.redaction;
    assert_eq!(policy("parity: {}\n"), crate::model::Redaction::default());
    let written = policy(
        "parity: {redaction: {action: mask, keys: ['*.Customer.*'], ignored_keys: [user.locale], kinds: [card], key: 0123456789abcdef}}\n",
    );
    assert_eq!((written.action, written.kinds.as_slice()), (Action::Mask, &[Kind::Card][..]));
    assert_eq!(written.keys, ["*.customer.*"]);
    assert!(written.ignored_keys == ["user.locale"] && written.key.is_some());
    assert!(!format!("{written:?}").contains("0123456789"));
    for key in ["hunter2", "'[REDACTED]'"] {
        let found = problems(&format!("parity: {{redaction: {{key: {key}}}}}\n"));
        assert!(found.contains("parity.redaction.key: has less than 16 bytes"), "{found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
    assert!(problems("parity: {redaction: {kinds: [phone]}}\n").contains("one of email, card"));
}

#[test]
fn a_storage_is_named_by_parity_and_defined_among_the_extensions() {
    let with = |extension: &str, named: &str| {
        read(&format!("extensions:\n  file_storage/a: {extension}\nparity:\n  storage: {named}\n"))
    };
    let storage = |extension: &str| with(extension, "file_storage/a").unwrap().config.storage.unwrap();
    let found = storage("{directory: /data, max_bytes: 2GiB, fsync: always}");
    let (id, directory) = ("file_storage/a".to_owned(), "/data".into());
    assert_eq!(found, StorageConfig { id, directory, max_bytes: 2 << 30, fsync: Fsync::Always });
    let defaults = storage("");
    assert_eq!(defaults.directory.to_str(), Some("/var/lib/isotel"));
    assert_eq!((defaults.max_bytes, defaults.fsync), (1 << 30, Fsync::Interval(Duration::from_secs(1))));
    assert_eq!(storage("{fsync: never}").fsync, Fsync::Never);
    assert_eq!(
        read("extensions: {file_storage: }\n").unwrap().config.storage,
        None,
        "what nobody names does not run"
    );

    let problem = |extension: &str, named: &str| with(extension, named).unwrap_err().to_string();
    for (extension, named, said, line) in [
        ("{directory: /data}", "file_storage/b", "did you mean `file_storage/a`?", 4),
        ("{directory: /data}", "health_check", "`health_check` is not a storage under extensions", 4),
        ("{directory: ''}", "file_storage/a", "extensions.file_storage/a.directory: names no directory", 2),
        ("{directory: /data, fsync: sometimes}", "file_storage/a", "never, interval, always", 2),
        ("{directory: /data, max_bytes: 1KiB}", "file_storage/a", "max_bytes", 2),
        ("{folder: /data}", "file_storage/a", "folder", 2),
    ] {
        let found = problem(extension, named);
        assert!(
            found.contains(said) && found.contains(&format!("isotel.yaml:{line}")),
            "{extension}: {found}"
        );
    }
    let limits = print::limits_table(&with("{directory: /data}", "file_storage/a").unwrap());
    assert!(limits.contains("Disk: 1024 MiB at the most in /data (file_storage/a)."), "{limits}");
    let printed = print::print(&with("{directory: /data}", "file_storage/a").unwrap());
    assert!(printed.contains("storage: file_storage/a") && printed.contains("fsync: interval"), "{printed}");
}

#[test]
fn a_sending_queue_names_a_storage_and_is_then_not_given_up_for_time() {
    let with = |queue: &str, retry: &str| {
        read(&format!(
            "extensions:\n  file_storage/a: {{directory: /data}}\nexporters:\n  otlp_http/next:\n    endpoint: http://next:4318\n    \
             sending_queue: {queue}\n    retry_on_failure: {retry}\nparity: {{exporters: [otlp_http/next]}}\n"
        ))
    };
    let exporter = |queue, retry| with(queue, retry).unwrap().config.exporters["otlp_http/next"].clone();
    let kept = exporter("{storage: file_storage/a}", "{}");
    assert_eq!(kept.storage.unwrap().directory.to_str(), Some("/data"));
    assert_eq!(kept.retry.max_elapsed_time, None);
    let patient = exporter("{storage: file_storage/a}", "{max_elapsed_time: 1h}");
    assert_eq!(patient.retry.max_elapsed_time, Some(Duration::from_secs(3600)));
    let memory = exporter("{}", "{}");
    assert_eq!((memory.storage, memory.retry.max_elapsed_time), (None, Some(Duration::from_secs(300))));
    let found = with("{storage: file_storage}", "{}").unwrap_err().to_string();
    for part in
        ["exporters.otlp_http/next.sending_queue.storage: `file_storage`", "isotel.yaml:6", "file_storage/a"]
    {
        assert!(found.contains(part), "{found}");
    }
    let limits = print::limits_table(&with("{storage: file_storage/a}", "{}").unwrap());
    assert!(
        limits.contains("Disk: 1024 MiB at the most for what waits for otlp_http/next, in /data"),
        "{limits}"
    );
}

#[test]
fn an_exporter_of_an_unknown_type_is_told_and_not_read() {
    let said = problems("exporters:\n  otc/collector: {endpoint: http://localhost:4317}\n");
    assert!(said.contains("otc"), "{said}");
    assert_eq!(said.matches("error:").count(), 1, "{said}");
}

#[test]
fn tenants_have_names_that_a_header_a_path_and_a_file_can_have_and_everything_wrong_is_told_at_once() {
    let with = |tenants: &str| {
        read(&format!("extensions: {{bearertokenauth/a: {{token: t}}}}\nparity:\n  tenants: {tenants}\n"))
    };
    assert_eq!(read("parity: {window: 10s}\n").unwrap().config.tenants, None);
    let found = with("{default: shop, known: {shop: , b.2_x-y: {auth: {authenticator: bearertokenauth/a}}}}");
    let found = found.unwrap().config.tenants.unwrap();
    assert_eq!((found.header.as_str(), found.default.as_deref()), ("X-Scope-OrgID", Some("shop")));
    let names: Vec<_> = found.known.iter().map(|known| (known.name.as_str(), known.auth.is_some())).collect();
    assert_eq!(names, [("b.2_x-y", true), ("shop", false)]);

    let many = (0..65).map(|n| format!("t{n}: , ")).collect::<String>();
    let long = format!("{{known: {{{}: }}}}", "n".repeat(65));
    for (tenants, said) in [
        ("{header: X-Team}", "parity.tenants.known: names no tenant"),
        ("{known: {}}", "parity.tenants.known: names no tenant"),
        (&format!("{{known: {{{many}}}}}"), "parity.tenants.known: 65 tenants, and 64 are the most"),
        ("{known: {../etc: }}", "\"../etc\" is not a name"),
        ("{known: {.hidden: }}", "is not a name"),
        ("{known: {a@b: }}", "is not a name"),
        ("{known: {'': }}", "\"\" is not a name"),
        (&long, "64 bytes at the most"),
        ("{default: shob, known: {shop: }}", "did you mean `shop`?"),
        ("{header: Authorization, known: {shop: }}", "\"Authorization\" cannot name a tenant's header"),
        ("{header: grpc-timeout, known: {shop: }}", "cannot name"),
        ("{header: 'a b', known: {shop: }}", "cannot name"),
        ("{header: '', known: {shop: }}", "cannot name"),
        (
            "{known: {shop: {auth: {authenticator: bearertokenauth/b}}}}",
            "parity.tenants.known.shop.auth: `bearertokenauth/b`",
        ),
        ("{known: {shop: {auth: }}}", "parity.tenants.known.shop.auth: names no authenticator"),
        ("{names: {shop: }}", "unknown key `parity.tenants.names`"),
    ] {
        let found = with(tenants).unwrap_err().to_string();
        assert!(found.contains(said) && found.contains("isotel.yaml:3"), "{tenants}: {found}");
    }
    let found = with("{header: te, default: x, known: {a b: }}").unwrap_err().to_string();
    assert_eq!(found.matches("error:").count(), 3, "{found}");

    let two = read("parity: {tenants: {known: {shop: , bank: }}}\n").unwrap();
    assert!(print::limits_table(&two).contains("Each of the 2 tenants has all of this for itself."));
    assert_eq!(read(&print::print(&two)).unwrap().config.tenants, two.config.tenants);
    let storage =
        StorageConfig { id: String::new(), directory: "/data".into(), max_bytes: 1, fsync: Fsync::Never };
    assert_eq!(storage.of_tenant(Some("shop")).directory.to_str(), Some("/data/tenant-shop"));
    assert_eq!(storage.of_tenant(None), storage);
}

#[test]
fn a_name_where_addresses_are_asked_for_is_told_with_its_listener_and_line() {
    let text = "receivers:\n  otlp:\n    protocols:\n      http:\n        allow_from: [127.0.0.1, gateway, 10.0.0.0/40]\nservice: {pipelines: {traces: {receivers: [otlp]}}}\n";
    let found = problems(text);
    for name in ["gateway", "10.0.0.0/40"] {
        assert!(found.contains(&format!("receivers.otlp.protocols.http.allow_from: \"{name}\"")), "{found}");
    }
    assert!(found.contains(":5:") && found.contains("names are not looked up"), "{found}");
}

#[test]
fn a_first_tier_needs_who_takes_its_windows_and_a_key_and_unwise_ways_are_warned_of() {
    use crate::engine::Tier;
    let with = |parity: &str, queue: &str, pipelines: &str| {
        read(&format!(
            "extensions:\n  file_storage: {{directory: /data}}\nexporters:\n  otlp_http/second: {{endpoint: \
             'http://second:4318', {queue}}}\nservice: {{pipelines: {{{pipelines}}}}}\nparity: {{{parity}}}\nreceivers: {{otlp: {{protocols: {{http: }}}}}}\n"
        ))
    };
    let key = "redaction: {key: 0123456789abcdef}";
    let good = with(&format!("tier: first, exporters: [otlp_http/second], {key}"), "", "").unwrap();
    assert_eq!((good.config.tier, good.warnings(0).len()), (Tier::First, 0));
    assert_eq!(good.config.plan(0).tier, Tier::Judging, "who reads files judges them");
    assert_eq!(read("parity: {tier: second}\n").unwrap().config.tier, Tier::Judging);
    let refused = with("tier: first", "", "").unwrap_err().to_string();
    for part in [
        "nobody takes the windows",
        "parity.exporters",
        "the key of the second",
        "parity.redaction.key",
        "isotel.yaml:6",
    ] {
        assert!(refused.contains(part), "{part} in {refused}");
    }
    let warned =
        |loaded: Loaded| -> Vec<String> { loaded.warnings(0).iter().map(Problem::as_warning).collect() };
    let stored = format!("tier: first, exporters: [otlp_http/second], storage: file_storage, {key}");
    let lost = warned(with(&stored, "", "").unwrap());
    assert!(
        lost.len() == 1 && lost[0].contains("exporters.otlp_http/second.sending_queue.storage"),
        "{lost:?}"
    );
    assert_eq!(warned(with(&stored, "sending_queue: {storage: file_storage}", "").unwrap()), [""; 0]);
    let pipelines = "traces: {receivers: [otlp], exporters: [otlp_http/second]}";
    let twice = with(&format!("tier: first, exporters: [otlp_http/second], {key}"), "", pipelines).unwrap();
    let twice = warned(twice);
    assert!(twice.len() == 1 && twice[0].contains("counts both"), "{twice:?}");
}
