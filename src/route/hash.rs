//! A fast hash for maps whose keys come from the configuration alone.
//!
//! It is no defence against chosen keys and need not be: bytes from the network are only looked up, never put
//! in, so the longest probe is decided by the operator's own routes.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map from configured byte strings.
pub(super) type ByteMap<V> = HashMap<Box<[u8]>, V, BuildHasherDefault<FoldHasher>>;

/// Multiplies into 128 bits and folds the halves, eight bytes at a time.
#[derive(Default)]
pub(super) struct FoldHasher {
    state: u64,
}

impl FoldHasher {
    fn mix(&mut self, word: u64) {
        // An odd constant with bits spread evenly: the fraction of the golden ratio.
        let product = u128::from(self.state ^ word ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93;
        self.state = (product as u64) ^ (product >> 64) as u64;
    }
}

impl Hasher for FoldHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        if !tail.is_empty() {
            let mut last = [0; 8];
            last[..tail.len()].copy_from_slice(tail);
            self.mix(u64::from_le_bytes(last));
        }
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn finish(&self) -> u64 {
        self.state
    }
}
