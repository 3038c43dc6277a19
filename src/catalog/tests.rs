//! Catalogs and registries as people write them, right and wrong.

use super::*;

fn sources(texts: &[&str]) -> Vec<Source> {
    let source = |(at, text): (usize, &&str)| Source { name: format!("{at}.yaml"), text: (*text).to_owned() };
    texts.iter().enumerate().map(source).collect()
}

fn good(texts: &[&str]) -> Catalog {
    read(&sources(texts)).unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn problems(texts: &[&str]) -> String {
    read(&sources(texts)).expect_err("these texts have problems").to_string()
}

const SHOP: &str = r#"catalog: isotel/v1
services:
  shop/cart:
    note: "the cart: what is in it"
    environments: [prod, eu-*]
    traffic: {spans: 1200, points: 30, logs: 4}
    resource:
      host.name:
        required: false
        type: string
      service.version: string
    spans:
      GET /cart/{id} (server):
        share: 0.25
        attributes:
          http.route: string
          "odd: key":
            share: 0.5
    span_events:
      exception:
        required: false
    metrics:
      cart.size:
        instrument: gauge
        unit: "{item}"
      http.server.request.duration:
        environments: [prod]
        instrument: histogram
        unit: s
        temporality: cumulative
        attributes:
          http.request.method: string
    logs:
      event order.placed:
      severity INFO:
        note: at the start
    log_attributes:
      thread.id: int
"#;

#[test]
fn what_is_written_reads_back_the_same_and_writes_the_same_bytes() {
    let catalog = good(&[SHOP]);
    let written = to_yaml(&catalog);
    let (comment, body) = written.split_at(written.find("catalog:").expect("it begins so"));
    assert!(comment.lines().all(|line| line.is_empty() || line.starts_with("# ")), "{comment}");
    assert_eq!(body, SHOP);
    assert_eq!(to_yaml(&good(&[&written])), written);
}

#[test]
fn any_name_survives_being_written_and_read() {
    let odd = [
        "null",
        "no",
        "1",
        "1e3",
        "~",
        "- x",
        "a # b",
        "a: b",
        "é\u{2028}\t\"\\",
        " x ",
        "[a",
        "*a",
        "%a",
        "\u{7f}",
    ];
    let mut catalog = Catalog::default();
    for name in odd {
        let mut service = Service::default();
        for (_, kind) in
            own::SECTIONS.iter().filter(|(_, kind)| !matches!(kind, ItemKind::Span | ItemKind::Log))
        {
            let item = Item { note: Some(name.to_owned()), ..Item::default() };
            service.items.insert(ItemName { kind: *kind, name: (*name).into() }, item);
        }
        service.environments = vec![name.to_owned()];
        catalog.services.insert(name.to_owned(), service);
    }
    let written = to_yaml(&catalog);
    let read = good(&[&written]);
    assert_eq!(read.services.keys().collect::<Vec<_>>(), catalog.services.keys().collect::<Vec<_>>());
    assert_eq!(to_yaml(&read), written);
}

#[test]
fn a_comment_is_written_on_one_line_and_is_no_part_of_the_catalog() {
    let mut catalog = good(&[SHOP]);
    let cart = catalog.services.get_mut("shop/cart").expect("it is there");
    for item in cart.items.values_mut() {
        item.comment = Some("seen once\nspans: [".to_owned());
    }
    let written = to_yaml(&catalog);
    assert!(written.contains("cart.size:  # seen once spans: [\n"), "{written}");
    assert!(written.contains("service.version: string  # seen once spans: [\n"), "{written}");
    assert_eq!(to_yaml(&good(&[&written])), to_yaml(&good(&[SHOP])));
}

#[test]
fn all_problems_are_reported_at_once_with_line_and_hint() {
    let text = "catalog: isotel/v2\nservices:\n  shop:\n    spnas: {}\n    traffic: {spans: many}\n    spans:\n      \
                GET /:\n    metrics:\n      a:\n        instrument: timer\n        unit: [s]\n        temporality: \
                both\n        share: 2\n    logs:\n      INFO:\n    resource:\n      host.name: text\n      host.name: \
                string\n";
    assert_eq!(
        problems(&[text]),
        "\
error: catalog: the layout \"isotel/v2\" is not known
  --> 0.yaml:1:10
  hint: this version reads isotel/v1
error: shop: unknown key `spnas`
  --> 0.yaml:4:5
  hint: did you mean `spans`?
error: shop: traffic: spans: not a whole number
  --> 0.yaml:5:22
error: \"GET /\" is no name of a span
  --> 0.yaml:7:7
  hint: write `OPERATION (KIND)` with a kind of server, client, producer, consumer or internal, such as `GET /cart \
         (server)`
error: shop: metric a: instrument: \"timer\" is not one of counter, updowncounter, gauge, histogram, exponential \
         histogram, summary
  --> 0.yaml:10:21
error: shop: metric a: unit: not text
  --> 0.yaml:11:15
error: shop: metric a: temporality: \"both\" is not one of delta, cumulative
  --> 0.yaml:12:22
error: shop: metric a: share: not a number above 0 and up to 1
  --> 0.yaml:13:16
error: \"INFO\" is no name of a log
  --> 0.yaml:15:7
  hint: write `severity INFO` or `event order.placed`
error: shop: resource attribute host.name: type: \"text\" is not one of string, bool, int, double, string[], bool[], \
         int[], double[], bytes, map
  --> 0.yaml:17:18
error: the key `host.name` stands here twice
  --> 0.yaml:18:7
  hint: remove one of them; the later would silently win
11 problem(s)"
    );
}

#[test]
fn what_is_no_catalog_is_refused_and_says_what_one_is() {
    for (text, said) in [
        ("", "the file is empty"),
        ("catalog: isotel/v1\n", "the catalog expects nothing"),
        ("catalog: isotel/v1\nservices: {}\n", "the catalog expects nothing"),
        ("parity: {}\n", "neither a catalog nor a registry: it says parity"),
        ("services: {a: }\n", "the catalog does not say its layout"),
        ("catalog: isotel/v1\nservices: [a]\n", "services: not a map of names"),
        ("catalog: isotel/v1\nservices:\n\ta: b\n", "this line has a tab"),
        ("catalog: isotel/v1\nservices:\n  a: &x {b: *x}\n", "inside of what it repeats"),
        ("file_format: definition/3\n", "the file format \"definition/3\" is not known"),
        ("- a\n", "begin with `catalog: isotel/v1`"),
    ] {
        let found = problems(&[text]);
        assert!(found.contains(said) && found.contains("0.yaml:"), "{text:?}: {found}");
    }
}

#[test]
fn a_bomb_of_aliases_and_a_tower_of_lists_end_at_once() {
    let mut bomb = "catalog: isotel/v1\na0: &a0 [x, x]\n".to_owned();
    for level in 1..60 {
        let below = level - 1;
        bomb.push_str(&format!("a{level}: &a{level} [*a{below}, *a{below}]\n"));
    }
    assert!(problems(&[&bomb]).contains("more than 1000000 values"));
    let tower = format!("services: {}", "[".repeat(1_000_000));
    assert!(problems(&[&tower]).contains("recursion limit"));
}

#[test]
fn files_above_the_limits_are_refused_unread() {
    let large = format!("catalog: isotel/v1\n#{}", "x".repeat(BOUNDS.bytes));
    assert!(problems(&[&large]).contains("16777216 are read at most"));
    let half = format!("catalog: isotel/v1\n#{}", "x".repeat(BYTES_MAX / 2));
    assert!(problems(&[&half, &half]).contains("67108864 are read at most"));
    let mut few = Problems::default();
    let many = Source { name: "many.yaml".to_owned(), text: "catalog: [a, b, c, d]".to_owned() };
    assert!(parse(&many, &Bounds { values: 5, ..BOUNDS }, &mut few).is_none());
    assert!(few.to_string().contains("more than 5 values"), "{few}");
}

#[test]
fn two_catalogs_make_one_and_what_they_say_otherwise_of_one_item_is_a_problem() {
    let one =
        "catalog: isotel/v1\nservices:\n  shop:\n    metrics:\n      a: {unit: s}\n      b: {unit: s}\n";
    let two = "catalog: isotel/v1\nservices:\n  shop:\n    metrics:\n      a: {unit: ms, required: false}\n  cart: \n";
    assert_eq!(
        problems(&[one, two]),
        "error: shop: metric a: another `unit` than at 0.yaml:5\n  --> 1.yaml:5:7\n  hint: say it once, or twice the \
         same\n1 problem(s)"
    );
    let agreeing = two.replace("ms", "s");
    let both = good(&[one, &agreeing]);
    assert_eq!(both.services.keys().collect::<Vec<_>>(), ["cart", "shop"]);
    let metric = |name: &str| ItemName { kind: ItemKind::Metric, name: name.into() };
    assert_eq!(both.services["shop"].items[&metric("a")].required, Some(false));
    assert_eq!(both.services["shop"].items[&metric("b")].form.unit.as_deref(), Some("s"));
}

/// A registry in both layouts.
const HTTP: &str = "groups:
  - id: registry.http
    type: attribute_group
    attributes:
      - {id: http.request.method, type: {members: [{id: get, value: GET}]}, stability: stable}
      - {id: http.method, type: string, deprecated: {reason: renamed, renamed_to: http.request.method}}
      - {id: http.request.header, type: 'template[string[]]'}
      - {id: http.code, type: {members: [{id: ok, value: 200}]}}
      - {id: http.old, type: boolean, deprecated: Replaced by `http.code`.}
  - id: attributes.http
    type: attribute_group
    attributes: [{ref: http.request.method, requirement_level: required}, {ref: http.code}]
  - id: metric.http.server.request.duration
    type: metric
    metric_name: http.server.request.duration
    instrument: histogram
    unit: s
    extends: attributes.http
    attributes: [{ref: http.request.method, note: still required}, {ref: http.code, requirement_level: required}]
  - {id: span.http.server, type: span, span_kind: server, extends: attributes.http}
";
const SESSION: &str = "file_format: definition/2
attributes: [{key: session.id, type: string}]
attribute_groups: [{id: session, attributes: [{ref: session.id, requirement_level: required}]}]
events: [{name: session.start, attributes: [{ref_group: session}, {ref: http.code}]}]
spans: [{type: session.run, kind: internal, attributes: [{ref_group: session}]}]
span_refinements: [{id: span.session.run.long, ref: session.run, attributes: []}]
";

#[test]
fn a_registry_knows_types_replacements_and_what_is_required() {
    let registry = good(&[HTTP, SESSION]).registry.expect("there is one");
    let types = |name: &str| match registry.attribute(name) {
        Known::Defined(attribute) => attribute.value,
        _ => None,
    };
    use registry::Known;
    assert_eq!(types("http.request.method"), Some(ValueType::String));
    assert_eq!(types("http.code"), Some(ValueType::Int));
    assert_eq!(types("http.request.header.x-y.z"), Some(ValueType::Strings));
    assert_eq!(registry.attribute("http.request.metod"), Known::Unknown(Some("http.request.method")));
    assert_eq!(registry.attribute("htp.request.method"), Known::Foreign, "three letters are too few to know");
    assert_eq!(registry.attribute("sesion.id"), Known::Unknown(Some("session.id")));
    assert_eq!(registry.attribute("http.tenant"), Known::Unknown(None));
    assert_eq!(registry.attribute("com.acme.tenant"), Known::Foreign);
    for (old, new) in [("http.method", "http.request.method"), ("http.old", "http.code")] {
        let renamed = registry.attributes[old].deprecated.as_ref().and_then(|d| d.renamed_to.as_deref());
        assert_eq!(renamed, Some(new));
    }
    let duration = &registry.metrics["http.server.request.duration"];
    assert_eq!(duration.required.iter().collect::<Vec<_>>(), ["http.code", "http.request.method"]);
    assert_eq!(registry.events["session.start"].required.iter().collect::<Vec<_>>(), ["session.id"]);
    let server = crate::model::SpanKind::Server;
    assert_eq!(registry.missing_of_span(server, &["http.code"].into()), None, "no definition counts");
    assert_eq!(registry.spans["span.session.run"].required.len(), 1);
}

#[test]
fn one_bad_group_is_named_with_its_line_and_hides_no_other() {
    let text = "groups:
  - {id: a, type: attribute_group, extends: b}
  - {id: b, type: attribute_group, extends: a}
  - {id: c, type: widget}
  - {id: d, type: attribute_group, attributes: [{id: x.y, type: text}]}
  - {id: e, type: attribute_group, attributes: [{ref: x.z}], extends: nothing}
  - {id: f, type: metric, metric_name: f.g, instrument: timer}
  - {id: d, type: attribute_group}
  - {type: attribute_group}
  - {id: g, type: attribute_group, attributes: [{ref: x.y, requirement_level: must}]}
";
    let found = problems(&[text]);
    for said in [
        "group a: refers to itself, by way of a, b, a\n  --> 0.yaml:3:",
        "group c: the type \"widget\" is none of attribute_group, span, event, metric, entity or resource\n  --> 0.yaml:4:",
        "group d: the attribute x.y has the type \"text\", which is not known\n  --> 0.yaml:5:",
        "group e: refers to the attribute x.z, which is not there\n  --> 0.yaml:6:",
        "hint: did you mean `x.y`?",
        "group e: refers to the group nothing, which is not there\n  --> 0.yaml:6:",
        "group f: no instrument is called \"timer\"\n  --> 0.yaml:7:",
        "two groups with the id d\n  --> 0.yaml:8:",
        "a group: an entry without `id`\n  --> 0.yaml:9:",
        "group g: the requirement level \"must\" is none of",
    ] {
        assert!(found.contains(said), "{said:?} is not in\n{found}");
    }
    assert!(found.ends_with("9 problem(s)"), "{found}");
}

#[test]
fn two_registries_that_give_one_name_two_types_disagree() {
    let other = "groups: [{id: other, type: attribute_group, attributes: [{id: http.code, type: string}]}]";
    let found = problems(&[HTTP, other]);
    assert!(
        found.contains("group other: the attribute http.code has another type than at 0.yaml:8"),
        "{found}"
    );
}

#[test]
fn groups_that_refer_to_each_other_many_times_are_read_once() {
    let mut text =
        "groups:\n  - {id: g0, type: attribute_group, attributes: [{id: a.b, type: int}]}\n".to_owned();
    for level in 1..60 {
        let below = level - 1;
        text.push_str(&format!(
            "  - {{id: g{level}, type: attribute_group, attributes: [{{ref_group: g{below}}}, {{ref_group: g{below}}}]}}\n"
        ));
    }
    assert!(good(&[&text]).registry.is_some());
    // The first by name stands on all others.
    for level in 0..100 {
        let below = level + 1;
        text.push_str(&format!("  - {{id: a{level:03}, type: attribute_group, extends: a{below:03}}}\n"));
    }
    text.push_str("  - {id: a100, type: attribute_group}\n");
    assert!(problems(&[&text]).contains("more than 64 groups stand over each other"));
}

#[test]
fn every_example_of_the_documentation_is_a_catalog() {
    let text = include_str!("../../docs/catalog.md");
    let blocks: Vec<&str> =
        text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 2);
    for block in blocks {
        let catalog = good(&[block]);
        assert!(!catalog.services.is_empty() || catalog.registry.is_some(), "{block}");
    }
}

/// The published model, where a folder has it.
#[test]
fn the_published_conventions_are_read_without_a_refusal() {
    let Some(folder) = std::env::var_os("ISOTEL_SEMCONV_DIR") else { return };
    let mut folders = vec![std::path::PathBuf::from(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(&path).expect("it is text");
                found.push(Source { name: path.display().to_string(), text });
            }
        }
    }
    let registry =
        read(&found).unwrap_or_else(|problems| panic!("{problems}")).registry.expect("there is one");
    assert!(registry.attributes.len() > 850, "{}", registry.attributes.len());
    assert!(registry.templates.len() > 30, "{}", registry.templates.len());
    assert!(registry.metrics.len() > 500, "{}", registry.metrics.len());
    let duration = &registry.metrics["http.server.request.duration"];
    assert_eq!(duration.unit.as_deref(), Some("s"));
    assert_eq!(duration.required.iter().collect::<Vec<_>>(), ["http.request.method", "url.scheme"]);
    let renamed =
        registry.attributes["http.method"].deprecated.as_ref().and_then(|d| d.renamed_to.as_deref());
    assert_eq!(renamed, Some("http.request.method"));
    for (previous, current) in crate::model::renamed::RENAMED {
        let deprecated = registry.attributes.get(previous).map(|attribute| &attribute.deprecated);
        let deprecated = deprecated.or(registry.metrics.get(previous).map(|metric| &metric.deprecated));
        let renamed = deprecated.and_then(Option::as_ref).and_then(|d| d.renamed_to.as_deref());
        assert!(renamed.is_none_or(|name| current.contains(&name)), "{previous} is {renamed:?}");
        for name in current {
            let known = registry.attributes.contains_key(*name) || registry.metrics.contains_key(*name);
            assert!(known, "{previous} → {name}");
        }
    }
    let has = ["http.request.method", "url.path"].into();
    assert_eq!(registry.missing_of_span(crate::model::SpanKind::Server, &has), Some(vec!["url.scheme"]));
}
