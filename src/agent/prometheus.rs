//! Numbers with names, and their Prometheus text form (exposition format 0.0.4). Pure.

use std::fmt::Write;

/// The content type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a family only ever grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Grows until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A number, rendered without loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A count of things.
    Count(u64),
    /// A sum that is no whole number, such as seconds.
    Sum(f64),
    /// The present level.
    Level(f64),
}

impl Value {
    /// As a floating-point number; counts over 2^53 are rounded to nearest.
    pub fn number(self) -> f64 {
        match self {
            Value::Count(count) => count as f64,
            Value::Sum(number) | Value::Level(number) => number,
        }
    }
}

/// One number and its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Names and values, in the order they are written.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: Value,
}

impl Point {
    /// A point with these labels.
    pub fn new(labels: &[(&'static str, &str)], value: Value) -> Self {
        Point { labels: labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(), value }
    }

    /// The same with one more label.
    #[must_use]
    pub fn and(mut self, key: &'static str, value: &str) -> Self {
        self.labels.push((key, value.to_owned()));
        self
    }
}

/// Points of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The metric's name, used as it is: neither unit nor `_total` is appended.
    pub name: &'static str,
    /// The unit, per UCUM.
    pub unit: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
    /// The numbers.
    pub points: Vec<Point>,
}

impl Family {
    /// A counter without points yet.
    pub fn counter(name: &'static str, unit: &'static str, help: &'static str) -> Self {
        Family { name, unit, help, kind: Kind::Counter, points: Vec::new() }
    }

    /// A gauge without points yet.
    pub fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Self {
        Family { name, unit, help, kind: Kind::Gauge, points: Vec::new() }
    }
}

/// The text page. Families without points are left out.
pub fn render(families: &[Family]) -> String {
    let mut page = String::new();
    for family in families.iter().filter(|family| !family.points.is_empty()) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(page, "# HELP {} {}", family.name, escape(family.help, false));
        let _ = writeln!(page, "# TYPE {} {kind}", family.name);
        for point in &family.points {
            page.push_str(family.name);
            render_labels(&mut page, &point.labels);
            let _ = match point.value {
                Value::Count(count) => writeln!(page, " {count}"),
                Value::Sum(number) | Value::Level(number) => writeln!(page, " {}", float(number)),
            };
        }
    }
    page
}

fn render_labels(page: &mut String, labels: &[(&'static str, String)]) {
    if labels.is_empty() {
        return;
    }
    for (index, (key, value)) in labels.iter().enumerate() {
        let open = if index == 0 { '{' } else { ',' };
        let _ = write!(page, "{open}{key}=\"{}\"", escape(value, true));
    }
    page.push('}');
}

fn escape(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', r"\\").replace('\n', r"\n");
    if quotes { text.replace('"', "\\\"") } else { text }
}

fn float(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_types_and_escapes() {
        let mut requests = Family::counter("isotel_requests", "{request}", "Requests,\nby \\ route.");
        requests.points.push(Point::new(&[("route", "a\"b\\c\n")], Value::Count(u64::MAX)).and("code", "0"));
        let mut level = Family::gauge("isotel_level", "1", "A level.");
        level
            .points
            .extend([1.0, 0.25, f64::NAN, f64::INFINITY].map(|number| Point::new(&[], Value::Level(number))));
        let empty = Family::gauge("isotel_empty", "1", "Nothing.");
        assert_eq!(
            render(&[requests, level, empty]),
            "# HELP isotel_requests Requests,\\nby \\\\ route.\n\
             # TYPE isotel_requests counter\n\
             isotel_requests{route=\"a\\\"b\\\\c\\n\",code=\"0\"} 18446744073709551615\n\
             # HELP isotel_level A level.\n\
             # TYPE isotel_level gauge\n\
             isotel_level 1\nisotel_level 0.25\nisotel_level NaN\nisotel_level +Inf\n"
        );
    }
}
