//! Reads a body piece by piece by its framing (RFC 9112 sections 6 and 7).

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{Framing, HeadError, chunk, fields, line};
use crate::exchange::Headers;
use crate::exchange::trailers::{TRAILER_BYTES, TRAILER_LINES, may_trail};

/// Most bytes of the extensions of all chunks of a body.
const EXTENSIONS: usize = 16 * 1024;
/// Content of chunks up to this size is moved, so that many of them become one piece.
const SMALL: u64 = 1024;
/// The end of a chunk and the size line of one of one byte, whose content follows.
const ONE: &[u8; 5] = b"\r\n1\r\n";
/// So many chunks of one byte are moved in one go.
const ROW: usize = 64;

/// What came out of the bytes at hand.
#[derive(Debug)]
pub enum Piece {
    /// Content, never none; split off the buffer, not copied. Small chunks that came together are one piece.
    Data(Bytes),
    /// The trailer fields that may travel; the body is complete.
    Trailers(Headers),
    /// The body is complete, and nothing of the buffer belongs to it.
    End,
    /// More bytes are needed.
    More,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Length(u64),
    UntilClose,
    Size,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    Done,
    Broken(&'static str),
}

/// Reads one body. It keeps no bytes: what it cannot use yet stays in the caller's buffer, of which it needs at most
/// 8 KiB at once.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    extensions: usize,
}

impl Decoder {
    /// A decoder for one body.
    pub fn new(framing: Framing) -> Decoder {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::UntilClose,
        };
        Decoder { state, extensions: 0 }
    }

    /// Takes the next piece from the front of `buf`. Content comes as it is there; nobody waits for a chunk's end.
    ///
    /// # Errors
    /// The reason, where chunks or trailers break the grammar or their bounds. It stays so: the connection can only
    /// be closed.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Piece, &'static str> {
        let piece = self.step(buf);
        if let Err(reason) = piece {
            self.state = State::Broken(reason);
        }
        piece
    }

    /// Tells that no byte follows what `buf` held: the proper end of a body that is framed so, and of one that was
    /// complete before.
    ///
    /// # Errors
    /// `incomplete`, where the body promised more.
    pub fn eof(&mut self) -> Result<Piece, &'static str> {
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(Piece::End)
            }
            State::Broken(reason) => Err(reason),
            _ => Err("incomplete"),
        }
    }

    /// Whether the body is complete: no byte that follows belongs to it.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the end of the connection is the end of the body, so that nobody can tell one that broke off.
    pub fn is_until_close(&self) -> bool {
        self.state == State::UntilClose
    }

    /// How many bytes of content are still to come, where that is known.
    pub fn length(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    fn step(&mut self, buf: &mut BytesMut) -> Result<Piece, &'static str> {
        loop {
            match self.state {
                State::Done => return Ok(Piece::End),
                State::Broken(reason) => return Err(reason),
                _ if buf.is_empty() => return Ok(Piece::More),
                State::UntilClose => return Ok(Piece::Data(buf.split().freeze())),
                State::Length(left) => {
                    let (data, left) = take(buf, left);
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                    return Ok(Piece::Data(data));
                }
                State::Chunk(left) => {
                    if left <= SMALL && buf.len() as u64 > left + 2 {
                        self.state = State::ChunkEnd;
                        return Ok(Piece::Data(self.gather(buf, left as usize)));
                    }
                    let (data, left) = take(buf, left);
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                    return Ok(Piece::Data(data));
                }
                State::ChunkEnd => match &buf[..] {
                    [b'\r'] => return Ok(Piece::More),
                    [b'\r', b'\n', ..] => {
                        advance(buf, 2);
                        self.state = State::Size;
                    }
                    _ => return Err("bad chunk end"),
                },
                State::Size => match self.size(buf)? {
                    None => return Ok(Piece::More),
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::Chunk(size),
                },
                State::Trailers => {
                    let Some(trailers) = trailers(buf)? else { return Ok(Piece::More) };
                    self.state = State::Done;
                    return Ok(if trailers.is_empty() { Piece::End } else { Piece::Trailers(trailers) });
                }
            }
        }
    }

    /// Takes a small chunk's content from the front of the buffer, and with it that of the small chunks behind it that
    /// lie there whole: so a body of many of them costs little more than one of few. Content moves to the front, over the
    /// lines in between; whatever is not plain is left to [`Decoder::step`]. The end of the last chunk stays in the
    /// buffer.
    fn gather(&mut self, buf: &mut BytesMut, first: usize) -> Bytes {
        // Content lies before `end`, and what has not been read begins at `at`, with the end of a chunk.
        let (mut end, mut at) = (first, first);
        let bytes = &mut buf[..];
        loop {
            // Chunks of one byte are the most that a body can be cut up: so many of them in a row cost as little as they can.
            let mut row = [0; ROW];
            let chunks = bytes[at..].chunks_exact(ONE.len() + 1).take_while(|chunk| chunk.starts_with(ONE));
            let mut count = 0;
            for (slot, chunk) in row.iter_mut().zip(chunks) {
                *slot = chunk[ONE.len()];
                count += 1;
            }
            bytes[end..end + count].copy_from_slice(&row[..count]);
            (end, at) = (end + count, at + count * (ONE.len() + 1));
            if count == ROW {
                continue;
            }
            let Some(next) = self.next_small(&bytes[at..]) else { break };
            bytes.copy_within(at + next.start..at + next.end, end);
            (end, at) = (end + next.len(), at + next.end);
        }
        let data = buf.split_to(end);
        advance(buf, at - end);
        data.freeze()
    }

    /// Where the content of a whole small chunk lies in bytes that begin with the end of the one before it; none where
    /// there is no such chunk.
    fn next_small(&mut self, bytes: &[u8]) -> Option<Range<usize>> {
        let (start, size, extension) = match bytes {
            // The size of most is one digit.
            [b'\r', b'\n', digit @ (b'1'..=b'9'), b'\r', b'\n', ..] => (5, u64::from(digit - b'0'), 0),
            [b'\r', b'\n', b'0', b'\r', ..] => return None,
            [b'\r', b'\n', rest @ ..] => {
                let line = chunk::line(rest).ok().flatten()?;
                (2 + line.len, line.size, line.extension)
            }
            _ => return None,
        };
        let end = start + usize::try_from(size).ok().filter(|size| (1..=SMALL as usize).contains(size))?;
        if end > bytes.len() || self.extensions + extension > EXTENSIONS {
            return None;
        }
        self.extensions += extension;
        Some(start..end)
    }

    /// Takes a chunk's size line with its CRLF from the buffer.
    fn size(&mut self, buf: &mut BytesMut) -> Result<Option<u64>, &'static str> {
        let Some(line) = chunk::line(buf)? else { return Ok(None) };
        self.extensions += line.extension;
        if self.extensions > EXTENSIONS {
            return Err("long chunk extensions");
        }
        advance(buf, line.len);
        Ok(Some(line.size))
    }
}

/// Splits off what there is of the bytes wanted; and how many are wanted still.
fn take(buf: &mut BytesMut, wanted: u64) -> (Bytes, u64) {
    let size = usize::try_from(wanted).unwrap_or(usize::MAX).min(buf.len());
    // The whole buffer is handed on without a second handle to the rest.
    let data = if size == buf.len() { buf.split() } else { buf.split_to(size) };
    (data.freeze(), wanted - size as u64)
}

fn advance(buf: &mut BytesMut, count: usize) {
    bytes::Buf::advance(buf, count);
}

/// Takes the trailer section with its blank line from the buffer.
fn trailers(buf: &mut BytesMut) -> Result<Option<Headers>, &'static str> {
    let window = &buf[..buf.len().min(TRAILER_BYTES)];
    let section = match line::section(window, TRAILER_LINES) {
        Ok(Some(section)) => section,
        Ok(None) if buf.len() > TRAILER_BYTES => return Err("trailers too large"),
        Ok(None) => return Ok(None),
        Err(HeadError::Malformed(reason)) => return Err(reason),
        Err(_) => return Err("too many trailers"),
    };
    let mut trailers = Headers::new();
    let mut at = 0;
    while let Some(line) = fields::next(&window[at..])? {
        at += line.len;
        if may_trail(&line.name.to_ascii_lowercase()) {
            trailers.push_judged(line.name, line.value);
        }
    }
    advance(buf, section);
    Ok(Some(trailers))
}

#[cfg(test)]
mod tests;
