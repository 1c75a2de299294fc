//! Runs the sources: each the moment what it needs is there, side by side.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Instant;

use crate::exchange::{Error, Exchange, Headers};
use crate::expression::{Answered, Ground, Reference};
use crate::runtime::clock;

use super::call::Line;
use super::each::each;
use super::outcome::{Failure, Fault, Outcome};
use super::source::{Source, Unasked};

/// What the sources came to.
pub(super) struct Gathered {
    /// Of each source, in the order written, what it came to and after how many milliseconds; none for one that was
    /// still running when the call ended.
    pub(super) outcomes: Vec<Option<(Outcome, u64)>>,
    /// The source whose failure ended the call.
    pub(super) ended_by: Option<usize>,
    /// What went wrong without being a failure.
    pub(super) note: Option<String>,
}

/// What all sources of one call share.
struct Table<'a> {
    sources: &'a [Source],
    exchange: &'a Exchange,
    /// What others may read of each source.
    answers: &'a [OnceLock<Answered>],
    note: RefCell<Option<String>>,
}

type Run<'a> = Pin<Box<dyn Future<Output = Result<Outcome, Error>> + 'a>>;

enum Slot<'a> {
    Waiting,
    Running(Run<'a>, Instant),
    Over,
}

/// Runs every source. Returning drops what still runs, and with it the calls; `decides` tells whether the failure of a
/// source ends the call.
///
/// # Errors
/// The client's request would change the shape of a source's: the whole call is refused.
pub(super) async fn run(
    sources: &[Source],
    exchange: &Exchange,
    answers: &[OnceLock<Answered>],
    decides: impl Fn(&Source) -> bool,
) -> Result<Gathered, Error> {
    let table = Table { sources, exchange, answers, note: RefCell::new(None) };
    let mut slots: Vec<Slot<'_>> = sources.iter().map(|_| Slot::Waiting).collect();
    let mut outcomes: Vec<Option<(Outcome, u64)>> = sources.iter().map(|_| None).collect();
    let ended_by = poll_fn(|cx| {
        loop {
            let (mut moved, mut running) = (false, false);
            for (at, source) in sources.iter().enumerate() {
                if matches!(slots[at], Slot::Waiting) {
                    if !source.needs.iter().all(|need| outcomes[*need].is_some()) {
                        running = true;
                        continue;
                    }
                    slots[at] = Slot::Running(Box::pin(table.run(source)), clock::now());
                }
                let Slot::Running(call, started) = &mut slots[at] else { continue };
                let Poll::Ready(outcome) = call.as_mut().poll(cx) else {
                    running = true;
                    continue;
                };
                let ms = u64::try_from(clock::since(*started).as_millis()).unwrap_or(u64::MAX);
                slots[at] = Slot::Over;
                moved = true;
                let outcome = match outcome {
                    Ok(outcome) => outcome,
                    Err(refused) => return Poll::Ready(Err(refused)),
                };
                source.metrics.counted(exchange.core, outcome.word().1);
                table.tell(at, &outcome);
                let ends = matches!(outcome, Outcome::Failed(_)) && decides(source);
                outcomes[at] = Some((outcome, ms));
                if ends {
                    return Poll::Ready(Ok(Some(at)));
                }
            }
            if !running {
                return Poll::Ready(Ok(None));
            }
            if !moved {
                return Poll::Pending;
            }
        }
    })
    .await?;
    drop(slots);
    let note = table.note.take();
    Ok(Gathered { outcomes, ended_by, note })
}

impl Table<'_> {
    async fn run(&self, source: &Source) -> Result<Outcome, Error> {
        let ground = Ground::from(self.exchange).with_sources(self.answers);
        if let Some(when) = &source.when {
            match when.bool(ground) {
                Ok(true) => {}
                Ok(false) => return Ok(Outcome::Skipped),
                Err(error) if self.lacks(when.references()) => {
                    return Ok(Outcome::Failed(Failure::new(Fault::Dependency, error)));
                }
                Err(error) => {
                    let note = || format!("source {} is skipped: {error}", source.name);
                    self.note.borrow_mut().get_or_insert_with(note);
                    return Ok(Outcome::Skipped);
                }
            }
        }
        let deadline = self.exchange.deadline;
        let end = source.timeout.map_or(deadline, |timeout| deadline.min(clock::now() + timeout));
        let room = Cell::new(source.max_body);
        let line = Line { source, exchange: self.exchange, end, room: &room };
        let outcome = match &source.for_each {
            None => line.call(ground).await,
            Some(for_each) => each(&line, for_each, ground).await,
        };
        match outcome {
            Ok(given) if source.merge && !given.body.is_liftable() => {
                let why = "neither an object nor null, which `merge` could lift";
                Ok(Outcome::Failed(Failure::new(Fault::InvalidJson, why)))
            }
            Ok(given) => Ok(Outcome::Given(given)),
            Err(Unasked::Failed(failure)) => Ok(Outcome::Failed(failure)),
            Err(Unasked::Refused(error)) => Err(error),
        }
    }

    /// Whether one of these sources has given nothing to read.
    fn lacks(&self, references: &[Reference]) -> bool {
        references.iter().any(|reference| {
            let Reference::Source(name) = reference else { return false };
            let at = self.sources.iter().position(|source| *source.name == **name);
            let answer = at.and_then(|at| self.answers.get(at)).and_then(OnceLock::get);
            answer.is_none_or(|answer| answer.body().is_none())
        })
    }

    /// Lets others read what a source has come to.
    fn tell(&self, at: usize, outcome: &Outcome) {
        let source = &self.sources[at];
        if !source.is_read {
            return;
        }
        let answered = match outcome {
            Outcome::Given(given) => {
                let headers = match &*given.said {
                    [said] => said.headers.clone(),
                    _ => Headers::new(),
                };
                Answered::new(Some(given.status.as_u16()), headers, Some(given.body.whole()))
            }
            Outcome::Skipped => Answered::new(None, Headers::new(), None),
            Outcome::Failed(failure) => {
                let status = failure.fault.status().as_u16();
                Answered::new(Some(status), Headers::new(), source.fallback.clone())
            }
        };
        // Each source comes to something once.
        let _ = self.answers[at].set(answered);
    }
}
