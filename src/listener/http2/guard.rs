//! What of a client's frames reaches the library: each header is judged and counted before.
//!
//! The library bounds what costs it memory, but it says PROTOCOL_ERROR to most faults, and it counts some frames over
//! the whole life of a connection. Here every frame that carries no work is counted over time, and a fault gets the code
//! of its section.

use std::time::Instant;

use h2::Reason;

use super::allowance::{Allowance, Numbers};
use super::blocks::{Blocks, Fault};
use super::frames::{HEADER, Header, MAX_FRAME, PREFACE, SETTING, flag, kind};
use super::opened::{Opened, State};

/// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 section 6.5.2).
const INITIAL_WINDOW_SIZE: u8 = 4;

/// Frames that carry no work: so many at once, and so many a second.
const CONTROL: Numbers = Numbers { first: 1_000, most: 1_000, rate: 100 };

/// Room in windows that a client gives: so many more than what it was sent asks for. The most is large: a client may
/// take its time to give it.
const UPDATES: Numbers = Numbers { first: 1_000, most: 100_000, rate: 100 };

/// Streams that the library has to reset through a fault of the client's.
const RESETS: Numbers = Numbers { first: 1_000, most: 1_000, rate: 50 };

/// A new stream brings control frames with it: a priority, room for its answer, its end.
const EARNED_BY_STREAM: u32 = 10;

/// So many bytes of an answer may be followed by a frame of control. Some clients measure the path with a PING for each
/// piece of an answer, however small; the answer to a PING alone (17 bytes) must not pay for the next.
const EARNED_BY_BYTES: usize = 32;

/// So many bytes of an answer may be followed by a WINDOW_UPDATE: two for the smallest frame of data.
const UPDATE_BY_BYTES: usize = 5;

/// Judges the frames of one connection.
pub(super) struct Guard {
    /// How much of the preface has come.
    preface: usize,
    /// The header that has come in part, and how much of it.
    held: [u8; HEADER],
    have: usize,
    /// The frame whose payload comes, and how much of it is left.
    kind: u8,
    left: usize,
    /// The part of a setting that has come.
    setting: [u8; SETTING],
    set: usize,
    /// Whether the first frame has come.
    opened: bool,
    /// The stream whose head has not come to its end.
    block: Option<u32>,
    /// Whether the head that has come last is one of trailers that have not been judged.
    trails: bool,
    blocks: Blocks,
    streams: Opened,
    control: Allowance,
    updates: Allowance,
    resets: Allowance,
    fault: Option<Reason>,
}

/// What becomes of a frame.
#[derive(PartialEq, Eq, Debug)]
enum Verdict {
    Pass,
    /// The library does not hear of it.
    Drop,
    Fault(Reason),
}

impl Guard {
    /// Of a connection that begins now.
    pub(super) fn new(now: Instant) -> Guard {
        Guard {
            preface: 0,
            held: [0; HEADER],
            have: 0,
            kind: 0,
            left: 0,
            setting: [0; SETTING],
            set: 0,
            opened: false,
            block: None,
            trails: false,
            blocks: Blocks::default(),
            streams: Opened::default(),
            control: Allowance::new(CONTROL, now),
            updates: Allowance::new(UPDATES, now),
            resets: Allowance::new(RESETS, now),
            fault: None,
        }
    }

    /// Why the connection has to end, if it has to.
    pub(super) fn fault(&self) -> Option<Reason> {
        self.fault
    }

    /// The highest stream that the client has opened.
    pub(super) fn last(&self) -> u32 {
        self.streams.last()
    }

    /// The code of an end for which the library has PROTOCOL_ERROR, when it has taken up the streams up to this one. It says
    /// that to a new head that cannot be decoded too, which has another (RFC 9113 section 4.3).
    pub(super) fn code(&self, taken_up: u32) -> Reason {
        match self.blocks.fault() {
            Some(Fault::Malformed) => Reason::PROTOCOL_ERROR,
            Some(Fault::Undecodable) => Reason::COMPRESSION_ERROR,
            None if taken_up < self.last() => Reason::COMPRESSION_ERROR,
            None => Reason::PROTOCOL_ERROR,
        }
    }

    /// How many bytes of a header are missing of which a part is held back; none if none is.
    pub(super) fn missing(&self) -> Option<usize> {
        (self.have > 0).then(|| HEADER - self.have)
    }

    /// Takes more of the header that is held back. Gives it once it is whole and the library is to have it.
    pub(super) fn complete(&mut self, bytes: &[u8], now: impl Fn() -> Instant) -> Option<[u8; HEADER]> {
        self.held[self.have..self.have + bytes.len()].copy_from_slice(bytes);
        self.have += bytes.len();
        if self.have < HEADER {
            return None;
        }
        self.have = 0;
        let held = self.held;
        match self.judge(&Header::read(&held), &now) {
            Verdict::Pass => {
                self.judge_trailers();
                self.fault.is_none().then_some(held)
            }
            Verdict::Drop => None,
            Verdict::Fault(reason) => {
                self.fault = Some(reason);
                None
            }
        }
    }

    /// Judges bytes that were read. What the library is to have of them stands at their beginning afterwards: so many.
    pub(super) fn inspect(&mut self, bytes: &mut [u8], now: impl Fn() -> Instant) -> usize {
        let is_within_head = self.block.is_some() || (self.left > 0 && self.is_head());
        if !is_within_head {
            // The library has decoded them: it reads once it has done with what it has.
            self.blocks.clear();
        }
        let mut at = self.inspect_preface(bytes);
        let mut kept = at;
        while at < bytes.len() && self.fault.is_none() {
            let step = if self.left > 0 {
                let take = self.left.min(bytes.len() - at);
                self.left -= take;
                if self.kind == kind::SETTINGS {
                    self.settings(&bytes[at..at + take]);
                    if self.fault.is_some() {
                        break;
                    }
                } else if self.is_head() {
                    self.blocks.take(&bytes[at..at + take]);
                }
                take
            } else {
                let Some(header) = bytes[at..].first_chunk::<HEADER>() else {
                    self.have = bytes.len() - at;
                    self.held[..self.have].copy_from_slice(&bytes[at..]);
                    break;
                };
                match self.judge(&Header::read(header), &now) {
                    Verdict::Pass => HEADER,
                    Verdict::Drop => {
                        at += HEADER;
                        continue;
                    }
                    Verdict::Fault(reason) => {
                        self.fault = Some(reason);
                        break;
                    }
                }
            };
            self.judge_trailers();
            if self.fault.is_some() {
                break;
            }
            // Only behind a frame that was dropped.
            if kept != at {
                bytes.copy_within(at..at + step, kept);
            }
            kept += step;
            at += step;
        }
        kept
    }

    /// A request with a pseudo-field among its trailers is malformed (RFC 9113 section 8.1); the library passes it over.
    fn judge_trailers(&mut self) {
        if self.trails && self.left == 0 && self.block.is_none() {
            self.trails = false;
            if self.blocks.holds_pseudo_field() {
                self.fault = Some(Reason::PROTOCOL_ERROR);
            }
        }
    }

    /// Whether the last frame is a part of a head.
    fn is_head(&self) -> bool {
        matches!(self.kind, kind::HEADERS | kind::CONTINUATION)
    }

    /// How many of the bytes belong to the preface.
    fn inspect_preface(&mut self, bytes: &[u8]) -> usize {
        let rest = &PREFACE[self.preface..];
        let take = rest.len().min(bytes.len());
        if rest[..take] != bytes[..take] {
            self.fault = Some(Reason::PROTOCOL_ERROR);
            return 0;
        }
        self.preface += take;
        take
    }

    /// The library has PROTOCOL_ERROR for a window that is too large (RFC 9113 section 6.5.2).
    fn settings(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let take = bytes.len().min(SETTING - self.set);
            self.setting[self.set..self.set + take].copy_from_slice(&bytes[..take]);
            (self.set, bytes) = (self.set + take, &bytes[take..]);
            if self.set == SETTING {
                self.set = 0;
                let [_, name, value @ ..] = self.setting;
                let is_window = self.setting[0] == 0 && name == INITIAL_WINDOW_SIZE;
                if is_window && u32::from_be_bytes(value) > i32::MAX as u32 {
                    self.fault = Some(Reason::FLOW_CONTROL_ERROR);
                }
            }
        }
    }

    fn judge(&mut self, frame: &Header, now: &impl Fn() -> Instant) -> Verdict {
        let verdict = match self.fault_of(frame) {
            Some(reason) => Verdict::Fault(reason),
            None => self.count(frame, now),
        };
        if verdict == Verdict::Pass {
            (self.kind, self.left, self.set) = (frame.kind, frame.length, 0);
            if self.is_head() {
                self.blocks.begin(frame);
            }
        }
        verdict
    }

    /// What is wrong with a frame, as far as its header shows (RFC 9113 section 6).
    fn fault_of(&mut self, frame: &Header) -> Option<Reason> {
        let (wrong, size) = (Some(Reason::PROTOCOL_ERROR), Some(Reason::FRAME_SIZE_ERROR));
        if frame.length > MAX_FRAME {
            return size;
        }
        let is_settings = frame.kind == kind::SETTINGS;
        if !self.opened && (!is_settings || frame.has(flag::ACK)) {
            return wrong;
        }
        self.opened = true;
        let continued = frame.kind == kind::CONTINUATION;
        if self.block.is_some() != continued || self.block.is_some_and(|stream| stream != frame.stream) {
            return wrong;
        }
        let is_idle = frame.stream == 0 || frame.stream > self.last();
        match frame.kind {
            kind::DATA if is_idle => wrong,
            kind::HEADERS if frame.stream.is_multiple_of(2) => wrong,
            kind::DATA | kind::HEADERS if frame.length < frame.least() => size,
            kind::DATA | kind::HEADERS => match self.streams.state(frame.stream) {
                State::Idle | State::Open => None,
                State::Closed => Some(Reason::STREAM_CLOSED),
                State::Skipped => wrong,
            },
            kind::PRIORITY if frame.stream == 0 => wrong,
            kind::PRIORITY => size.filter(|_| frame.length != 5),
            kind::RST_STREAM if is_idle => wrong,
            kind::RST_STREAM => size.filter(|_| frame.length != 4),
            kind::SETTINGS | kind::PING | kind::GOAWAY if frame.stream != 0 => wrong,
            kind::SETTINGS if frame.has(flag::ACK) => size.filter(|_| frame.length != 0),
            kind::SETTINGS => size.filter(|_| !frame.length.is_multiple_of(SETTING)),
            kind::PING => size.filter(|_| frame.length != 8),
            kind::GOAWAY => size.filter(|_| frame.length < 8),
            kind::WINDOW_UPDATE if frame.stream > self.last() => wrong,
            kind::WINDOW_UPDATE => size.filter(|_| frame.length != 4),
            // A client pushes nothing (RFC 9113 section 8.4).
            kind::PUSH_PROMISE => wrong,
            _ => None,
        }
    }

    fn count(&mut self, frame: &Header, now: &impl Fn() -> Instant) -> Verdict {
        let ends = frame.has(flag::END_STREAM);
        let allowance = match frame.kind {
            kind::HEADERS => {
                self.block = (!frame.has(flag::END_HEADERS)).then_some(frame.stream);
                self.trails = frame.stream <= self.last();
                if self.trails && ends {
                    self.streams.end(frame.stream);
                } else if !self.trails {
                    self.streams.open(frame.stream, ends);
                    self.control.earn(EARNED_BY_STREAM);
                    self.updates.earn(EARNED_BY_STREAM);
                }
                return Verdict::Pass;
            }
            // The library bounds their number and their bytes.
            kind::CONTINUATION => {
                self.block = self.block.filter(|_| !frame.has(flag::END_HEADERS));
                return Verdict::Pass;
            }
            kind::DATA if ends => {
                self.streams.end(frame.stream);
                return Verdict::Pass;
            }
            kind::DATA if frame.length > 0 => return Verdict::Pass,
            kind::RST_STREAM => {
                self.streams.end(frame.stream);
                &mut self.control
            }
            kind::WINDOW_UPDATE => &mut self.updates,
            _ => &mut self.control,
        };
        if !allowance.spend(now) {
            return Verdict::Fault(Reason::ENHANCE_YOUR_CALM);
        }
        // The library counts them over the life of the connection.
        if frame.kind == kind::DATA { Verdict::Drop } else { Verdict::Pass }
    }

    /// So many bytes were sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        let earned = |by: usize| u32::try_from(bytes / by).unwrap_or(u32::MAX);
        self.control.earn(earned(EARNED_BY_BYTES));
        self.updates.earn(earned(UPDATE_BY_BYTES));
    }

    /// A stream was reset with this code.
    pub(super) fn reset(&mut self, code: u32, now: impl FnOnce() -> Instant) {
        let is_fault_of_client = [
            Reason::PROTOCOL_ERROR,
            Reason::FLOW_CONTROL_ERROR,
            Reason::STREAM_CLOSED,
            Reason::REFUSED_STREAM,
        ]
        .iter()
        .any(|reason| u32::from(*reason) == code);
        if is_fault_of_client && !self.resets.spend(now) {
            self.fault = Some(Reason::ENHANCE_YOUR_CALM);
        }
    }
}

#[cfg(test)]
mod tests;
