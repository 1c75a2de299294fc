//! The numbers of TLS: how handshakes ended, and until when certificates hold.

use std::path::Path;

use super::cells::{Count, PerCore};
use crate::exchange::{CoreId, Name};

/// How a handshake ended, as in the label `outcome`: the first two came to a connection.
pub const HANDSHAKES: [&str; 11] = [
    "full",
    "resumed",
    "alert",
    "certificate",
    "left",
    "no_agreement",
    "not_tls",
    "protocol",
    "socket",
    "timeout",
    "too_many",
];

/// One core's numbers of a listener's handshakes.
#[derive(Default)]
#[repr(align(128))]
struct HandshakeCells([Count; HANDSHAKES.len()]);

/// The numbers of one listener's handshakes.
pub struct HandshakeMetrics(PerCore<HandshakeCells>);

impl HandshakeMetrics {
    pub(super) fn new(cores: usize) -> HandshakeMetrics {
        HandshakeMetrics(PerCore::new(cores))
    }

    /// A handshake has ended; `outcome` is one of [`HANDSHAKES`].
    pub fn ended(&self, core: CoreId, outcome: &str) {
        if let (Some(cells), Some(at)) =
            (self.0.get(core), HANDSHAKES.iter().position(|known| *known == outcome))
        {
            cells.0[at].add(1);
        }
    }

    /// The sums over the cores, none where there was no handshake.
    pub(super) fn sum(&self) -> Option<[u64; HANDSHAKES.len()]> {
        let mut used = self.0.used().peekable();
        used.peek()?;
        let mut sums = [0; HANDSHAKES.len()];
        for cells in used {
            for (sum, count) in sums.iter_mut().zip(&cells.0) {
                *sum += count.read();
            }
        }
        Some(sums)
    }
}

/// Until when a certificate holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expiry {
    /// The listener that shows it.
    pub listener: Name,
    /// Its file, as in the label `certificate`.
    pub certificate: String,
    /// In seconds since 1970.
    pub not_after: i64,
}

impl Expiry {
    /// Of the certificate of a file.
    pub fn new(listener: &Name, certificate: &Path, not_after: i64) -> Expiry {
        Expiry { listener: Name::clone(listener), certificate: certificate.display().to_string(), not_after }
    }
}
