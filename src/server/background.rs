//! The thread that does the background work of upstreams: service discovery and health checks.
//!
//! It does nothing else. A probe has a `timeout`, and one that had to wait for a page of metrics or the sweep of a
//! large table would fail while its endpoint is well.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::runtime::task;
use crate::snapshot::Snapshot;
use crate::telemetry::OperatorLog;
use crate::upstream::Tools;
use crate::upstream::background::discovery::Resolver;

/// How long the end of the thread is waited for.
const LAST_POLL: Duration = Duration::from_millis(500);

/// The running thread. Dropping this ends its work and then the thread.
pub(super) struct Background {
    tools: Tools,
    /// Dropped, it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
}

impl Background {
    /// Starts the thread, which has nothing to do yet.
    ///
    /// # Errors
    /// The system refuses a thread or what a runtime needs.
    pub(super) fn start(resolver: Resolver, log: &Arc<OperatorLog>) -> io::Result<Background> {
        let runtime = Builder::new_current_thread().thread_name("upstream-files").enable_all().build()?;
        let tools = Tools { runtime: runtime.handle().clone(), resolver, log: Arc::clone(log) };
        let (stop, stopped) = oneshot::channel::<()>();
        let (end, ended) = sync_channel(1);
        task::thread("upstreams", move || {
            // Dropped last: once its receiver sees that, no task is left.
            let _end = end;
            let _ = runtime.block_on(stopped);
            // A file that is still being read is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Background { tools, stop: Some(stop), ended })
    }

    /// What the work of upstreams needs in order to run here.
    pub(super) fn tools(&self) -> Tools {
        self.tools.clone()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.take();
        // Nothing is ever sent: this is the end of the thread, or of the time that it is given.
        let _ = self.ended.recv_timeout(LAST_POLL);
    }
}

/// Begins the work of the upstreams that are new in a snapshot; those that take the place of one in `before` take
/// over what that has under way. Waits until it has begun.
///
/// It is done whole or not at all: where the thread has ended nothing has begun, and an upstream whose work breaks down as
/// it begins, which would be a fault of ours, is reported and does not hold up the others.
///
/// It begins on the thread where it runs: no answer of a name server and no probe comes between while one upstream
/// takes over from another. The thread never waits for the one that calls this, and all that it does is short.
///
/// # Errors
/// The thread has ended; nothing has begun.
pub(super) fn begin(
    tools: Option<&Tools>,
    before: Option<&Arc<Snapshot>>,
    snapshot: &Arc<Snapshot>,
) -> Result<(), String> {
    let Some(tools) = tools.cloned() else { return Ok(()) };
    let (before, snapshot) = (before.cloned(), Arc::clone(snapshot));
    let (done, begun) = sync_channel(1);
    let runtime = tools.runtime.clone();
    task::spawn_on(&runtime, async move {
        snapshot.start_upstreams(before.as_deref(), &tools);
        // The snapshots go first: they must not be freed here, which takes a while.
        drop((before, snapshot));
        let _ = done.send(());
    });
    begun.recv().map_err(|_| "the background work of upstreams could not be begun".to_owned())
}

#[cfg(test)]
mod tests;
