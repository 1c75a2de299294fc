//! A running gate as those see it who steer it: signals, the watch on files, the admin listener.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

use crate::cache::Cache;
use crate::listener::connections::ConnectionCounts;
use crate::snapshot::compile::Environment;
use crate::snapshot::{Live, Snapshot};
use crate::store::registry::Registry;
use crate::telemetry::{AccessLog, Metrics, OperatorLog};

use super::cores::Cores;
use super::report::{Cause, Report, Request};
use super::sockets::Listening;
use super::source::Source;
use super::watch::Seen;

/// How long the logs may take to write what they hold when the process ends; a pipe that nobody reads must not hold
/// the end up.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// A handle on a running gate. Belongs to the control runtime.
#[derive(Clone)]
pub struct Control(Rc<Inner>);

/// What a gate is steered by.
pub(super) struct Inner {
    pub(super) source: Arc<Source>,
    pub(super) live: Arc<Live>,
    pub(super) environment: Arc<Environment>,
    pub(super) access: Option<Arc<AccessLog>>,
    pub(super) log: Arc<OperatorLog>,
    pub(super) cores: Cores,
    pub(super) connections: Arc<ConnectionCounts>,
    pub(super) listening: RefCell<Listening>,
    pub(super) next_number: Cell<usize>,
    pub(super) reloads: mpsc::UnboundedSender<Request>,
    pub(super) watch: Option<Sender<Seen>>,
    /// The paths of the last load, and of those before it while loads fail.
    pub(super) watched: RefCell<Vec<PathBuf>>,
    pub(super) last: RefCell<Option<Arc<Report>>>,
    pub(super) ready: Cell<bool>,
    pub(super) draining: Cell<bool>,
    pub(super) started: SystemTime,
}

impl Control {
    pub(super) fn new(inner: Inner) -> Control {
        Control(Rc::new(inner))
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.live.get()
    }

    /// The numbers of the process.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.environment.metrics
    }

    /// The budgets of limits.
    pub fn counters(&self) -> &Arc<Registry> {
        &self.0.environment.counters
    }

    /// The store of answers.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.0.environment.cache
    }

    /// The operator's log.
    pub fn log(&self) -> &Arc<OperatorLog> {
        &self.0.log
    }

    /// Whether new requests are welcome: from when the endpoints of the services are known until the process is to end.
    pub fn is_ready(&self) -> bool {
        self.0.ready.get() && !self.is_draining()
    }

    /// Whether the process is about to end.
    pub fn is_draining(&self) -> bool {
        self.0.draining.get()
    }

    pub(super) fn set_ready(&self) {
        self.0.ready.set(true);
    }

    /// When the process began to serve.
    pub fn started(&self) -> SystemTime {
        self.0.started
    }

    /// What the last reload came to, if there was one.
    pub fn last_reload(&self) -> Option<Arc<Report>> {
        self.0.last.borrow().clone()
    }

    /// How many client connections are open.
    pub fn open(&self) -> usize {
        self.0.cores.open_connections()
    }

    /// Reads the configuration anew and waits for the outcome.
    pub async fn reload(&self, cause: Cause) -> Arc<Report> {
        let (answer, outcome) = oneshot::channel();
        let asked = self.0.reloads.send(Request { cause, answer: Some(answer) });
        let outcome = if asked.is_ok() { outcome.await.ok() } else { None };
        outcome.unwrap_or_else(|| Arc::new(Report::ending(self.snapshot().version, cause)))
    }

    /// Has the configuration read anew, without waiting.
    pub(super) fn ask_reload(&self, cause: Cause) {
        let _ = self.0.reloads.send(Request { cause, answer: None });
    }

    pub(super) fn reopen_log(&self) {
        if let Some(access) = &self.0.access {
            access.reopen();
        }
    }

    pub(super) fn cores(&self) -> &Cores {
        &self.0.cores
    }

    pub(super) fn begin_drain(&self) {
        self.0.draining.set(true);
    }

    /// Closes every listener, once nobody waits in its sockets.
    pub(super) async fn close_all(&self) {
        let numbers = self.0.listening.borrow_mut().take_all();
        self.0.cores.close_sockets(&numbers).await;
    }

    /// Ends the cores, with the reason in the log of every request that is cut off, and lets the access log write what it holds.
    pub(super) fn stop(&self, reason: &'static str) {
        self.0.cores.stop(reason);
        if let Some(access) = &self.0.access
            && !access.shutdown(LAST_WORDS)
        {
            self.0.log.warn("the access log could not be written to its end");
        }
    }
}
