//! What a decoder says of one step: how far it came, or why it cannot go on.

use std::fmt;

/// Why a stream cannot be decoded any further.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It breaks its format, ends too early or goes on behind its end; with a reason for the log.
    Broken(String),
    /// It holds more than there is room for.
    TooLarge,
}

impl Fault {
    pub(super) fn broken(coding: &str, why: impl fmt::Display) -> Fault {
        Fault::Broken(format!("{coding}: {why}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Broken(why) => f.write_str(why),
            Fault::TooLarge => f.write_str("more than there is room for"),
        }
    }
}

impl std::error::Error for Fault {}

/// How far one step came. A step that did nothing at all has read all its input and waits for more.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Step {
    /// Bytes taken from the input.
    pub(super) read: usize,
    /// Bytes put into the output.
    pub(super) written: usize,
}

impl Step {
    /// Whether nothing moved.
    pub(super) fn is_idle(self) -> bool {
        self == Step::default()
    }
}
