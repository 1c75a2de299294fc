//! `zstd` (RFC 8878): frames and frames to be skipped, one after the other.
//!
//! The engine wants whole blocks, so a block is gathered before it is decoded (at most 128 KiB), and every header is
//! read here first: what a frame asks for is judged before a byte is set aside for it. The engine hands out what lies
//! further back than the window, and the rest at the end of the frame: what a service flushes in the middle of a frame
//! waits until then.

use std::io::Read;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::fault::{Fault, Step};

/// The largest window that is granted: as much as RFC 8878 section 3.1.1.1.2 asks of every decoder, and all that
/// RFC 9659 lets a sender use.
const WINDOW: u64 = 8 << 20;
/// The largest block (RFC 8878 section 3.1.1.2.4).
const BLOCK: u64 = 128 << 10;
const MAGIC: u32 = 0xFD2F_B528;
/// The first of the sixteen magic numbers of skippable frames (section 3.1.2).
const SKIPPABLE: u32 = 0x184D_2A50;

/// The decoder of one stream.
pub(super) struct Zstd {
    /// None until there is a first frame.
    engine: Option<Box<FrameDecoder>>,
    /// The header or block that is being gathered, and how long it is as far as that is known.
    held: Vec<u8>,
    wanted: usize,
    place: Place,
    frame: Frame,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Gathering the magic number: the only place where a stream may end, unless it has begun.
    Magic,
    /// Gathering the length of a frame to be skipped.
    SkipLength,
    /// So many bytes are still to be skipped.
    Skip(u32),
    /// Gathering the frame's header: its first byte tells how long it is.
    Header,
    /// Gathering a block's header.
    BlockHeader,
    /// Gathering the block, and the checksum behind the last one.
    Block,
    /// The engine has bytes for the output; behind the last block the frame ends with them.
    Drain { last: bool },
}

/// What a frame's header said, and how much of it has come.
#[derive(Clone, Copy, Default)]
struct Frame {
    checksum: bool,
    size: Option<u64>,
    block_max: u64,
    written: u64,
}

impl Zstd {
    pub(super) fn new() -> Zstd {
        Zstd { engine: None, held: Vec::new(), wanted: 4, place: Place::Magic, frame: Frame::default() }
    }

    /// As [`super::decoder::Decoder`] does it: a step that does nothing waits for input.
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Fault> {
        let mut step = Step::default();
        loop {
            let rest = &input[step.read..];
            match self.place {
                Place::Skip(0) => self.gather(Place::Magic, 4),
                Place::Skip(left) => {
                    if rest.is_empty() {
                        return Ok(step);
                    }
                    let skipped = rest.len().min(left as usize);
                    step.read += skipped;
                    self.place = Place::Skip(left - u32::try_from(skipped).unwrap_or(left));
                }
                Place::Drain { last } => {
                    let written = self.drain(&mut out[step.written..], last)?;
                    step.written += written;
                    if step.written == out.len() {
                        return Ok(step);
                    }
                }
                Place::Magic | Place::SkipLength | Place::Header | Place::BlockHeader | Place::Block => {
                    let taken = rest.len().min(self.wanted - self.held.len());
                    self.held.extend_from_slice(&rest[..taken]);
                    step.read += taken;
                    if self.held.len() < self.wanted {
                        return Ok(step);
                    }
                    self.gathered()?;
                }
            }
        }
    }

    /// Whether the stream may end here: between frames.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.place, Place::Magic | Place::Skip(0)) && self.held.is_empty()
    }

    fn gather(&mut self, place: Place, wanted: usize) {
        self.held.clear();
        self.place = place;
        self.wanted = wanted;
    }

    /// What was wanted is there: on with it.
    fn gathered(&mut self) -> Result<(), Fault> {
        match self.place {
            Place::Magic => match little_endian(&self.held) as u32 {
                MAGIC => {
                    self.place = Place::Header;
                    self.wanted = 5;
                }
                magic if magic & !0x0f == SKIPPABLE => self.gather(Place::SkipLength, 4),
                _ => return Err(broken("no frame begins so")),
            },
            Place::SkipLength => self.place = Place::Skip(little_endian(&self.held) as u32),
            Place::Header if self.held.len() == 5 && self.wanted == 5 => {
                self.wanted = header_length(self.held[4])
            }
            Place::Header => self.open()?,
            Place::BlockHeader => self.block()?,
            Place::Block => self.decode()?,
            Place::Skip(_) | Place::Drain { .. } => {}
        }
        Ok(())
    }

    /// Judges a frame's header (section 3.1.1.1) and readies the engine for it.
    fn open(&mut self) -> Result<(), Fault> {
        let descriptor = self.held[4];
        let fields = &self.held[5..];
        let single = descriptor & 0x20 != 0;
        let (window, fields) = if single { (None, fields) } else { (Some(fields[0]), &fields[1..]) };
        let (dictionary, size) = fields.split_at(dictionary_length(descriptor));
        if descriptor & 0x08 != 0 {
            return Err(broken("a reserved bit is set"));
        }
        if little_endian(dictionary) != 0 {
            return Err(broken("a dictionary is needed"));
        }
        let size = match size.len() {
            0 => None,
            2 => Some(little_endian(size) + 256),
            _ => Some(little_endian(size)),
        };
        let window = match window {
            Some(byte) => {
                let base = 1_u64 << (10 + (byte >> 3));
                base + base / 8 * u64::from(byte & 7)
            }
            None => size.unwrap_or(0),
        };
        if window > WINDOW {
            return Err(broken("the window is larger than 8 MiB"));
        }
        self.frame =
            Frame { checksum: descriptor & 0x04 != 0, size, block_max: window.min(BLOCK), written: 0 };
        let engine = self.engine.get_or_insert_with(|| Box::new(FrameDecoder::new()));
        engine.reset(self.held.as_slice()).map_err(broken)?;
        self.gather(Place::BlockHeader, 3);
        Ok(())
    }

    /// Judges a block's header (section 3.1.1.2) and wants the rest of the block.
    fn block(&mut self) -> Result<(), Fault> {
        let header = little_endian(&self.held);
        let size = header >> 3;
        let content = match header >> 1 & 3 {
            0 | 2 => size,
            1 => 1,
            _ => return Err(broken("a block of the reserved type")),
        };
        if size > self.frame.block_max {
            return Err(broken("a block is larger than its frame allows"));
        }
        let checksum = if header & 1 == 1 && self.frame.checksum { 4 } else { 0 };
        self.place = Place::Block;
        self.wanted = 3 + usize::try_from(content).unwrap_or(usize::MAX) + checksum;
        Ok(())
    }

    fn decode(&mut self) -> Result<(), Fault> {
        let Some(engine) = &mut self.engine else { return Err(broken("a block without a frame")) };
        let last = self.held[0] & 1 == 1;
        engine.decode_blocks(self.held.as_slice(), BlockDecodingStrategy::UptoBlocks(1)).map_err(broken)?;
        self.place = Place::Drain { last };
        Ok(())
    }

    /// Hands out what the engine need not keep, and ends the frame with its last byte.
    fn drain(&mut self, out: &mut [u8], last: bool) -> Result<usize, Fault> {
        let Some(engine) = &mut self.engine else { return Err(broken("no frame")) };
        let written = engine.read(out).map_err(broken)?;
        self.frame.written += written as u64;
        if engine.can_collect() > 0 {
            return Ok(written);
        }
        if !last {
            self.gather(Place::BlockHeader, 3);
            return Ok(written);
        }
        if self.frame.size.is_some_and(|size| size != self.frame.written) {
            return Err(broken("the frame is not as long as it says"));
        }
        if self.frame.checksum && engine.get_checksum_from_data() != engine.get_calculated_checksum() {
            return Err(broken("the checksum does not fit"));
        }
        self.gather(Place::Magic, 4);
        Ok(written)
    }
}

/// How long a frame's magic number and header are, by the descriptor (section 3.1.1.1.1).
fn header_length(descriptor: u8) -> usize {
    let single = descriptor & 0x20 != 0;
    let size = match descriptor >> 6 {
        0 => usize::from(single),
        flag => 1 << flag,
    };
    5 + usize::from(!single) + dictionary_length(descriptor) + size
}

fn dictionary_length(descriptor: u8) -> usize {
    [0, 1, 2, 4][usize::from(descriptor & 3)]
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn broken(why: impl std::fmt::Display) -> Fault {
    Fault::broken("zstd", why)
}

#[cfg(test)]
mod tests;
