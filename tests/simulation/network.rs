//! A network in memory: connections whose bytes arrive late, in parts or never, as a seed decides.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use portcullis::net::network::Dialling;
use portcullis::net::{Dial, Duplex, Stream};
use portcullis::runtime::clock;
use portcullis::upstream::background::discovery::names::{Asked, Names};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, mpsc};
use tokio::task::coop::poll_proceed;

use crate::time::{pass, pass_until};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What connections are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Some have little room, some break what is sent into small pieces, and pieces may be late.
    Mixed,
    /// The same, with room for large pieces on every connection.
    Wide,
    /// Everything arrives at once, in the moment in which it is sent.
    Prompt,
}

/// What becomes of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    Accepted(Duration),
    Refused(Duration),
    Silent,
}

type Door = Box<dyn FnMut(&mut fastrand::Rng) -> Reached + Send>;

/// One address that listens.
struct Host {
    door: Door,
    accepted: mpsc::UnboundedSender<End>,
}

/// The network of one world.
pub(crate) struct Network {
    me: Weak<Network>,
    pace: Pace,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    rng: fastrand::Rng,
    /// What happens next: the time, a number that orders what happens together by chance, and the pipe.
    events: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    pipes: HashMap<usize, Arc<Mutex<Pipe>>>,
    next: usize,
    hosts: HashMap<SocketAddr, Host>,
    names: HashMap<String, Option<Vec<IpAddr>>>,
}

enum Segment {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// One direction of a connection.
struct Pipe {
    number: usize,
    flight: VecDeque<(Instant, Segment)>,
    arrived: BytesMut,
    /// Bytes in flight and arrived.
    held: usize,
    room: usize,
    ended: bool,
    reset: bool,
    finished: bool,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The other direction, whose writer learns of a reset here.
    opposite: Weak<Mutex<Pipe>>,
}

/// One end of a connection.
pub(crate) struct End {
    network: Arc<Network>,
    read: Arc<Mutex<Pipe>>,
    write: Arc<Mutex<Pipe>>,
    rng: fastrand::Rng,
    /// The most that arrives in one piece.
    piece: usize,
}

impl Network {
    /// A network.
    pub(crate) fn new(seed: u64, pace: Pace) -> Arc<Network> {
        Arc::new_cyclic(|me| Network {
            me: Weak::clone(me),
            pace,
            state: Mutex::new(State {
                rng: fastrand::Rng::with_seed(seed),
                events: BinaryHeap::new(),
                pipes: HashMap::new(),
                next: 0,
                hosts: HashMap::new(),
                names: HashMap::new(),
            }),
            changed: Notify::new(),
        })
    }

    /// Has an address listen; gives the connections that it accepts.
    pub(crate) fn listen(
        &self,
        address: SocketAddr,
        door: impl FnMut(&mut fastrand::Rng) -> Reached + Send + 'static,
    ) -> mpsc::UnboundedReceiver<End> {
        let (accepted, connections) = mpsc::unbounded_channel();
        lock(&self.state).hosts.insert(address, Host { door: Box::new(door), accepted });
        connections
    }

    /// What a name means from now on; `None`: the name server fails.
    pub(crate) fn name(&self, host: &str, addresses: Option<Vec<IpAddr>>) {
        lock(&self.state).names.insert(host.to_owned(), addresses);
    }

    /// How many connections are open, in either direction.
    pub(crate) fn open(&self) -> usize {
        lock(&self.state).pipes.len()
    }

    /// Two ends of a new connection.
    pub(crate) fn connection(self: &Arc<Self>) -> (End, End) {
        let mut state = lock(&self.state);
        let seeds = (state.rng.u64(..), state.rng.u64(..));
        let small = state.rng.u8(..) < 40 && self.pace == Pace::Mixed;
        let room = if small { state.rng.usize(600..4000) } else { 64 * 1024 };
        let piece = if state.rng.u8(..) < 60 && self.pace != Pace::Prompt {
            state.rng.usize(1..400)
        } else {
            64 * 1024
        };
        let (one, other) = (state.pipe(room), state.pipe(room));
        lock(&one).opposite = Arc::downgrade(&other);
        lock(&other).opposite = Arc::downgrade(&one);
        drop(state);
        let end = |read: &Arc<Mutex<Pipe>>, write: &Arc<Mutex<Pipe>>, seed| End {
            network: Arc::clone(self),
            read: Arc::clone(read),
            write: Arc::clone(write),
            rng: fastrand::Rng::with_seed(seed),
            piece,
        };
        (end(&one, &other, seeds.0), end(&other, &one, seeds.1))
    }

    /// Delivers what is on its way, in the order of time, and at one time in an order of chance.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let next = lock(&self.state).events.peek().map(|Reverse((at, ..))| *at);
            let changed = self.changed.notified();
            match next {
                None => changed.await,
                Some(at) if at > clock::read() => {
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = pass_until(at) => {}
                    }
                }
                Some(at) => {
                    let due = {
                        let mut state = lock(&self.state);
                        let mut due = Vec::new();
                        while let Some(Reverse((when, _, pipe))) = state.events.peek().copied()
                            && when <= at
                        {
                            state.events.pop();
                            due.extend(state.pipes.get(&pipe).cloned());
                        }
                        due
                    };
                    for pipe in due {
                        deliver(&pipe, at);
                    }
                    // Others run before what happens at the same time but was sent later.
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn send(&self, pipe: &Mutex<Pipe>, segment: Segment, rng: &mut fastrand::Rng) {
        let delay = match rng.u8(..) {
            0..=179 => 0,
            _ if self.pace == Pace::Prompt => 0,
            180..=245 => rng.u64(1..4),
            _ => rng.u64(4..40),
        };
        let mut pipe = lock(pipe);
        let mut at = clock::read() + Duration::from_millis(delay);
        if let Some((last, _)) = pipe.flight.back() {
            at = at.max(*last);
        }
        if let Segment::Bytes(bytes) = &segment {
            pipe.held += bytes.len();
        }
        pipe.flight.push_back((at, segment));
        let mut state = lock(&self.state);
        let tie = rng.u64(..);
        state.events.push(Reverse((at, tie, pipe.number)));
        drop((state, pipe));
        self.changed.notify_one();
    }

    fn close(&self, number: usize) {
        lock(&self.state).pipes.remove(&number);
    }
}

impl State {
    fn pipe(&mut self, room: usize) -> Arc<Mutex<Pipe>> {
        let number = self.next;
        self.next += 1;
        let pipe = Arc::new(Mutex::new(Pipe {
            number,
            flight: VecDeque::new(),
            arrived: BytesMut::new(),
            held: 0,
            room,
            ended: false,
            reset: false,
            finished: false,
            reader_gone: false,
            reader: None,
            writer: None,
            opposite: Weak::new(),
        }));
        self.pipes.insert(number, Arc::clone(&pipe));
        pipe
    }
}

fn deliver(pipe: &Mutex<Pipe>, now: Instant) {
    let wakers = {
        let mut pipe = lock(pipe);
        while let Some((at, _)) = pipe.flight.front()
            && *at <= now
        {
            match pipe.flight.pop_front() {
                Some((_, Segment::Bytes(bytes))) if pipe.reader_gone => pipe.held -= bytes.len(),
                Some((_, Segment::Bytes(bytes))) => pipe.arrived.extend_from_slice(&bytes),
                Some((_, Segment::Fin)) => pipe.ended = true,
                Some((_, Segment::Reset)) => pipe.reset = true,
                None => {}
            }
        }
        (pipe.reader.take(), pipe.reset.then(|| pipe.opposite.upgrade()).flatten())
    };
    let wakers = (wakers.0, wakers.1.and_then(|opposite| lock(&opposite).writer.take()));
    wakers.0.into_iter().chain(wakers.1).for_each(Waker::wake);
}

impl Dial for Network {
    fn dial(&self, address: SocketAddr) -> Dialling<'_> {
        let reached = {
            let mut state = lock(&self.state);
            let State { rng, hosts, .. } = &mut *state;
            match hosts.get_mut(&address) {
                Some(host) => (host.door)(rng),
                None => Reached::Refused(Duration::ZERO),
            }
        };
        Box::pin(async move {
            match reached {
                Reached::Silent => std::future::pending().await,
                Reached::Refused(after) => {
                    pass(after).await;
                    Err(io::ErrorKind::ConnectionRefused.into())
                }
                Reached::Accepted(after) => {
                    pass(after).await;
                    let Some(network) = self.me.upgrade() else {
                        return Err(io::ErrorKind::ConnectionRefused.into());
                    };
                    let (mine, other) = network.connection();
                    let state = lock(&self.state);
                    let host = state.hosts.get(&address).ok_or(io::ErrorKind::ConnectionRefused)?;
                    host.accepted.send(other).map_err(|_| io::ErrorKind::ConnectionRefused)?;
                    Ok(Stream::memory(mine))
                }
            }
        })
    }
}

impl Names for Network {
    fn addresses<'a>(&'a self, host: &'a str) -> Asked<'a> {
        let (delay, answer) = {
            let mut state = lock(&self.state);
            let delay = state.rng.u64(0..30);
            (delay, state.names.get(host).cloned().unwrap_or(Some(Vec::new())))
        };
        Box::pin(async move {
            pass(Duration::from_millis(delay)).await;
            answer
        })
    }
}

impl End {
    /// Sends bytes that arrive together, whatever room there is.
    pub(crate) fn write_at_once(&mut self, bytes: Vec<u8>) {
        if !lock(&self.write).finished {
            self.network.send(&self.write, Segment::Bytes(bytes), &mut self.rng);
        }
    }

    /// Ends it at once, as a process that dies does: the other end reads a reset after what has arrived.
    pub(crate) fn abort(&mut self) {
        self.network.send(&self.write, Segment::Reset, &mut self.rng);
        lock(&self.write).finished = true;
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // As a socket does: a task that finds everything ready lets others run after a while.
        let progress = ready!(poll_proceed(cx));
        let mut pipe = lock(&this.read);
        if pipe.arrived.is_empty() {
            if pipe.reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if pipe.ended {
                return Poll::Ready(Ok(()));
            }
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = pipe.arrived.len().min(room.remaining());
        let take = if most > 1 && this.rng.u8(..) < 50 { this.rng.usize(1..=most) } else { most };
        let bytes = pipe.arrived.split_to(take);
        pipe.held -= take;
        let writer = pipe.writer.take();
        drop(pipe);
        room.put_slice(&bytes);
        progress.made_progress();
        writer.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let progress = ready!(poll_proceed(cx));
        if lock(&this.read).reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let free = {
            let mut pipe = lock(&this.write);
            if pipe.finished {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if pipe.reader_gone {
                // The first write into a closed connection succeeds; the reset comes back.
                pipe.finished = true;
                drop(pipe);
                this.network.send(&this.read, Segment::Reset, &mut this.rng);
                return Poll::Ready(Ok(bytes.len()));
            }
            let free = pipe.room.saturating_sub(pipe.held);
            if free == 0 {
                pipe.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            free
        };
        let most = free.min(bytes.len());
        let take = if most > 1 && this.rng.u8(..) < 30 { this.rng.usize(1..=most) } else { most };
        // Small pieces, but not thousands of them.
        for piece in bytes[..take].chunks(this.piece.max(take / 16)) {
            this.network.send(&this.write, Segment::Bytes(piece.to_vec()), &mut this.rng);
        }
        progress.made_progress();
        Poll::Ready(Ok(take))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish_writing();
        Poll::Ready(Ok(()))
    }
}

impl Duplex for End {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.read);
        if pipe.reset || pipe.ended || !pipe.arrived.is_empty() {
            return Poll::Ready(Ok(()));
        }
        pipe.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_quiet(&self) -> bool {
        let pipe = lock(&self.read);
        pipe.arrived.is_empty() && !pipe.ended && !pipe.reset
    }

    fn has_failed(&self) -> bool {
        lock(&self.read).reset
    }

    fn finish_writing(&self) {
        if !std::mem::replace(&mut lock(&self.write).finished, true) {
            let mut rng = self.rng.clone();
            self.network.send(&self.write, Segment::Fin, &mut rng);
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let (unread, number, writer) = {
            let mut pipe = lock(&self.read);
            pipe.reader_gone = true;
            let arrived = pipe.arrived.len();
            pipe.held -= arrived;
            pipe.arrived.clear();
            (arrived > 0, pipe.number, pipe.writer.take())
        };
        writer.into_iter().for_each(Waker::wake);
        let finished = std::mem::replace(&mut lock(&self.write).finished, true);
        if unread {
            let mut rng = self.rng.clone();
            self.network.send(&self.write, Segment::Reset, &mut rng);
        } else if !finished {
            let mut rng = self.rng.clone();
            self.network.send(&self.write, Segment::Fin, &mut rng);
        }
        // What is still on its way to this end is lost.
        self.network.close(number);
    }
}
