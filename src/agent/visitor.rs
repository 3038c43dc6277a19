//! What the command line reads of an agent, over its page's API.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    auth::{self, AuthError},
    client::{Connections, USER_AGENT, chain_of, connector, words_of},
    tls::TlsError,
};
use crate::config::{ClientAuth, ClientTls};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the agent may say nothing; its engine may be judging.
const SILENCE_MOST: Duration = Duration::from_secs(60);

/// Why an agent was not read.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// Not the address of a page.
    #[error(
        "{url:?} is no address of an agent's page: {cause}; write http://HOST:4319, or with tenants \
         http://HOST:4319/tenants/NAME"
    )]
    Address {
        /// As it was given.
        url: String,
        /// What is wrong.
        cause: String,
    },
    /// The certificates are unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The credential is unusable.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// No whole answer came.
    #[error("cannot read {url}: {cause}")]
    Unanswered {
        /// What was asked for.
        url: String,
        /// What happened.
        cause: String,
    },
    /// The agent answered otherwise.
    #[error("{url} answers {status}: {said}")]
    Refused {
        /// What was asked for.
        url: String,
        /// The status.
        status: StatusCode,
        /// The agent's words.
        said: String,
    },
}

/// Reads the pages of one agent.
pub struct Visitor {
    /// What stands before the paths.
    base: String,
    connections: Connections<Empty<Bytes>>,
    credential: Option<HeaderValue>,
}

/// How a page says what is wrong.
#[derive(Deserialize)]
struct Said {
    error: String,
}

impl Visitor {
    /// A visitor of the page at a URL, which may end with the folder of a tenant. It connects when it reads.
    ///
    /// # Errors
    /// [`VisitError`] for settings that can never work.
    pub fn new(url: &str, tls: &ClientTls, auth: Option<&ClientAuth>) -> Result<Visitor, VisitError> {
        let bad = |cause: &str| VisitError::Address { url: url.to_owned(), cause: cause.to_owned() };
        let parsed: Uri = url.parse().map_err(|cause: http::uri::InvalidUri| bad(&cause.to_string()))?;
        let secured = match parsed.scheme_str() {
            Some("http") => None,
            Some("https") => Some(tls),
            _ => return Err(bad("it begins with neither http:// nor https://")),
        };
        if parsed.query().is_some() {
            return Err(bad("it has a query"));
        }
        let credential = auth.map(|auth| auth::credential("the credential", auth)).transpose()?;
        Ok(Visitor {
            base: url.trim_end_matches('/').to_owned(),
            connections: connector(secured, CONNECT_TIMEOUT, false)?,
            credential: credential.map(|credential| HeaderValue::clone(&credential.load())),
        })
    }

    /// What the page has at a path, which may have a query; at most so many bytes.
    ///
    /// # Errors
    /// [`VisitError`]
    pub async fn read(&self, path: &str, most: usize) -> Result<Bytes, VisitError> {
        let url = format!("{}{path}", self.base);
        let broken = |cause: String| VisitError::Unanswered { url: url.clone(), cause };
        let silent = |_| broken(format!("nothing came for {SILENCE_MOST:?}"));
        let mut request = Request::get(&url).header(header::USER_AGENT, USER_AGENT);
        if let Some(credential) = &self.credential {
            request = request.header(header::AUTHORIZATION, credential);
        }
        let request = request.body(Empty::new()).map_err(|cause| broken(cause.to_string()))?;
        let answered = timeout(SILENCE_MOST, self.connections.request(request)).await.map_err(silent)?;
        let (head, mut body) = answered.map_err(|cause| broken(chain_of(&cause)))?.into_parts();
        let mut bytes = Vec::new();
        while let Some(frame) = timeout(SILENCE_MOST, body.frame()).await.map_err(silent)? {
            let frame =
                frame.map_err(|cause| broken(format!("the answer broke off: {}", chain_of(&cause))))?;
            let part = frame.into_data().unwrap_or_default();
            if bytes.len() + part.len() > most {
                return Err(broken(format!("the answer has more than {most} bytes")));
            }
            bytes.extend_from_slice(&part);
        }
        if head.status.is_success() {
            return Ok(bytes.into());
        }
        let said = match serde_json::from_slice::<Said>(&bytes) {
            Ok(Said { error }) => error,
            Err(_) => words_of(&bytes),
        };
        Err(VisitError::Refused { url, status: head.status, said })
    }
}
