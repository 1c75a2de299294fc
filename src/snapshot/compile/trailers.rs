//! The trailer fields of requests that a route lets pass.

use std::sync::Arc;

use crate::config::{Diagnostic, Diagnostics, RouteBody};
use crate::exchange::Name;
use crate::exchange::headers::{same_folded, valid_name};
use crate::exchange::trailers::request_may_trail;

/// The names that a route lists; what can never pass is reported.
pub(super) fn listed(body: &RouteBody, identity: &[String], out: &Diagnostics) -> Option<Arc<[Name]>> {
    let mut names: Vec<Name> = Vec::new();
    for text in &body.trailers {
        let (name, shown) = (text.as_str().to_ascii_lowercase(), text.shown());
        let (what, help) = if !valid_name(name.as_bytes()) {
            (format!("{shown} is not the name of a field"), "write a name such as `x-checksum`")
        } else if name.contains('*') {
            (format!("{shown} is not the name of a field"), "a `*` stands for nothing here: write each name")
        } else if identity.iter().any(|header| same_folded(header.as_bytes(), name.as_bytes())) {
            (format!("{shown} never passes behind a body: `auth` sets it"), "remove it")
        } else if !request_may_trail(name.as_bytes()) {
            let help =
                "what frames, routes or changes a request, or says who sends it, belongs into its head";
            (format!("{shown} never passes behind a body"), help)
        } else {
            names.push(name.into());
            continue;
        };
        out.add(Diagnostic::error(text.span(), what).help(help));
    }
    (!names.is_empty()).then(|| names.into())
}
