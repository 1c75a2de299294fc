//! A chain of codings, undone one after the other with bounded memory.

use smallvec::SmallVec;

use super::brotli::Brotli;
use super::fault::{Fault, Step};
use super::inflate::Inflate;
use super::names::Coding;
use super::zstd::Zstd;

/// How much is decoded at once at most.
pub(super) const PIECE: usize = 64 << 10;
/// How much lies between two codings.
const BETWEEN: usize = 16 << 10;

/// One coding being undone.
enum Stage {
    Inflate(Inflate),
    Brotli(Brotli),
    Zstd(Zstd),
}

impl Stage {
    fn new(coding: Coding) -> Stage {
        match coding {
            Coding::Gzip => Stage::Inflate(Inflate::gzip()),
            Coding::Deflate => Stage::Inflate(Inflate::deflate()),
            Coding::Brotli => Stage::Brotli(Brotli::new()),
            Coding::Zstd => Stage::Zstd(Zstd::new()),
        }
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Fault> {
        match self {
            Stage::Inflate(stage) => stage.step(input, out),
            Stage::Brotli(stage) => stage.step(input, out),
            Stage::Zstd(stage) => stage.step(input, out),
        }
    }

    fn is_complete(&self) -> bool {
        match self {
            Stage::Inflate(stage) => stage.is_complete(),
            Stage::Brotli(stage) => stage.is_complete(),
            Stage::Zstd(stage) => stage.is_complete(),
        }
    }
}

/// Undoes a chain of codings, bytes in and bytes out.
///
/// After a fault it only ever gives the same fault again.
pub struct Decoder {
    /// In the order of decoding, each with what its predecessor has given it and how much of that it has taken.
    stages: SmallVec<[(Stage, Between); 2]>,
    fault: Option<Fault>,
}

#[derive(Default)]
struct Between {
    bytes: Vec<u8>,
    taken: usize,
    filled: usize,
}

impl Decoder {
    /// A decoder of these codings, in the order in which they were applied (as [`super::codings`] gives them).
    pub fn new(codings: &[Coding]) -> Decoder {
        let stages = codings.iter().rev().map(|&coding| (Stage::new(coding), Between::default())).collect();
        Decoder { stages, fault: None }
    }

    /// Decodes a piece and appends what comes of it to `out`, which never grows by more than `room` bytes.
    ///
    /// # Errors
    /// [`Fault::Broken`] where the stream breaks its format or goes on behind its end, [`Fault::TooLarge`] where it
    /// holds more than `room`; `out` then has what was decoded before.
    pub fn push(&mut self, mut input: &[u8], out: &mut Vec<u8>, room: usize) -> Result<(), Fault> {
        let bound = out.len().saturating_add(room);
        loop {
            let start = out.len();
            let grant = PIECE.min(bound - start);
            if grant == 0 {
                // Whether anything more comes, only another byte can tell.
                let step = self.step(input, &mut [0])?;
                if step.written > 0 {
                    self.fault = Some(Fault::TooLarge);
                    return Err(Fault::TooLarge);
                }
                if step.is_idle() {
                    return Ok(());
                }
                input = &input[step.read..];
                continue;
            }
            out.resize(start + grant, 0);
            let step = self.step(input, &mut out[start..]);
            out.truncate(start + step.as_ref().map_or(0, |step| step.written));
            let step = step?;
            if step.is_idle() {
                return Ok(());
            }
            input = &input[step.read..];
        }
    }

    /// The input ends here.
    ///
    /// # Errors
    /// As [`Decoder::push`], and [`Fault::Broken`] where the stream is not complete.
    pub fn finish(&mut self, out: &mut Vec<u8>, room: usize) -> Result<(), Fault> {
        self.push(&[], out, room)?;
        self.complete()
    }

    /// As much of `input` as fills `out` or is there. A step that does nothing has taken all its input.
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        step_through(&mut self.stages, input, out)
            .and_then(|step| stuck_unless(!step.is_idle() || input.is_empty()).map(|()| step))
            .inspect_err(|fault| self.fault = Some(fault.clone()))
    }

    /// Whether the input may end where it is, once a step does nothing.
    pub(super) fn complete(&mut self) -> Result<(), Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if self.stages.iter().all(|(stage, _)| stage.is_complete()) {
            return Ok(());
        }
        let fault = Fault::Broken("it ends too early".to_owned());
        self.fault = Some(fault.clone());
        Err(fault)
    }
}

/// A decoder that neither takes its input nor gives output would go round for ever.
fn stuck_unless(moved: bool) -> Result<(), Fault> {
    if moved { Ok(()) } else { Err(Fault::Broken("the decoder is stuck".to_owned())) }
}

/// One step of the last stage, which pulls what it wants out of those before it.
fn step_through(stages: &mut [(Stage, Between)], input: &[u8], out: &mut [u8]) -> Result<Step, Fault> {
    let Some(((stage, between), before)) = stages.split_last_mut() else {
        let length = input.len().min(out.len());
        out[..length].copy_from_slice(&input[..length]);
        return Ok(Step { read: length, written: length });
    };
    if before.is_empty() {
        return stage.step(input, out);
    }
    let mut read = 0;
    loop {
        let step = stage.step(&between.bytes[between.taken..between.filled], out)?;
        between.taken += step.read;
        if step.written > 0 {
            return Ok(Step { read, written: step.written });
        }
        if between.taken < between.filled {
            stuck_unless(!step.is_idle())?;
            continue;
        }
        between.bytes.resize(BETWEEN, 0);
        let step = step_through(before, &input[read..], &mut between.bytes)?;
        (between.taken, between.filled) = (0, step.written);
        read += step.read;
        if step.is_idle() {
            return Ok(Step { read, written: 0 });
        }
    }
}

#[cfg(test)]
mod tests;
