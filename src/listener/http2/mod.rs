//! HTTP/2 from a client, read by the library `h2` (RFC 9113): every stream is a walk of its own.
//!
//! Start with [`serve`]; `driver.rs` takes the streams from the library, `stream.rs` serves one. `head.rs` judges a
//! request's lines, `body.rs` reads its body, `answer.rs` sends what came of it, in the form of `lines.rs`, `connect.rs`
//! is WebSocket over a stream. `stall.rs` resets a stream whose client takes nothing of its answer, `supervisor.rs` ends
//! the connection. `io.rs` stands between the connection and the library: `guard.rs` judges and counts the frames that
//! come, `written.rs` those that go. `opened.rs` knows on which streams the client may still send, `blocks.rs` and
//! `huffman.rs` look for the fault in a head that the library could not read.

mod allowance;
mod answer;
mod blocks;
mod body;
mod connect;
mod driver;
mod frames;
mod guard;
mod head;
mod huffman;
mod io;
mod lines;
mod opened;
mod stall;
mod stream;
mod supervisor;
mod written;

use std::future::poll_fn;
use std::rc::Rc;

use bytes::BytesMut;

use crate::net::{Facts, Stream};
use crate::pipeline::Core;
use crate::snapshot::Watcher;

use super::streams::Streams;
use answer::SEND_BUFFER;
use driver::Driver;
use io::Io;
use stream::Streaming;
use supervisor::Supervisor;

/// The beginning of the preface that no request of HTTP/1 has. The rest of it is judged here.
pub(super) const OPENING: &[u8] = frames::PREFACE.split_at(18).0;

/// Flow-control windows: large enough for an upload at full speed, small enough for many connections.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// A head this many times over the limit is not even read to its end.
const HARD_STOP: u32 = 4;

/// How many streams a client may open and reset before the gate has taken them up; beyond, it is told to calm down.
const PENDING_RESETS: usize = 20;

/// Serves one connection until either side ends it. `read` holds what has been read of it, the preface first.
pub(super) async fn serve(
    stream: Stream,
    read: BytesMut,
    facts: Facts,
    core: Rc<Core>,
    watcher: Rc<Watcher>,
) {
    let Some(pinned) = watcher.pin() else { return };
    let limits = pinned.plan.limits;
    drop(pinned);
    let streams = Rc::new(Streams::new(limits.streams, Rc::clone(&core.waiting_streams)));
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        // The library's own answer to a larger head has no words: `lines` judges first.
        .max_header_list_size((limits.head.head as u32).saturating_mul(HARD_STOP))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER);
    builder.enable_connect_protocol();
    // Streams that the library refuses are counted over time by the guard.
    builder.max_local_error_reset_streams(None);
    let streaming = Streaming {
        facts,
        core: Rc::clone(&core),
        watcher: Rc::clone(&watcher),
        streams: Rc::clone(&streams),
        idle: limits.idle,
    };
    let io = Io::new(stream, read);
    let shared = io.shared();
    let connection = Driver::new(&builder, io, streaming);
    let mut supervisor = Supervisor::new(connection, shared, streams, (core, watcher), limits);
    poll_fn(|cx| supervisor.poll(cx)).await;
    supervisor.close().await;
}
