//! An agent whose page a command reads.

use super::run::runtime;
use super::{Failure, complain};
use crate::agent::visitor::{VisitError, Visitor};
use crate::config::auth::{Password, users};
use crate::config::{ClientAuth, ClientTls, Identity, in_the_open};
use crate::report::text::{clean, clip};
use bytes::Bytes;
use clap::Args;
use http::StatusCode;
use std::path::{Path, PathBuf};

/// Characters of what an agent says.
const SAID_MOST: usize = 2_000;

/// Which agent, and what it is shown.
#[derive(Args)]
#[command(next_help_heading = "Agent")]
pub struct AgentArgs {
    /// The page of an agent, such as http://localhost:4319; with tenants http://localhost:4319/tenants/NAME
    #[arg(long, value_name = "URL")]
    pub agent: Option<String>,
    /// A file with the bearer token that the page asks for
    #[arg(long, value_name = "FILE", requires = "agent", conflicts_with = "user_file")]
    token_file: Option<PathBuf>,
    /// A file with user:password, where the page asks for that
    #[arg(long, value_name = "FILE", requires = "agent")]
    user_file: Option<PathBuf>,
    /// A PEM file of the authorities that https is checked with; those of the system without it
    #[arg(long, value_name = "FILE", requires = "agent")]
    ca_file: Option<String>,
    /// A PEM file with the certificate to show to a page that asks for one
    #[arg(long, value_name = "FILE", requires_all = ["agent", "key_file"])]
    cert_file: Option<String>,
    /// A PEM file with its private key
    #[arg(long, value_name = "FILE", requires_all = ["agent", "cert_file"])]
    key_file: Option<String>,
}

/// An agent that answers.
pub struct Reader {
    visitor: Visitor,
    runtime: tokio::runtime::Runtime,
}

impl AgentArgs {
    /// What reads the agent at a URL.
    pub fn reader(&self, url: &str) -> Result<Reader, Failure> {
        let auth = self.credential()?;
        if auth.is_some() && in_the_open(url) {
            complain("warning: the credential goes over the network as it is; use https://");
        }
        let pair = self.cert_file.clone().zip(self.key_file.clone());
        let tls = ClientTls {
            ca_file: self.ca_file.clone(),
            identity: pair.map(|(cert_file, key_file)| Identity { cert_file, key_file }),
            ..ClientTls::default()
        };
        let runtime = runtime()?;
        // The connections belong to it.
        let made = runtime.block_on(async { Visitor::new(url, &tls, auth.as_ref()) });
        let visitor = made.map_err(|error| Failure::Usage(format!("error: {error}")))?;
        Ok(Reader { visitor, runtime })
    }

    fn credential(&self) -> Result<Option<ClientAuth>, Failure> {
        if let Some(file) = &self.token_file {
            let (scheme, file) = ("Bearer".to_owned(), file.display().to_string());
            return Ok(Some(ClientAuth::BearerFile { scheme, file }));
        }
        self.user_file.as_deref().map(of_user).transpose()
    }
}

/// The first user of a file, whose password is not hashed.
fn of_user(file: &Path) -> Result<ClientAuth, Failure> {
    let failed = |why: &str| Failure::Usage(format!("error: {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| failed(&error.to_string()))?;
    let users = users(&text).map_err(|error| failed(&error.to_string()))?;
    match users.into_iter().next().map(|user| (user.name, user.password)) {
        Some((username, Password::Plain(password))) => Ok(ClientAuth::Basic { username, password }),
        _ => Err(failed("the password is hashed; write the password itself")),
    }
}

impl Reader {
    /// What the page has at a path; at most so many bytes.
    pub fn read(&self, path: &str, most: usize) -> Result<Bytes, Failure> {
        let read = self.runtime.block_on(self.visitor.read(path, most));
        read.map_err(|error| {
            let hint = match &error {
                VisitError::Refused { status: StatusCode::UNAUTHORIZED, .. } => {
                    "\n  hint: --token-file FILE, or --user-file FILE, with a credential of the page's authenticator"
                }
                VisitError::Unanswered { .. } => {
                    "\n  hint: --agent is the address of the page, such as http://localhost:4319"
                }
                _ => "",
            };
            let message = format!("error: {}{hint}", clip(&clean(&error.to_string()), SAID_MOST));
            match &error {
                VisitError::Refused { status, .. } if status.is_client_error() => Failure::Usage(message),
                _ => Failure::Io(message),
            }
        })
    }
}
