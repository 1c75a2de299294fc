//! What a gate is started with, and what it tells when it has started.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::exchange::Name;
use crate::net::Listener;
use crate::telemetry::OperatorLog;

use super::control::Control;
use super::source::Source;

/// What serves the admin listener, on the control runtime.
pub type Admin = fn(Listener, Control) -> Pin<Box<dyn Future<Output = ()>>>;

/// How the access log looks on standard output.
#[derive(Clone, Copy, Debug)]
pub struct Stdout {
    /// Whether it is a terminal: somebody reads along.
    pub terminal: bool,
    /// Whether colour is wanted there.
    pub colour: bool,
}

/// What a gate is started with.
pub struct Options {
    /// Where the configuration comes from.
    pub source: Source,
    /// How long everything is still served after the signal to end, while the process is not ready.
    pub drain_delay: Duration,
    /// How long running requests may take once the listeners are closed.
    pub grace: Duration,
    /// Where the gate tells what happens to it.
    pub log: Arc<OperatorLog>,
    /// How standard output is to be treated.
    pub stdout: Stdout,
    /// Serves the admin listener, where one is configured.
    pub admin: Admin,
    /// Called once, when the gate is ready.
    pub ready: Box<dyn FnOnce(&Ready)>,
}

/// Where a gate that has started can be reached.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Each listener with the address it really has.
    pub listeners: Vec<(Name, SocketAddr)>,
    /// The admin listener.
    pub admin: Option<SocketAddr>,
}
