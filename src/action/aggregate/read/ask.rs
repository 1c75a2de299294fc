//! Reads what a source asks: method, path, query, lines and content.

use http::Method;

use crate::config::{Diagnostic, Field, Json, Schema, Section};
use crate::exchange::HeaderId;
use crate::exchange::headers::valid_name;
use crate::expression::{Place, Reference, Scope, Template, encode_value, load};

use super::super::source::{Ask, Content};

/// Any JSON.
pub(super) fn any() -> Schema {
    Schema::Object(Default::default())
}

/// Reads it; `None` after what is wrong was reported.
pub(super) fn ask(section: &Section<'_>, scope: &Scope) -> Option<Ask> {
    let path = section.get("path").and_then(|path| {
        let text = path.filled()?;
        if !text.as_str().starts_with(['/', '{']) {
            path.error("the path of a source starts with `/`", format!("write `/{}`", text.as_str()));
            return None;
        }
        load::template(&text, scope, Place::PathOrUrl, path.out())
    });
    let method = section.get("method").map_or(Some(Method::GET), method);
    let query =
        section.get("query").map_or(Some(Vec::new()), |query| values(query, scope, Place::Text, query_name));
    let headers = section
        .get("headers")
        .map_or(Some(Vec::new()), |headers| values(headers, scope, Place::Header, set_name));
    let forward_headers =
        section.get("forward_headers").map_or(Some(Vec::new()), |list| list.list_of(forwarded));
    let body = section.get("body").map_or(Some(Content::None), |body| content(body, scope));
    let deadline_header = match section.get("deadline_header") {
        None => Some(None),
        Some(field) => field.filled().and_then(|name| set_name(name.as_str(), field)).map(Some),
    };
    Some(Ask {
        method: method?,
        path: path?,
        query: query?,
        headers: headers?,
        forward_headers: forward_headers?,
        body: body?,
        deadline_header: deadline_header?,
    })
}

impl Ask {
    /// What its templates read.
    pub(super) fn references(&self) -> Vec<&Reference> {
        let named = self.query.iter().chain(&self.headers).map(|(_, value)| value);
        let mut found: Vec<&Reference> = named.chain([&self.path]).flat_map(Template::references).collect();
        if let Content::Json(json) = &self.body {
            found.extend(json.references());
        }
        found
    }
}

fn method(field: Field<'_>) -> Option<Method> {
    let text = field.filled()?;
    let upper = text.as_str().to_ascii_uppercase();
    if text.as_str() != upper {
        field.error(format!("`{}` is no method", text.as_str()), format!("write `{upper}`"));
        return None;
    }
    match Method::from_bytes(upper.as_bytes()) {
        Ok(method) if !matches!(method, Method::CONNECT | Method::TRACE) => Some(method),
        _ => {
            field.error(format!("a source is not called with `{upper}`"), "write a method such as `POST`");
            None
        }
    }
}

type NameOf = fn(&str, Field<'_>) -> Option<String>;

fn values(field: Field<'_>, scope: &Scope, place: Place, name_of: NameOf) -> Option<Vec<(String, Template)>> {
    let read = field.entries()?.into_iter().map(|(name, value)| {
        let label = Field::new(name.value, name.span, value.node(), value.out());
        let name = name_of(name.value, label);
        let template = load::template(&value.header_value()?, scope, place, value.out());
        Some((name?, template?))
    });
    read.collect::<Vec<_>>().into_iter().collect()
}

fn query_name(name: &str, _: Field<'_>) -> Option<String> {
    let mut encoded = String::new();
    encode_value(name.as_bytes(), &mut encoded);
    Some(encoded)
}

/// A line that the configuration may set.
fn set_name(name: &str, field: Field<'_>) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let id = HeaderId::folded(lower.as_bytes());
    let owned = id.hop_by_hop()
        || id.gateway_owned()
        || matches!(id, HeaderId::ContentLength | HeaderId::Host | HeaderId::Expect);
    if !valid_name(lower.as_bytes()) || owned {
        let what = format!("`{name}` cannot be set for a source");
        let help = "the gate itself says it, or it is no header name";
        field.out().add(Diagnostic::error(field.label(), what).help(help));
        return None;
    }
    Some(lower)
}

/// A line of the client's that may pass: not one that speaks of the connection, of its own body, or of the answer it has.
fn forwarded(field: Field<'_>) -> Option<String> {
    let name = field.filled()?.into_string().to_ascii_lowercase();
    let id = HeaderId::folded(name.as_bytes());
    let conditional = name.starts_with("if-") || matches!(name.as_str(), "range" | "content-encoding");
    let own = id.hop_by_hop()
        || id.gateway_owned()
        || matches!(
            id,
            HeaderId::ContentLength | HeaderId::Host | HeaderId::Expect | HeaderId::AcceptEncoding
        );
    if !valid_name(name.as_bytes()) || own || conditional {
        let what = format!("`{name}` of the client never reaches a source");
        field.error(what, "it speaks of the client's own request or answer: remove it");
        return None;
    }
    Some(name)
}

fn content(body: Field<'_>, scope: &Scope) -> Option<Content> {
    if !body.is_map() && !body.is_list() {
        return Some(Content::Text(body.text()?.into_string().into()));
    }
    let json: Json = body.json()?;
    load::json_template(&json, scope, body).map(Content::Json)
}
