//! Text for terminals: what came from outside made harmless, lines broken at a width, colour where it is wanted.

use crate::judge::{Level, Verdict};

/// Replaces what could move a cursor, change colours or reverse the reading order: control characters and
/// bidirectional overrides. Names in telemetry are chosen by whoever sends it.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether a character could move a cursor or reverse the reading order.
pub(super) fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// How many columns a text takes, one per character.
pub fn columns(text: &str) -> usize {
    text.chars().count()
}

/// Breaks a text into lines of at most `width` columns, at spaces where there are some. The first line starts with
/// `first`, the others with `rest`; both count. Never empty: a text without words gives `first` alone.
pub fn wrap(text: &str, width: usize, first: &str, rest: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut indent = columns(first);
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        let gap = usize::from(columns(&line) > indent);
        if gap == 1 && columns(&line) + gap + word.len() > width {
            lines.push(std::mem::replace(&mut line, rest.to_owned()));
            indent = columns(rest);
        } else if gap == 1 {
            line.push(' ');
        }
        // A word longer than a line is cut; at least one column per line keeps this finite.
        while columns(&line) + word.len() > width.max(indent + 1) {
            let room = width.max(indent + 1).saturating_sub(columns(&line)).max(1);
            line.extend(word.drain(..room));
            lines.push(std::mem::replace(&mut line, rest.to_owned()));
            indent = columns(rest);
        }
        line.extend(word);
    }
    lines.push(line);
    lines
}

/// At most `width` columns of a text, with `…` for what is cut.
pub fn clip(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Puts ANSI colour around text, or leaves it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    /// Whether colour is wanted.
    pub colour: bool,
}

impl Paint {
    /// In the colour of a verdict: green, red, yellow, grey.
    pub fn verdict(self, verdict: Verdict, text: &str) -> String {
        self.code(verdict_code(verdict), text)
    }

    /// In the colour of a level: red, yellow, blue.
    pub fn level(self, level: Level, text: &str) -> String {
        let code = match level {
            Level::Critical => "31",
            Level::Warning => "33",
            Level::Info => "34",
        };
        self.code(code, text)
    }

    /// Bold.
    pub fn bold(self, text: &str) -> String {
        self.code("1", text)
    }

    /// Faint.
    pub fn faint(self, text: &str) -> String {
        self.code("2", text)
    }

    fn code(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

fn verdict_code(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Parity => "32",
        Verdict::Divergent => "31",
        Verdict::Inconclusive => "33",
        Verdict::NoData => "90",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_from_telemetry_do_not_reach_the_terminal() {
        assert_eq!(clean("GET \u{1b}[2J/\n\u{202e}x"), "GET \u{fffd}[2J/\u{fffd}\u{fffd}x");
    }

    #[test]
    fn lines_break_at_spaces_and_long_words_are_cut() {
        assert_eq!(wrap("one two three", 9, "- ", "  "), ["- one two", "  three"]);
        assert_eq!(wrap("abcdefgh", 5, "", " "), ["abcde", " fgh"]);
        assert_eq!(wrap("", 5, "- ", ""), ["- "]);
        assert_eq!(wrap("abc", 0, "", ""), ["a", "b", "c"]);
    }

    #[test]
    fn no_line_is_wider_than_asked() {
        let text =
            "p95 rose by 25 %, which is outside of the tolerance of supercalifragilisticexpialidocious";
        for width in 8..60 {
            assert!(wrap(text, width, "→ ", "  ").iter().all(|line| columns(line) <= width));
        }
    }

    #[test]
    fn what_is_cut_shows_that_it_is() {
        assert_eq!(clip("checkout", 5), "chec…");
        assert_eq!(clip("cart", 5), "cart");
    }
}
