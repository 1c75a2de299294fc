//! What the library writes: its resets are counted, and the code of its GOAWAY is corrected where it does not know
//! better.
//!
//! The library ends a connection with PROTOCOL_ERROR where the fields of a head cannot be decoded; RFC 9113 section 4.3
//! has COMPRESSION_ERROR for that. The guard knows whether it was that.

use std::io::IoSlice;
use std::time::Instant;

use h2::Reason;

use super::frames::{GOAWAY, HEADER, Header, goaway, kind};
use super::guard::Guard;

/// Where frames begin in what is written.
#[derive(Clone, Default)]
pub(super) struct Written {
    held: [u8; HEADER],
    have: usize,
    left: usize,
    /// Whether the payload is that of a RST_STREAM, and what has gone of its code.
    resets: bool,
    code: u32,
}

/// A byte that is to be another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Correction {
    /// In which part.
    pub(super) part: usize,
    /// At which byte of it.
    pub(super) at: usize,
    /// What it is to be.
    pub(super) byte: u8,
}

impl Written {
    /// Where a GOAWAY in these parts has the wrong code. `code` gives the right one in place of PROTOCOL_ERROR, for the last
    /// stream that the library has taken up.
    pub(super) fn correction(
        &self,
        parts: &[IoSlice<'_>],
        code: impl FnOnce(u32) -> Reason,
    ) -> Option<Correction> {
        // The library writes nothing behind it: all but a few writes are done with here.
        let (part, bytes) = parts.iter().enumerate().rfind(|(_, bytes)| !bytes.is_empty())?;
        let said = u32::from_be_bytes(*bytes.last_chunk::<{ GOAWAY - HEADER }>()?.first_chunk()?);
        if *bytes.last_chunk()? != goaway(said, Reason::PROTOCOL_ERROR.into()) {
            return None;
        }
        let code = code(said);
        if code == Reason::PROTOCOL_ERROR {
            return None;
        }
        // It may as well be the end of a piece of an answer.
        let (mut walk, mut is_frame) = (self.clone(), false);
        for part in &parts[..=part] {
            let begins = |header: &Header, at| is_frame = header.kind == kind::GOAWAY && at + 8 == part.len();
            walk.walk(part, begins, |_| {});
        }
        let [.., byte] = u32::from(code).to_be_bytes();
        is_frame.then_some(Correction { part, at: bytes.len() - 1, byte })
    }

    /// So many bytes of the parts were written.
    pub(super) fn note(
        &mut self,
        parts: &[IoSlice<'_>],
        mut bytes: usize,
        guard: &mut Guard,
        now: impl Fn() -> Instant,
    ) {
        guard.sent(bytes);
        for part in parts {
            let part = &part[..part.len().min(bytes)];
            bytes -= part.len();
            self.walk(part, |_, _| {}, |code| guard.reset(code, &now));
        }
    }

    /// Goes through bytes; `begins` gets every header that ends in them, and where its payload begins, `reset` the code
    /// of every RST_STREAM that ends in them.
    fn walk(&mut self, bytes: &[u8], mut begins: impl FnMut(&Header, usize), mut reset: impl FnMut(u32)) {
        let mut at = 0;
        while at < bytes.len() {
            if self.left > 0 {
                let take = self.left.min(bytes.len() - at);
                if self.resets {
                    let add = |code: u32, byte: &u8| code << 8 | u32::from(*byte);
                    self.code = bytes[at..at + take].iter().fold(self.code, add);
                    if take == self.left {
                        reset(std::mem::take(&mut self.code));
                    }
                }
                (self.left, at) = (self.left - take, at + take);
                continue;
            }
            let take = (HEADER - self.have).min(bytes.len() - at);
            self.held[self.have..self.have + take].copy_from_slice(&bytes[at..at + take]);
            (self.have, at) = (self.have + take, at + take);
            if self.have == HEADER {
                let header = Header::read(&self.held);
                (self.have, self.left) = (0, header.length);
                self.resets = header.kind == kind::RST_STREAM;
                begins(&header, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts<'a>(parts: &'a [&'a [u8]]) -> Vec<IoSlice<'a>> {
        parts.iter().map(|part| IoSlice::new(part)).collect()
    }

    #[test]
    fn a_general_error_gets_the_code_of_its_cause() {
        let frame = goaway(3, Reason::PROTOCOL_ERROR.into());
        let ping = [0, 0, 8, kind::PING, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let written = Written::default();
        let code = |said| if said == 3 { Reason::COMPRESSION_ERROR } else { Reason::PROTOCOL_ERROR };
        let both = [&ping[..], &frame[..]].concat();
        let at = Correction { part: 0, at: GOAWAY - 1, byte: 9 };
        assert_eq!(written.correction(&parts(&[&frame]), code), Some(at));
        let later = goaway(5, Reason::PROTOCOL_ERROR.into());
        assert_eq!(written.correction(&parts(&[&later]), code), None, "it is right");
        assert_eq!(written.correction(&parts(&[&both]), code), Some(Correction { at: both.len() - 1, ..at }));
        assert_eq!(
            written.correction(&parts(&[&ping, &frame, b""]), code),
            Some(Correction { part: 1, ..at })
        );
        let other = goaway(3, Reason::ENHANCE_YOUR_CALM.into());
        assert_eq!(written.correction(&parts(&[&other]), code), None);
    }

    #[test]
    fn bytes_of_an_answer_that_look_like_one_are_left_alone() {
        let code = |_| Reason::COMPRESSION_ERROR;
        let frame = goaway(3, Reason::PROTOCOL_ERROR.into());
        let data = [&[0, 0, 17, kind::DATA, 0, 0, 0, 0, 1][..], &frame[..]].concat();
        let mut written = Written::default();
        assert_eq!(written.correction(&parts(&[&data]), code), None);
        let mut guard = Guard::new(Instant::now());
        written.note(&parts(&[&data]), HEADER, &mut guard, Instant::now);
        assert_eq!(written.correction(&parts(&[&frame]), code), None, "its header went before");
        written.note(&parts(&[&frame]), GOAWAY, &mut guard, Instant::now);
        assert!(written.correction(&parts(&[&frame]), code).is_some());
    }

    #[test]
    fn resets_are_counted_however_they_are_cut() {
        let reset = [0, 0, 4, kind::RST_STREAM, 0, 0, 0, 0, 1, 0, 0, 0, 7];
        for step in 1..30 {
            let now = Instant::now();
            let (mut written, mut guard) = (Written::default(), Guard::new(now));
            let bytes = reset.repeat(1_001);
            for part in bytes.chunks(step) {
                assert_eq!(guard.fault(), None);
                written.note(&parts(&[part]), part.len(), &mut guard, || now);
            }
            assert_eq!(guard.fault(), Some(Reason::ENHANCE_YOUR_CALM), "in pieces of {step}");
        }
    }
}
