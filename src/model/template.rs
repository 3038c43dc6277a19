//! Identifiers inside a name become `{id}`, so that the number of names stays bounded.
//!
//! `/users/4711/orders/0b1f…` and `/users/4712/orders/77aa…` are one operation. A name is cut at `/`, blanks and
//! the punctuation that separates values; a piece that is a number, a UUID, a long hexadecimal string, an e-mail
//! address or another token that no person would choose as a name is replaced. Query strings are dropped.

use super::redaction::is_hidden_in_names;

/// What stands for an identifier.
pub const PLACEHOLDER: &str = "{id}";

/// Appends `name` to `out` with its identifiers replaced, at most `limit` bytes of it, cut at a character boundary.
pub fn write_templated(name: &str, limit: usize, out: &mut String) {
    let path = name.split('?').next().unwrap_or(name);
    let end = out.len() + limit;
    let mut piece_start = 0;
    for (at, c) in path.char_indices() {
        if is_separator(c) {
            write_piece(&path[piece_start..at], out);
            out.push(c);
            piece_start = at + c.len_utf8();
        }
        if out.len() >= end {
            break;
        }
    }
    if out.len() < end {
        write_piece(path.get(piece_start..).unwrap_or(""), out);
    }
    truncate(out, end);
}

/// Shortens `text` to at most `limit` bytes, at a character boundary.
pub fn truncate(text: &mut String, limit: usize) {
    if text.len() > limit {
        let cut = (0..=limit).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(cut);
    }
}

fn is_separator(c: char) -> bool {
    matches!(c, '/' | ' ' | '\t' | ',' | ';' | '=' | '&' | '(' | ')' | '[' | ']' | '#' | '"' | '\'')
}

fn write_piece(piece: &str, out: &mut String) {
    if is_identifier(piece) {
        out.push_str(PLACEHOLDER);
        return;
    }
    match split_suffix(piece) {
        Some((head, separator, tail)) if is_identifier(tail) && tail.len() > 1 => {
            out.push_str(head);
            out.push(separator);
            out.push_str(PLACEHOLDER);
        }
        _ => out.push_str(piece),
    }
}

/// `order-4711` and `queue:8f3a…` carry an identifier after their last separator.
fn split_suffix(piece: &str) -> Option<(&str, char, &str)> {
    let at = piece.rfind(['-', '_', ':', '.'])?;
    let (head, tail) = piece.split_at(at);
    let separator = tail.chars().next()?;
    (!head.is_empty()).then(|| (head, separator, &tail[separator.len_utf8()..]))
}

pub(super) fn is_identifier(piece: &str) -> bool {
    is_number(piece)
        || is_uuid(piece)
        || is_long_hex(piece)
        || is_email(piece)
        || is_opaque_token(piece)
        || is_hidden_in_names(piece)
}

fn is_number(piece: &str) -> bool {
    !piece.is_empty() && piece.bytes().all(|b| b.is_ascii_digit())
}

fn is_uuid(piece: &str) -> bool {
    let bytes = piece.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// Eight or more hexadecimal digits of which at least one is a decimal digit: `deadbeef` stays a word.
fn is_long_hex(piece: &str) -> bool {
    let digits = piece.strip_prefix("0x").unwrap_or(piece);
    digits.len() >= 8
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
        && digits.bytes().any(|b| b.is_ascii_digit())
}

fn is_email(piece: &str) -> bool {
    piece.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
    })
}

/// Sixteen or more letters and digits with at least four digits: a base-32 or base-64 key, not a name.
fn is_opaque_token(piece: &str) -> bool {
    piece.len() >= 16
        && piece.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        && piece.bytes().filter(u8::is_ascii_digit).count() >= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templated(name: &str) -> String {
        let mut out = String::new();
        write_templated(name, 256, &mut out);
        out
    }

    #[test]
    fn identifiers_become_a_placeholder_and_names_stay() {
        for (name, expected) in [
            ("/users/4711/orders", "/users/{id}/orders"),
            ("/users/0b1f6a3e-1111-4222-8333-944445555666", "/users/{id}"),
            ("GET /blob/deadbeef01", "GET /blob/{id}"),
            ("GET /word/deadbeef", "GET /word/deadbeef"),
            ("/mail/jane@example.com/inbox", "/mail/{id}/inbox"),
            ("/search?q=1&page=2", "/search"),
            ("/v1/traces", "/v1/traces"),
            ("SELECT addatabase.aditems", "SELECT addatabase.aditems"),
            ("hipstershop.AdService/GetAds", "hipstershop.AdService/GetAds"),
            ("order-4711", "order-{id}"),
            ("GET /checkout/{id}", "GET /checkout/{id}"),
            ("/k/AKIA7J2L9Q4MZX81TT00", "/k/{id}"),
            ("/k/AKIAIOSFODNN7EXAMPLE/x", "/k/{id}/x"),
            ("/mail/jane%40example.com/inbox", "/mail/{id}/inbox"),
            ("GET /verify/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl", "GET /verify/{id}"),
            (
                "/callback#access_token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2ln",
                "/callback#access_token={id}",
            ),
            ("pay 4111-1111-1111-1111 now", "pay {id} now"),
            ("/pay/4111.1111", "/pay/4111.{id}"),
            ("welcome jane.doe+x@mail.example.com", "welcome {id}"),
            ("oauth2", "oauth2"),
            ("s3", "s3"),
            ("", ""),
        ] {
            assert_eq!(templated(name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_is_cut_at_a_character_boundary() {
        let mut out = String::new();
        write_templated(&"é".repeat(200), 15, &mut out);
        assert_eq!(out, "é".repeat(7));
    }
}
