//! When a service has been waited for long enough, and who is at fault then, whatever the protocol.

use std::time::{Duration, Instant};

use crate::exchange::{CallPhase, Cause, Failure, Party};

use super::exchange::Waits;
use super::upload::Upload;

/// The two ends of a wait: that of the upstream's own bound, and that of the caller's time.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    own: Instant,
    deadline: Option<Instant>,
}

impl Ends {
    /// Of the wait for a head. The caller's deadline is put off while an upload moves; the time for a response begins
    /// when the request has been sent.
    pub(super) fn of_head(waits: &Waits, upload: &Upload, is_sent: bool) -> Ends {
        let Waits { started, response, idle, upload_rate, .. } = *waits;
        let moved = upload.moved().unwrap_or(started);
        let extension = if waits.whole {
            // The caller ends the call then, whatever moves.
            Duration::ZERO
        } else {
            upload.extension(started, upload_rate)
        };
        Ends {
            own: moved + if is_sent { response } else { idle },
            deadline: Some(waits.deadline + extension),
        }
    }

    /// Of the wait for a piece of the body; `last` is when one came last. A service that answers while it reads is busy
    /// as long as either side moves.
    pub(super) fn of_body(waits: &Waits, upload: &Upload, last: Instant) -> Ends {
        let moved = upload.moved().map_or(last, |moved| moved.max(last));
        Ends { own: moved + waits.idle, deadline: deadline(waits, upload) }
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
        Failure::new(Party::Service, phase, if is_own { Cause::Timeout } else { Cause::Deadline })
    }

    /// What it then is that the body did not go on, and that in words.
    pub(super) fn without_body(self, upload: &Upload) -> (Failure, &'static str) {
        let (cause, why) = match self.deadline {
            Some(deadline) if deadline <= self.own => (Cause::Deadline, "the caller's time was over"),
            _ => (Cause::Timeout, "no byte of the body in time"),
        };
        let failure = if upload.awaits_client() {
            Failure::new(Party::Client, CallPhase::Send, Cause::Stalled)
        } else {
            Failure::new(Party::Service, CallPhase::Body, cause)
        };
        (failure, why)
    }
}

/// When the caller's time is over: for the whole response where the caller waits for that, and for the rest of an
/// upload, which must not hold the call's permit for longer under an early response either.
fn deadline(waits: &Waits, upload: &Upload) -> Option<Instant> {
    if waits.whole {
        return Some(waits.deadline);
    }
    let extension = || upload.extension(waits.started, waits.upload_rate);
    (!upload.is_done()).then(|| waits.deadline + extension())
}
