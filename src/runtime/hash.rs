//! Hash maps and sets whose order and collisions cannot be foreseen from outside: SipHash with a secret key.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A map by hash.
pub type HashMap<K, V, S = Seed> = std::collections::HashMap<K, V, S>;

/// A set by hash.
pub type HashSet<T, S = Seed> = std::collections::HashSet<T, S>;

/// The key of a hasher, drawn when it is made. Values hashed with one seed compare; with two they do not.
#[derive(Clone, Debug, Default)]
pub struct Seed(RandomState);

impl Seed {
    /// A new key.
    pub fn new() -> Seed {
        Seed::default()
    }

    /// A fingerprint: 128 bits that stand for all of the bytes.
    pub fn print(&self, bytes: &[u8]) -> [u64; 2] {
        let mut hasher = self.build_hasher();
        hasher.write(bytes);
        let first = hasher.finish();
        // The hasher's state is wider than its result: one more round over it gives the second half.
        hasher.write_u64(first);
        [first, hasher.finish()]
    }
}

impl BuildHasher for Seed {
    type Hasher = <RandomState as BuildHasher>::Hasher;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}
