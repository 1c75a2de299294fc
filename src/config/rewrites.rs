//! What of a service's answer is rewritten for the client: `rewrite_location` and `rewrite_cookies` of a route.

use super::section::{Schema, Section};
use super::shape;

/// What of an answer is rewritten where it names the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrites {
    /// `Location`, `Content-Location`, `Refresh` and `Link`.
    pub location: bool,
    /// `Set-Cookie`.
    pub cookies: Cookies,
}

/// What of a `Set-Cookie` is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookies {
    /// Nothing.
    None,
    /// A `Domain` that covers the service.
    Domain,
    /// That, and every `Path`.
    All,
}

impl Default for Rewrites {
    fn default() -> Self {
        Self { location: true, cookies: Cookies::Domain }
    }
}

const COOKIES: &[(&str, Cookies)] =
    &[("none", Cookies::None), ("domain", Cookies::Domain), ("all", Cookies::All)];

/// What `rewrite_location` means, for tables of keys.
pub(super) const LOCATION: &str = "Whether Location, Content-Location, Refresh and Link that lead to the service are rewritten (default true)";

/// What `rewrite_cookies` means, for tables of keys.
pub(super) const COOKIE: &str =
    "What of Set-Cookie is rewritten: `domain` (default), `all` (Domain and Path) or `none`";

/// The schema of `rewrite_cookies`.
pub(super) fn cookies_schema() -> Schema {
    shape::choice(&["none", "domain", "all"])
}

/// Reads both keys of a route.
pub(super) fn read(section: &Section<'_>) -> Rewrites {
    let default = Rewrites::default();
    Rewrites {
        location: section.read("rewrite_location", default.location, |f| f.boolean()),
        cookies: section.read("rewrite_cookies", default.cookies, |f| f.choice(COOKIES, &[])),
    }
}
