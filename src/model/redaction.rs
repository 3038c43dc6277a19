//! Which values are not kept as they came: text that outlives its request is masked or hashed before it is kept.
//!
//! A value is hidden for its key (`http.request.header.authorization`) or for what it is (an e-mail address, a card's number,
//! a token, a private key). A hidden value keeps its kind and, with [`Action::Hash`], a keyed hash: equal values stay equal and
//! different ones different, and nobody without the key finds out of which. What is shown is [`shown`], without the hash: it
//! would differ from run to run.

use super::environment::glob;
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// Keys of attributes whose values are hidden whatever they are, in small letters.
const KEYS: [&str; 19] = [
    "*authorization*",
    "*cookie*",
    "*password*",
    "*passwd*",
    "*secret*",
    "*api_key*",
    "*api-key*",
    "*apikey*",
    "*access_key*",
    "*private_key*",
    "*credential*",
    "token",
    "*_token",
    "*-token",
    "*.token",
    "enduser.*",
    "user.*",
    "process.command*",
    "process.environment_variable.*",
];

/// What stands before a hidden value's kind.
const MARK: &str = "[REDACTED";
/// As much text as a card's number may take, with its groups apart and what follows.
const CARD_BYTES_MAX: usize = 24;
/// Hexadecimal digits of a hash: 64 bits.
const HASH_DIGITS: usize = 16;

/// What becomes of a value that is hidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// A keyed hash stands for it.
    #[default]
    Hash,
    /// One word stands for all of its kind; differences between them are not seen.
    Mask,
    /// It is kept as it came.
    Keep,
}

/// What a value is that is hidden for what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An e-mail address.
    Email,
    /// The number of a payment card.
    Card,
    /// A credential: after `Bearer` or `Basic`, a JSON web token, a URL's password, or a key whose maker marks it.
    Token,
    /// A private key in PEM.
    PrivateKey,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Email, Kind::Card, Kind::Token, Kind::PrivateKey];

    /// The word in configurations and in what stands for a value.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Email => "email",
            Kind::Card => "card",
            Kind::Token => "token",
            Kind::PrivateKey => "private_key",
        }
    }

    fn is_in(self, text: &str) -> bool {
        match self {
            Kind::Email => has_email(text),
            Kind::Card => has_card(text),
            Kind::Token => has_token(text),
            Kind::PrivateKey => text.contains("PRIVATE KEY-----"),
        }
    }
}

/// What hashes are keyed with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// A key that nobody knows, drawn by the process.
    pub fn random() -> HashKey {
        let (mut key, state) = ([0; 32], RandomState::new());
        for (at, part) in key.chunks_exact_mut(8).enumerate() {
            part.copy_from_slice(&state.hash_one(at).to_le_bytes());
        }
        HashKey(key)
    }

    /// The key that belongs to a text.
    pub fn of(text: &str) -> HashKey {
        let (mut key, digest) = ([0; 32], ring::digest::digest(&ring::digest::SHA256, text.as_bytes()));
        key.copy_from_slice(digest.as_ref());
        HashKey(key)
    }

    /// What the key makes of a text, which says nothing of either.
    pub fn hash(&self, text: &str) -> u64 {
        let tag = hmac::sign(&self.hmac(), text.as_bytes());
        tag.as_ref().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
    }

    /// What only somebody with the key can write under these bytes (RFC 2104).
    pub fn sign(&self, bytes: &[u8]) -> [u8; 32] {
        let (mut tag, signed) = ([0; 32], hmac::sign(&self.hmac(), bytes));
        tag.copy_from_slice(signed.as_ref());
        tag
    }

    /// Whether somebody with the key wrote it under these bytes.
    pub fn signed(&self, bytes: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.hmac(), bytes, tag).is_ok()
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey")
    }
}

/// The policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    /// What becomes of a hidden value.
    pub action: Action,
    /// Patterns of keys whose values are hidden, beside the usual ones; `*` for any run of characters, in small letters.
    pub keys: Vec<String>,
    /// Patterns of keys whose values are kept as they came.
    pub ignored_keys: Vec<String>,
    /// What is hidden for what it is.
    pub kinds: Vec<Kind>,
    /// What hashes are keyed with, if not with a key of the process.
    pub key: Option<HashKey>,
}

impl Default for Redaction {
    fn default() -> Self {
        Redaction {
            action: Action::Hash,
            keys: Vec::new(),
            ignored_keys: Vec::new(),
            kinds: Kind::ALL.to_vec(),
            key: None,
        }
    }
}

impl Redaction {
    /// What is kept of the value of a key. `process` is the key of hashes when the policy has none.
    pub fn kept(&self, process: &HashKey, key: &str, value: String) -> String {
        if self.action == Action::Keep {
            return value;
        }
        let Some(kind) = self.hides(key, &value) else { return value };
        let kind = kind.map_or(String::new(), |kind| format!(" {}", kind.as_str()));
        match self.action {
            Action::Hash => {
                let hash = self.key.as_ref().unwrap_or(process).hash(&value);
                format!("{MARK}{kind} {hash:0HASH_DIGITS$x}]")
            }
            _ => format!("{MARK}{kind}]"),
        }
    }

    /// Whether a value is hidden: `Some(None)` for its key, `Some(Some(_))` for what it is.
    fn hides(&self, key: &str, value: &str) -> Option<Option<Kind>> {
        let key = key.to_ascii_lowercase();
        let attribute = attribute_of(&key);
        let named = |pattern: &str| attribute.is_some_and(|name| glob(pattern, name)) || glob(pattern, &key);
        if self.ignored_keys.iter().any(|pattern| named(pattern)) {
            return None;
        }
        let usual = attribute.is_some_and(|name| KEYS.iter().any(|pattern| glob(pattern, name)));
        if usual || self.keys.iter().any(|pattern| named(pattern)) {
            return Some(None);
        }
        self.kinds.iter().find(|kind| kind.is_in(value)).map(|kind| Some(*kind))
    }
}

/// The attribute of a fact's key: itself, or what stands in the brackets of a metric or event. The names of flags and scopes
/// are no attributes.
fn attribute_of(key: &str) -> Option<&str> {
    if key.starts_with("feature_flag.") || key.starts_with("otel.scope[") {
        return None;
    }
    let inner = key.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']'));
    Some(inner.unwrap_or(key))
}

/// Whether a part of a name stands for a hidden value.
pub fn has_hidden(name: &str) -> bool {
    name.contains(MARK)
}

/// A kept value as it is shown: what stands for a hidden one loses its hash.
pub fn shown(kept: &str) -> Cow<'_, str> {
    let hash = kept
        .strip_prefix(MARK)
        .and_then(|rest| rest.strip_suffix(']'))
        .and_then(|rest| rest.rsplit_once(' '));
    match hash {
        Some((kind, hash))
            if hash.len() == HASH_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            format!("{MARK}{kind}]").into()
        }
        _ => kept.into(),
    }
}

/// Whether a part of a path or name is a credential, a card's number or an escaped e-mail address. Allocates nothing.
pub(super) fn is_hidden_in_names(piece: &str) -> bool {
    let (bytes, long) = (piece.as_bytes(), piece.len() >= 13);
    let card = || bytes.first().is_some_and(u8::is_ascii_digit) && has_card(piece);
    (long && (is_token(piece) || card()))
        || (bytes.iter().any(|byte| matches!(byte, b'@' | b'%')) && has_email(piece))
}

/// `user@host.tld`, also with the `@` escaped as in URLs. `git@host.tld:path` is the address of a repository.
fn has_email(text: &str) -> bool {
    let plain = text.match_indices('@').map(|(at, _)| (at, at + 1));
    let escaped = text.match_indices("%40").map(|(at, _)| (at, at + 3));
    plain.chain(escaped).any(|(before, after)| {
        let user = text.as_bytes()[..before].last();
        let rest = &text[after..];
        let end = rest.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || b".-".contains(&byte)));
        let (host, next) = rest.split_at(end.unwrap_or(rest.len()));
        let repository =
            next.strip_prefix(':').is_some_and(|path| path.starts_with(|c: char| c.is_alphanumeric()));
        let host = host.trim_end_matches(['.', '-']);
        let top = host.rsplit_once('.').filter(|(name, _)| !name.is_empty()).map(|(_, top)| top);
        user.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"._%+-".contains(byte))
            && !repository
            && top.is_some_and(|top| top.len() >= 2 && top.bytes().all(|byte| byte.is_ascii_alphabetic()))
    })
}

/// 13 to 19 digits, maybe in groups of four and more, that begin as cards do and have their check digit (ISO/IEC 7812-1).
fn has_card(text: &str) -> bool {
    let mut at = 0;
    let bytes = text.as_bytes();
    while at < bytes.len() {
        if bytes[at].is_ascii_digit() && is_card(&bytes[at..bytes.len().min(at + CARD_BYTES_MAX)]) {
            return true;
        }
        // On to the next beginning of a number.
        let joined = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
        at += bytes[at..].iter().take_while(joined).count().max(1);
    }
    false
}

/// Whether a card's number stands at the beginning.
fn is_card(bytes: &[u8]) -> bool {
    let (mut digits, mut length, mut group) = ([0u8; 19], 0, 0);
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            digit if digit.is_ascii_digit() => {
                if length == digits.len() {
                    return false;
                }
                digits[length] = digit - b'0';
                (length, group) = (length + 1, group + 1);
            }
            b' ' | b'-' if group >= 4 && length < 16 && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => {
                group = 0
            }
            byte if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) => return false,
            _ => break,
        }
        at += 1;
    }
    let digits = &digits[..length];
    let begins = matches!(digits, [3..=6, ..] | [2, 2..=7, ..]);
    length >= 13 && group >= 3 && begins && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let weighted = digits.iter().rev().enumerate().map(|(at, digit)| match (at % 2, u32::from(*digit)) {
        (0, digit) => digit,
        (_, digit) if digit > 4 => 2 * digit - 9,
        (_, digit) => 2 * digit,
    });
    weighted.sum::<u32>() % 10 == 0
}

fn has_token(text: &str) -> bool {
    let part = |c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c));
    text.split(part).any(is_token) || has_scheme(text) || has_password(text)
}

/// `Bearer` or `Basic` with what looks like a credential.
fn has_scheme(text: &str) -> bool {
    let mut words = text.split_ascii_whitespace().peekable();
    while let Some(word) = words.next() {
        let scheme = ["bearer", "basic"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
        let credential = |next: &&str| next.len() >= 16 || next.bytes().any(|byte| byte.is_ascii_digit());
        if scheme && words.peek().is_some_and(|next| next.len() >= 8 && credential(next)) {
            return true;
        }
    }
    false
}

/// `scheme://user:password@host`
fn has_password(text: &str) -> bool {
    text.match_indices("://").any(|(at, _)| {
        let authority = text[at + 3..].split(['/', '?', '#', ' ']).next().unwrap_or_default();
        authority.split_once('@').is_some_and(|(user, _)| user.contains(':'))
    })
}

/// Keys whose makers mark them, with the fewest bytes after the mark.
const MARKED: [(&str, usize); 17] = [
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 35),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghu_", 30),
    ("ghs_", 30),
    ("ghr_", 30),
    ("github_pat_", 30),
    ("glpat-", 16),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xoxs-", 10),
    ("sk_live_", 10),
    ("sk_test_", 10),
    ("rk_live_", 10),
];

fn is_token(word: &str) -> bool {
    let marked = |(mark, least): &(&str, usize)| {
        word.strip_prefix(mark).is_some_and(|rest| {
            rest.len() >= *least
                && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        })
    };
    is_jwt(word) || MARKED.iter().any(marked)
}

/// RFC 7519: three parts in base64url, of which the first begins an object.
fn is_jwt(word: &str) -> bool {
    let Some(rest) = word.strip_prefix("eyJ") else { return false };
    let mut parts = rest.split('.');
    let base64 = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-=".contains(&byte));
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    header.len() >= 8 && claims.len() >= 8 && [header, claims, signature].into_iter().all(base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N";

    fn kind_of(value: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.is_in(value))
    }

    #[test]
    fn personal_and_secret_values_are_known_and_what_facts_are_made_of_is_not_taken_for_them() {
        let table = [
            ("jane@example.com", Some(Kind::Email)),
            ("Jane Doe <jane.d+x@mail.example.co.uk>", Some(Kind::Email)),
            ("by jane@example.com: approved", Some(Kind::Email)),
            ("jane%40example.com", Some(Kind::Email)),
            ("4111111111111111", Some(Kind::Card)),
            ("card 4111-1111-1111-1111, paid", Some(Kind::Card)),
            ("5555 5555 5555 4444", Some(Kind::Card)),
            ("378282246310005", Some(Kind::Card)),
            ("Bearer abcdef0123456789", Some(Kind::Token)),
            ("authorization: basic YWxpY2U6aHVudGVyMg==", Some(Kind::Token)),
            (JWT, Some(Kind::Token)),
            ("AKIAIOSFODNN7EXAMPLE", Some(Kind::Token)),
            ("key=AKIAIOSFODNN7EXAMPLE;", Some(Kind::Token)),
            ("postgres://app:hunter2@db:5432/shop", Some(Kind::Token)),
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", Some(Kind::PrivateKey)),
            // What versions, images, places and flags look like.
            ("1.4.2-rc.1+build.20260101", None),
            ("4111111111111112", None),
            ("41111111111111110000000", None),
            ("4111111111111111.5", None),
            ("1700000000000000000", None),
            ("2026-11-21 19:41:24", None),
            ("sha256:4111111111111111aabbccdd", None),
            ("ghcr.io/shop/cart@sha256:0a1b2c3d", None),
            ("git@github.com:shop/cart.git", None),
            ("@opentelemetry/sdk-node@1.30.0", None),
            ("basic authentication", None),
            ("bearer of news", None),
            ("eyJ", None),
            ("https://shop.example:8443/a?b=c@d", None),
            ("0b1f6a3e-1111-4222-8333-944445555666", None),
            ("ubuntu 24.04.1 LTS", None),
            ("", None),
        ];
        for (value, expected) in table {
            assert_eq!(kind_of(value), expected, "{value}");
        }
    }

    #[test]
    fn hidden_values_stay_equal_or_different_and_cannot_be_read_or_looked_up() {
        let (policy, process, other) = (Redaction::default(), HashKey::random(), HashKey::random());
        let kept = |key: &str, value: &str| policy.kept(&process, key, value.to_owned());
        let jane = kept("owner", "jane@example.com");
        assert!(jane.starts_with("[REDACTED email ") && !jane.contains("jane"), "{jane}");
        assert_eq!(jane, kept("owner", "jane@example.com"));
        assert_ne!(jane, kept("owner", "joe@example.com"));
        assert_ne!(jane, policy.kept(&other, "owner", "jane@example.com".to_owned()), "another process");
        assert_eq!(shown(&jane), "[REDACTED email]");
        assert_eq!(shown(&kept("process.command_args", "--pw=x")), "[REDACTED]");
        for plain in ["1.4.2", "[REDACTED]", "[REDACTED by hand]", ""] {
            assert_eq!((kept("service.version", plain).as_str(), &*shown(plain)), (plain, plain));
        }
        let keyed = Redaction { key: Some(HashKey::of("long text")), ..Redaction::default() };
        let of = |process| keyed.kept(process, "owner", "jane@example.com".to_owned());
        assert_eq!(of(&process), of(&other), "the configured key is the same in every process");
        assert!(!format!("{keyed:?}").contains("long text"));
    }

    #[test]
    fn keys_hide_whatever_their_values_are_and_may_be_named_or_left_out() {
        let process = HashKey::random();
        let policy = Redaction {
            action: Action::Mask,
            keys: vec!["*.customer.*".to_owned()],
            ignored_keys: vec!["user.locale".to_owned()],
            ..Redaction::default()
        };
        for (key, hidden) in [
            ("http.request.header.Authorization", true),
            ("http.response.header.set-cookie", true),
            ("app_info[db_password]", true),
            ("user.name", true),
            ("user.locale", false),
            ("shop.customer.name", true),
            ("app_info[shop.customer.name]", true),
            ("gen_ai.usage.input_tokens", false),
            ("feature_flag.new_password_form", false),
            ("otel.scope[passport.secret]", false),
            ("service.version", false),
        ] {
            let kept = policy.kept(&process, key, "plain".to_owned());
            assert_eq!(kept, if hidden { "[REDACTED]" } else { "plain" }, "{key}");
        }
        let off = Redaction { action: Action::Keep, ..policy };
        assert_eq!(off.kept(&process, "user.name", "jane".to_owned()), "jane");
    }
}
