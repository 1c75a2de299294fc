//! Why a gate did not start, or ended by itself.

use std::fmt;

use crate::config::Diagnostics;

/// Why a gate did not start, or ended by itself.
#[derive(Debug)]
pub enum Fault {
    /// The configuration is wrong.
    Configuration(Box<Diagnostics>),
    /// The configuration could not be read at all.
    Unreadable(Box<Diagnostics>),
    /// What the gate needs from the system is not there: an address, a file, a thread. With the mend.
    Environment(String),
}

impl Fault {
    /// A failure of the system.
    pub(super) fn environment(what: &str, error: &dyn fmt::Display) -> Fault {
        Fault::Environment(format!("{what}: {error}"))
    }
}
