//! A connection for an attempt: to the endpoint that was picked, or to another one where that refuses or keeps silent.
//!
//! What was never sent is no repeat: going on to the next endpoint is part of connecting, and asks neither `retry` nor
//! its budget. As in RFC 8305 section 5, the next one is tried at once after a refusal, and in parallel to the first where
//! that keeps silent for 250 ms, or for less where `connect` leaves no more for each; the first connection that opens
//! is used. So no address that drops packets eats the time of the others.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use smallvec::SmallVec;

use crate::exchange::{CallPhase, Cause, Error, Failure, Party};
use crate::net::Timer;
use crate::runtime::clock;
use crate::telemetry::metrics::Outcome as Counted;
use crate::upstream::endpoints::Endpoint;
use crate::upstream::transport::{Lease, Leasing, Opening};

use super::attempt::Attempted;
use super::context::Call;
use super::verdict::of_failure;

/// How long an endpoint may keep silent before the next one is tried too.
const STAGGER: Duration = Duration::from_millis(250);

/// However many endpoints share `connect`, each has this long before the next one is tried too.
const LEAST_STAGGER: Duration = Duration::from_millis(10);

/// The connections that are being opened for one attempt.
struct Race<'a, 'c> {
    call: &'c Call<'a>,
    running: SmallVec<[Runner<'c>; 4]>,
    /// When the next endpoint is tried in parallel to those that keep silent.
    next: Instant,
    /// When connecting as a whole has failed.
    end: Instant,
    stagger: Duration,
    /// Whether only those will do that the service cannot have closed while they were at rest.
    proven: bool,
    timer: Timer,
    /// Why the last endpoint refused.
    refused: Option<io::Error>,
    /// What was lacking for one of them, that no service is to blame for.
    lack: Option<Cause>,
}

struct Runner<'c> {
    at: usize,
    since: Instant,
    leasing: Leasing<'c>,
}

impl<'a> Call<'a> {
    /// A connection to `first` or, where that cannot be had, to another endpoint that was not tried. `proven`: none that
    /// the service may have closed while it was at rest.
    pub(super) async fn connect<'c>(
        &'c self,
        first: usize,
        (proven, began): (bool, Instant),
    ) -> Result<(usize, Lease<'c>), Attempted> {
        let limit = self.upstream.settings.timeouts.connect;
        let end = self.deadline.at.min(began + limit);
        let shares = (self.seen.endpoints.len() as u32).max(1);
        let stagger = STAGGER.min(limit / shares).max(LEAST_STAGGER);
        let mut race = Race {
            call: self,
            running: SmallVec::new(),
            next: began + stagger,
            end,
            stagger,
            proven,
            timer: Timer::new(),
            refused: None,
            lack: None,
        };
        race.start(first, began);
        let won = poll_fn(|cx| race.poll(cx)).await;
        won.map_err(|failure| race.lost(failure))
    }

    /// How a connection to an endpoint is opened.
    fn opening<'c>(&'c self, endpoint: &'c Endpoint, proven: bool, end: Instant) -> Opening<'c> {
        Opening {
            network: &self.upstream.network,
            address: endpoint.address(),
            secure: endpoint.secure(),
            lifetime: endpoint.lifetime(),
            core: self.caller.core,
            limits: self.upstream.settings.written.limits,
            upgrades: self.caller.upgrades,
            proven,
            end,
        }
    }

    /// A connection to an endpoint failed: it is counted, and the endpoint is avoided for a while.
    fn unreachable(&self, endpoint: &Endpoint, counts: bool, why: &str, now: Instant) {
        self.upstream.unreachable(endpoint, why, now);
        self.upstream.metrics.attempted(self.caller.core, Counted::ConnectFailed);
        if counts {
            self.upstream.attempted(&self.seen, endpoint, true, now);
        }
    }
}

impl<'c> Race<'_, 'c> {
    fn start(&mut self, at: usize, now: Instant) {
        let call: &'c Call<'_> = self.call;
        let endpoint = &call.seen.endpoints[at];
        let leasing = endpoint.transport.connect(call.opening(endpoint, self.proven, self.end));
        self.running.push(Runner { at, since: now, leasing });
        call.attempts.at(call.seen.endpoints[at].address());
        self.next = now + self.stagger;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(usize, Lease<'c>), Failure>> {
        loop {
            let now = clock::now();
            if let Some(won) = self.poll_running(now, cx) {
                return Poll::Ready(Ok(won));
            }
            if self.running.is_empty() || now >= self.next {
                match self.another(now) {
                    Some(Some((at, lease))) => return Poll::Ready(Ok((at, lease))),
                    Some(None) => continue,
                    None if self.running.is_empty() => {
                        let (party, cause) = match self.lack {
                            Some(lack) => (Party::Gateway, lack),
                            None => (Party::Service, Cause::Refused),
                        };
                        return Poll::Ready(Err(Failure::new(party, CallPhase::Connect, cause)));
                    }
                    None => self.next = self.end,
                }
            }
            if self.timer.poll(self.next.min(self.end), cx).is_pending() {
                return Poll::Pending;
            }
            if self.next >= self.end {
                let failure = if self.end != self.call.deadline.at {
                    Failure::new(Party::Service, CallPhase::Connect, Cause::Timeout)
                } else {
                    let whose = self.call.deadline.whose();
                    Failure::new(whose, CallPhase::Connect, Cause::Deadline)
                };
                return Poll::Ready(Err(failure));
            }
            // The reading of this poll may lie a moment before the timer's.
            self.next = now;
        }
    }

    /// Drives what is being opened; gives the first connection.
    fn poll_running(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<(usize, Lease<'c>)> {
        let mut index = 0;
        while let Some(runner) = self.running.get_mut(index) {
            let at = runner.at;
            match runner.leasing.as_mut().poll(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(lease)) => {
                    self.won(index, now);
                    return Some((at, lease));
                }
                Poll::Ready(Err(error)) => {
                    drop(self.running.remove(index));
                    let lack = lack(&error);
                    match lack {
                        // Another endpoint may have an idle connection, or one that is being opened may still open.
                        Some(Lack::Descriptors) => self.lack = Some(Cause::Exhausted),
                        Some(Lack::Streams) => self.lack = Some(Cause::Full),
                        Some(Lack::Port) => {
                            self.lack = Some(Cause::Exhausted);
                            self.call.seen.endpoints[at].reach.failed(now);
                        }
                        None => {
                            let endpoint = &self.call.seen.endpoints[at];
                            self.call.unreachable(endpoint, true, &error.to_string(), now);
                        }
                    }
                    self.refused = Some(error);
                    self.next = now;
                }
            }
        }
        None
    }

    /// Tries an endpoint that was not tried: an idle connection to it, or else a new one. `None` where there is none.
    fn another(&mut self, now: Instant) -> Option<Option<(usize, Lease<'c>)>> {
        let call: &'c Call<'_> = self.call;
        let (key, core) = (call.key, call.caller.core);
        let at = if self.running.is_empty() {
            call.seen.pick_other(&call.tried.borrow(), key, core, now)?
        } else {
            // One that is merely slow is no reason to ask one that is known to fail.
            call.seen.pick_well(&call.tried.borrow(), key, core, now)?
        };
        call.tried.borrow_mut().push(at);
        if let Some(lease) = call.idle(at, now) {
            return Some(Some((at, lease)));
        }
        self.start(at, now);
        Some(None)
    }

    /// One has opened: those that kept silent for longer are avoided for a while, without being blamed.
    fn won(&mut self, index: usize, now: Instant) {
        for (other, runner) in self.running.iter().enumerate() {
            let reach = &self.call.seen.endpoints[runner.at].reach;
            if other == index {
                reach.opened();
            } else if now.saturating_duration_since(runner.since) >= self.stagger {
                reach.failed(now);
            }
        }
    }

    /// Nothing has opened: what that says about the service.
    fn lost(&mut self, failure: Failure) -> Attempted {
        let now = clock::now();
        let mut verdict = of_failure(failure, || false);
        for runner in std::mem::take(&mut self.running) {
            let endpoint = &self.call.seen.endpoints[runner.at];
            let response = self.call.upstream.settings.timeouts.response;
            let of_endpoint = of_failure(failure, || {
                endpoint.liveness.accuses((runner.since, runner.since), response, now)
            });
            if failure.party == Party::Service {
                self.call.unreachable(endpoint, of_endpoint.is_bad(), "no connection in time", now);
            }
            if of_endpoint.is_bad() {
                verdict = of_endpoint;
            }
        }
        if verdict.is_bad() {
            self.call.upstream.gate.observe(Duration::ZERO, true, now);
        }
        let error = if failure.party == Party::Gateway {
            Error::from(failure).header("retry-after", "1")
        } else {
            Error::from(failure)
        };
        let error = match self.refused.take() {
            Some(why) => error.source(why),
            None => error,
        };
        Attempted { error, verdict }
    }
}

/// What the process may lack for a connection: no endpoint is to blame for that.
#[derive(Clone, Copy)]
enum Lack {
    /// A descriptor, or memory for one.
    Descriptors,
    /// A port or an address of its own towards this endpoint.
    Port,
    /// A stream on the sessions with this endpoint.
    Streams,
}

fn lack(error: &io::Error) -> Option<Lack> {
    if error.kind() == io::ErrorKind::ResourceBusy && error.raw_os_error().is_none() {
        return Some(Lack::Streams);
    }
    let code = error.raw_os_error()?;
    let is = |errno: Errno| errno.raw_os_error() == code;
    if [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].into_iter().any(is) {
        return Some(Lack::Descriptors);
    }
    is(Errno::ADDRNOTAVAIL).then_some(Lack::Port)
}
