//! Calls of gRPC on their walk: how long they may take, and answers that their clients understand.
//!
//! A client of gRPC reads `grpc-status`, not the status of HTTP. What has none (an error of the gateway, a page of a
//! service) becomes an answer that is nothing but a status.

use std::borrow::Cow;

use crate::exchange::problem;
use crate::exchange::{Exchange, HeaderId, Response, grpc};

/// Shortens the time of a call to what its client says; true where the client's time ends first.
#[cold]
pub(super) fn shorten(exchange: &mut Exchange) -> bool {
    let Some(timeout) = grpc::timeout(&exchange.request.headers) else { return false };
    let end = exchange.record.started.checked_add(timeout);
    let Some(end) = end.filter(|end| *end < exchange.deadline) else { return false };
    exchange.deadline = end;
    true
}

/// Makes an answer of gRPC of one that is none, and notes its status. Behind all policies: these judge the status of HTTP.
#[cold]
pub(super) fn speak(exchange: &mut Exchange, answer: &mut Response) {
    if let Some(status) = grpc::status(&answer.headers) {
        exchange.record.grpc = Some(status);
        return;
    }
    if answer.headers.get_id(HeaderId::ContentType).is_some_and(grpc::is_media) {
        return;
    }
    let (status, message): (u8, Cow<'_, str>) = match problem::read(answer) {
        Some((kind, Some(detail))) => (kind.grpc(), format!("{}: {detail}", kind.phrase()).into()),
        Some((kind, None)) => (kind.grpc(), kind.phrase().into()),
        None => {
            let text = format!("the answer is not of gRPC: HTTP status {}", answer.status.as_u16());
            (grpc::of_http(answer.status), text.into())
        }
    };
    let asked = exchange.request.headers.get_id(HeaderId::ContentType).unwrap_or_default();
    grpc::refuse(answer, asked, status, &message);
    exchange.record.grpc = Some(status);
}
