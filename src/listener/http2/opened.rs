//! Which streams a client has opened, and on which of them it may still send (RFC 9113 section 5.1).

/// So many streams whose client may still send are remembered. More than that only a client opens that does not end
/// streams which were refused or reset.
const MOST_OPEN: usize = 1_024;

/// So many times that a client has left out numbers of streams are remembered.
const MOST_GAPS: usize = 16;

/// The streams of one connection.
#[derive(Default)]
pub(super) struct Opened {
    /// The highest so far.
    last: u32,
    /// Those that the client has neither ended nor reset, in order. What is sent on a stream that we have reset may
    /// have been on its way.
    open: Vec<u32>,
    /// Of the streams up to here it is not known.
    forgotten: u32,
    /// Numbers that were left out: from, to. Such a stream can be opened no more (RFC 9113 section 5.1.1).
    gaps: Vec<(u32, u32)>,
}

/// What a client may do on a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Nothing has been sent on it.
    Idle,
    /// It may send.
    Open,
    /// It has ended its side, or the stream.
    Closed,
    /// It has opened a later stream first.
    Skipped,
}

impl Opened {
    /// The highest stream that was opened.
    pub(super) fn last(&self) -> u32 {
        self.last
    }

    /// What the client may do on a stream.
    pub(super) fn state(&self, stream: u32) -> State {
        if stream > self.last {
            State::Idle
        } else if self.gaps.iter().any(|(from, to)| (*from..=*to).contains(&stream)) {
            State::Skipped
        } else if stream <= self.forgotten || self.open.binary_search(&stream).is_ok() {
            State::Open
        } else {
            State::Closed
        }
    }

    /// The client opens a stream above all others; `ends` is whether it sends no more on it.
    pub(super) fn open(&mut self, stream: u32, ends: bool) {
        // The first of a client is 1, each further one two above.
        let next = if self.last == 0 { 1 } else { self.last.saturating_add(2) };
        if stream > next {
            if self.gaps.len() == MOST_GAPS {
                self.gaps.remove(0);
            }
            self.gaps.push((next, stream - 1));
        }
        self.last = stream;
        if !ends {
            if self.open.len() == MOST_OPEN {
                self.forgotten = self.open.remove(0);
            }
            self.open.push(stream);
        }
    }

    /// The client sends no more on a stream.
    pub(super) fn end(&mut self, stream: u32) {
        if let Ok(at) = self.open.binary_search(&stream) {
            self.open.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_open_until_its_client_ends_it() {
        let mut opened = Opened::default();
        assert_eq!(opened.state(1), State::Idle);
        opened.open(1, true);
        opened.open(3, false);
        opened.open(9, false);
        let states = [1, 3, 4, 5, 7, 8, 9, 11].map(|stream| opened.state(stream));
        let (open, closed, skipped) = (State::Open, State::Closed, State::Skipped);
        assert_eq!(states, [closed, open, closed, skipped, skipped, skipped, open, State::Idle]);
        opened.end(3);
        opened.end(1);
        assert_eq!((opened.state(3), opened.state(9), opened.last()), (closed, open, 9));
    }

    #[test]
    fn little_is_remembered_and_nobody_is_blamed_for_the_rest() {
        let mut opened = Opened::default();
        // Each leaves numbers out, and none is ended.
        for at in 0..100_000 {
            opened.open(at * 6 + 1, false);
        }
        assert_eq!((opened.open.len(), opened.gaps.len()), (MOST_OPEN, MOST_GAPS));
        assert!((0..100_000).all(|at| opened.state(at * 6 + 1) == State::Open));
        opened.end(1);
        opened.end(99_999 * 6 + 1);
        assert_eq!(opened.state(1), State::Open, "this is not known any more");
        assert_eq!(opened.state(99_999 * 6 + 1), State::Closed);
    }
}
