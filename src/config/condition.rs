//! `match`: what else than path and method a request must have for a route to answer it.

use std::sync::Arc;

use super::cidr::Cidr;
use super::diagnostic::Diagnostic;
use super::field::Field;
use super::section::{Key, Schema, Section};
use super::shape;
use super::span::Spanned;
use super::text::{Text, quoted};
use super::url::HostPattern;

/// The conditions of a route; all must hold.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// Headers by name, in lower case.
    pub headers: Vec<Named>,
    /// Query parameters by name.
    pub query: Vec<Named>,
    /// Cookies by name.
    pub cookies: Vec<Named>,
    /// Hosts, one of which must be meant; empty means all.
    pub hosts: Vec<Spanned<HostPattern>>,
    /// Networks, one of which must hold the client; empty means all.
    pub client_ip: Vec<Cidr>,
    /// A CEL condition.
    pub when: Option<Text>,
}

/// What one header, parameter or cookie must be.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name.
    pub name: Spanned<Arc<str>>,
    /// What its value must be.
    pub test: Test,
}

/// What a value must be.
#[derive(Clone, Debug)]
pub enum Test {
    /// This value.
    Equals(Text),
    /// There (true) or absent (false).
    Present(bool),
    /// Where this regular expression, which was checked, is found (anywhere, unless it is anchored).
    Regex(Text),
}

const MATCH: &[Key] = &[
    Key::optional("headers", tests_schema, "Headers and what they must be"),
    Key::optional("query", tests_schema, "Query parameters and what they must be"),
    Key::optional("cookies", tests_schema, "Cookies and what they must be"),
    Key::optional("hosts", shape::texts, "Hosts, one of which must be meant"),
    Key::optional("client_ip", shape::texts, "Networks, one of which must hold the client"),
    Key::optional("when", shape::cel, "A CEL condition"),
];

const TEST: &[Key] = &[
    Key::optional("present", shape::boolean, "Whether it must be there"),
    Key::optional(
        "regex",
        shape::text,
        "A regular expression found in the value; anchor it with ^ and $ to match the whole",
    ),
];

fn tests_schema() -> Schema {
    shape::map(shape::any(vec![shape::text(), shape::object(TEST)]))
}

/// The schema of `match`.
pub(super) fn schema() -> Schema {
    shape::object(MATCH)
}

/// Reads `match`.
pub(super) fn read(field: Field<'_>) -> Option<Match> {
    let section = Section::open(field, MATCH)?;
    if field.node().entries().is_empty() {
        field.error("an empty `match` asks for nothing", "name a condition, or remove the key");
    }
    Some(Match {
        headers: section.read("headers", Vec::new(), headers),
        query: section.read("query", Vec::new(), |f| tests(f, false)),
        cookies: section.read("cookies", Vec::new(), |f| tests(f, false)),
        hosts: section.read("hosts", Vec::new(), |f| {
            f.list_of(|item| item.host_pattern().map(|host| Spanned::new(host, item.span())))
        }),
        client_ip: section.read("client_ip", Vec::new(), |f| f.list_of(|item| item.cidr())),
        when: section.get("when").and_then(|f| f.cel()),
    })
}

fn headers(field: Field<'_>) -> Option<Vec<Named>> {
    let list = tests(field, true)?;
    for (index, named) in list.iter().enumerate() {
        let twin = list[..index].iter().find(|other| other.name.value == named.name.value);
        if let Some(twin) = twin {
            let what = format!("the header {} is written twice", quoted(&named.name.value));
            let diagnostic =
                Diagnostic::error(named.name.span, what).help("names of headers do not count case");
            field.out().add(diagnostic.note(twin.name.span, "first written here"));
        }
    }
    Some(list)
}

fn tests(field: Field<'_>, header: bool) -> Option<Vec<Named>> {
    let mut list = Vec::new();
    for (key, value) in field.entries()? {
        // RFC 9110 section 5.6.2: the name of a header is a token.
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if key.value.is_empty() || (header && !key.value.bytes().all(token)) {
            let what = format!("{} is not the name of a header", quoted(key.value));
            field.out().add(Diagnostic::error(key.span, what));
            continue;
        }
        let name = if header { key.value.to_ascii_lowercase() } else { key.value.to_owned() };
        if let Some(test) = test(value) {
            list.push(Named { name: Spanned::new(name.into(), key.span), test });
        }
    }
    Some(list)
}

fn test(field: Field<'_>) -> Option<Test> {
    if !field.is_map() {
        return field.header_value().map(Test::Equals);
    }
    let section = Section::open(field, TEST)?;
    let chosen = section.exactly_one(&["present", "regex"])?;
    if chosen.name() == "present" {
        return chosen.boolean().map(Test::Present);
    }
    let text = chosen.text()?;
    match super::regex::bytes_regex(text.as_str()) {
        Ok(_) => Some(Test::Regex(text)),
        Err(error) => {
            error.report(&text, chosen.out());
            None
        }
    }
}
