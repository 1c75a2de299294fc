//! Tokens that have verified: a bounded cache, so that a token is verified once and not at each request.
//!
//! Only what verified comes in, so nobody fills it without the key. An entry is found by a keyed hash of the token's
//! tail, which is its signature: bytes nobody without the key can choose, so the hash need not read the whole token.
//! What is found is compared byte by byte. Where a shard is full the oldest entry goes, unless it was used since it was
//! last looked at.

use crate::runtime::hash::HashMap;
use crate::runtime::hash::Seed;
use std::collections::VecDeque;
use std::collections::hash_map::Entry as Place;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::claims::Times;
use crate::exchange::Identity;

const SHARDS: usize = 16;
/// The bytes of the signature that are hashed: all of an HS256 signature.
const TAIL: usize = 43;
/// How many used entries are passed over before the oldest goes all the same.
const SECOND_CHANCES: usize = 8;

/// A cache of verified tokens.
pub(super) struct TokenCache {
    shards: Box<[Padded]>,
    seed: Seed,
    entries: usize,
    bytes: usize,
}

#[repr(align(128))]
#[derive(Default)]
struct Padded(Mutex<Shard>);

#[derive(Default)]
struct Shard {
    tokens: HashMap<u64, Entry, BuildHasherDefault<AsIs>>,
    /// The keys of `tokens`, oldest first.
    order: VecDeque<u64>,
    bytes: usize,
}

struct Entry {
    token: Box<[u8]>,
    identity: Arc<Identity>,
    times: Times,
    used: bool,
}

/// The keys are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl TokenCache {
    /// A cache of at most so many tokens, which together have at most so many bytes. An identity takes a small
    /// multiple of its token.
    pub(super) fn new(entries: usize, bytes: usize) -> TokenCache {
        TokenCache {
            shards: (0..SHARDS).map(|_| Padded::default()).collect(),
            seed: Seed::new(),
            entries: entries / SHARDS,
            bytes: bytes / SHARDS,
        }
    }

    fn hash(&self, token: &[u8]) -> u64 {
        let mut hasher = self.seed.build_hasher();
        hasher.write(&token[token.len().saturating_sub(TAIL)..]);
        hasher.finish()
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // Bits that the map in the shard looks at neither first nor last.
        let at = (hash >> 40) as usize % SHARDS;
        self.shards[at].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom exactly this token told when it verified, and when it is good: to be checked again.
    pub(super) fn get(&self, token: &[u8]) -> Option<(Arc<Identity>, Times)> {
        let hash = self.hash(token);
        let mut shard = self.shard(hash);
        let entry = shard.tokens.get_mut(&hash).filter(|entry| *entry.token == *token)?;
        entry.used = true;
        Some((entry.identity.clone(), entry.times))
    }

    /// Keeps a token that has verified.
    pub(super) fn insert(&self, token: &[u8], identity: Arc<Identity>, times: Times) {
        if self.entries == 0 || token.len() > self.bytes {
            return;
        }
        let hash = self.hash(token);
        let fresh = Entry { token: token.into(), identity, times, used: false };
        let mut shard = self.shard(hash);
        shard.remove(hash);
        while shard.tokens.len() >= self.entries || shard.bytes + token.len() > self.bytes {
            shard.evict();
        }
        shard.bytes += token.len();
        shard.order.push_back(hash);
        shard.tokens.insert(hash, fresh);
    }

    /// How many tokens are kept.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().unwrap().tokens.len()).sum()
    }
}

impl Shard {
    /// Two cores may verify one token at once, and two tokens may have one hash: the later one stays.
    fn remove(&mut self, hash: u64) {
        if let Place::Occupied(place) = self.tokens.entry(hash) {
            self.bytes -= place.remove().token.len();
            self.order.retain(|other| *other != hash);
        }
    }

    fn evict(&mut self) {
        for _ in 0..SECOND_CHANCES {
            match self.order.front().and_then(|hash| self.tokens.get_mut(hash)) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.order.rotate_left(1);
                }
                _ => break,
            }
        }
        if let Some(entry) = self.order.pop_front().and_then(|hash| self.tokens.remove(&hash)) {
            self.bytes -= entry.token.len();
        }
    }
}

#[cfg(test)]
mod tests;
