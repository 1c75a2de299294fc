//! The admin listener: what an operator and a scraper may ask of a running gate. It stands on a loopback address, on
//! the control runtime, and no gateway listener ever leads to it.
//!
//! Start with [`serve`] and the table of its resources; `http.rs` is its small HTTP/1.1 server,
//! `seats.rs` bounds who is served, `long.rs` makes what takes a while on another thread, `guard.rs` keeps web pages out, `routes.rs` and `state.rs` are its documents.

mod cache;
mod guard;
pub mod http;
mod limits;
mod long;
pub mod routes;
mod seats;
mod state;
mod time;
mod upstreams;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ::http::{Method, StatusCode};

use crate::exchange::problem::problem;
use crate::exchange::{Body, Error, ErrorKind, RequestId};
use crate::net::Listener;
use crate::runtime::{clock, random};
use crate::server::{Cause, Control};
use crate::telemetry::metrics;

use http::{Asked, Bounds, Reply};
use long::{Turn, Work};

/// What the admin listener takes from a client.
const BOUNDS: Bounds = Bounds { connections: 64, ..Bounds::SMALL };

/// What a resource answers.
enum Answer {
    /// On the control runtime: it takes no time to make.
    Short(for<'a> fn(&'a Control) -> Pin<Box<dyn Future<Output = Reply> + 'a>>),
    /// On another thread: it is as long as the configuration is, and no other answer waits for it.
    Long(fn(&Control) -> Work),
}

use Answer::{Long, Short};

/// The resources: path, method, answer. A resource for GET answers HEAD too.
const RESOURCES: &[(&str, Method, Answer)] = &[
    ("/healthz", Method::GET, Short(|_| Box::pin(async { Reply::text(StatusCode::OK, "ok\n") }))),
    ("/readyz", Method::GET, Short(|control| Box::pin(async { ready(control) }))),
    ("/metrics", Method::GET, Long(numbers)),
    ("/routes", Method::GET, Long(listing)),
    ("/status", Method::GET, Long(state::status)),
    ("/reload", Method::POST, Short(|control| Box::pin(reload(control)))),
];

/// Serves the admin listener for the life of the process.
pub fn serve(listener: Listener, control: Control) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        let turns: Vec<Turn> = RESOURCES.iter().map(|_| Turn::default()).collect();
        http::serve(listener, BOUNDS, async move |asked: &Asked| answer(&control, &turns, asked).await).await;
    })
}

async fn answer(control: &Control, turns: &[Turn], asked: &Asked) -> Reply {
    if let Err(why) = guard::admit(asked) {
        return refuse(Error::new(ErrorKind::Forbidden).detail(why));
    }
    let served =
        |method: &Method| *method == asked.method || (*method == Method::GET && asked.method == Method::HEAD);
    let mut allowed = Vec::new();
    for ((path, method, answer), turn) in RESOURCES.iter().zip(turns) {
        if *path == asked.path {
            if served(method) {
                return match answer {
                    Short(answer) => answer(control).await,
                    Long(work) => {
                        let made = turn.make(|| work(control)).await;
                        made.unwrap_or_else(|kind| refuse(Error::new(kind)))
                    }
                };
            }
            allowed.push(if *method == Method::GET { "GET, HEAD" } else { method.as_str() });
        }
    }
    if allowed.is_empty() {
        return refuse(ErrorKind::NoRoute.into());
    }
    refuse(Error::new(ErrorKind::MethodNotAllowed).header("allow", allowed.join(", ")))
}

fn ready(control: &Control) -> Reply {
    if control.is_ready() {
        Reply::text(StatusCode::OK, "ready\n")
    } else {
        let why = if control.is_draining() { "draining\n" } else { "starting\n" };
        Reply::text(StatusCode::SERVICE_UNAVAILABLE, why)
    }
}

fn numbers(control: &Control) -> Work {
    let numbers = Arc::clone(control.metrics());
    let (counters, cache) = (Arc::clone(control.counters()), Arc::clone(control.cache()));
    let snapshot = control.snapshot();
    Box::new(move || {
        let page = numbers.render()
            + &limits::metrics(&counters)
            + &cache::metrics(&cache)
            + &upstreams::metrics(&snapshot);
        Reply { content_type: metrics::CONTENT_TYPE, ..Reply::text(StatusCode::OK, page) }
    })
}

fn listing(control: &Control) -> Work {
    let snapshot = control.snapshot();
    Box::new(move || Reply::json(&routes::listing(&snapshot)))
}

async fn reload(control: &Control) -> Reply {
    let report = control.reload(Cause::Request).await;
    state::reloaded(&report)
}

/// An error as every error of the gate looks.
fn refuse(error: Error) -> Reply {
    let now = clock::since_epoch();
    let id = RequestId::make(now.as_millis() as u64, random::u128(..));
    let problem = problem(&error, id.as_str());
    let body = match problem.body {
        Body::Bytes(bytes) => bytes,
        _ => bytes::Bytes::new(),
    };
    let headers = error.headers().to_vec();
    Reply { status: problem.status, content_type: http::PROBLEM, headers, body }
}

#[cfg(test)]
mod tests;
