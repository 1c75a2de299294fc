//! The only door to a service: every call that the gate makes for an exchange passes [`Upstream::call`].
//!
//! An upstream owns its connection pools (one a core) and the limits of waiting. It is built once, shared by every
//! core, and kept over a reload while its section of the configuration is unchanged.

pub mod breaker;
pub mod budget;
pub mod hedge;
pub mod latency;
mod origin;
pub mod outlier;
pub mod balance;
pub mod concurrency;
pub mod pool;
pub mod resolve;
mod tally;
pub mod transport;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;

use crate::exchange::{CoreId, Error, ErrorKind, Name, Request, Response};
use crate::telemetry::metrics::UpstreamMetrics;

use pool::Pools;
use resolve::Address;
use tally::Tally;
use transport::connection::Connection;
use transport::http1::{Failure, Waits, round_trip};
use transport::upload::Upload;

/// How long a call may wait for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// For a connection, name resolution included.
    pub connect: Duration,
    /// From the request sent to the answer's head, each attempt.
    pub response: Duration,
    /// The longest gap between two pieces of a body, in either direction.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(15),
            idle: Duration::from_secs(60),
        }
    }
}

/// What an upstream is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Its name in the configuration, or the URL written in place.
    pub name: Name,
    /// Host name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What the upstream calls itself: `host`, with the port unless it is the scheme's own.
    pub authority: String,
    /// The path before every path, without a slash at its end; empty for none.
    pub base_path: String,
    /// How long a call may wait.
    pub timeouts: Timeouts,
}

/// When the exchange stops waiting for an answer's head, and who lifted the upstream's own limit.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// The end of the exchange; it rests while an upload's bytes move.
    pub at: Instant,
    /// The route's own `timeout`, where it is longer than the default: it lifts the upstream's default `response`.
    pub lifted: Option<Duration>,
}

/// What the attempts of one call came to, for log and metrics.
#[derive(Clone, Copy, Default, Debug)]
pub struct Attempts {
    /// The endpoint of the last attempt.
    pub endpoint: Option<SocketAddr>,
    /// How many there were.
    pub count: u32,
    /// From the first attempt to the answer's head or the failure.
    pub time: Duration,
}

/// A named service with its connections.
pub struct Upstream {
    settings: Settings,
    address: Address,
    pools: Arc<Pools>,
    metrics: Arc<UpstreamMetrics>,
}

impl Upstream {
    /// An upstream for so many cores, whose attempts are counted there. Opens nothing.
    pub fn new(settings: Settings, cores: usize, metrics: Arc<UpstreamMetrics>) -> Upstream {
        let address = Address::new(&settings.host, settings.port);
        Upstream { settings, address, pools: Arc::new(Pools::new(cores)), metrics }
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends a request and gives the answer as soon as its head is there.
    ///
    /// A pooled connection that the service closes in the moment we use it is no failure of the service: the request
    /// goes out once more on a fresh one, if nothing of an answer came and the request may be repeated
    /// (RFC 9112 section 9.3.1).
    ///
    /// # Errors
    /// `upstream_failure`, `upstream_timeout`, `deadline_exceeded`, or what the client's body failed with.
    pub async fn call(
        &self,
        core: CoreId,
        mut request: Request,
        deadline: Deadline,
        attempts: &mut Attempts,
    ) -> Result<Response, Error> {
        let started = Instant::now();
        let mut upload = Upload::new(std::mem::take(&mut request.body));
        let outcome = self.attempt(core, &request, &mut upload, deadline, started, attempts).await;
        attempts.time = started.elapsed();
        outcome
    }

    async fn attempt(
        &self,
        core: CoreId,
        request: &Request,
        upload: &mut Upload,
        deadline: Deadline,
        started: Instant,
        attempts: &mut Attempts,
    ) -> Result<Response, Error> {
        let pooled = self.pools.take(core, started);
        let reused = pooled.is_some();
        attempts.count += 1;
        attempts.endpoint = self.address.known();
        let mut tally = Tally::begin(&self.metrics, core);
        let connection = match pooled {
            Some(connection) => connection,
            None => self.connect(deadline).await.inspect_err(|error| tally.failed(error))?,
        };
        attempts.endpoint = Some(connection.peer());
        let outcome = self.round_trip(core, connection, request, upload, deadline, started).await;
        tally.ended(&outcome);
        match outcome {
            Ok(response) => Ok(response),
            Err(failure) if reused && failure.nothing_came && may_repeat(&failure, request, upload) => {
                upload.rewind();
                attempts.count += 1;
                drop(tally);
                let mut tally = Tally::begin(&self.metrics, core);
                let connection = self.connect(deadline).await.inspect_err(|error| tally.failed(error))?;
                attempts.endpoint = Some(connection.peer());
                let again =
                    self.round_trip(core, connection, request, upload, deadline, Instant::now()).await;
                tally.ended(&again);
                again.map_err(|failure| failure.error)
            }
            Err(failure) => Err(failure.error),
        }
    }

    async fn round_trip(
        &self,
        core: CoreId,
        connection: Box<Connection>,
        request: &Request,
        upload: &mut Upload,
        deadline: Deadline,
        now: Instant,
    ) -> Result<Response, Failure> {
        let waits = Waits {
            deadline: deadline.at,
            response: deadline.lifted.unwrap_or(self.settings.timeouts.response),
            idle: self.settings.timeouts.idle,
            started: now,
        };
        round_trip(connection, request, upload, waits, &self.pools, core).await
    }

    async fn connect(&self, deadline: Deadline) -> Result<Box<Connection>, Error> {
        let end = deadline.at.min(Instant::now() + self.settings.timeouts.connect);
        match tokio::time::timeout_at(end.into(), self.address.connect(end)).await {
            Ok(Ok((stream, peer))) => {
                let expires = self.address.lifetime().map(|lifetime| Instant::now() + lifetime);
                Ok(Box::new(Connection::new(stream, peer, expires)))
            }
            Ok(Err(error)) => Err(Error::new(ErrorKind::UpstreamFailure).reason("connect").source(error)),
            Err(_) if end == deadline.at => Err(Error::new(ErrorKind::DeadlineExceeded).reason("connect")),
            Err(_) => Err(Error::new(ErrorKind::UpstreamTimeout).reason("connect")),
        }
    }

    /// Closes the idle connections of a core that have been idle too long or that the service has closed.
    pub fn sweep(&self, core: CoreId, now: Instant) {
        self.pools.sweep(core, now);
    }
}

/// Whether nothing of the request can have been acted on, or acting on it twice is the same as once
/// (RFC 9110 section 9.2.2), and its body is still there.
fn may_repeat(failure: &Failure, request: &Request, upload: &Upload) -> bool {
    let idempotent = matches!(
        request.method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    );
    (failure.nothing_sent || idempotent) && upload.can_rewind()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::exchange::target::PathRules;
    use crate::exchange::{HeaderId, Headers, Target};
    use crate::telemetry::Metrics;

    fn request(method: Method) -> Request {
        let mut headers = Headers::new();
        headers.push_id(HeaderId::Host, b"service");
        let target = Target::parse(b"/x", PathRules::default()).unwrap().target;
        Request {
            method,
            target,
            version: http::Version::HTTP_11,
            headers,
            body: crate::exchange::Body::Empty,
        }
    }

    #[test]
    fn what_was_sent_is_repeated_only_if_that_is_the_same_as_once() {
        let upload = Upload::new(crate::exchange::Body::Empty);
        let repeats = |method: &Method, nothing_sent| {
            let error = ErrorKind::UpstreamFailure.into();
            let failure = Failure { error, nothing_came: true, nothing_sent };
            may_repeat(&failure, &request(method.clone()), &upload)
        };
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE] {
            assert!(repeats(&method, true) && repeats(&method, false), "{method}");
        }
        for method in [Method::POST, Method::PATCH, Method::from_bytes(b"PURGE").unwrap()] {
            assert!(repeats(&method, true), "{method}: the service has seen nothing of it");
            assert!(!repeats(&method, false), "{method}");
        }
    }

    #[test]
    fn a_route_that_waits_longer_lifts_the_time_for_an_answer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, answered) = std::sync::mpsc::channel::<()>();
        let service = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 4]).unwrap();
            let _ = answered.recv();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            stream
        });
        let limit = Duration::from_millis(20);
        let settings = Settings {
            name: "service".into(),
            host: address.ip().to_string(),
            port: address.port(),
            authority: address.to_string(),
            base_path: String::new(),
            timeouts: Timeouts { response: limit, ..Timeouts::default() },
        };
        let upstream = Upstream::new(settings, 1, Metrics::new(1).upstream("service"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lifted = Duration::from_secs(60);
            let deadline = Deadline { at: Instant::now() + lifted, lifted: Some(lifted) };
            let mut attempts = Attempts::default();
            let mut call =
                std::pin::pin!(upstream.call(CoreId(0), request(Method::GET), deadline, &mut attempts));
            // Well past the upstream's own limit, which would have ended the call.
            let early = tokio::time::timeout(10 * limit, call.as_mut()).await;
            assert!(early.is_err(), "nothing has been answered, and nothing has failed");
            answer.send(()).unwrap();
            assert_eq!(call.await.unwrap().status, http::StatusCode::NO_CONTENT);
        });
        drop(service.join());
    }
}
