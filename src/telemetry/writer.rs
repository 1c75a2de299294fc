//! The thread's side of the access log: the target, its failures, and what is told of them.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

use super::log::Level;
use super::worker::Job;
use crate::runtime::clock;

/// The time between two reports of dropped lines.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// A written buffer that has grown beyond this is not kept, in bytes.
const SPARE_SIZE: usize = 128 * 1024;
/// How often, and after what pause, a target that would block is asked again.
const RETRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(5);

/// Where the lines go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// The process's standard output.
    Stdout,
    /// A file that is appended to, made with mode 0640 where it is not there.
    File(PathBuf),
}

/// Takes what the operator should know of the log itself, and how serious it is.
pub type Report = Box<dyn Fn(Level, &str) + Send>;

/// What stands in the queue.
pub(super) enum Message {
    /// Whole lines, and where the buffer goes once it is written.
    Lines {
        /// The lines, each with its LF.
        bytes: Vec<u8>,
        /// The way back.
        home: SyncSender<Vec<u8>>,
    },
    /// Open the file anew.
    Reopen,
}

/// What both ends of the queue see.
pub(super) struct Shared {
    /// Lines dropped so far.
    pub(super) dropped: Arc<AtomicU64>,
    /// The file is to be opened anew, asked for while the queue was full.
    pub(super) reopen: AtomicBool,
}

/// Where bytes go. Written without a buffer of its own: what comes is large already.
pub(super) struct Output(Box<dyn Write + Send>);

impl Output {
    /// Opens the target.
    ///
    /// # Errors
    /// The system's own.
    pub(super) fn open(target: &Target) -> io::Result<Output> {
        let file = match target {
            // A handle of our own, for the library's holds a lock and a buffer.
            Target::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            Target::File(path) => OpenOptions::new().append(true).create(true).mode(0o640).open(path)?,
        };
        Ok(Output(Box::new(file)))
    }

    #[cfg(test)]
    pub(super) fn of(write: impl Write + Send + 'static) -> Output {
        Output(Box::new(write))
    }

    /// Writes all of it; on failure tells how much was written before.
    fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        let mut retries = 0;
        while written < bytes.len() {
            match self.0.write(&bytes[written..]) {
                Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written += count;
                    retries = 0;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Someone else has made our standard output non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock && retries < RETRIES => {
                    retries += 1;
                    thread::sleep(PAUSE);
                }
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }
}

/// The job of the access log's thread.
pub(super) struct Writer {
    target: Target,
    output: Output,
    /// The output ends in the middle of a line, for a write broke off there.
    torn: bool,
    /// Since the first write that failed, until the operator knows that writes succeed again.
    failing: Option<Failing>,
    shared: Arc<Shared>,
    drops: Drops,
    report: Report,
}

/// A time in which writes failed.
#[derive(Clone, Copy)]
struct Failing {
    /// The lines that had been dropped before.
    before: u64,
    /// Whether the last write succeeded.
    over: bool,
}

impl Writer {
    pub(super) fn new(target: Target, output: Output, shared: Arc<Shared>, report: Report) -> Writer {
        let drops = Drops { told: shared.dropped.load(Ordering::Relaxed), last: None, cause: None };
        Writer { target, output, torn: false, failing: None, shared, drops, report }
    }

    fn lines(&mut self, bytes: &[u8]) {
        if self.torn {
            match self.output.write(b"\n") {
                Ok(()) => self.torn = false,
                Err((_, error)) => return self.lost(bytes, error),
            }
        }
        if let Err((written, error)) = self.output.write(bytes) {
            self.torn = written > 0 && bytes[written - 1] != b'\n';
            return self.lost(&bytes[written..], error);
        }
        if let Some(failing) = &mut self.failing {
            failing.over = true;
        }
    }

    fn lost(&mut self, bytes: &[u8], error: io::Error) {
        let lines = memchr::memchr_iter(b'\n', bytes).count() as u64;
        let before = self.shared.dropped.fetch_add(lines, Ordering::Relaxed);
        self.failing.get_or_insert(Failing { before, over: false }).over = false;
        self.drops.cause = Some(error);
    }

    fn reopen(&mut self) {
        if self.target == Target::Stdout {
            return;
        }
        match Output::open(&self.target) {
            Ok(output) => {
                self.output = output;
                self.torn = false;
            }
            Err(error) => (self.report)(Level::Warn, &format!("the file cannot be opened again: {error}")),
        }
    }

    fn tell(&mut self, now: Instant, last_chance: bool) {
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        if let Some(text) = self.drops.due(dropped, now, last_chance) {
            (self.report)(Level::Warn, &text);
        }
        // Not before every loss was reported: a target that comes and goes is reported as seldom as its losses.
        if let Some(Failing { before, over: true }) = self.failing
            && self.drops.told == dropped
        {
            self.failing = None;
            (self.report)(Level::Info, &format!("written again, {} lines were lost", dropped - before));
        }
    }
}

impl Job for Writer {
    type Message = Message;

    fn handle(&mut self, message: Message) {
        match message {
            Message::Lines { mut bytes, home } => {
                self.lines(&bytes);
                bytes.clear();
                if bytes.capacity() <= SPARE_SIZE {
                    // A core that is gone, or has spare ones enough, needs it no more.
                    let _ = home.try_send(bytes);
                }
            }
            Message::Reopen => self.reopen(),
        }
        if self.shared.reopen.swap(false, Ordering::SeqCst) {
            self.reopen();
        }
        self.tell(clock::now(), false);
    }

    fn end(&mut self) {
        self.tell(clock::now(), true);
    }
}

/// When, and with which number, dropped lines are reported: the first at once, then the sum of each span.
struct Drops {
    told: u64,
    last: Option<Instant>,
    cause: Option<io::Error>,
}

impl Drops {
    fn due(&mut self, dropped: u64, now: Instant, last_chance: bool) -> Option<String> {
        let fresh = dropped.saturating_sub(self.told);
        let waits = self.last.is_some_and(|last| now.duration_since(last) < REPORT_EVERY);
        if fresh == 0 || (waits && !last_chance) {
            return None;
        }
        self.told = dropped;
        self.last = Some(now);
        let cause = self.cause.take().map(|cause| format!(": {cause}")).unwrap_or_default();
        let lines = if fresh == 1 { "line" } else { "lines" };
        Some(format!("{fresh} {lines} dropped{cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_reported_at_once_and_then_in_sums() {
        let start = Instant::now();
        let mut drops = Drops { told: 5, last: None, cause: Some(ErrorKind::BrokenPipe.into()) };
        assert_eq!(drops.due(5, start, false), None);
        assert_eq!(drops.due(7, start, false).as_deref(), Some("2 lines dropped: broken pipe"));
        assert_eq!(drops.due(9, start + Duration::from_secs(9), false), None);
        let later = start + REPORT_EVERY;
        assert_eq!(drops.due(12, later, false).as_deref(), Some("5 lines dropped"));
        assert_eq!(drops.due(12, later, true), None);
        assert_eq!(drops.due(13, later, true).as_deref(), Some("1 line dropped"));
    }
}
