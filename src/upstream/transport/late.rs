//! When a service has been waited for long enough, and who is at fault then, whatever the protocol.

use std::time::Instant;

use crate::exchange::{CallPhase, Cause, Failure, Party, Term};

use super::exchange::Waits;
use super::upload::Upload;

/// The two ends of a wait: that of the upstream's own bound, and that of the caller's time.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    own: Instant,
    deadline: Option<Instant>,
    /// Whose time it is that the deadline ends.
    whose: Party,
}

impl Ends {
    /// Of the wait for a head. The caller's deadline is put off while an upload moves; the time for a response begins
    /// when the request has been sent.
    #[inline(always)]
    pub(super) fn of_head(waits: &Waits, upload: &Upload, is_sent: bool) -> Ends {
        let Waits { started, response, idle, upload_rate, .. } = *waits;
        let moved = upload.moved();
        let deadline = match (waits.term, moved) {
            // Most requests have no body: nothing moves, and nothing puts the deadline off.
            (Term::Head, None) => Some(waits.deadline),
            // The caller ends the call then, whatever moves.
            _ if waits.whole => Some(waits.deadline),
            (Term::Client, _) => Some(waits.deadline),
            (Term::Head, Some(_)) => Some(waits.deadline + upload.extension(started, upload_rate)),
            // What is a stream itself has no length: the time for its answer begins when it is whole.
            (Term::Stream, _) if !upload.is_done() => None,
            (Term::Stream, moved) => {
                let whole = moved.unwrap_or(started);
                Some(waits.deadline + whole.saturating_duration_since(started))
            }
        };
        let moved = moved.unwrap_or(started);
        Ends { own: moved + if is_sent { response } else { idle }, deadline, whose: whose(waits) }
    }

    /// Of the wait for a piece of the body; `last` is when one came last. A service that answers while it reads is busy
    /// as long as either side moves.
    pub(super) fn of_body(waits: &Waits, upload: &Upload, last: Instant) -> Ends {
        let moved = upload.moved().map_or(last, |moved| moved.max(last));
        Ends { own: moved + waits.idle, deadline: deadline(waits, upload), whose: whose(waits) }
    }

    /// When the wait is over.
    pub(super) fn at(self) -> Instant {
        self.deadline.map_or(self.own, |deadline| deadline.min(self.own))
    }

    /// What it then is that no head came.
    pub(super) fn without_head(self, upload: &Upload, is_sent: bool) -> Failure {
        if !is_sent && upload.awaits_client() {
            return Failure::new(Party::Client, CallPhase::Send, Cause::Stalled);
        }
        let phase = if is_sent { CallPhase::Head } else { CallPhase::Send };
        let is_own = self.deadline.is_none_or(|deadline| self.own < deadline);
        if is_own {
            Failure::new(Party::Service, phase, Cause::Timeout)
        } else {
            Failure::new(self.whose, phase, Cause::Deadline)
        }
    }

    /// What it then is that the body did not go on, and that in words.
    pub(super) fn without_body(self, upload: &Upload) -> (Failure, &'static str) {
        let (party, cause, why) = match self.deadline {
            Some(deadline) if deadline <= self.own => {
                (self.whose, Cause::Deadline, "the caller's time was over")
            }
            _ => (Party::Service, Cause::Timeout, "no byte of the body in time"),
        };
        let failure = if upload.awaits_client() && party != Party::Client {
            Failure::new(Party::Client, CallPhase::Send, Cause::Stalled)
        } else {
            Failure::new(party, CallPhase::Body, cause)
        };
        (failure, why)
    }
}

/// Whose time a deadline ends: one that the client has set says nothing about the service.
fn whose(waits: &Waits) -> Party {
    if waits.term == Term::Client { Party::Client } else { Party::Service }
}

/// When the caller's time is over: for the whole response where the caller waits for that, and for the rest of an
/// upload, which must not hold the call's permit for longer under an early response either. A stream has no such end.
fn deadline(waits: &Waits, upload: &Upload) -> Option<Instant> {
    match waits.term {
        _ if waits.whole => Some(waits.deadline),
        Term::Client => Some(waits.deadline),
        Term::Stream => None,
        Term::Head if upload.is_done() => None,
        Term::Head => Some(waits.deadline + upload.extension(waits.started, waits.upload_rate)),
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};
    use std::time::Duration;

    use crate::config::AnswerLimits;
    use crate::exchange::{Body, BodyStream, Error, Frame};

    use super::*;

    /// A body that is still to come.
    struct Open;

    impl BodyStream for Open {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
            Poll::Pending
        }

        fn remaining(&self) -> Option<u64> {
            None
        }
    }

    fn waits(term: Term, started: Instant) -> Waits {
        let seconds = Duration::from_secs;
        Waits {
            deadline: started + seconds(10),
            whole: false,
            term,
            response: seconds(40),
            idle: seconds(60),
            upload_rate: 1_000,
            upgrades: false,
            limits: AnswerLimits::default(),
            started,
        }
    }

    #[test]
    fn a_stream_is_bounded_by_its_gaps_until_it_is_whole() {
        let started = Instant::now();
        let (open, done) = (Upload::new(Body::Stream(Box::new(Open))), Upload::new(Body::Empty));
        let waits = waits(Term::Stream, started);
        let ends = Ends::of_head(&waits, &open, false);
        assert_eq!(ends.at(), started + Duration::from_secs(60));
        assert_eq!(ends.without_head(&open, false).cause, Cause::Timeout);
        let ends = Ends::of_head(&waits, &done, true);
        assert_eq!(ends.at(), started + Duration::from_secs(10));
        let failure = ends.without_head(&done, true);
        assert_eq!((failure.party, failure.cause), (Party::Service, Cause::Deadline));
        // Behind the head too, whatever is still to be sent.
        assert_eq!(Ends::of_body(&waits, &open, started).at(), started + Duration::from_secs(60));
    }

    #[test]
    fn the_end_of_the_clients_own_time_is_its_own() {
        let started = Instant::now();
        let (open, done) = (Upload::new(Body::Stream(Box::new(Open))), Upload::new(Body::Empty));
        let waits = waits(Term::Client, started);
        for (upload, is_sent) in [(&open, false), (&done, true)] {
            let ends = Ends::of_head(&waits, upload, is_sent);
            assert_eq!(ends.at(), started + Duration::from_secs(10));
            let failure = ends.without_head(upload, is_sent);
            assert_eq!((failure.party, failure.cause), (Party::Client, Cause::Deadline));
            let ends = Ends::of_body(&waits, upload, started);
            assert_eq!(ends.at(), started + Duration::from_secs(10));
            let (failure, _) = ends.without_body(upload);
            assert_eq!((failure.party, failure.cause), (Party::Client, Cause::Deadline));
        }
    }
}
