//! What every page of isotel has in common: by which names and by whom it may be asked for, and what a browser may do with it.
//!
//! A page on localhost is read by every site that a person visits, once its name points to 127.0.0.1 (DNS rebinding). Such a
//! request names the site in `Host`: a name that is not ours is refused before anything else is looked at.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version, header, uri::Authority};
use http_body_util::Full;
use tonic::body::Body;

use super::auth::{self, AuthError, Guard};
use super::tenants::{Reading, Refused, Tenants};
use crate::config::Page;
use crate::model::environment::glob;

/// In every answer, unless the page says otherwise.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Stands before a page.
pub(crate) struct Door {
    key: String,
    guard: Option<Guard>,
    /// Names and patterns of names, in small letters.
    hosts: Vec<String>,
}

impl Door {
    /// The door of a page; the credentials of its authenticator are read now.
    pub(crate) fn of(page: &Page) -> Result<Door, AuthError> {
        let named = page.hosts.iter().chain([&page.endpoint.0]);
        Ok(Door {
            key: page.key.clone(),
            guard: Guard::of(&page.key, page.auth.as_ref()).transpose()?,
            hosts: named.map(|name| name.to_ascii_lowercase()).collect(),
        })
    }

    /// Lets `page` answer whom the door lets through.
    pub(crate) fn answer<B>(
        &self,
        request: &Request<B>,
        page: impl FnOnce(&Request<B>) -> Response<Body>,
    ) -> Response<Body> {
        dressed(self.refusal(request).unwrap_or_else(|| page(request)))
    }

    /// Whose page a request asks for, where each tenant has one of its own; or what is answered instead. Whatever is answered is
    /// to be [`dressed`].
    pub(crate) fn reader<'t, 'r, B, T>(
        &'t self,
        tenants: &'t Tenants<T>,
        request: &'r Request<B>,
    ) -> Result<Reading<'t, 'r, T>, Box<Response<Body>>> {
        if !self.named(request) {
            return Err(Box::new(self.misdirected()));
        }
        tenants.admit_reader(self.guard.as_ref(), request).map_err(|refused| {
            Box::new(match refused {
                Refused::Stranger(guard) => unauthenticated(guard),
                Refused::NoTenant(why) => said(StatusCode::NOT_FOUND, format!("{why}\n")),
            })
        })
    }

    /// The key of the page in the configuration.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    fn refusal<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        match (&self.guard, self.named(request)) {
            (_, false) => Some(self.misdirected()),
            (Some(guard), true) if !guard.admits(request.headers()) => Some(unauthenticated(guard)),
            _ => None,
        }
    }

    /// Whether the request asks for a name of this page. Who names none is no browser, which the protocol allows in HTTP/1.0.
    fn named<B>(&self, request: &Request<B>) -> bool {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let written = match (request.uri().authority(), hosts.next(), hosts.next()) {
            (Some(authority), _, None) => Some(authority.clone()),
            (None, Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
            (None, None, None) => return request.version() < Version::HTTP_11,
            _ => None,
        };
        written.is_some_and(|authority| self.knows(&authority.host().to_ascii_lowercase()))
    }

    fn knows(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        address.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.hosts.iter().any(|pattern| glob(pattern, host))
    }

    fn misdirected(&self) -> Response<Body> {
        let (key, status) = (&self.key, StatusCode::MISDIRECTED_REQUEST);
        let text = "this page does not go by the name in the request's Host";
        said(status, format!("{text}; ask by IP address or localhost, or add the name to {key}.hosts\n"))
    }
}

/// An answer with what every page says to browsers.
pub(crate) fn dressed(mut response: Response<Body>) -> Response<Body> {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn unauthenticated(guard: &Guard) -> Response<Body> {
    let mut response = said(StatusCode::UNAUTHORIZED, format!("{}\n", auth::REFUSED));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, guard.challenge());
    response
}

/// Instead of the page of somebody where it is not said of whom.
pub(crate) fn whose() -> Response<Body> {
    let text = "whose page? ask for /tenants/NAME/, or name the tenant in the header of parity.tenants\n";
    said(StatusCode::NOT_FOUND, text.to_owned())
}

fn said(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(text)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_by_addresses_localhost_and_its_own_names_only() {
        let page = Page {
            key: "page".to_owned(),
            endpoint: ("Isotel.internal".to_owned(), 8888),
            tls: None,
            auth: None,
            allow_from: Vec::new(),
            hosts: vec!["isotel".to_owned(), "*.svc.cluster.local".to_owned()],
        };
        let door = Door::of(&page).unwrap();
        let status = |uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().uri(uri).version(Version::HTTP_11);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            door.answer(&request.body(()).unwrap(), |_| Response::new(Body::empty())).status().as_u16()
        };
        for (host, expected) in [
            ("127.0.0.1:8888", 200),
            ("10.1.2.3", 200),
            ("[::1]:8888", 200),
            ("localhost:8888", 200),
            ("LOCALHOST.", 200),
            ("app.localhost", 200),
            ("isotel.internal:8888", 200),
            ("isotel", 200),
            ("isotel.ns.svc.cluster.local:8888", 200),
            ("evil.test", 421),
            ("localhost.evil.test", 421),
            ("127.0.0.1.evil.test", 421),
            ("svc.cluster.local.evil.test", 421),
            ("evil.test\\@127.0.0.1", 421),
            ("", 421),
        ] {
            assert_eq!(status("/metrics", &[host]), expected, "{host}");
        }
        assert_eq!(status("/metrics", &["localhost", "evil.test"]), 421);
        assert_eq!(status("/metrics", &[]), 421, "HTTP/1.1 must name a host");
        assert_eq!(status("http://evil.test/metrics", &["localhost"]), 421, "the target stands over Host");
        assert_eq!(status("http://isotel/metrics", &[]), 200);
    }
}
