//! `br` (RFC 7932). Windows larger than the format of the RFC has ("large window brotli") are refused.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::fault::{Fault, Step};

type State = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// The decoder of one stream.
pub(super) struct Brotli {
    /// None until there is a first byte; the tables come with it.
    state: Option<Box<State>>,
    over: bool,
}

impl Brotli {
    pub(super) fn new() -> Brotli {
        Brotli { state: None, over: false }
    }

    /// As [`super::decoder::Decoder`] does it: a step that does nothing waits for input.
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Fault> {
        if self.over {
            return match input {
                [] => Ok(Step::default()),
                _ => Err(Fault::broken("br", "bytes behind the end")),
            };
        }
        if self.state.is_none() && input.is_empty() {
            return Ok(Step::default());
        }
        let state = self.state.get_or_insert_with(|| {
            let alloc = StandardAlloc::default;
            Box::new(BrotliState::new_strict(alloc(), alloc(), alloc()))
        });
        let (mut left, mut read) = (input.len(), 0);
        let (mut room, mut written, mut total) = (out.len(), 0, 0);
        match BrotliDecompressStream(
            &mut left,
            &mut read,
            input,
            &mut room,
            &mut written,
            out,
            &mut total,
            state,
        ) {
            BrotliResult::ResultSuccess => {
                self.over = true;
                self.state = None;
            }
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultFailure => {
                return Err(Fault::broken("br", format_args!("{:?}", state.error_code)));
            }
        }
        Ok(Step { read, written })
    }

    /// Whether the stream may end here.
    pub(super) fn is_complete(&self) -> bool {
        self.over || self.state.is_none()
    }
}

#[cfg(test)]
mod tests;
