//! The admin listener: what an operator and a scraper may ask of a running gate. It stands on a loopback address, on
//! the control runtime, and no gateway listener ever leads to it.
//!
//! Start with [`serve`] and the table of its resources; `http.rs` is its small HTTP/1.1 server,
//! `seats.rs` bounds who is served, `guard.rs` keeps web pages out, `routes.rs` and `state.rs` are its documents.

mod cache;
mod guard;
pub mod http;
mod limits;
pub mod routes;
mod seats;
mod state;
mod time;
mod upstreams;

use std::future::Future;
use std::pin::Pin;

use ::http::{Method, StatusCode};

use crate::exchange::problem::problem;
use crate::exchange::{Body, Error, ErrorKind, RequestId};
use crate::net::Listener;
use crate::runtime::{clock, random};
use crate::server::{Cause, Control};
use crate::telemetry::metrics;

use http::{Asked, Bounds, Reply};

/// What the admin listener takes from a client.
const BOUNDS: Bounds = Bounds { connections: 64, ..Bounds::SMALL };

/// What a resource answers.
type Answer = for<'a> fn(&'a Control) -> Pin<Box<dyn Future<Output = Reply> + 'a>>;

/// The resources: path, method, answer. A resource for GET answers HEAD too.
const RESOURCES: &[(&str, Method, Answer)] = &[
    ("/healthz", Method::GET, |_| Box::pin(async { Reply::text(StatusCode::OK, "ok\n") })),
    ("/readyz", Method::GET, |control| Box::pin(async { ready(control) })),
    ("/metrics", Method::GET, |control| Box::pin(async { numbers(control) })),
    ("/routes", Method::GET, |control| {
        Box::pin(async { Reply::json(&routes::listing(&control.snapshot())) })
    }),
    ("/status", Method::GET, |control| Box::pin(async { Reply::json(&state::status(control)) })),
    ("/reload", Method::POST, |control| Box::pin(reload(control))),
];

/// Serves the admin listener for the life of the process.
pub fn serve(listener: Listener, control: Control) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        http::serve(listener, BOUNDS, async move |asked: &Asked| answer(&control, asked).await).await;
    })
}

async fn answer(control: &Control, asked: &Asked) -> Reply {
    if let Err(why) = guard::admit(asked) {
        return refuse(Error::new(ErrorKind::Forbidden).detail(why));
    }
    let served =
        |method: &Method| *method == asked.method || (*method == Method::GET && asked.method == Method::HEAD);
    let mut allowed = Vec::new();
    for (path, method, answer) in RESOURCES {
        if *path == asked.path {
            if served(method) {
                return answer(control).await;
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

fn numbers(control: &Control) -> Reply {
    let page = control.metrics().render()
        + &limits::metrics(control.counters())
        + &cache::metrics(control.cache())
        + &upstreams::metrics(&control.snapshot());
    Reply { content_type: metrics::CONTENT_TYPE, ..Reply::text(StatusCode::OK, page) }
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
