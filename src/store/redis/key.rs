//! What stands for a key of a limit, here and in Redis. The key itself is neither kept nor sent: a client may choose it
//! freely, and it may be a secret and as long as a head.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Finds a key in this process: 128 bits under a secret that is drawn when the budgets are made.
pub(super) type Print = [u64; 2];

/// So much of a limit's name stands in the keys; the rest is in the digest.
const MOST_NAME: usize = 48;

/// Names a key in Redis: the first 128 bits of the SHA-256 of the limit's name, a zero byte and the key. There is no
/// secret in it: all replicas have to agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark([u8; 16]);

impl Mark {
    /// The mark of a key of the limit `name`.
    pub(super) fn of(name: &str, key: &[u8]) -> Mark {
        let mut digest = Sha256::new();
        digest.update(name.as_bytes());
        digest.update([0]);
        digest.update(key);
        let mut first = [0; 16];
        first.copy_from_slice(&digest.finalize()[..16]);
        Mark(first)
    }

    /// The same as bytes, for counters of this process.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The whole key in Redis: the namespace, the version of the state (one of another version is never read as this
    /// one), the limit's name, and the mark. One key a trip, so any cluster serves it; there is no brace in what a client
    /// chooses, so no client chooses the node.
    pub(super) fn whole(&self, namespace: &str, name: &str) -> Box<[u8]> {
        let plain = |letter: char| {
            if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-') { letter } else { '_' }
        };
        let name: String = name.chars().map(plain).take(MOST_NAME).collect();
        let mark = URL_SAFE_NO_PAD.encode(self.0);
        format!("{namespace}:limit-2:{name}:{mark}").into_bytes().into_boxed_slice()
    }
}

/// A key of a limit: found by its print alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) print: Print,
    pub(super) mark: Mark,
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.print == other.print
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.print.hash(state);
    }
}

impl Borrow<Print> for Key {
    fn borrow(&self) -> &Print {
        &self.print
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_redis_is_short_the_same_everywhere_and_one_keys_alone() {
        let whole = |name: &str, key: &[u8]| {
            String::from_utf8(Mark::of(name, key).whole("portcullis", name).into_vec()).unwrap()
        };
        // Every replica of every version has to come to this text: it is what `docs/limits.md` says.
        assert_eq!(whole("edge", b"foo"), "portcullis:limit-2:edge:V0beczktuWHdFbgUE5DC-w");
        let long = vec![b'k'; 15 * 1024];
        let mut other = long.clone();
        *other.last_mut().unwrap() = b'l';
        assert_eq!(whole("edge", &long).len(), whole("edge", b"k").len());
        assert_ne!(whole("edge", &long), whole("edge", &other));
        assert_ne!(whole("edge", &long), whole("edge", &long[1..]));
        // Names that look alike in the key differ in the mark.
        assert_ne!(whole("a b", b"k"), whole("a_b", b"k"));
        let (one, two) = ("n".repeat(60) + "1", "n".repeat(60) + "2");
        assert_ne!(whole(&one, b"k"), whole(&two, b"k"));
        assert!(whole(&one, &long).len() < 100 && !whole("{a}", b"{b}").contains(['{', '}']));
    }
}
