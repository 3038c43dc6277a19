//! Which pages of a browser may send over OTLP/HTTP: the Fetch standard's "CORS protocol", as collectors are asked for it.
//!
//! The browser refuses; these are the headers by which it decides. A request from elsewhere is therefore answered as any
//! other, and who may send is for the authenticator to say.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::body::Body;

use crate::config::Cors;
use crate::model::environment::glob;

/// What a page may send without being named, in `Access-Control-Allow-Headers`.
const USUAL: &str = "accept, content-type, x-requested-with";

/// The rules of one listener.
pub(crate) struct CorsRules {
    origins: Vec<String>,
    headers: HeaderValue,
    max_age: Option<HeaderValue>,
}

impl CorsRules {
    /// The rules that are configured. Names of headers that are none are left out.
    pub(crate) fn of(cors: &Cors) -> CorsRules {
        let named: Vec<_> = [USUAL].into_iter().chain(cors.headers.iter().map(String::as_str)).collect();
        CorsRules {
            origins: cors.origins.iter().map(|origin| origin.to_ascii_lowercase()).collect(),
            headers: HeaderValue::try_from(named.join(", ")).unwrap_or(HeaderValue::from_static(USUAL)),
            max_age: cors.max_age.map(|age| HeaderValue::from(age.as_secs())),
        }
    }

    /// The answer to the question that a browser asks before it sends.
    pub(crate) fn preflight<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let asks = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if request.method() != Method::OPTIONS || !asks {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        if self.allow(request.headers().get(header::ORIGIN), headers) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, self.allowed_headers(request));
            self.max_age.clone().map(|age| headers.insert(header::ACCESS_CONTROL_MAX_AGE, age));
        }
        Some(response)
    }

    /// Says in an answer that a page of this origin may read it, if it may.
    pub(crate) fn allow(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) -> bool {
        answer.append(header::VARY, HeaderValue::from_static("origin"));
        let Some(origin) = origin else { return false };
        let Ok(text) = origin.to_str() else { return false };
        let (text, anybody) = (text.to_ascii_lowercase(), self.origins.iter().any(|rule| rule == "*"));
        let allowed = anybody || self.origins.iter().any(|rule| glob(rule, &text));
        if allowed {
            let shown = if anybody { HeaderValue::from_static("*") } else { origin.clone() };
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, shown);
            // A browser shows its user's credentials only where an origin is meant by its name.
            if !anybody {
                let yes = HeaderValue::from_static("true");
                answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
        }
        allowed
    }

    /// The names that are allowed; where all are, those that are asked for, since `*` does not reach `authorization`.
    fn allowed_headers<B>(&self, request: &Request<B>) -> HeaderValue {
        let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let all = self.headers.as_bytes().ends_with(b" *");
        asked.filter(|_| all).unwrap_or(&self.headers).clone()
    }
}
