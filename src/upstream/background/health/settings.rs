//! How endpoints are asked, and which answers are good.

use std::ops::RangeInclusive;
use std::time::Duration;

use regex::bytes::Regex;

use crate::config::HttpVersion;

/// How much of the body of an answer is looked at.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// How the endpoints of an upstream are asked.
#[derive(Clone, PartialEq, Debug)]
pub struct HealthSettings {
    /// What is asked, and which answer is a good one.
    pub kind: Kind,
    /// Which version of HTTP is spoken.
    pub version: HttpVersion,
    /// From the beginning of a probe to that of the next; every single time up to a tenth more or less.
    pub every: Duration,
    /// How long a probe may take as a whole.
    pub timeout: Duration,
    /// How many good results in a row make an unhealthy endpoint healthy; at least 1.
    pub healthy: u32,
    /// How many bad results in a row make a healthy endpoint unhealthy; at least 1.
    pub unhealthy: u32,
}

impl HealthSettings {
    /// A probe of this kind as often as is usual: every 5 s, 1 s for the answer, 2 good results, 3 bad ones.
    pub fn new(kind: Kind) -> HealthSettings {
        let (every, timeout) = (Duration::from_secs(5), Duration::from_secs(1));
        HealthSettings { kind, version: HttpVersion::Auto, every, timeout, healthy: 2, unhealthy: 3 }
    }
}

/// What a probe asks.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// A GET, over the version of HTTP that is spoken to the service.
    Http(HttpProbe),
    /// Whether a connection opens, its TLS handshake included.
    Tcp,
    /// `grpc.health.v1.Health/Check` over HTTP/2, with TLS where the upstream has it.
    Grpc {
        /// The service that is asked about; empty for the server as a whole.
        service: String,
        /// What the server is called (`:authority`).
        authority: String,
    },
}

/// A GET, and which answers are good.
#[derive(Clone, Debug)]
pub struct HttpProbe {
    /// The path, with a query if need be; in the form of a request target.
    pub path: String,
    /// What goes into the Host line.
    pub host: String,
    /// The statuses of good answers.
    pub status: Vec<RangeInclusive<u16>>,
    /// What the first 64 KiB of the body must match, where they matter.
    pub body: Option<Regex>,
}

impl HttpProbe {
    /// A probe for which every 2xx is good.
    pub fn new(path: &str, host: &str) -> HttpProbe {
        HttpProbe { path: path.to_owned(), host: host.to_owned(), status: vec![200..=299], body: None }
    }
}

impl PartialEq for HttpProbe {
    fn eq(&self, other: &HttpProbe) -> bool {
        let text = |probe: &HttpProbe| probe.body.as_ref().map(|regex| regex.as_str().to_owned());
        (&self.path, &self.host, &self.status) == (&other.path, &other.host, &other.status)
            && text(self) == text(other)
    }
}
