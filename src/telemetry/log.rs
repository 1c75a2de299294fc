//! The operator's log: what happens to the gate itself (start, reload, failing upstreams), not to one request.
//!
//! Lines go to a sink that the process hands in; a thread calls it, so that a sink that hangs holds nobody up.

use std::fmt::{Arguments, Display, Write};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::escape::{Escaping, push_escaped};
use super::repeat::Repeats;
use super::stamp::Stamp;
use super::worker::{Job, Worker};
use crate::runtime::clock;

/// How many lines may wait for the sink.
const QUEUED: usize = 256;
/// The span in which a repeated line is told once.
const REPEAT_EVERY: Duration = Duration::from_secs(10);

/// How much a line matters; the first matters most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something works, but not as it should.
    Warn,
    /// Something happened.
    Info,
    /// Of use only while something is looked for.
    Debug,
}

impl Level {
    /// The level's name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }

    /// The name as a column.
    const fn column(self) -> &'static str {
        match self {
            Level::Error => " ERROR ",
            Level::Warn => " WARN  ",
            Level::Info => " INFO  ",
            Level::Debug => " DEBUG ",
        }
    }
}

/// Facts beside the message: names (words of ours) and values.
pub type Fields<'a> = &'a [(&'static str, &'a dyn Display)];

/// A running log.
pub struct OperatorLog {
    json: bool,
    least: Level,
    worker: Worker<Vec<u8>>,
    dropped: AtomicU64,
    repeats: Mutex<Repeats>,
}

impl OperatorLog {
    /// Starts a log that writes lines of `least` and what matters more, as JSON or as text. The sink gets whole
    /// lines with their LF, on a thread of the log's own; it may block, and deals with its failures itself.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub fn start(
        json: bool,
        least: Level,
        sink: impl FnMut(&[u8]) + Send + 'static,
    ) -> io::Result<Arc<OperatorLog>> {
        let worker = Worker::start("operator-log", QUEUED, Sink(sink))?;
        let repeats = Mutex::new(Repeats::new(REPEAT_EVERY));
        Ok(Arc::new(OperatorLog { json, least, worker, dropped: AtomicU64::new(0), repeats }))
    }

    /// Whether lines of this level are written.
    pub fn tells(&self, level: Level) -> bool {
        level <= self.least
    }

    /// Something does not work.
    pub fn error(&self, message: impl Display) {
        self.write(Level::Error, format_args!("{message}"), &[]);
    }

    /// Something works, but not as it should.
    pub fn warn(&self, message: impl Display) {
        self.write(Level::Warn, format_args!("{message}"), &[]);
    }

    /// Something happened.
    pub fn info(&self, message: impl Display) {
        self.write(Level::Info, format_args!("{message}"), &[]);
    }

    /// Writes a line with facts beside its message. Never waits: a line that does not fit is counted, and the count
    /// is told with the next that does.
    pub fn write(&self, level: Level, message: Arguments<'_>, fields: Fields<'_>) {
        if !self.tells(level) {
            return;
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let mut line = Vec::with_capacity(160);
        if dropped > 0 {
            let lines = if dropped == 1 { "line" } else { "lines" };
            self.line(&mut line, Level::Warn, format_args!("{dropped} log {lines} dropped"), &[]);
        }
        self.line(&mut line, level, message, fields);
        if self.worker.sender().try_send(Some(line)).is_err() {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
        }
    }

    /// As [`OperatorLog::write`], for what may happen with every request: of lines with this topic and name, one is
    /// told every ten seconds, with the number of those that were not.
    pub fn write_seldom(
        &self,
        now: Instant,
        level: Level,
        (topic, name): (&'static str, &str),
        message: Arguments<'_>,
        fields: Fields<'_>,
    ) {
        if !self.tells(level) {
            return;
        }
        let admitted = {
            let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
            repeats.admit(topic, name, now)
        };
        match admitted {
            None => {}
            Some(0) => self.write(level, message, fields),
            Some(hidden) => self.write(level, format_args!("{message} (and {hidden} more like it)"), fields),
        }
    }

    /// Has the sink told what waits and ends the thread; waits no longer than `wait`. Whether all was told.
    pub fn shutdown(&self, wait: Duration) -> bool {
        self.worker.close(wait)
    }

    fn line(&self, out: &mut Vec<u8>, level: Level, message: Arguments<'_>, fields: Fields<'_>) {
        let before = if self.json { "{\"time\":\"" } else { "" };
        out.extend_from_slice(before.as_bytes());
        Stamp::new().push(out, clock::wall());
        if self.json {
            for text in ["\",\"level\":\"", level.name(), "\",\"message\":\""] {
                out.extend_from_slice(text.as_bytes());
            }
        } else {
            out.extend_from_slice(level.column().as_bytes());
        }
        push_display(out, &message);
        for (name, value) in fields {
            out.extend_from_slice(if self.json { b"\",\"" } else { b" " });
            push_escaped(out, name.as_bytes());
            out.extend_from_slice(if self.json { b"\":\"" } else { b"=\"" });
            push_display(out, value);
            if !self.json {
                out.push(b'"');
            }
        }
        out.extend_from_slice(if self.json { b"\"}\n" } else { b"\n" });
    }
}

/// A value whose own formatting fails is told as far as it came.
fn push_display(out: &mut Vec<u8>, value: &dyn Display) {
    let _ = write!(Escaping(out), "{value}");
}

struct Sink<F>(F);

impl<F: FnMut(&[u8]) + Send + 'static> Job for Sink<F> {
    type Message = Vec<u8>;

    fn handle(&mut self, line: Vec<u8>) {
        (self.0)(&line);
    }

    fn end(&mut self) {}
}

#[cfg(test)]
mod tests;
