//! Reads a body piece by piece by its framing (RFC 9112 sections 6 and 7).

use bytes::{Bytes, BytesMut};

use super::{Framing, HeadError, chunk, fields, line};
use crate::exchange::{HeaderId, Headers};

/// Most bytes of the extensions of all chunks of a body.
const EXTENSIONS: usize = 16 * 1024;
/// Most bytes and lines of a trailer section.
const TRAILER_BYTES: usize = 8 * 1024;
const TRAILER_LINES: usize = 32;

/// What came out of the bytes at hand.
#[derive(Debug)]
pub enum Piece {
    /// Content, never none; split off the buffer, not copied.
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

/// Whether a field may stand after the content: nothing that says how a message is framed, where it goes, who sends
/// it, what its content is or how it is to be handled (RFC 9110 section 6.5.1), and nothing that the gate alone says.
fn may_trail(name: &[u8]) -> bool {
    let id = HeaderId::folded(name);
    let other = !matches!(
        id,
        HeaderId::Host
            | HeaderId::Authorization
            | HeaderId::CacheControl
            | HeaderId::Cookie
            | HeaderId::Date
            | HeaderId::Expect
            | HeaderId::Location
            | HeaderId::RetryAfter
            | HeaderId::SetCookie
            | HeaderId::Via
    );
    other
        && !id.hop_by_hop()
        && !id.gateway_owned()
        && !name.strip_prefix(b"content").is_some_and(|rest| matches!(rest, [b'-' | b'_', ..]))
}

#[cfg(test)]
mod tests;
