//! The signals that steer the process.

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use super::fault::Fault;

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Signal {
    /// SIGTERM or SIGINT: end.
    End,
    /// SIGHUP: read the configuration anew and open the log's file anew.
    Reload,
}

/// The signals the process listens for.
pub(super) struct Signals {
    terminate: Stream,
    interrupt: Stream,
    hang_up: Stream,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn new() -> Result<Signals, Fault> {
        let listen =
            |kind| signal(kind).map_err(|error| Fault::environment("signals cannot be received", &error));
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::End,
            _ = self.interrupt.recv() => Signal::End,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }

    /// Waits for the next signal to end.
    pub(super) async fn end(&mut self) {
        while self.next().await != Signal::End {}
    }
}
