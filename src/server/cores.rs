//! The cores: one thread with one runtime each, and the commands that the control runtime sends them.

mod command;
mod work;

use std::cell::RefCell;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::exchange::{CoreId, Name};
use crate::listener::handoff::Handoff;
use crate::runtime::{task, time};

use command::Command;
use work::Work;

pub(super) use command::Shared;

/// Between the last accept and the end of idle connections: a connection that has just been accepted is idle only
/// until its first bytes, which are there already, have been read.
pub(super) const BREATH: Duration = Duration::from_millis(50);

/// How long a core may take to end what cannot be cancelled, such as the resolution of a name.
const LAST_TASKS: Duration = Duration::from_millis(500);

/// The running cores.
pub(super) struct Cores {
    count: usize,
    commands: RefCell<Vec<mpsc::UnboundedSender<Command>>>,
    threads: RefCell<Vec<JoinHandle<()>>>,
    handoff: Arc<Handoff>,
}

impl Cores {
    /// Starts so many cores. They serve nothing yet. A core that ends without being told to is named on the channel.
    ///
    /// # Errors
    /// The system refuses a thread or what a runtime needs.
    pub(super) fn start(
        count: usize,
        shared: &Shared,
    ) -> io::Result<(Cores, mpsc::UnboundedReceiver<usize>)> {
        let (handoff, exits) = Handoff::new(count);
        let (crash, crashed) = mpsc::unbounded_channel();
        let cores = Cores { count, commands: RefCell::default(), threads: RefCell::default(), handoff };
        for (at, moved) in exits.into_iter().enumerate() {
            let (sender, commands) = mpsc::unbounded_channel();
            let (up, started) = sync_channel(1);
            let (shared, handoff, crash) = (shared.clone(), Arc::clone(&cores.handoff), crash.clone());
            let thread = task::thread(format!("core-{at}"), move || {
                let watch = Crash { core: at, tell: Some(crash) };
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build_local(Default::default());
                match runtime {
                    Ok(runtime) => {
                        let _ = up.send(Ok(()));
                        runtime.block_on(Work::new(CoreId(at), shared, handoff).run(commands, moved));
                        runtime.shutdown_timeout(LAST_TASKS);
                    }
                    Err(error) => drop(up.send(Err(error))),
                }
                watch.defuse();
            })?;
            cores.commands.borrow_mut().push(sender);
            cores.threads.borrow_mut().push(thread);
            started.recv().map_err(io::Error::other)??;
        }
        Ok((cores, crashed))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many connections are open.
    pub(super) fn open_connections(&self) -> usize {
        self.handoff.open()
    }

    /// Serves a listener by one socket a core.
    pub(super) fn open(&self, number: usize, name: &Name, sockets: Vec<TcpListener>) {
        for (core, socket) in self.commands.borrow().iter().zip(sockets) {
            let _ = core.send(Command::Open { number, name: Name::clone(name), socket });
        }
    }

    /// Serves another listener by the same sockets.
    pub(super) fn rename(&self, number: usize, name: &Name) {
        self.tell(|| Command::Rename { number, name: Name::clone(name) });
    }

    /// Closes the sockets once nobody waits in them, then ends the idle connections that came in by them.
    pub(super) async fn close(&self, numbers: &[usize]) {
        if numbers.is_empty() {
            return;
        }
        self.close_sockets(numbers).await;
        time::sleep(BREATH).await;
        self.tell(|| Command::Leave { numbers: numbers.to_vec() });
    }

    /// Closes the sockets; connections go on.
    pub(super) async fn close_sockets(&self, numbers: &[usize]) {
        self.ask(|done| Command::Close { numbers: numbers.to_vec(), done }).await;
    }

    /// Ends every connection as soon as it is idle; ready when all have ended. The sockets have to be closed before.
    pub(super) async fn drain(&self) {
        time::sleep(BREATH).await;
        self.ask(|done| Command::Drain { done }).await;
    }

    /// Ends the cores, whatever they are at, and waits for their threads. The word is the reason in the log of every
    /// request that is cut off.
    pub(super) fn stop(&self, reason: &'static str) {
        self.tell(|| Command::Stop { reason });
        self.commands.borrow_mut().clear();
        for thread in self.threads.take() {
            let _ = thread.join();
        }
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for core in self.commands.borrow().iter() {
            let _ = core.send(command());
        }
    }

    async fn ask(&self, command: impl Fn(oneshot::Sender<()>) -> Command) {
        let mut answers = Vec::with_capacity(self.count);
        for core in self.commands.borrow().iter() {
            let (done, answer) = oneshot::channel();
            let _ = core.send(command(done));
            answers.push(answer);
        }
        for answer in answers {
            // A core that has ended has no connections either.
            let _ = answer.await;
        }
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        self.stop("core");
    }
}

/// Tells of a core that panicked.
struct Crash {
    core: usize,
    tell: Option<mpsc::UnboundedSender<usize>>,
}

impl Crash {
    fn defuse(mut self) {
        self.tell = None;
    }
}

impl Drop for Crash {
    fn drop(&mut self) {
        if let Some(tell) = &self.tell {
            let _ = tell.send(self.core);
        }
    }
}

#[cfg(test)]
mod tests;
