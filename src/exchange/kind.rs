//! The kinds of error: one table of names, statuses of HTTP and gRPC, blame and titles.

use http::StatusCode;

/// Who caused an error, for its row in the reference; of a failed call [`Failure`](super::Failure) says more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blame {
    /// The caller sent what cannot be served.
    Client,
    /// A service behind the gate failed.
    Upstream,
    /// The gate itself.
    Gateway,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $status:literal, $grpc:literal, $blame:ident, $title:literal;)*) => {
        /// The kinds of error, each with its name, status, title and blame.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum ErrorKind { $($(#[$doc])* $kind),* }

        impl ErrorKind {
            /// Every kind, in the order of the table.
            pub const ALL: &[ErrorKind] = &[$(ErrorKind::$kind),*];

            /// The name: metric label and last part of the problem's `type`.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorKind::$kind => $name),* }
            }

            const fn code(self) -> u16 {
                match self { $(ErrorKind::$kind => $status),* }
            }

            /// The status of gRPC that a call of it is answered with (`grpc-status`).
            pub const fn grpc(self) -> u8 {
                match self { $(ErrorKind::$kind => $grpc),* }
            }

            /// The problem's `title`.
            pub const fn title(self) -> &'static str {
                match self { $(ErrorKind::$kind => $title),* }
            }

            /// Who caused it.
            pub const fn blame(self) -> Blame {
                match self { $(ErrorKind::$kind => Blame::$blame),* }
            }
        }
    };
}

kinds! {
    /// The head or body breaks HTTP (RFC 9112) or the rules of the edge.
    MalformedRequest = "malformed_request", 400, 13, Client, "The request cannot be read";
    /// No credential where one is required (RFC 6750 section 3).
    MissingToken = "missing_token", 401, 16, Client, "A token is required";
    /// A credential that does not verify (RFC 6750 section 3.1).
    InvalidToken = "invalid_token", 401, 16, Client, "The token is not valid";
    /// Known, but not allowed.
    Forbidden = "forbidden", 403, 7, Client, "Not allowed";
    /// No route matches.
    NoRoute = "no_route", 404, 12, Client, "No such route";
    /// A route matches, its methods do not (RFC 9110 section 15.5.6).
    MethodNotAllowed = "method_not_allowed", 405, 12, Client, "The method is not allowed here";
    /// The client was too slow with its head or body (RFC 9110 section 15.5.9).
    RequestTimeout = "request_timeout", 408, 4, Client, "The request took too long to arrive";
    /// The body is larger than allowed (RFC 9110 section 15.5.14).
    BodyTooLarge = "body_too_large", 413, 8, Client, "The body is too large";
    /// The target is longer than allowed (RFC 9110 section 15.5.15).
    UriTooLong = "uri_too_long", 414, 8, Client, "The target is too long";
    /// An expectation other than `100-continue` (RFC 9110 section 10.1.1).
    ExpectationFailed = "expectation_failed", 417, 13, Client, "The expectation cannot be met";
    /// The connection is for a host with other certificates or other clients (RFC 9110 section 15.5.20).
    Misdirected = "misdirected_request", 421, 14, Client, "This connection is for another host";
    /// A rate limit has been spent (RFC 6585 section 4).
    RateLimited = "rate_limited", 429, 8, Client, "Too many requests";
    /// The head is larger or has more lines than allowed (RFC 6585 section 5).
    HeadersTooLarge = "headers_too_large", 431, 8, Client, "The headers are too large";
    /// The client left before the answer was complete; logged, never sent.
    ClientClosed = "client_closed", 499, 1, Client, "The client left";
    /// A defect of the gate.
    Internal = "internal", 500, 13, Gateway, "Internal error";
    /// The client asks for a protocol that is not passed on, or that what answers does not speak (RFC 9220 section 3).
    ProtocolNotSupported = "protocol_not_supported", 501, 12, Client, "The protocol is not supported";
    /// The upstream could not be reached or broke its answer (RFC 9110 section 15.6.3).
    UpstreamFailure = "upstream_failure", 502, 14, Upstream, "The service failed";
    /// A service has no endpoint: none has been found yet, or its source says so (RFC 9110 section 15.6.4).
    NoEndpoint = "no_endpoint", 503, 14, Upstream, "The service is nowhere to be found";
    /// A service keeps failing and is left alone for a while (RFC 9110 section 15.6.4).
    BreakerOpen = "breaker_open", 503, 14, Upstream, "The service is failing";
    /// A service has more calls than it takes at a time (RFC 9110 section 15.6.4).
    Overloaded = "overloaded", 503, 14, Upstream, "Too much to do";
    /// The gateway has ended before the answer was complete; logged, never sent.
    ShuttingDown = "shutting_down", 503, 14, Gateway, "The gateway is shutting down";
    /// The counters of a limit are away, and the limit refuses then (RFC 9110 section 15.6.4).
    StoreUnavailable = "store_unavailable", 503, 14, Gateway, "The limits cannot be judged";
    /// The upstream did not answer in time (RFC 9110 section 15.6.5).
    UpstreamTimeout = "upstream_timeout", 504, 4, Upstream, "The service took too long";
    /// The client wants what is stored, and nothing is (`only-if-cached`, RFC 9111 section 5.2.1.7).
    NotCached = "not_cached", 504, 14, Client, "Nothing is stored for this request";
    /// The exchange's own deadline has passed.
    DeadlineExceeded = "deadline_exceeded", 504, 4, Upstream, "The answer took too long";
    /// A version of HTTP that the gate does not speak (RFC 9110 section 15.6.6).
    VersionNotSupported = "version_not_supported", 505, 12, Client, "HTTP version not supported";
    /// The request has passed this gate too often (RFC 5842 section 7.2).
    LoopDetected = "loop_detected", 508, 13, Gateway, "The request goes round in a loop";
}

impl ErrorKind {
    /// The status a client sees.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The `error` phrase that clients and logs see: the name with blanks.
    pub fn phrase(self) -> String {
        self.name().replace('_', " ")
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<ErrorKind> {
        ErrorKind::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The kind's place in [`ErrorKind::ALL`], for tables of counters.
    pub fn index(self) -> usize {
        self as usize
    }
}
