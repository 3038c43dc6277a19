//! Whose a request is, and who may come as that tenant.
//!
//! Without `parity.tenants` there is one tenant, which has no name, and no header is looked at. With it a request names its
//! tenant by a header, a page's reader by the header or by the address `/tenants/NAME/…`, and who names nobody known here is
//! refused: a name opens nothing that the configuration did not. What is common to all tenants is the process: its threads,
//! its memory limit and its requests in flight.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, Request};

use super::{
    auth::{AuthError, Guard},
    intake::Intake,
    logging::Throttle,
    receive::Receiver,
    results::Results,
    running::{AlertRoutes, ResultRoutes},
    telemetry::{PageText, RequestOutcome, Telemetry},
};
use crate::{
    config::{self, HttpOrGrpc as Transport},
    wire::Signal,
};

/// A log line tells of refused requests no more often.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// Where the pages of tenants are.
const FOLDER: &str = "/tenants/";

/// What one tenant brings along.
pub struct Hosted {
    /// Its name; `None` where there are no tenants.
    pub name: Option<String>,
    /// The door of its engine.
    pub intake: Arc<dyn Intake>,
    /// What its page of results shows.
    pub results: Arc<Results>,
    /// Its results as Prometheus text.
    pub prometheus: Option<PageText>,
}

/// One tenant at work.
pub(crate) struct Tenant {
    pub(crate) name: Option<String>,
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) shown: Arc<Results>,
    pub(crate) prometheus: Option<PageText>,
    /// The way for its results.
    pub(crate) results: ResultRoutes,
    /// The way for its alerts.
    pub(crate) alerts: AlertRoutes,
}

/// Why a request is nobody's. It would be nobody's again: its sender is not asked to come again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoTenant {
    /// The header is not there.
    #[error("the request names no tenant; set the header {0}")]
    Unnamed(HeaderName),
    /// It is there more than once.
    #[error("the request has the header {0} more than once")]
    Twice(HeaderName),
    /// Nobody of that name has a place here.
    #[error("the request's tenant is not known here; whoever runs isotel adds it under parity.tenants.known")]
    Unknown,
}

/// Why a request is not read.
pub(crate) enum Refused<'a> {
    /// It shows no credential that this guard knows.
    Stranger(&'a Guard),
    /// It is nobody's.
    NoTenant(NoTenant),
}

/// Something for each tenant, and how a request gets there.
pub(crate) struct Tenants<T> {
    listener: String,
    /// `None` where there are no tenants.
    header: Option<HeaderName>,
    /// By name.
    known: Vec<Known<T>>,
    default: Option<usize>,
    told: Throttle,
}

struct Known<T> {
    name: String,
    /// Stands in place of the listener's.
    guard: Option<Guard>,
    own: T,
}

/// What the reader of a page asks for.
pub(crate) struct Reading<'t, 'r, T> {
    /// Of whom; `None` where the request names nobody and nobody is meant by that.
    pub(crate) own: Option<&'t T>,
    /// What stands before the path in the addresses of this tenant's pages.
    pub(crate) root: &'r str,
    /// The rest.
    pub(crate) path: &'r str,
    /// Whether a credential was asked for.
    pub(crate) guarded: bool,
}

impl<T> Tenants<T> {
    /// The tenants of the listener at `key`; `own` is what it has for each. Credentials are read now.
    ///
    /// # Errors
    /// The key of an authenticator and its [`AuthError`].
    pub(crate) fn new(
        key: &str,
        settings: Option<&config::Tenants>,
        tenants: &[Tenant],
        own: impl Fn(&Tenant) -> T,
    ) -> Result<Tenants<T>, (String, AuthError)> {
        let mut known = Vec::new();
        for tenant in tenants {
            let name = tenant.name.clone().unwrap_or_default();
            let settings = settings.and_then(|all| all.known.iter().find(|known| known.name == name));
            let auth = settings.and_then(|settings| settings.auth.as_ref());
            let guard = Guard::of(key, auth).transpose();
            let guard = guard.map_err(|cause| (format!("parity.tenants.known.{name}"), cause))?;
            known.push(Known { guard, own: own(tenant), name });
        }
        let default = settings.and_then(|settings| settings.default.as_ref());
        Ok(Tenants {
            listener: key.to_owned(),
            // The configuration was refused if it cannot be one.
            header: settings.and_then(|settings| HeaderName::try_from(&settings.header).ok()),
            default: default.and_then(|name| known.iter().position(|known| known.name == *name)),
            known,
            told: Throttle::every(TELL_AGAIN),
        })
    }

    /// The same where nobody is meant by a request that names nobody.
    pub(crate) fn without_default(self) -> Tenants<T> {
        Tenants { default: None, ..self }
    }

    /// Whether there are any, and not only the one without a name.
    pub(crate) fn any(&self) -> bool {
        self.header.is_some()
    }

    /// Whether each asks for a credential of its own.
    pub(crate) fn are_guarded(&self) -> bool {
        self.any() && self.known.iter().all(|known| known.guard.is_some())
    }

    /// What there is for the tenant that a request names, if it shows what is asked of that tenant; `common` is asked where
    /// the tenant has no guard of its own.
    fn admit<'a>(&'a self, common: Option<&'a Guard>, headers: &HeaderMap) -> Result<&'a T, Refused<'a>> {
        let found = self.of(headers).and_then(|known| match (known, &self.header) {
            (None, Some(header)) => Err(NoTenant::Unnamed(header.clone())),
            (known, _) => Ok(known),
        });
        let known = self.let_in(found, common, headers)?;
        known.map(|known| &known.own).ok_or(Refused::NoTenant(NoTenant::Unknown))
    }

    /// The same of somebody who reads a page.
    pub(crate) fn admit_reader<'t, 'r, B>(
        &'t self,
        common: Option<&'t Guard>,
        request: &'r Request<B>,
    ) -> Result<Reading<'t, 'r, T>, Refused<'t>> {
        let path = request.uri().path();
        let named = path.strip_prefix(FOLDER).filter(|_| self.any());
        let (found, root, path) = match named {
            None => (self.of(request.headers()), "", path),
            Some(rest) => {
                let end = path.len() - rest.len() + rest.find('/').unwrap_or(rest.len());
                let (root, below) = path.split_at(end);
                let below = if below.is_empty() { "/" } else { below };
                (self.named(&root.as_bytes()[FOLDER.len()..]).map(Some), root, below)
            }
        };
        let known = self.let_in(found, common, request.headers())?;
        let guarded = common.is_some() || known.is_some_and(|known| known.guard.is_some());
        Ok(Reading { own: known.map(|known| &known.own), root, path, guarded })
    }

    /// Whom the headers of a request name; `None` if nobody, and nobody is meant by that.
    fn of(&self, headers: &HeaderMap) -> Result<Option<&Known<T>>, NoTenant> {
        let Some(header) = &self.header else { return Ok(self.known.first()) };
        let mut values = headers.get_all(header).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(self.default.and_then(|at| self.known.get(at))),
            (Some(name), None) => self.named(name.as_bytes()).map(Some),
            (Some(_), Some(_)) => Err(NoTenant::Twice(header.clone())),
        }
    }

    fn named(&self, name: &[u8]) -> Result<&Known<T>, NoTenant> {
        let at = self.known.binary_search_by(|known| known.name.as_bytes().cmp(name));
        at.ok().and_then(|at| self.known.get(at)).ok_or(NoTenant::Unknown)
    }

    /// Who is nobody's is asked for a credential first, so that a stranger does not learn who is known here.
    fn let_in<'a>(
        &'a self,
        found: Result<Option<&'a Known<T>>, NoTenant>,
        common: Option<&'a Guard>,
        headers: &HeaderMap,
    ) -> Result<Option<&'a Known<T>>, Refused<'a>> {
        let own = found.as_ref().ok().and_then(|known| known.as_ref()).and_then(|known| known.guard.as_ref());
        match own.or(common) {
            Some(guard) if !guard.admits(headers) => Err(Refused::Stranger(guard)),
            _ => found.map_err(|why| {
                if let Some(refused) = self.told.admit() {
                    let listener = &self.listener;
                    tracing::warn!(%listener, %why, refused, "requests of no known tenant are refused");
                }
                Refused::NoTenant(why)
            }),
        }
    }
}

/// What stands before the reading of an OTLP request.
pub(crate) struct Entrance {
    pub(crate) tenants: Tenants<Arc<Receiver>>,
    /// Whom the listener lets in.
    pub(crate) guard: Option<Guard>,
    /// The largest request, decompressed.
    pub(crate) limit: usize,
    pub(crate) telemetry: Arc<Telemetry>,
}

impl Entrance {
    /// Who takes a request with these headers. One that is refused is counted.
    pub(crate) fn admit(
        &self,
        transport: Transport,
        signal: Signal,
        headers: &HeaderMap,
    ) -> Result<&Receiver, Refused<'_>> {
        let admitted = self.tenants.admit(self.guard.as_ref(), headers);
        if let Err(refused) = &admitted {
            let outcome = match refused {
                Refused::Stranger(_) => RequestOutcome::Unauthenticated,
                Refused::NoTenant(_) => RequestOutcome::NoTenant,
            };
            self.telemetry.request(transport, signal, outcome);
        }
        admitted.map(|receiver| &**receiver)
    }
}
