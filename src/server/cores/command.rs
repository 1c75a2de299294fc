//! What every core works with, and what it is told.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::exchange::Name;
use crate::listener::connections::ConnectionCounts;
use crate::listener::secure::Handshakes;
use crate::pipeline::shed::Shed;
use crate::snapshot::Live;
use crate::telemetry::{AccessLog, Metrics, OperatorLog};

/// What every core works with.
#[derive(Clone)]
pub(in crate::server) struct Shared {
    pub(in crate::server) live: Arc<Live>,
    pub(in crate::server) metrics: Arc<Metrics>,
    pub(in crate::server) shed: Arc<Shed>,
    pub(in crate::server) connections: Arc<ConnectionCounts>,
    pub(in crate::server) handshakes: Arc<Handshakes>,
    pub(in crate::server) access: Option<Arc<AccessLog>>,
    pub(in crate::server) log: Arc<OperatorLog>,
}

/// What a core is told to do.
pub(super) enum Command {
    /// Serve a listener.
    Open { number: usize, name: Name, socket: TcpListener },
    /// Serve another listener by the same socket.
    Rename { number: usize, name: Name },
    /// Accept what the socket's queue holds, then close it.
    Close { numbers: Vec<usize>, done: oneshot::Sender<()> },
    /// End the idle connections of a closed listener, and the others after their answer.
    Leave { numbers: Vec<usize> },
    /// Drop whatever runs and end; the word says why.
    Stop { reason: &'static str },
    /// End every connection as soon as it is idle; answered when there is none.
    Drain { done: oneshot::Sender<()> },
}
