//! Where a service is.

use std::path::PathBuf;

use crate::config::diagnostic::Diagnostic;
use crate::config::field::Field;
use crate::config::section::{Key, Schema, Section};
use crate::config::shape;
use crate::config::url::Url;

/// One address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub url: Url,
    /// Its part of the calls, against those of the others.
    pub weight: u32,
}

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoints {
    /// What is written.
    Fixed(Vec<Endpoint>),
    /// What is found.
    Discovered(Discover),
}

impl Endpoints {
    /// One address.
    pub fn one(url: Url) -> Endpoints {
        Endpoints::Fixed(vec![Endpoint { url, weight: 1 }])
    }

    /// The URLs that are written, if any are.
    pub fn urls(&self) -> impl Iterator<Item = &Url> {
        let fixed = match self {
            Endpoints::Fixed(list) => list.as_slice(),
            Endpoints::Discovered(_) => &[],
        };
        fixed.iter().map(|endpoint| &endpoint.url)
    }
}

/// Who knows where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discover {
    /// SRV records of this name (RFC 2782).
    DnsSrv(String),
    /// A file with a list of endpoints.
    File(PathBuf),
}

const ENDPOINT: &[Key] = &[
    Key::needed("url", shape::url, "Where it is"),
    Key::optional("weight", shape::integer, "Its part of the calls (default 1)"),
];

const DISCOVER: &[Key] = &[
    Key::optional("dns_srv", shape::text, "The name whose SRV records tell it"),
    Key::optional("file", shape::path, "A file with a list of endpoints; it is watched"),
];

/// The endpoints of one service, at most.
const MAX_ENDPOINTS: usize = 1000;

pub(super) fn schema() -> Schema {
    shape::list(shape::any(vec![shape::url(), shape::object(ENDPOINT)]))
}

pub(super) fn discover_schema() -> Schema {
    shape::object(DISCOVER)
}

/// Reads the one of `url`, `endpoints` and `discover` that is written.
pub(super) fn read(section: &Section<'_>) -> Option<Endpoints> {
    let field = section.exactly_one(&["url", "endpoints", "discover"])?;
    match field.name() {
        "url" => field.url().map(Endpoints::one),
        "endpoints" => list(field),
        _ => discover(field),
    }
}

fn list(field: Field<'_>) -> Option<Endpoints> {
    let items = field.list()?;
    if items.is_empty() || items.len() > MAX_ENDPOINTS {
        let what = format!("{} endpoints", items.len());
        field.error(what, format!("a service has from 1 to {MAX_ENDPOINTS}"));
        return None;
    }
    let read: Vec<Option<Endpoint>> = items.iter().copied().map(endpoint).collect();
    let endpoints = read.into_iter().collect::<Option<Vec<Endpoint>>>()?;
    for (at, (item, one)) in items.iter().zip(&endpoints).enumerate() {
        if endpoints[..at].iter().any(|other| other.url == one.url) {
            item.out()
                .add(Diagnostic::error(item.span(), "this endpoint stands here twice").help("remove one"));
            return None;
        }
        if one.url.tls != endpoints[0].url.tls {
            let what = "endpoints of one service have the same scheme";
            item.out().add(
                Diagnostic::error(item.span(), what).help("write `https://` for all of them, or for none"),
            );
            return None;
        }
        if one.url.base != endpoints[0].url.base {
            let what = "endpoints of one service have the same path";
            item.out().add(Diagnostic::error(item.span(), what).help("put the path into `rewrite`"));
            return None;
        }
    }
    Some(Endpoints::Fixed(endpoints))
}

fn endpoint(field: Field<'_>) -> Option<Endpoint> {
    if !field.is_map() {
        return Some(Endpoint { url: field.url()?, weight: 1 });
    }
    let section = Section::open(field, ENDPOINT)?;
    let weight = section.read("weight", 1, |weight| u32::try_from(weight.integer(1..=1_000_000)?).ok());
    Some(Endpoint { url: section.get("url")?.url()?, weight })
}

fn discover(field: Field<'_>) -> Option<Endpoints> {
    let section = Section::open(field, DISCOVER)?;
    let one = section.exactly_one(&["dns_srv", "file"])?;
    Some(Endpoints::Discovered(match one.name() {
        "file" => Discover::File(one.path()?),
        _ => Discover::DnsSrv(one.filled()?.into_string()),
    }))
}
