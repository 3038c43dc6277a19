//! What is printed: Markdown, and whether all that must be exact was.

use crate::targets::Target;

/// Counts promises that were broken.
#[derive(Default)]
pub struct Bench {
    broken: Vec<String>,
}

impl Bench {
    /// Prints the head of a table.
    pub fn head(&self, title: &str, columns: &[&str]) {
        println!("\n**{title}**\n\n| {} |\n|---{}|", columns.join(" | "), "|---:".repeat(columns.len() - 1));
    }

    pub fn row(&self, cells: &[String]) {
        println!("| {} |", cells.join(" | "));
    }

    /// The head of a table of targets.
    pub fn targets(&self) {
        self.head("Targets", &["measure", "value", "target", "value ÷ target", ""]);
    }

    /// A value that ought to be at most so much.
    pub fn target(&self, measure: &str, value: f64, most: f64, unit: &str) {
        let judged = if value <= most { "ok" } else { "over" };
        self.row(&[
            measure.to_owned(),
            format!("{} {unit}", digits(value)),
            format!("≤ {} {unit}", digits(most)),
            format!("**{:.2}**", value / most),
            judged.to_owned(),
        ]);
    }

    /// What must hold whatever the machine does; if not, the run fails.
    pub fn must(&mut self, what: &str, holds: bool) {
        if !holds {
            eprintln!("broken: {what}");
            self.broken.push(what.to_owned());
        }
    }

    /// Every request was acknowledged, and a target that counts has counted every span of them once.
    pub fn exact(&mut self, what: &str, target: &Target, acknowledged: u64, failures: &[String]) {
        self.must(&format!("{what}: {failures:?}"), failures.is_empty());
        if target.metrics.is_some() {
            let counted = target.metric("receiver_accepted_spans", "");
            let what = format!("{what}: {acknowledged} spans acknowledged, {counted} counted");
            self.must(&what, acknowledged as f64 == counted);
        }
    }

    /// Whether nothing was broken; prints what was.
    pub fn end(self) -> bool {
        match self.broken.as_slice() {
            [] => println!("\nEvery span that was acknowledged was counted, once."),
            broken => println!("\nBroken:\n- {}", broken.join("\n- ")),
        }
        self.broken.is_empty()
    }
}

/// Three digits that count.
pub fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// One against another; a dash where there is no other.
pub fn ratio(value: f64, to: Option<f64>) -> String {
    to.map_or_else(|| "–".to_owned(), |to| format!("**{}**", digits(value / to)))
}
