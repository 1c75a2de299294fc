//! The text that distinguishes the budgets of one limit without showing the key, as `pk` of draft 8 carries it: base64 of the
//! first 12 hex digits of the SHA-256 of the key.

use std::sync::{Mutex, OnceLock, TryLockError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::runtime::hash::Seed;

/// The text.
pub(super) type Partition = [u8; 16];

/// How many are kept for each limit.
const PLACES: usize = 256;

/// The texts of keys that were asked for lately: a client sends many requests, and a digest costs several times as much
/// as the rest of a decision. Keys are kept as fingerprints, for they may be secrets.
#[derive(Default)]
pub(super) struct Partitions {
    seed: Seed,
    places: OnceLock<Box<[Place]>>,
}

type Place = Mutex<Option<([u64; 2], Partition)>>;

impl Partitions {
    /// The text of a key, made by `make` where it is not known.
    pub(super) fn of(&self, key: &[u8], make: impl FnOnce() -> Option<Partition>) -> Option<Partition> {
        let print = self.seed.print(key);
        let places = self.places.get_or_init(|| (0..PLACES).map(|_| Mutex::default()).collect());
        let mut known = match places[print[0] as usize % PLACES].try_lock() {
            Ok(known) => known,
            Err(TryLockError::Poisoned(known)) => known.into_inner(),
            // Another core has it: nobody waits for what can be made.
            Err(TryLockError::WouldBlock) => return make(),
        };
        if let Some((_, text)) = known.filter(|(of, _)| *of == print) {
            return Some(text);
        }
        let text = make()?;
        *known = Some((print, text));
        Some(text)
    }
}

/// The text that distinguishes a budget.
pub(super) fn partition(of: &[u8]) -> Option<Partition> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha256::digest(of);
    let mut hex = [0; 12];
    for (digits, byte) in hex.chunks_exact_mut(2).zip(digest.iter()) {
        digits[0] = HEX[usize::from(byte >> 4)];
        digits[1] = HEX[usize::from(byte & 15)];
    }
    let mut text = [0; 16];
    STANDARD.encode_slice(hex, &mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_made_once_and_belongs_to_its_key() {
        let partitions = Partitions::default();
        let keys: Vec<Vec<u8>> = (0..1000u32).map(|key| key.to_be_bytes().to_vec()).collect();
        for key in keys.iter().chain(&keys) {
            assert_eq!(partitions.of(key, || partition(key)), partition(key));
            assert_eq!(partitions.of(key, || None), partition(key), "it is known now");
        }
        assert_eq!(partitions.of(b"none", || None), None);
    }
}
