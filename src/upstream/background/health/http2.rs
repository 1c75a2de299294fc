//! A probe over HTTP/2: one GET on a connection of its own.

use std::pin::pin;

use ::http::{Request, Uri};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};

use super::settings::{HttpProbe, MAX_BODY};
use crate::net::Stream;

/// The largest head of an answer.
const MAX_HEAD: u32 = 16 * 1024;

/// Asks, and judges the answer.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) async fn check(stream: Stream, probe: &HttpProbe, scheme: &str) -> Result<(), String> {
    let mut builder = Builder::new();
    builder.enable_push(false).max_header_list_size(MAX_HEAD);
    let (sender, connection) = builder.handshake(stream).await.map_err(failed)?;
    let mut call = pin!(call(sender, probe, scheme));
    tokio::select! {
        outcome = &mut call => outcome,
        // All that came may have come with the end of the connection.
        _ = connection => call.await,
    }
}

async fn call(sender: SendRequest<Bytes>, probe: &HttpProbe, scheme: &str) -> Result<(), String> {
    let mut sender = sender.ready().await.map_err(failed)?;
    let (answer, _) = sender.send_request(request(probe, scheme)?, true).map_err(failed)?;
    let (head, mut body) = answer.await.map_err(failed)?.into_parts();
    let status = head.status.as_u16();
    if !probe.status.iter().any(|range| range.contains(&status)) {
        return Err(format!("status {status}"));
    }
    let Some(wanted) = &probe.body else { return Ok(()) };
    let mut data = Vec::new();
    while data.len() < MAX_BODY
        && let Some(piece) = body.data().await
    {
        let piece = piece.map_err(failed)?;
        body.flow_control().release_capacity(piece.len()).map_err(failed)?;
        data.extend_from_slice(&piece[..piece.len().min(MAX_BODY - data.len())]);
    }
    if wanted.is_match(&data) { Ok(()) } else { Err(format!("status {status}, but not the body")) }
}

fn request(probe: &HttpProbe, scheme: &str) -> Result<Request<()>, String> {
    let uri = Uri::builder().scheme(scheme).authority(probe.host.as_str()).path_and_query(&*probe.path);
    let request = uri.build().and_then(|uri| {
        Request::get(uri).header("user-agent", "portcullis-health").header("accept", "*/*").body(())
    });
    request.map_err(|error| error.to_string())
}

fn failed(error: h2::Error) -> String {
    format!("HTTP/2: {error}")
}
