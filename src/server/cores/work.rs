//! What one core does all day: accepts, takes connections over from others, and once in a while tidies up.

use crate::runtime::hash::HashMap;
use crate::runtime::{clock, task, time};
use std::net::TcpListener as Socket;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::runtime::task::JoinHandle;
use tokio::sync::{mpsc, oneshot};

use crate::exchange::{CoreId, Name};
use crate::listener::accept::Door;
use crate::listener::handoff::{Exit, Handoff, Moved};
use crate::listener::secure::Secure;
use crate::net::Listener;
use crate::pipeline::Core;
use crate::snapshot::Watcher;
use crate::telemetry::log::Level;

use super::command::{Command, Shared};

/// How often the access log is handed over, where it is not full before.
const TICK: Duration = Duration::from_millis(100);
/// Every so many ticks idle connections to services are looked through and old snapshots let go.
const TIDY: u32 = 10;
/// How often a draining core looks whether its last connection has ended.
const LOOK: Duration = Duration::from_millis(5);

/// One core at work.
pub(super) struct Work {
    core: Rc<Core>,
    shared: Shared,
    handoff: Arc<Handoff>,
    doors: HashMap<usize, Open>,
    /// Connections of a listener that another core serves already and this one has not heard of yet.
    early: Vec<Moved>,
}

/// A listener on this core.
struct Open {
    name: Name,
    door: Rc<Door>,
    /// The socket with the task that accepts from it; `None` once it is closed.
    socket: Option<(Rc<Listener>, JoinHandle<()>)>,
}

impl Work {
    pub(super) fn new(id: CoreId, shared: Shared, handoff: Arc<Handoff>) -> Work {
        let log = shared.access.as_ref().map(|access| access.core());
        let core = Rc::new(Core::new(id, log, Arc::clone(&shared.metrics)).sharing(Arc::clone(&shared.shed)));
        Work { core, shared, handoff, doors: HashMap::default(), early: Vec::new() }
    }

    /// Works until it is stopped, or the other end of `commands` is dropped.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>, mut moved: Exit) {
        let mut tick = time::interval(TICK);
        let mut ticks = 0u32;
        let mut drained: Option<oneshot::Sender<()>> = None;
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    None => break,
                    Some(Command::Stop { reason }) => {
                        self.core.cut_off(reason);
                        break;
                    }
                    Some(Command::Drain { done }) => {
                        self.take_all(&mut moved);
                        self.core.drain();
                        drained = Some(done);
                    }
                    Some(command) => self.obey(command, &mut moved).await,
                },
                Some(moved) = moved.recv() => self.take(moved),
                () = time::sleep(LOOK), if drained.is_some() => {
                    if self.core.open() == 0 && let Some(done) = drained.take() {
                        let _ = done.send(());
                    }
                }
                _ = tick.tick() => {
                    ticks = ticks.wrapping_add(1);
                    self.tick(ticks.is_multiple_of(TIDY));
                }
            }
        }
    }

    async fn obey(&mut self, command: Command, moved: &mut Exit) {
        match command {
            Command::Open { number, name, socket } => self.open(number, name, socket),
            Command::Rename { number, name } => self.rename(number, name).await,
            Command::Close { numbers, done } => {
                for number in numbers {
                    self.close(number).await;
                }
                let _ = done.send(());
            }
            Command::Leave { numbers } => {
                self.take_all(moved);
                for number in numbers {
                    if let Some(open) = self.doors.remove(&number) {
                        open.door.watcher.leave();
                    }
                }
                self.core.wake_all();
            }
            Command::Drain { .. } | Command::Stop { .. } => {}
        }
    }

    fn open(&mut self, number: usize, name: Name, socket: Socket) {
        match Listener::new(socket) {
            Ok(socket) => self.serve(number, name, Rc::new(socket)),
            Err(error) => {
                self.shared.log.error(format_args!("core {}: listener `{name}`: {error}", self.core.id.0));
            }
        }
    }

    fn serve(&mut self, number: usize, name: Name, socket: Rc<Listener>) {
        let door = Rc::new(Door {
            listener: number,
            name: Name::clone(&name),
            core: Rc::clone(&self.core),
            watcher: Rc::new(Watcher::new(Arc::clone(&self.shared.live), &name)),
            handoff: Arc::clone(&self.handoff),
            metrics: self.shared.metrics.listener(&name),
            connections: Arc::clone(&self.shared.connections),
            secure: Rc::new(Secure {
                name: Name::clone(&name),
                handshakes: Arc::clone(&self.shared.handshakes),
                metrics: self.shared.metrics.handshakes(&name),
                log: Arc::clone(&self.shared.log),
            }),
            log: Arc::clone(&self.shared.log),
        });
        let task = {
            let (door, socket, log) = (Rc::clone(&door), Rc::clone(&socket), Arc::clone(&self.shared.log));
            let name = Name::clone(&name);
            task::spawn_local(async move {
                let trouble = |error| {
                    let message = format_args!("listener `{name}` cannot accept: {error}");
                    log.write_seldom(clock::now(), Level::Error, ("accept", &name), message, &[]);
                };
                door.accept(&socket, trouble).await;
            })
        };
        self.doors.insert(number, Open { name, door, socket: Some((socket, task)) });
        for moved in std::mem::take(&mut self.early) {
            self.take(moved);
        }
    }

    async fn rename(&mut self, number: usize, name: Name) {
        let Some(mut open) = self.doors.remove(&number) else { return };
        let Some((socket, task)) = open.socket.take() else { return };
        end(task).await;
        self.serve(number, name, socket);
        open.door.watcher.leave();
        self.core.wake_all();
    }

    /// Accepts what the socket's queue holds and closes it. Connections that other cores have accepted by this
    /// listener may still come.
    async fn close(&mut self, number: usize) {
        let Some(open) = self.doors.get_mut(&number) else { return };
        open.door.watcher.close();
        let Some((socket, task)) = open.socket.take() else { return };
        end(task).await;
        let Some(socket) = Rc::into_inner(socket) else { return };
        match socket.into_queue() {
            Ok(queue) => open.door.accept_queued(&queue),
            Err(error) => self.shared.log.warn(format_args!("listener `{}` closes: {error}", open.name)),
        }
    }

    fn take(&mut self, moved: Moved) {
        match self.doors.get(&moved.listener) {
            Some(open) => open.door.take(moved),
            None => self.early.push(moved),
        }
    }

    fn take_all(&mut self, moved: &mut Exit) {
        while let Ok(moved) = moved.try_recv() {
            self.take(moved);
        }
    }

    fn tick(&self, tidy: bool) {
        if let Some(log) = &self.core.log {
            log.flush();
        }
        if !tidy {
            return;
        }
        let now = clock::now();
        for upstream in &self.shared.live.get().upstreams {
            upstream.sweep(self.core.id, now);
        }
        for open in self.doors.values() {
            open.door.watcher.refresh();
        }
    }
}

/// Ends a task and waits until what it held is free.
async fn end(task: JoinHandle<()>) {
    task.abort();
    let _ = task.await;
}
