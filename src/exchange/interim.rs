//! Interim answers (1xx) of a service on their way to the client (RFC 9110 section 15.2).

use http::StatusCode;

use super::headers::Headers;

/// How many interim answers one call passes on; what comes beyond is read and dropped.
pub const MOST_INTERIM: u32 = 16;

/// Takes interim answers on their way to the client. It never waits.
pub trait Interims {
    /// Passes one on: 102, 103, 104 or another, but neither 100, which is each connection's own, nor 101.
    fn pass(&self, status: StatusCode, headers: Headers);
}
