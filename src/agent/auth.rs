//! Who may come: the credential that a request shows against those of its listener's authenticator; and what an exporter
//! shows to say who it is.
//!
//! Credentials are kept as SHA-256 and compared in constant time, all of them for every request: how long it takes depends on
//! nothing but the length of what the sender wrote and the number of credentials.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, header};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use subtle::{Choice, ConstantTimeEq};

use super::logging::Throttle;
use super::renewed::Renewed;
use crate::config::{
    Authenticator, ClientAuth, Secret,
    auth::{CredentialError, Credentials, Password, User, tokens, users},
};

/// A log line tells of refused requests no more often.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// How often an exporter looks at the file of its token.
const TOKEN_INTERVAL: Duration = Duration::from_secs(1);
/// What a refused sender is told, whatever was wrong with its credential.
pub(crate) const REFUSED: &str = "the request shows no credential that is accepted here";

/// Why an authenticator could not be made. No credential is repeated.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The file could not be read.
    #[error("cannot read {path}: {cause}")]
    File {
        /// The file.
        path: String,
        /// The system's words.
        cause: std::io::Error,
    },
    /// The file does not hold credentials.
    #[error("{path}: {cause}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong with it.
        cause: CredentialError,
    },
    /// No header can carry it.
    #[error("the credential has characters that HTTP does not allow in a header")]
    Unsendable,
}

type Hash = [u8; 32];

enum Form {
    Bearer { scheme: String },
    Basic,
}

/// Lets in who shows one of the credentials, and tells of those who do not.
pub(crate) struct Guard {
    listener: String,
    authenticator: String,
    form: Form,
    hashes: Vec<Hash>,
    told: Throttle,
}

impl Guard {
    /// The guard of the listener at `key`, if it has an authenticator; its file is read now.
    pub(crate) fn of(key: &str, authenticator: Option<&Authenticator>) -> Option<Result<Guard, AuthError>> {
        let authenticator = authenticator?;
        Some(hashes(&authenticator.credentials).map(|(form, hashes)| Guard {
            listener: key.to_owned(),
            authenticator: authenticator.id.clone(),
            form,
            hashes,
            told: Throttle::every(TELL_AGAIN),
        }))
    }

    /// Whether a request with these headers may be read. One that may not is told of in the log, once in a while.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let admitted = self.shown(headers).is_some_and(|shown| self.knows(&shown));
        if !admitted {
            self.tell();
        }
        admitted
    }

    /// What `WWW-Authenticate` says.
    pub(crate) fn challenge(&self) -> HeaderValue {
        let challenge = match &self.form {
            Form::Bearer { scheme } => format!("{scheme} realm=\"isotel\""),
            Form::Basic => "Basic realm=\"isotel\", charset=\"UTF-8\"".to_owned(),
        };
        HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static("Bearer"))
    }

    /// The hashes of what a request shows, in each form that credentials are kept in.
    fn shown(&self, headers: &HeaderMap) -> Option<Vec<Hash>> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let space = value.as_bytes().iter().position(|byte| *byte == b' ')?;
        let (scheme, rest) = value.as_bytes().split_at(space);
        let expected = if let Form::Bearer { scheme } = &self.form { scheme } else { "Basic" };
        if !scheme.eq_ignore_ascii_case(expected.as_bytes()) {
            return None;
        }
        let shown = rest.trim_ascii();
        match self.form {
            Form::Bearer { .. } => Some(vec![of_token(shown)]),
            Form::Basic => {
                let pair = BASE64_STANDARD.decode(shown).ok()?;
                let colon = pair.iter().position(|byte| *byte == b':')?;
                let (name, password) = (&pair[..colon], &pair[colon + 1..]);
                let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, password);
                Some(vec![of_pair(b"plain", name, password), of_pair(b"SHA-1", name, sha1.as_ref())])
            }
        }
    }

    fn knows(&self, shown: &[Hash]) -> bool {
        let mut known = Choice::from(0);
        for hash in &self.hashes {
            for shown in shown {
                known |= hash.ct_eq(shown);
            }
        }
        known.into()
    }

    fn tell(&self) {
        if let Some(refused) = self.told.admit() {
            let (listener, authenticator) = (&self.listener, &self.authenticator);
            tracing::warn!(%listener, %authenticator, refused, "requests without a known credential are refused");
        }
    }
}

/// What `Authorization` says in the requests of the exporter at `key`. A token's file is read when a request is sent, at most
/// once a second; while it holds no token the last one goes on.
///
/// # Errors
/// [`AuthError`] for a file without a token.
pub(crate) fn credential(key: &str, auth: &ClientAuth) -> Result<Renewed<HeaderValue, AuthError>, AuthError> {
    let (files, auth) = match auth {
        ClientAuth::BearerFile { file, .. } => (vec![file.clone()], auth.clone()),
        _ => (Vec::new(), auth.clone()),
    };
    let interval = (!files.is_empty()).then_some(TOKEN_INTERVAL);
    Renewed::new(&format!("{key}.auth"), files, interval, move || match &auth {
        ClientAuth::Bearer { scheme, token } => authorization(scheme, token),
        ClientAuth::BearerFile { scheme, file } => {
            let tokens = read(file, tokens)?;
            authorization(scheme, tokens.first().unwrap_or(&Secret::default()))
        }
        ClientAuth::Basic { username, password } => {
            let pair = BASE64_STANDARD.encode(format!("{username}:{}", password.reveal()));
            authorization("Basic", &Secret::new(pair))
        }
    })
}

fn authorization(scheme: &str, credential: &Secret) -> Result<HeaderValue, AuthError> {
    let mut value = HeaderValue::try_from(format!("{scheme} {}", credential.reveal()))
        .map_err(|_| AuthError::Unsendable)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The credentials that are written in the configuration and in its files, as hashes.
fn hashes(credentials: &Credentials) -> Result<(Form, Vec<Hash>), AuthError> {
    Ok(match credentials {
        Credentials::Bearer { scheme, tokens: written, file } => {
            let read = file.as_deref().map(|path| read(path, tokens)).transpose()?.unwrap_or_default();
            let all = written.iter().chain(&read);
            let hashes = all.map(|token| of_token(token.reveal().as_bytes())).collect();
            (Form::Bearer { scheme: scheme.clone() }, hashes)
        }
        Credentials::Basic { users: written, file } => {
            let read = file.as_deref().map(|path| read(path, users)).transpose()?.unwrap_or_default();
            let others = read.iter().filter(|user| written.iter().all(|known| known.name != user.name));
            (Form::Basic, written.iter().chain(others).map(of_user).collect())
        }
    })
}

fn read<T>(path: &str, parse: impl Fn(&str) -> Result<Vec<T>, CredentialError>) -> Result<Vec<T>, AuthError> {
    let text =
        std::fs::read_to_string(path).map_err(|cause| AuthError::File { path: path.to_owned(), cause })?;
    parse(&text).map_err(|cause| AuthError::Content { path: path.to_owned(), cause })
}

fn of_user(user: &User) -> Hash {
    match &user.password {
        Password::Plain(password) => of_pair(b"plain", user.name.as_bytes(), password.reveal().as_bytes()),
        Password::Sha1(hash) => of_pair(b"SHA-1", user.name.as_bytes(), hash),
    }
}

fn of_token(token: &[u8]) -> Hash {
    finish(|context| context.update(token))
}

/// A name has no colon, so that different pairs are different texts.
fn of_pair(form: &[u8; 5], name: &[u8], password: &[u8]) -> Hash {
    finish(|context| [&form[..], name, b":", password].iter().for_each(|part| context.update(part)))
}

fn finish(update: impl FnOnce(&mut Context)) -> Hash {
    let mut context = Context::new(&SHA256);
    update(&mut context);
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
