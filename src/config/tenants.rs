//! Who is kept apart: the section `parity.tenants`.
//!
//! A checked tree flows in, [`Tenants`] flow out if there are any, or what is wrong.

use super::auth::{self, Authenticator, Authenticators};
use super::build::View;
use super::problem::Problems;
use super::tree::Node;
use crate::model::nearest::nearest;

/// Tenants of one agent; each has an engine, and every limit, of its own.
pub const TENANTS_MAX: usize = 64;
/// Bytes of a tenant's name.
const NAME_BYTES_MAX: usize = 64;
/// Headers that the protocols have another use for.
const TAKEN: [&str; 7] =
    ["authorization", "connection", "content-encoding", "content-length", "content-type", "host", "te"];

/// Who is kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenants {
    /// The header that names a request's tenant.
    pub header: String,
    /// Whose a request without the header is; without it such a request is refused.
    pub default: Option<String>,
    /// Everybody, by name; nobody else has an engine.
    pub known: Vec<Tenant>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The name, in letters that a header, a path and a file's name have in common.
    pub name: String,
    /// Who may come as this tenant, in place of whom the listener lets in.
    pub auth: Option<Authenticator>,
}

/// Whether a text may be a tenant's name.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.len() <= NAME_BYTES_MAX
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(plain)
}

/// Whether a text may be the name of a header that isotel has no other use for.
fn is_header(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let taken = TAKEN.iter().any(|taken| text.eq_ignore_ascii_case(taken));
    !text.is_empty() && text.bytes().all(token) && !taken && !text.to_ascii_lowercase().starts_with("grpc-")
}

pub(super) fn tenants(
    parity: &View<'_>,
    authenticators: &Authenticators,
    problems: &mut Problems,
) -> Option<Tenants> {
    let node = parity.child("tenants")?;
    let view = parity.section("tenants");
    let place = |key: &str| view.child(key).map_or(&node.place, |child| &child.place);
    let header = view.text("header");
    if !is_header(&header) {
        let message = format!("parity.tenants.header: {header:?} cannot name a tenant's header");
        let hint = "name a header of letters, digits, - and _ that has no other use, such as X-Scope-OrgID";
        problems.push(place("header").problem(message, Some(hint.to_owned())));
    }
    let entries = view.child("known").map_or(&[][..], Node::entries);
    if entries.is_empty() || entries.len() > TENANTS_MAX {
        let message = match entries.len() {
            0 => "parity.tenants.known: names no tenant".to_owned(),
            n => format!("parity.tenants.known: {n} tenants, and {TENANTS_MAX} are the most"),
        };
        let hint = "write `known: {shop: , search: }`; for more than that, run another isotel".to_owned();
        problems.push(place("known").problem(message, Some(hint)));
    }
    let mut known = Vec::new();
    for (name, place, section) in entries {
        if !is_name(name) {
            let hint = format!(
                "a name begins with a letter or digit, and has letters, digits, - _ . and {NAME_BYTES_MAX} bytes at the most"
            );
            problems.push(place.problem(format!("parity.tenants.known: {name:?} is not a name"), Some(hint)));
        }
        let key = format!("parity.tenants.known.{name}");
        let auth = auth::of_listener(section, &key, authenticators, problems);
        known.push(Tenant { name: name.clone(), auth });
    }
    known.sort_by(|one, other| one.name.cmp(&other.name));
    let default = view.said("default");
    if let Some(name) = default.as_ref().filter(|name| known.iter().all(|tenant| tenant.name != **name)) {
        let names = known.iter().map(|tenant| tenant.name.as_str());
        let hint = match nearest(name, names.clone(), 2.max(name.len() / 3)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known tenants: {}", names.collect::<Vec<_>>().join(", ")),
        };
        let message = format!("parity.tenants.default: {name:?} is not among parity.tenants.known");
        problems.push(place("default").problem(message, Some(hint)));
    }
    Some(Tenants { header, default, known })
}
