//! One request and its answer: the words that every room speaks.
//!
//! Start with [`Exchange`]: everything that is known of one request while it walks through the gate. This room knows
//! no socket, no configuration and no other room.

pub mod address;
pub mod attempts;
pub mod authority;
pub mod body;
pub mod date;
pub mod error;
pub mod failure;
pub mod grpc;
pub mod headers;
pub mod identity;
pub mod interim;
pub mod kind;
pub mod number;
pub mod problem;
pub mod quota;
pub mod record;
pub mod syntax;
pub mod target;
#[cfg(test)]
pub(crate) mod testing;
pub mod trailers;
pub mod tunnel;
pub mod value;
pub mod via;

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use http::{Method, StatusCode, Version};

pub use attempts::Attempts;
pub use authority::Authority;
pub use body::{Body, BodyStream, Frame};
pub use date::http_date;
pub use error::Error;
pub use failure::{CallPhase, Cause, Extent, Failure, Party};
pub use headers::{HeaderId, Headers};
pub use identity::Identity;
pub use interim::Interims;
pub use kind::{Blame, ErrorKind};
pub use number::JsonNumber;
pub use quota::{Permit, Quota};
pub use record::Record;
pub use target::Target;
pub use trailers::Passing;
pub use tunnel::{Channel, Ended, EndedBy, Tunnel};
pub use value::{JsonValue, Members};
pub use via::Pseudonym;

use smallvec::SmallVec;

/// A shared name: of a listener, a route, an upstream, a policy.
pub type Name = std::sync::Arc<str>;

/// Which of the gate's cores (one thread, one runtime each) is at work: an index from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreId(pub usize);

/// Whether the client came over TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// Cleartext.
    Http,
    /// TLS, here or at a trusted proxy in front.
    Https,
}

impl Scheme {
    /// The scheme's name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The scheme's default port (RFC 9110 sections 4.2.1 and 4.2.2).
    pub const fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// Who sent the request, as far as the network tells.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The other end of the socket.
    pub peer: SocketAddr,
    /// The client's address: the peer's, or the first untrusted one from the right where the peer is a trusted proxy.
    pub ip: IpAddr,
    /// Whether the peer is a trusted proxy.
    pub trusted: bool,
    /// The scheme the client used.
    pub scheme: Scheme,
}

/// The request id: made here, or taken from a trusted proxy.
#[derive(Clone, Debug)]
pub enum RequestId {
    /// Made by the gate: a UUID in text.
    Made([u8; 36]),
    /// Taken over; `[A-Za-z0-9._-]{8,128}`.
    Given(Box<str>),
}

/// Each byte as two hex digits in lower case.
static HEX: [[u8; 2]; 256] = hex();

const fn hex() -> [[u8; 2]; 256] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        hex[byte] = [DIGITS[byte / 16], DIGITS[byte % 16]];
        byte += 1;
    }
    hex
}

impl RequestId {
    /// A new UUID version 7 (RFC 9562 section 5.7): unique, and sortable by time in logs.
    pub fn make(unix_millis: u64, random: u128) -> RequestId {
        let random = random.to_be_bytes();
        let mut ten = [0u8; 10];
        ten.copy_from_slice(&random[..10]);
        let uuid = uuid::Builder::from_unix_timestamp_millis(unix_millis, &ten).into_uuid();
        // Written here by a table, as every request needs one.
        let mut text = [b'-'; 36];
        let starts = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
        for (start, byte) in starts.into_iter().zip(uuid.as_bytes()) {
            text[start..start + 2].copy_from_slice(&HEX[usize::from(*byte)]);
        }
        RequestId::Made(text)
    }

    /// The id in a form that can stand in a header, if it may be taken over.
    pub fn given(text: &[u8]) -> Option<RequestId> {
        let fits = (8..=128).contains(&text.len())
            && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        fits.then(|| RequestId::Given(String::from_utf8_lossy(text).into()))
    }

    /// The id as the bytes of its text.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            RequestId::Made(text) => text,
            RequestId::Given(text) => text.as_bytes(),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        match self {
            RequestId::Made(text) => std::str::from_utf8(text).unwrap_or_default(),
            RequestId::Given(text) => text,
        }
    }
}

/// A request: as it came and was judged, or as it goes to an upstream.
#[derive(Debug)]
pub struct Request {
    /// The method; case-sensitive.
    pub method: Method,
    /// The normalised path and the query as sent.
    pub target: Target,
    /// The version the client spoke.
    pub version: Version,
    /// The lines, with exactly one `host`; framing and hop-by-hop lines have been taken out.
    pub headers: Headers,
    /// The content.
    pub body: Body,
}

impl Request {
    /// The host the client asked for, with its port if it sent one.
    pub fn host(&self) -> &str {
        std::str::from_utf8(self.host_bytes()).unwrap_or_default()
    }

    /// The same, as it stands in the head; it was judged when that was read.
    pub fn host_bytes(&self) -> &[u8] {
        self.headers.get_id(HeaderId::Host).unwrap_or_default()
    }
}

/// The media type of a stream of events.
const EVENTS: &[u8] = b"text/event-stream";

/// An answer, before it is framed for the client.
#[derive(Debug)]
pub struct Response {
    /// The final status.
    pub status: StatusCode,
    /// The lines without framing: `content-length` stands here only where there is no body to measure (HEAD, 304).
    pub headers: Headers,
    /// The content.
    pub body: Body,
}

impl Response {
    /// An answer without lines or content.
    pub fn new(status: StatusCode) -> Response {
        Response { status, headers: Headers::new(), body: Body::Empty }
    }

    /// Whether it is a stream of events (`text/event-stream`), which may go on for ever.
    pub fn is_events(&self) -> bool {
        let events = |media: &[u8]| {
            let (start, rest) = media.split_at_checked(EVENTS.len()).unwrap_or((media, b"-"));
            start.eq_ignore_ascii_case(EVENTS) && matches!(rest, [] | [b';' | b' ' | b'\t', ..])
        };
        self.headers.get_id(HeaderId::ContentType).is_some_and(events)
    }
}

/// A path parameter: where its raw value stands in the path. Its name is that of its position ([`Place::params`]): a
/// name held here would be a count that every core changes with every request.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// First byte in the normalised path.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// What stands still while an exchange runs: the names behind the numbers. Implemented by the pinned snapshot.
pub trait Place {
    /// The name of the listener the request came in by.
    fn listener(&self) -> &str;
    /// The name of a rule (the route's pattern as written), empty where none was found yet.
    fn route(&self, rule: Option<u32>) -> &str;
    /// A number made of everything that the rule says: another one once a reload has changed it.
    fn print(&self, rule: Option<u32>) -> u64 {
        let _ = rule;
        0
    }
    /// The names of a rule's path parameters, in the order of its pattern.
    fn params(&self, rule: Option<u32>) -> &[Name];
    /// The name of an upstream.
    fn upstream(&self, upstream: u32) -> &str;
    /// How the gate names itself to services; none where it does not.
    fn pseudonym(&self) -> Option<&Pseudonym> {
        None
    }
    /// Whether a header of this name says to services who the client is, in any spelling that they could fold into
    /// it. The name is in lower case.
    fn names_identity(&self, name: &[u8]) -> bool {
        let _ = name;
        false
    }
    /// The methods that a path takes, as the value of `Allow` (RFC 9110 section 10.2.1).
    fn allow(&self, path: &str) -> &str {
        let _ = path;
        ""
    }
}

/// What the end of an exchange's time bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Term {
    /// The wait for the answer's head, put off while an upload moves at a rate.
    #[default]
    Head,
    /// The wait for the head once the request is whole. A request that is a stream itself takes as long as it takes:
    /// only its gaps are bounded.
    Stream,
    /// The whole call, by the client's own word: that it ends says nothing about the service.
    Client,
}

/// One request on its walk through the gate, and the facts its log line will tell.
pub struct Exchange {
    /// The request id: sent to upstreams, to the client and to the log.
    pub id: RequestId,
    /// The core this exchange runs on.
    pub core: CoreId,
    /// Who is asking.
    pub client: Client,
    /// The point in time after which nobody waits for an answer's head any more.
    pub deadline: Instant,
    /// The request; what a client may not say has been taken out.
    pub request: Request,
    /// Whether it is a call of gRPC.
    pub grpc: bool,
    /// What the deadline bounds.
    pub term: Term,
    /// Takes interim answers to the client, where it gets any.
    pub interims: Option<Rc<dyn Interims>>,
    /// Who the client is, once authentication has run.
    pub identity: Option<std::sync::Arc<Identity>>,
    /// The path parameters of the matched rule, in the order of its pattern.
    pub params: SmallVec<[Param; 4]>,
    /// Where in the path the part that `*` matched begins; the path's length where the rule has none.
    pub rest: u32,
    /// The matched rule, as an index into the listener's rules.
    pub rule: Option<u32>,
    /// The names behind the numbers.
    pub place: Rc<dyn Place>,
    /// What the rate limits have said, in the order they were asked.
    pub quotas: SmallVec<[Quota; 2]>,
    /// Permits that the answer may give back.
    pub permits: Vec<Permit>,
    /// What the cache knows of the request until its answer comes.
    pub cached: Option<Box<dyn Any>>,
    /// What the log line will tell.
    pub record: Record,
}

impl Exchange {
    /// The path that trusted proxies in front have stripped, without a slash at its end; empty where there is none.
    pub fn outer_prefix(&self) -> &str {
        if !self.client.trusted {
            return "";
        }
        let mut lines = self.request.headers.all_id(HeaderId::XForwardedPrefix);
        match (lines.next(), lines.next()) {
            (Some(only), None) => std::str::from_utf8(only).unwrap_or_default().trim_end_matches('/'),
            _ => "",
        }
    }

    /// The raw value (still percent-encoded) of a path parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        let names = self.place.params(self.rule);
        self.param_at(names.iter().position(|other| **other == *name)?)
    }

    /// The raw value of the path parameter at this position of the pattern, from 0.
    pub fn param_at(&self, position: usize) -> Option<&str> {
        let param = self.params.get(position)?;
        self.request.target.path().get(param.start as usize..param.end as usize)
    }

    /// What `*` matched, from its slash on; empty where it matched nothing.
    pub fn rest(&self) -> &str {
        self.request.target.path().get(self.rest as usize..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_written_as_its_uuid() {
        for (millis, random) in
            [(0, 0), (1_780_000_000_000, u128::MAX), (u64::MAX >> 16, 0x0123_4567_89ab_cdef << 64)]
        {
            let id = RequestId::make(millis, random);
            let uuid = uuid::Uuid::parse_str(id.as_str()).expect("a UUID");
            assert_eq!((uuid.get_version_num(), uuid.to_string().as_str()), (7, id.as_str()));
        }
    }
}
