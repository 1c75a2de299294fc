//! How permits are counted: pure state machines of one key, with the time as an argument.
//!
//! Times are microseconds since a moment that the store chooses; they never go back. A machine that refuses changes
//! nothing. What each of them promises stands in its file, as a formula; the properties are tested against models that
//! keep every hit.

pub mod fixed_window;
pub mod sliding_window;
pub mod token_bucket;

use super::{Algorithm, Limit};

pub use fixed_window::FixedWindow;
pub use sliding_window::{Run, Runs};
pub use token_bucket::TokenBucket;

/// What a machine says of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Whether the cost was taken.
    pub admitted: bool,
    /// Permits left.
    pub remaining: u64,
    /// As in [`super::Decision::reset_us`].
    pub reset_us: u64,
}

/// What is known of one key.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack for one decision; a box would be an allocation"
)]
pub enum State {
    /// A fixed window.
    Fixed(FixedWindow),
    /// A sliding window.
    Sliding(Runs),
    /// A token bucket.
    Bucket(TokenBucket),
}

impl State {
    /// A key that has spent nothing.
    pub fn fresh(algorithm: Algorithm) -> State {
        match algorithm {
            Algorithm::FixedWindow => State::Fixed(FixedWindow::default()),
            Algorithm::SlidingWindow => State::Sliding(Runs::default()),
            Algorithm::TokenBucket => State::Bucket(TokenBucket::default()),
        }
    }

    /// Takes `cost` permits at `now`, all or none.
    pub fn take(&mut self, now: u64, limit: &Limit, cost: u64) -> Verdict {
        self.convert(limit);
        match self {
            State::Fixed(state) => state.take(now, limit, cost),
            State::Sliding(state) => state.take(now, limit, cost),
            State::Bucket(state) => state.take(now, limit, cost),
        }
    }

    /// Gives back permits that were taken at `at` and are still counted. `false`: there is nothing to give back, and
    /// the state is as it was.
    pub fn give_back(&mut self, now: u64, limit: &Limit, cost: u64, at: u64) -> bool {
        let mut next = self.clone();
        next.convert(limit);
        let gives = match &mut next {
            State::Fixed(state) => state.give_back(now, limit, cost, at),
            State::Sliding(state) => state.give_back(now, limit, cost, at),
            State::Bucket(state) => state.give_back(now, limit, cost, at),
        };
        if gives {
            *self = next;
        }
        gives
    }

    /// Permits that count at `now`.
    pub fn used(&self, now: u64, limit: &Limit) -> u64 {
        match self {
            State::Fixed(state) => state.used(now, limit.window_us),
            State::Sliding(state) => state.used(now, limit.window_us),
            State::Bucket(state) => state.used(now, limit),
        }
    }

    /// Makes a state of another algorithm one of this limit's: what was spent counts at the time of the last hit. A
    /// bucket takes over the runs of a sliding window one by one, each at its time. The present has no part in it: a
    /// request that is refused changes nothing, and one that comes later is judged by the same permits at the same time.
    fn convert(&mut self, limit: &Limit) {
        let (at, spent) = match (&*self, limit.algorithm) {
            (State::Fixed(_), Algorithm::FixedWindow)
            | (State::Sliding(_), Algorithm::SlidingWindow)
            | (State::Bucket(_), Algorithm::TokenBucket) => return,
            (State::Sliding(runs), Algorithm::TokenBucket) => {
                let mut bucket = TokenBucket::default();
                runs.as_slice().iter().for_each(|run| bucket.spend(run.last, limit, run.permits));
                *self = State::Bucket(bucket);
                return;
            }
            (State::Fixed(state), _) => (state.last, state.spent),
            (State::Sliding(runs), _) => runs.spent(limit.window_us),
            (State::Bucket(bucket), _) => bucket.owed(),
        };
        *self = State::fresh(limit.algorithm);
        match self {
            State::Fixed(state) => *state = FixedWindow::at(at, spent),
            State::Sliding(runs) if spent > 0 => runs.push(Run { last: at, permits: spent }),
            State::Sliding(_) => {}
            State::Bucket(bucket) => bucket.spend(at, limit, spent),
        }
    }
}

#[cfg(test)]
mod tests;
