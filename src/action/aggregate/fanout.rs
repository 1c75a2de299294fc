//! Runs the sources side by side; the first failure ends them all.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use crate::exchange::{Error, Exchange, Request};
use crate::upstream::Attempts;

use super::source::{Failed, Source};

/// What the sources came to.
pub(super) struct Gathered {
    /// Every body in the order of the sources, or the first that failed.
    pub(super) outcome: Result<Vec<Bytes>, (usize, Error)>,
    /// Attempts of all sources.
    pub(super) attempts: u32,
    /// The slowest head.
    pub(super) time: Duration,
    /// Where the source that failed was called.
    pub(super) endpoint: Option<SocketAddr>,
}

type Call<'a> = Pin<Box<dyn Future<Output = (Result<Bytes, Failed>, Attempts)> + 'a>>;

/// Calls every source at once. Returning drops what still runs, and with it the calls.
pub(super) async fn all(sources: &[Source], exchange: &Exchange) -> Gathered {
    let mut gathered =
        Gathered { outcome: Ok(Vec::new()), attempts: 0, time: Duration::ZERO, endpoint: None };
    let requests: Result<Vec<Request>, (usize, Error)> = sources
        .iter()
        .enumerate()
        .map(|(at, source)| source.request(exchange).map_err(|error| (at, error)))
        .collect();
    let requests = match requests {
        Ok(requests) => requests,
        Err(failed) => {
            gathered.outcome = Err(failed);
            return gathered;
        }
    };
    let (core, deadline) = (exchange.core, exchange.deadline);
    let mut calls: Vec<Option<Call<'_>>> = sources
        .iter()
        .zip(requests)
        .map(|(source, request)| -> Option<Call<'_>> {
            Some(Box::pin(async move {
                let mut attempts = Attempts::default();
                let outcome = source.call(core, request, deadline, &mut attempts).await;
                (outcome, attempts)
            }))
        })
        .collect();
    let mut parts = vec![Bytes::new(); sources.len()];
    let failed = poll_fn(|cx| {
        let mut running = false;
        for (at, slot) in calls.iter_mut().enumerate() {
            let Some(call) = slot else { continue };
            let Poll::Ready((outcome, attempts)) = call.as_mut().poll(cx) else {
                running = true;
                continue;
            };
            *slot = None;
            gathered.attempts += attempts.count;
            gathered.time = gathered.time.max(attempts.time);
            match outcome {
                Ok(body) => parts[at] = body,
                Err(failed) => {
                    gathered.endpoint = attempts.endpoint;
                    return Poll::Ready(Some((at, failed.into_error(&sources[at]))));
                }
            }
        }
        if running { Poll::Pending } else { Poll::Ready(None) }
    })
    .await;
    gathered.outcome = match failed {
        Some(failed) => Err(failed),
        None => Ok(parts),
    };
    gathered
}
