//! The access log: one line for each exchange, written by one thread, never waited for by the path.
//!
//! Every core fills a buffer of its own ([`CoreLog`]) and hands it over whole. Where the writer cannot keep up, or
//! its target fails, lines are dropped and counted: the gate goes on.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::format::{Entry, Format, Formatter};
use super::worker::{Sender, Worker};
use super::writer::{Message, Output, Shared, Writer};

pub use super::writer::{Report, Target};

/// A buffer that has reached this size is handed over, in bytes.
const HAND_OVER: usize = 32 * 1024;
/// How many buffers of one core may stand in the queue, on average over the cores.
const QUEUED: usize = 8;
/// How many written buffers are kept for a core to fill again.
const SPARE: usize = 4;

/// What an access log is started with.
pub struct AccessLogSettings {
    /// Where the lines go.
    pub target: Target,
    /// How they are written.
    pub format: Format,
    /// Whether each line is handed over at once, as one who watches a terminal wants it.
    pub prompt: bool,
    /// Counts the lines that were dropped; handed in, so that the count outlives a reload.
    pub dropped: Arc<AtomicU64>,
    /// Called on the writer's thread when lines were dropped, when they are written again, and when a file could not be
    /// opened again.
    pub report: Report,
}

/// A running access log.
pub struct AccessLog {
    worker: Worker<Message>,
    shared: Arc<Shared>,
    format: Format,
    prompt: bool,
}

impl AccessLog {
    /// Opens the target and starts the writer for so many cores.
    ///
    /// # Errors
    /// The target cannot be opened, or the system refuses another thread.
    pub fn start(settings: AccessLogSettings, cores: usize) -> io::Result<Arc<AccessLog>> {
        let output = Output::open(&settings.target)?;
        AccessLog::with_output(settings, output, cores)
    }

    fn with_output(settings: AccessLogSettings, output: Output, cores: usize) -> io::Result<Arc<AccessLog>> {
        let AccessLogSettings { target, format, prompt, dropped, report } = settings;
        let shared = Arc::new(Shared { dropped, reopen: AtomicBool::new(false) });
        let writer = Writer::new(target, output, Arc::clone(&shared), report);
        let worker = Worker::start("access-log", QUEUED * cores.max(1), writer)?;
        Ok(Arc::new(AccessLog { worker, shared, format, prompt }))
    }

    /// The handle by which one core writes its lines.
    pub fn core(&self) -> CoreLog {
        let (home, written) = sync_channel(SPARE);
        let buffer =
            Buffer { bytes: Vec::new(), lines: 0, formatter: Formatter::new(self.format), written, home };
        CoreLog {
            buffer: RefCell::new(buffer),
            queue: Queue::Writer(self.worker.sender().clone()),
            shared: Arc::clone(&self.shared),
            hand_over: if self.prompt { 0 } else { HAND_OVER },
        }
    }

    /// How many lines were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Has the file opened anew, after a rotation has renamed it; lines that were handed over before still go to the
    /// old one. Does not wait. Where the file cannot be opened, that is reported and the old one kept.
    pub fn reopen(&self) {
        if let Err(TrySendError::Full(_)) = self.worker.sender().try_send(Some(Message::Reopen)) {
            self.shared.reopen.store(true, Ordering::SeqCst);
        }
    }

    /// Writes what was handed over and ends the writer; waits no longer than `wait`, for the target may hang. Whether
    /// all was written. Cores flush before; what they write later is counted as dropped.
    pub fn shutdown(&self, wait: Duration) -> bool {
        self.worker.close(wait)
    }
}

struct Buffer {
    bytes: Vec<u8>,
    lines: u64,
    formatter: Formatter,
    written: Receiver<Vec<u8>>,
    home: SyncSender<Vec<u8>>,
}

type Function = Box<dyn FnMut(&[u8]) + Send>;

/// Who takes the lines.
enum Queue {
    /// The thread that writes them.
    Writer(Sender<Message>),
    /// A function, called where the line is written.
    Function(RefCell<Function>),
}

/// One core's end of the access log. Used by that core alone; hands over what it holds when it is dropped.
pub struct CoreLog {
    buffer: RefCell<Buffer>,
    queue: Queue,
    shared: Arc<Shared>,
    hand_over: usize,
}

impl CoreLog {
    /// A log without a thread: every line goes to a function at once. It runs on the request path and must not block.
    pub fn to_function(format: Format, function: impl FnMut(&[u8]) + Send + 'static) -> CoreLog {
        let (home, written) = sync_channel(0);
        let formatter = Formatter::new(format);
        CoreLog {
            buffer: RefCell::new(Buffer { bytes: Vec::new(), lines: 0, formatter, written, home }),
            queue: Queue::Function(RefCell::new(Box::new(function))),
            shared: Arc::new(Shared { dropped: Arc::default(), reopen: AtomicBool::new(false) }),
            hand_over: 0,
        }
    }

    /// Writes the line of one exchange. Never waits; allocates only until the buffers have their size.
    pub fn line(&self, entry: &Entry<'_>) {
        let buffer = &mut *self.buffer.borrow_mut();
        buffer.formatter.push(&mut buffer.bytes, entry);
        buffer.lines += 1;
        if buffer.bytes.len() >= self.hand_over {
            self.hand_over(buffer);
        }
    }

    /// Hands over what is there. Called by the core's tick, and before it ends.
    pub fn flush(&self) {
        self.hand_over(&mut self.buffer.borrow_mut());
    }

    fn hand_over(&self, buffer: &mut Buffer) {
        if buffer.lines == 0 {
            return;
        }
        let queue = match &self.queue {
            Queue::Writer(queue) => queue,
            Queue::Function(function) => {
                (function.borrow_mut())(&buffer.bytes);
                buffer.bytes.clear();
                buffer.lines = 0;
                return;
            }
        };
        let bytes = std::mem::take(&mut buffer.bytes);
        let message = Message::Lines { bytes, home: buffer.home.clone() };
        match queue.try_send(Some(message)) {
            Ok(()) => {
                buffer.lines = 0;
                buffer.bytes = buffer.written.try_recv().unwrap_or_default();
                return;
            }
            Err(TrySendError::Full(Some(Message::Lines { bytes, .. }))) => {
                buffer.bytes = bytes;
                // A small buffer waits for the next try: a crowd of prompt lines then goes over as one.
                if buffer.bytes.len() < HAND_OVER {
                    return;
                }
            }
            // The writer has ended.
            Err(_) => {}
        }
        buffer.bytes.clear();
        self.shared.dropped.fetch_add(std::mem::take(&mut buffer.lines), Ordering::Relaxed);
    }
}

impl Drop for CoreLog {
    fn drop(&mut self) {
        self.flush();
        // What found no room now never will.
        let lines = self.buffer.get_mut().lines;
        self.shared.dropped.fetch_add(lines, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
