//! The signature algorithms of a shared secret (RFC 7518 section 3.2).

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384, Sha512};

/// An algorithm that tokens may be signed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: &[Algorithm] = &[Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512];

    /// The name as `alg` spells it; case matters.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Hs384 => "HS384",
            Algorithm::Hs512 => "HS512",
        }
    }

    /// How many bytes a secret must have at least: as many as the hash gives (RFC 7518 section 3.2).
    pub const fn min_secret(self) -> usize {
        match self {
            Algorithm::Hs256 => 32,
            Algorithm::Hs384 => 48,
            Algorithm::Hs512 => 64,
        }
    }

    /// The secret, made ready for this algorithm.
    pub(super) fn key(self, secret: &[u8]) -> Key {
        const ANY_LENGTH: &str = "HMAC takes a key of any length";
        match self {
            Algorithm::Hs256 => Key::Hs256(KeyInit::new_from_slice(secret).expect(ANY_LENGTH)),
            Algorithm::Hs384 => Key::Hs384(KeyInit::new_from_slice(secret).expect(ANY_LENGTH)),
            Algorithm::Hs512 => Key::Hs512(KeyInit::new_from_slice(secret).expect(ANY_LENGTH)),
        }
    }
}

/// A secret whose padded blocks have been hashed already: each token pays for its own bytes alone.
pub(super) enum Key {
    Hs256(Hmac<Sha256>),
    Hs384(Hmac<Sha384>),
    Hs512(Hmac<Sha512>),
}

impl Key {
    /// Whether this is the message's signature; the comparison takes the same time wherever they differ.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        fn check<M: Mac + Clone>(key: &M, message: &[u8], signature: &[u8]) -> bool {
            key.clone().chain_update(message).verify_slice(signature).is_ok()
        }
        match self {
            Key::Hs256(key) => check(key, message, signature),
            Key::Hs384(key) => check(key, message, signature),
            Key::Hs512(key) => check(key, message, signature),
        }
    }
}
