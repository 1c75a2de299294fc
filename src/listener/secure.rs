//! The TLS handshake of a client: bounded in time and in number, and over before anything of HTTP is read.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use rustls::server::ClientHello;

use crate::exchange::Name;
use crate::net::tls::{HandshakeError, Terms};
use crate::net::{Facts, Stream, Timer};
use crate::pipeline::Core;
use crate::runtime::clock;
use crate::runtime::sync::atomic::{AtomicUsize, Ordering};
use crate::snapshot::Watcher;
use crate::telemetry::OperatorLog;
use crate::telemetry::log::Level;
use crate::telemetry::metrics::HandshakeMetrics;

use super::linger::Linger;

/// How long a handshake may still take once the gateway ends.
const ENDING: Duration = Duration::from_secs(1);

/// The handshakes of the process that are under way; one for all cores.
#[derive(Default, Debug)]
pub struct Handshakes(AtomicUsize);

impl Handshakes {
    /// Counts one more, unless there are as many as there may be.
    fn take(self: &Arc<Self>, most: u64) -> Option<UnderWay> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let more = |under_way: usize| (under_way < most).then_some(under_way + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(UnderWay(Arc::clone(self)))
    }
}

/// One handshake; it is given back when this is dropped.
struct UnderWay(Arc<Handshakes>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the handshakes of a listener on one core need.
pub struct Secure {
    /// The name of the listener.
    pub name: Name,
    /// The handshakes of the process.
    pub handshakes: Arc<Handshakes>,
    /// The numbers of those of this listener.
    pub metrics: Arc<HandshakeMetrics>,
    /// Where failures are logged, at the level debug.
    pub log: Arc<OperatorLog>,
}

impl Secure {
    /// Makes a TLS connection of a client's. `None` where nothing came of it: that is counted, and a client's own
    /// affair otherwise.
    pub(super) async fn shake(
        &self,
        stream: Stream,
        peer: SocketAddr,
        core: &Core,
        watcher: &Rc<Watcher>,
    ) -> Option<(Stream, Facts)> {
        let limits = watcher.pin()?.plan.limits;
        let Some(under_way) = self.handshakes.take(limits.handshakes) else {
            self.metrics.ended(core.id, "too_many");
            let topic = ("handshakes", &*self.name);
            let message = format_args!(
                "listener `{}` refuses connections: `limits.handshakes` ({}) is reached",
                self.name, limits.handshakes
            );
            self.log.write_seldom(clock::now(), Level::Warn, topic, message, &[]);
            return None;
        };
        let terms = RefCell::new(None);
        // Chosen when the client has spoken: a silent connection holds no snapshot.
        let choose = |hello: &ClientHello<'_>| {
            let pinned = watcher.pin()?;
            let tls = pinned.for_server_name(hello.server_name()).plan.tls.as_ref()?;
            *terms.borrow_mut() = Some(Arc::clone(&tls.terms));
            Some(Arc::clone(&tls.config))
        };
        let by = clock::now() + limits.handshake_timeout;
        let stream = match until(by, core, stream.accept_tls(choose)).await {
            Some(Ok(stream)) => stream,
            Some(Err((error, refused))) => {
                self.failed::<()>(core, peer, error.kind(), &error);
                drop(under_way);
                if let Some(stream) = refused {
                    // With unread bytes it would be reset, and the client might not read the alert.
                    let (linger, stream) = (Linger::behind_request(&limits), RefCell::new(stream));
                    linger.discard_stream(&stream, core, || core.is_draining()).await;
                }
                return None;
            }
            None => return self.failed(core, peer, "timeout", &"it took too long"),
        };
        self.metrics.ended(core.id, if stream.is_resumed() { "resumed" } else { "full" });
        let facts = with_terms(stream.facts(peer), terms.into_inner());
        Some((stream, facts))
    }

    fn failed<T>(
        &self,
        core: &Core,
        peer: SocketAddr,
        kind: &'static str,
        why: &dyn std::fmt::Display,
    ) -> Option<T> {
        self.metrics.ended(core.id, kind);
        if self.log.tells(Level::Debug) {
            let message = format_args!("listener `{}`: TLS handshake of {peer} failed: {why}", self.name);
            self.log.write(Level::Debug, message, &[]);
        }
        None
    }
}

fn with_terms(mut facts: Facts, terms: Option<Arc<Terms>>) -> Facts {
    if let Some(tls) = &mut facts.tls {
        tls.terms = terms;
    }
    facts
}

/// What came of a handshake.
type Shaken = Result<Stream, (HandshakeError, Option<Stream>)>;

/// Waits for a handshake until a moment, and a short while at most once the gateway ends.
async fn until(by: Instant, core: &Core, handshake: impl Future<Output = Shaken>) -> Option<Shaken> {
    let (mut handshake, mut timer, mut by) = (pin!(handshake), Timer::new(), by);
    let mut ending = false;
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = handshake.as_mut().poll(cx) {
            return Poll::Ready(Some(outcome));
        }
        if core.is_draining() && !std::mem::replace(&mut ending, true) {
            by = by.min(clock::now() + ENDING);
        }
        timer.poll(by, cx).map(|()| None)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::HANDSHAKES;

    #[test]
    fn as_many_handshakes_are_under_way_as_there_may_be() {
        let handshakes = Arc::new(Handshakes::default());
        let (first, second) = (handshakes.take(2), handshakes.take(2));
        assert!(first.is_some() && second.is_some() && handshakes.take(2).is_none());
        drop(first);
        assert!(handshakes.take(2).is_some());
    }

    #[test]
    fn every_failure_is_counted() {
        use rustls::{CertificateError, Error, PeerIncompatible};
        let errors = [
            HandshakeError::Left,
            HandshakeError::NotTls,
            HandshakeError::Socket(std::io::Error::other("x")),
            Error::AlertReceived(rustls::AlertDescription::UnknownCA).into(),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon).into(),
            Error::InvalidCertificate(CertificateError::Expired).into(),
            Error::DecryptError.into(),
        ];
        for error in errors {
            assert!(HANDSHAKES.contains(&error.kind()), "{error}");
        }
    }
}
