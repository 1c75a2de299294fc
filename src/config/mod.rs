//! Text into a typed configuration: `text -> Document -> Config`, with everything that is wrong at once.
//!
//! This room knows no runtime type: what a policy, an action or a store means is read by its kind, from the
//! [`Field`] or [`Node`] that is kept for it. Start reading at `open.rs`; then `load.rs` (files, folders),
//! `parse.rs` (YAML to a tree with places), `expand.rs` (`${NAME}`), `field.rs` and `section.rs` (typed reading),
//! `model.rs` (the whole as written), `check.rs` (what only the whole shows), `render.rs` (what the operator sees).

mod addresses;
mod cache;
mod check;
mod cidr;
mod condition;
mod diagnostic;
mod document;
mod expand;
mod field;
mod inherit;
mod json;
mod kind;
mod listener;
mod load;
mod merge;
mod model;
mod names;
mod open;
mod outline;
mod overload;
mod parse;
mod path_rules;
mod pattern;
mod pem;
mod policies;
mod public;
mod redis;
mod regex;
mod render;
mod rewrites;
mod route;
mod schema;
mod section;
pub mod shape;
mod span;
mod suggest;
mod text;
mod tls;
mod trusted;
mod units;
mod upstream;
mod url;
mod web_origin;

pub use cache::CacheBounds;
pub use cidr::{Cidr, NotCidr};
pub use condition::{Match, Named, Test};
pub use diagnostic::{Diagnostic, Diagnostics, Note, Severity};
pub use document::{Entry, Node, Scalar, ScalarType, Style, Value};
pub use expand::Environment;
pub use field::{Field, not_yet};
pub use inherit::{InForce, Origin, Part, in_force};
pub use json::{Json, write_string};
pub use kind::Kind;
pub use listener::{InterimAnswers, Limits, Listener};
pub use load::{Document, document, document_from_text, tree_from_text};
pub use model::{AccessLog, Config, Definition, LogFormat};
pub use names::Name;
pub use open::{Loaded, load, load_text};
pub use outline::{Changes, Outline};
pub use overload::Overload;
pub use path_rules::PathRules;
pub use pattern::{BadKey, Pattern, RouteKey, Segment, parse as parse_route_key};
pub use pem::{PemFile, Secret, bytes as pem_bytes};
pub use policies::{INHERITING, Policies, Policy, Vocabulary};
pub use redis::{Node as RedisNode, Redis, Tls as RedisTls};
pub use regex::{BadRegex, bytes_regex, regex};
pub use rewrites::{Cookies, Rewrites};
pub use route::{Action, HostHeader, Route, RouteBody, Target, target};
pub use schema::{Holes, schema};
pub use section::{Key, Presence, Schema, Section};
pub use span::{FileId, Files, Span, Spanned};
pub use suggest::nearest;
pub use text::Text;
pub use tls::{CertificateFiles, ClientCertificates, ListenerTls, TlsVersion};
pub use trusted::{TrustedHeader, TrustedHeaders};
pub use units::{duration, duration_text};
pub use upstream::{
    AnswerLimits, Balance, Breaker, Concurrency, Discover, Endpoint, Endpoints, Health, Hedge, HttpVersion,
    Outliers, Probe, Retry, RetryOn, Timeouts, Upstream, UpstreamSettings, UpstreamTls,
};
pub use url::{Host, HostPattern, Url};
pub use web_origin::OriginPattern;
