//! What an entry is found by.

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use crate::exchange::authority::without_default_port;
use crate::exchange::{Exchange, Scheme};

/// A key: the SHA-256 of its parts, each with its length before it, so that no two lists of parts are one key. A shorter
/// hash could be made to collide, and would give one client the answer of another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of these parts, in this order.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Key {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Key(hash.finalize().into())
    }

    /// The key as bytes, to make another one of it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Key {
        Key(bytes)
    }

    /// A number that spreads keys evenly.
    pub(super) fn spread(&self) -> usize {
        usize::from(self.0[0])
    }
}

/// Parts of a key: who the client is to the service, which is what the service is told. To be put last, for how many
/// they are differs; a client that nobody knows is another one than any that is known.
pub fn identity_parts(exchange: &Exchange) -> SmallVec<[&[u8]; 8]> {
    let mut parts = SmallVec::new();
    let Some(identity) = &exchange.identity else {
        parts.push(b"nobody".as_slice());
        return parts;
    };
    parts.push(b"identity".as_slice());
    parts.push(identity.id.as_bytes());
    for (name, value) in &identity.headers {
        parts.push(name.as_bytes());
        parts.push(value);
    }
    parts
}

/// A host in the one form that stands in keys: in lower case and without its scheme's default port, which says nothing
/// (RFC 9110 section 4.2.3).
pub fn plain_host(host: &str, scheme: Scheme) -> SmallVec<[u8; 64]> {
    without_default_port(host.as_bytes(), scheme).iter().map(u8::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_port_makes_no_other_host() {
        for (host, scheme, plain) in [
            ("A.test", Scheme::Http, "a.test"),
            ("a.test:80", Scheme::Http, "a.test"),
            ("a.test:443", Scheme::Https, "a.test"),
            ("a.test:443", Scheme::Http, "a.test:443"),
            ("a.test:8080", Scheme::Http, "a.test:8080"),
            ("[::1]:443", Scheme::Https, "[::1]"),
            ("[::443]", Scheme::Https, "[::443]"),
            ("", Scheme::Http, ""),
        ] {
            assert_eq!(&plain_host(host, scheme)[..], plain.as_bytes(), "{host} {scheme:?}");
        }
    }

    #[test]
    fn no_two_lists_of_parts_are_one_key() {
        let lists: [&[&[u8]]; 6] = [&[], &[b""], &[b"", b""], &[b"ab", b"c"], &[b"a", b"bc"], &[b"abc"]];
        for (index, list) in lists.iter().enumerate() {
            let key = Key::of(list.iter().copied());
            assert_eq!(key, Key::of(list.iter().copied()));
            assert!(lists[..index].iter().all(|other| Key::of(other.iter().copied()) != key), "{list:?}");
        }
    }
}
