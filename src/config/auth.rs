//! Who may come, and as whom isotel goes: the authenticators among the extensions, and which of them a listener or an
//! exporter names.
//!
//! A checked tree flows in; an [`Authenticator`] for each listener and a [`ClientAuth`] for each exporter that names one flow
//! out, or what is wrong. A file of
//! credentials is only named here: it is read where the agent runs, as the files of TLS are, with [`tokens`] or [`users`].
//! No message repeats a credential, and nothing here compares one.

use super::build::View;
use super::problem::Problems;
use super::schema;
use super::secret::{MASK, Secret};
use super::tree::{Node, Place};
use crate::model::nearest::nearest;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::collections::BTreeMap;
use std::fmt;

/// Credentials of one authenticator; each request is compared with all of them.
pub const CREDENTIALS_MAX: usize = 1_000;

/// An extension that says who may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticator {
    /// Its component id.
    pub id: String,
    /// What a request must show one of.
    pub credentials: Credentials,
}

/// What a request must show one of. What the file holds comes on top of what is written here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// `Authorization: <scheme> <token>`
    Bearer {
        /// The word before the token, whatever its case.
        scheme: String,
        /// Tokens.
        tokens: Vec<Secret>,
        /// A file with one token a line.
        file: Option<String>,
    },
    /// `Authorization: Basic <base64 of user:password>`
    Basic {
        /// Users; they stand over those of the same name in the file.
        users: Vec<User>,
        /// A file in htpasswd's form.
        file: Option<String>,
    },
}

/// Somebody with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: Password,
}

/// A password as htpasswd writes it.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// As it is.
    Plain(Secret),
    /// `{SHA}`: its SHA-1.
    Sha1([u8; 20]),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Why a text is no list of credentials. It does not repeat the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Nobody could send.
    #[error("holds no credential")]
    Empty,
    /// Too many to compare a request with.
    #[error("holds more than {CREDENTIALS_MAX} credentials")]
    Many,
    /// A line is no credential.
    #[error("line {line}: {cause}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        cause: String,
    },
}

/// The tokens of a text, one a line. Empty lines are passed over.
///
/// # Errors
/// [`CredentialError`]
pub fn tokens(text: &str) -> Result<Vec<Secret>, CredentialError> {
    lines(text, |line| token(line).map_err(str::to_owned))
}

/// The users of a text in htpasswd's form. Empty lines and those that begin with `#` are passed over.
///
/// # Errors
/// [`CredentialError`]; a password that is hashed by another method than `{SHA}` is one, since comparing with the hash's
/// text would let in whoever has read it.
pub fn users(text: &str) -> Result<Vec<User>, CredentialError> {
    let mut names = std::collections::BTreeSet::new();
    lines(text, |line| {
        if line.starts_with('#') {
            return Ok(None);
        }
        let (name, password) = line.split_once(':').ok_or("is not of the form user:password")?;
        if name.is_empty() || password.is_empty() {
            return Err("the user or the password is empty".to_owned());
        }
        if !names.insert(name.to_owned()) {
            return Err(format!("the user {name:?} stands here twice"));
        }
        Ok(Some(User { name: name.to_owned(), password: read_password(password)? }))
    })
}

fn lines<T>(
    text: &str,
    mut read: impl FnMut(&str) -> Result<Option<T>, String>,
) -> Result<Vec<T>, CredentialError> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        found.extend(read(line).map_err(|cause| CredentialError::Line { line: at + 1, cause })?);
        if found.len() > CREDENTIALS_MAX {
            return Err(CredentialError::Many);
        }
    }
    if found.is_empty() { Err(CredentialError::Empty) } else { Ok(found) }
}

/// A token as a header can carry it.
fn token(text: &str) -> Result<Option<Secret>, &'static str> {
    match text.trim() {
        "" => Err("a token is empty"),
        MASK => Err("the token was masked; write the token itself"),
        token if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err("a token holds spaces, control characters or characters outside ASCII")
        }
        token => Ok(Some(Secret::new(token))),
    }
}

fn read_password(text: &str) -> Result<Password, String> {
    if let Some(encoded) = text.strip_prefix("{SHA}") {
        let hash = BASE64_STANDARD.decode(encoded.trim_end()).ok().and_then(|hash| hash.try_into().ok());
        return hash
            .map(Password::Sha1)
            .ok_or_else(|| "{SHA} is not followed by a SHA-1 in base64".to_owned());
    }
    let known = [
        ("$2", "bcrypt"),
        ("$apr1$", "Apache's MD5"),
        ("$1$", "MD5"),
        ("$5$", "SHA-256"),
        ("$6$", "SHA-512"),
        ("{SSHA}", "salted SHA-1"),
    ];
    let named = known.iter().find(|(start, _)| text.starts_with(start)).map(|(_, name)| *name);
    let other = text.strip_prefix('$').is_some_and(|rest| rest.contains('$'));
    match named.or(other.then_some("another method")) {
        Some(name) => Err(format!(
            "a password hashed by {name} cannot be checked; use {{SHA}} (htpasswd -s) or plain text"
        )),
        None => Ok(Password::Plain(Secret::new(text))),
    }
}

/// What an exporter shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// `Authorization: <scheme> <token>`
    Bearer {
        /// The word before the token.
        scheme: String,
        /// The token.
        token: Secret,
    },
    /// The same with the first token of a file, read again when it changes.
    BearerFile {
        /// The word before the token.
        scheme: String,
        /// The file.
        file: String,
    },
    /// `Authorization: Basic <base64 of user:password>`
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
}

/// An extension with credentials: whom it lets in at listeners, and what it shows for exporters.
#[derive(Clone, Debug)]
pub(super) struct Defined {
    listeners: Option<Credentials>,
    exporters: Option<ClientAuth>,
}

/// The authenticators that are defined, by id; `None` where there is a problem with one.
pub(super) type Authenticators = BTreeMap<String, Option<Defined>>;

/// Reads every authenticator among the extensions, whether it is named or not.
pub(super) fn authenticators(root: &View<'_>, problems: &mut Problems) -> Authenticators {
    let extensions = root.child("extensions").map_or(&[][..], Node::entries);
    let mut found = BTreeMap::new();
    for (id, place, node) in extensions {
        let section = Extension { id, place, node };
        let defined = match id.split('/').next() {
            Some("bearertokenauth") => section
                .bearer(problems)
                .map(|credentials| Defined { exporters: shown(&credentials), listeners: Some(credentials) }),
            Some("basicauth") => section.basic(problems),
            _ => continue,
        };
        found.insert(id.clone(), defined);
    }
    found
}

/// What an exporter shows of the credentials that listeners take: the first.
fn shown(credentials: &Credentials) -> Option<ClientAuth> {
    let Credentials::Bearer { scheme, tokens, file } = credentials else { return None };
    let scheme = scheme.clone();
    match (tokens.first(), file) {
        (Some(token), _) => Some(ClientAuth::Bearer { scheme, token: token.clone() }),
        (None, Some(file)) => Some(ClientAuth::BearerFile { scheme, file: file.clone() }),
        (None, None) => None,
    }
}

struct Extension<'a> {
    id: &'a str,
    place: &'a Place,
    node: &'a Node,
}

impl Extension<'_> {
    fn bearer(&self, problems: &mut Problems) -> Option<Credentials> {
        let view = View::of(Some(self.node), &schema::BEARER_TOKEN_AUTH);
        let scheme = view.text("scheme");
        if scheme.is_empty()
            || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
        {
            let hint = Some("write one word, such as Bearer".to_owned());
            self.problem(&view, "scheme", "is not the name of a scheme", hint, problems);
            return None;
        }
        let said: Vec<_> =
            ["token", "tokens", "filename"].into_iter().filter(|name| view.has(name)).collect();
        let [said] = said[..] else {
            let hint = Some("write one of token, tokens and filename".to_owned());
            let what = if said.is_empty() { "says no token" } else { "says its tokens in more than one way" };
            problems.push(self.place.problem(format!("extensions.{}: {what}", self.id), hint));
            return None;
        };
        if said == "filename" {
            let file = view.said(said).filter(|path| !path.is_empty());
            if file.is_none() {
                self.problem(&view, said, "names no file", None, problems);
            }
            return file.map(|file| Credentials::Bearer { scheme, tokens: Vec::new(), file: Some(file) });
        }
        let texts = view.one_or_more(said);
        let tokens: Result<Vec<_>, _> = texts.iter().map(|text| token(text)).collect();
        let tokens: Vec<Secret> = match tokens {
            Ok(tokens) => tokens.into_iter().flatten().collect(),
            Err(cause) => {
                self.problem(&view, said, cause, None, problems);
                return None;
            }
        };
        let cause = match tokens.len() {
            0 => CredentialError::Empty,
            1..=CREDENTIALS_MAX => return Some(Credentials::Bearer { scheme, tokens, file: None }),
            _ => CredentialError::Many,
        };
        self.problem(&view, said, &cause.to_string(), None, problems);
        None
    }

    fn basic(&self, problems: &mut Problems) -> Option<Defined> {
        let view = View::of(Some(self.node), &schema::BASIC_AUTH);
        if !view.says("client_auth") {
            let listeners = self.htpasswd(problems)?;
            return Some(Defined { listeners: Some(listeners), exporters: None });
        }
        if view.says("htpasswd") {
            let hint =
                Some("define two extensions, such as basicauth/senders and basicauth/downstream".to_owned());
            let what = "has both htpasswd, for listeners, and client_auth, for exporters";
            problems.push(self.place.problem(format!("extensions.{}: {what}", self.id), hint));
            return None;
        }
        let client = view.section("client_auth");
        let (username, password) = (client.text("username"), client.text("password"));
        let cause = match (username.as_str(), password.as_str()) {
            ("", _) | (_, "") => "needs both username and password",
            (user, _) if user.contains(':') => "username: a user has no colon",
            (_, MASK) => "password: it was masked; write the password itself",
            _ => {
                let exporters = Some(ClientAuth::Basic { username, password: Secret::new(password) });
                return Some(Defined { listeners: None, exporters });
            }
        };
        self.problem(&view, "client_auth", cause, None, problems);
        None
    }

    fn htpasswd(&self, problems: &mut Problems) -> Option<Credentials> {
        let view = View::of(Some(self.node), &schema::BASIC_AUTH).section("htpasswd");
        let file = view.said("file").filter(|path| !path.is_empty());
        let users = match view.said("inline").as_deref().map(users) {
            Some(Ok(users)) => users,
            Some(Err(cause)) => {
                self.problem(&view, "inline", &cause.to_string(), None, problems);
                return None;
            }
            None if file.is_some() => Vec::new(),
            None => {
                let hint = Some(
                    "write htpasswd.file, htpasswd.inline, or both; for exporters client_auth".to_owned(),
                );
                problems.push(self.place.problem(format!("extensions.{}: names no user", self.id), hint));
                return None;
            }
        };
        Some(Credentials::Basic { users, file })
    }

    fn problem(&self, view: &View<'_>, key: &str, what: &str, hint: Option<String>, problems: &mut Problems) {
        let place = view.child(key).map_or(self.place, |node| &node.place);
        problems.push(place.problem(format!("extensions.{}.{key}: {what}", self.id), hint));
    }
}

/// The authenticator that a listener names, if its section has the key `auth`. A key that names none is a problem: the
/// listener would be open, and the file reads as if it were not.
pub(super) fn of_listener(
    section: &Node,
    key: &str,
    known: &Authenticators,
    problems: &mut Problems,
) -> Option<Authenticator> {
    let (id, node, defined) = named(section, key, known, problems)?;
    if let Some(credentials) = defined.listeners.clone() {
        return Some(Authenticator { id: id.to_owned(), credentials });
    }
    let hint = Some("write htpasswd in it, or name another".to_owned());
    let message = format!("{key}.auth: `{id}` says as whom exporters send, and not who may come");
    problems.push(node.place.problem(message, hint));
    None
}

/// What the exporter shows whose section has the key `auth`.
pub(super) fn of_exporter(
    section: &Node,
    key: &str,
    known: &Authenticators,
    problems: &mut Problems,
) -> Option<ClientAuth> {
    let (id, node, defined) = named(section, key, known, problems)?;
    if defined.exporters.is_none() {
        let hint = Some("write client_auth in it, or name another".to_owned());
        let message = format!("{key}.auth: `{id}` says who may come, and not as whom exporters send");
        problems.push(node.place.problem(message, hint));
    }
    defined.exporters.clone()
}

/// The extension that the key `auth` of a section names, where there is such a key.
fn named<'a>(
    section: &'a Node,
    key: &str,
    known: &'a Authenticators,
    problems: &mut Problems,
) -> Option<(&'a str, &'a Node, &'a Defined)> {
    let (_, place, auth) = section.entries().iter().find(|(name, _, _)| name == "auth")?;
    let ids = || known.keys().map(String::as_str);
    let hint = |near: Option<&str>| match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "define one, such as bearertokenauth, under extensions".to_owned(),
        None => format!("defined authenticators: {}", ids().collect::<Vec<_>>().join(", ")),
    };
    let Some(node) = auth.get("authenticator") else {
        problems.push(place.problem(format!("{key}.auth: names no authenticator"), Some(hint(None))));
        return None;
    };
    let id = node.text()?;
    if let Some(found) = known.get(id) {
        return found.as_ref().map(|defined| (id, node, defined));
    }
    let near = nearest(id, ids(), 2.max(id.len() / 3));
    let message = format!("{key}.auth: `{id}` is not an authenticator under extensions");
    problems.push(node.place.problem(message, Some(hint(near))));
    None
}
