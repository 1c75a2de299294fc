//! `gzip` and `deflate`: two frames around one format (RFC 1951).

use flate2::{Decompress, FlushDecompress, Status};

use super::fault::{Fault, Step};

/// The largest window that the format has, as a power of two.
const WINDOW_BITS: u8 = 15;

/// The decoder of one stream.
pub(super) struct Inflate {
    name: &'static str,
    place: Place,
}

enum Place {
    /// Before a gzip stream.
    Gzip,
    /// Before a deflate stream whose first bytes decide, with the first one where it has come.
    Deflate(Option<u8>),
    /// Within one. `ahead` are the bytes that were looked at and still belong to it, so many as the number says.
    Within { engine: Box<Decompress>, ahead: [u8; 2], left: usize, members: bool },
    /// Behind the end of a gzip member: another one may follow.
    Between,
    /// Behind the end of a deflate stream: nothing may follow.
    Over,
}

impl Inflate {
    pub(super) fn gzip() -> Inflate {
        Inflate { name: "gzip", place: Place::Gzip }
    }

    pub(super) fn deflate() -> Inflate {
        Inflate { name: "deflate", place: Place::Deflate(None) }
    }

    /// As [`super::decoder::Decoder`] does it: a step that does nothing waits for input.
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Fault> {
        let mut looked = 0;
        loop {
            match &mut self.place {
                Place::Gzip | Place::Between if looked == input.len() => {
                    return Ok(Step { read: looked, written: 0 });
                }
                Place::Gzip | Place::Between => {
                    let engine = Box::new(Decompress::new_gzip(WINDOW_BITS));
                    self.place = Place::Within { engine, ahead: [0; 2], left: 0, members: true };
                }
                Place::Deflate(first) => {
                    let Some(&byte) = input.get(looked) else { return Ok(Step { read: looked, written: 0 }) };
                    looked += 1;
                    let Some(first) = *first else {
                        *first = Some(byte);
                        continue;
                    };
                    let engine = Box::new(Decompress::new(is_zlib(first, byte)));
                    self.place = Place::Within { engine, ahead: [first, byte], left: 2, members: false };
                }
                Place::Within { .. } => {
                    let mut step = self.inflate(&input[looked..], out)?;
                    step.read += looked;
                    if !step.is_idle() || matches!(self.place, Place::Within { .. }) {
                        return Ok(step);
                    }
                }
                Place::Over if looked == input.len() => return Ok(Step { read: looked, written: 0 }),
                Place::Over => return Err(Fault::broken(self.name, "bytes behind the end")),
            }
        }
    }

    fn inflate(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Fault> {
        let Place::Within { engine, ahead, left, members } = &mut self.place else {
            return Ok(Step::default());
        };
        let mut step = Step::default();
        loop {
            let looked_at = *left > 0;
            let from = if looked_at { &ahead[2 - *left..] } else { &input[step.read..] };
            let (read, written) = (engine.total_in(), engine.total_out());
            let status = engine
                .decompress(from, &mut out[step.written..], FlushDecompress::None)
                .map_err(|error| Fault::broken(self.name, error))?;
            let read = usize::try_from(engine.total_in() - read).unwrap_or(usize::MAX);
            step.written += usize::try_from(engine.total_out() - written).unwrap_or(usize::MAX);
            if looked_at {
                *left -= read.min(*left);
            } else {
                step.read += read;
            }
            if status == Status::StreamEnd {
                if *left > 0 {
                    return Err(Fault::broken(self.name, "bytes behind the end"));
                }
                self.place = if *members { Place::Between } else { Place::Over };
                return Ok(step);
            }
            // The bytes that were looked at are not the caller's any more: they go in before its own do.
            if !looked_at || *left > 0 || step.written == out.len() {
                return Ok(step);
            }
        }
    }

    /// Whether the stream may end here.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.place, Place::Gzip | Place::Deflate(None) | Place::Between | Place::Over)
    }
}

/// Whether a stream that begins so has the header of RFC 1950 section 2.2: method 8, a window the format has, no
/// dictionary and a sum that fits. A bare stream begins so only if it is a stored block with padding that no
/// encoder writes.
fn is_zlib(first: u8, second: u8) -> bool {
    let sum = u16::from_be_bytes([first, second]);
    first & 0x0f == 8 && first >> 4 <= 7 && second & 0x20 == 0 && sum.is_multiple_of(31)
}

#[cfg(test)]
mod tests;
