//! Which known name was probably meant.

/// The known name with the fewest edits from `name`, if there is one with at most `edits`; of several the first.
pub fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>, edits: usize) -> Option<&'k str> {
    let close = |candidate: &&str| candidate.len().abs_diff(name.len()) <= edits;
    let with_edits = known.filter(close).map(|candidate| (distance(name, candidate), candidate));
    let (found, candidate) = with_edits.min_by_key(|(edits, _)| *edits)?;
    (found <= edits).then_some(candidate)
}

/// Edits between two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["http.route", "http.request.method", "url.path"];
        assert_eq!(nearest("http.rout", known.into_iter(), 2), Some("http.route"));
        assert_eq!(nearest("htpt.route", known.into_iter(), 2), Some("http.route"));
        assert_eq!(nearest("http.status", known.into_iter(), 2), None);
        assert_eq!(nearest("", known.into_iter(), 2), None);
    }
}
