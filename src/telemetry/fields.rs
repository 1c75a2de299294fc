//! The members of a line of the access log, for the reference.

/// Name and meaning, in the order in which they stand in a JSON line. What does not apply is left out of a line.
pub const FIELDS: &[(&str, &str)] = &[
    ("time", "When the exchange ended, in UTC (RFC 3339)"),
    ("id", "The request id, as in `x-request-id`"),
    ("client", "The client's address"),
    ("peer", "The other end of the socket, where that is a trusted proxy"),
    ("listener", "The listener's name"),
    ("route", "The route's key as written; empty where none matched"),
    ("method", "The method"),
    ("host", "The host that was asked for"),
    ("path", "The normalised path, without the query"),
    ("version", "The version of HTTP that the client spoke"),
    ("status", "The status that was sent; 499 where the client left before one was"),
    ("bytes_in", "Bytes of the request's body that were read; of a tunnel those that went to the service"),
    ("bytes_out", "Bytes of the answer's body that were sent; of a tunnel those that went to the client"),
    (
        "duration_ms",
        "From the first byte of the request to the last of the answer, or to the end of a tunnel",
    ),
    ("upstream", "The upstream that was called"),
    ("endpoint", "The address of the last attempt"),
    ("attempts", "How many attempts were made"),
    ("upstream_ms", "From the first attempt to the head of the answer"),
    ("ended_by", "Who ended a tunnel: `client`, `service` or `gateway`"),
    (
        "ended",
        "How it ended: `close`, `reset`, `idle`, `total`, `drain`, or that it was cut off as the process ended",
    ),
    ("grpc_status", "How a call of gRPC has ended, as the service or the gateway has said"),
    ("identity", "Who the client is, after authentication"),
    (
        "note",
        "The first expression that could not be evaluated without that being an error, its place, and why; or that a preflight came from a foreign origin",
    ),
    ("error", "The gateway's own error, as in the table of errors"),
    ("reason", "A word that refines the error"),
    ("source", "What no client is told of the error"),
];
