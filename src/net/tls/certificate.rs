//! A certificate with its key, read from PEM and judged: what is wrong with it is said in words for its owner.

use std::sync::Arc;

use chrono::NaiveDate;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use webpki::EndEntityCert;

use super::provider;

/// The shortest RSA key that is taken, in bits.
const LEAST_RSA: usize = 2048;

/// A certificate with its key, fit to be shown.
#[derive(Debug)]
pub struct Pair {
    /// As the engine takes it.
    pub(super) certified: Arc<CertifiedKey>,
    /// The hosts that it is for, in lower case; `*.example.com` is one label before `example.com`.
    pub names: Vec<String>,
    /// Whether it is for anything: a host, an address or another name. One with a common name alone is refused by all
    /// clients of today.
    pub is_named: bool,
    /// From when it holds, in seconds since 1970.
    pub not_before: i64,
    /// Until when it holds, in seconds since 1970.
    pub not_after: i64,
}

/// Which of the two files is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The file of the certificate.
    Certificate,
    /// The file of the key.
    Key,
}

/// What is wrong with a pair.
#[derive(Debug)]
pub struct BadPair {
    /// In which of the files.
    pub part: Part,
    /// What it is.
    pub what: String,
    /// What corrects it.
    pub help: &'static str,
}

impl BadPair {
    fn new(part: Part, what: impl Into<String>, help: &'static str) -> BadPair {
        BadPair { part, what: what.into(), help }
    }
}

impl Pair {
    /// Whether it holds at a moment, in seconds since 1970.
    pub fn holds_at(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// Reads a certificate with those that vouch for it, and its key.
    ///
    /// # Errors
    /// What makes them unfit. That they are expired does not.
    pub fn read(certificate: &[u8], key: &[u8]) -> Result<Pair, BadPair> {
        let chain = chain(certificate)?;
        let Some(leaf) = chain.first() else {
            let what = "this file holds no certificate";
            return Err(BadPair::new(
                Part::Certificate,
                what,
                "it begins with `-----BEGIN CERTIFICATE-----`",
            ));
        };
        let unreadable = |why: String| {
            let what = format!("the first certificate of this file cannot be read: {why}");
            BadPair::new(Part::Certificate, what, "have it issued anew, as X.509 version 3")
        };
        let parsed = EndEntityCert::try_from(leaf).map_err(|error| unreadable(error.to_string()))?;
        let (not_before, not_after) =
            validity(leaf).ok_or_else(|| unreadable("it has no validity".to_owned()))?;
        if let Some(bits) = rsa_bits(&parsed.subject_public_key_info()).filter(|bits| *bits < LEAST_RSA) {
            let what = format!("its RSA key has {bits} bits: fewer than {LEAST_RSA} can be broken");
            return Err(BadPair::new(Part::Certificate, what, "make a new key, such as ECDSA P-256"));
        }
        let names = parsed.valid_dns_names().map(str::to_ascii_lowercase).collect();
        let is_named = has_alternative_names(leaf);
        let key = provider().key_provider.load_private_key(private_key(key)?).map_err(|error| {
            let what = format!("this key is of a kind that TLS does not take here: {error}");
            BadPair::new(
                Part::Key,
                what,
                "use ECDSA P-256, P-384 or P-521, RSA from 2048 bits on, or Ed25519",
            )
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(_) => {
                let what = "this is not the key of the certificate";
                let help = "write the pair as it was issued, the server's own certificate first in its file";
                return Err(BadPair::new(Part::Key, what, help));
            }
        }
        Ok(Pair { certified: Arc::new(certified), names, is_named, not_before, not_after })
    }
}

/// The certificates of a PEM file, in its order.
///
/// # Errors
/// One of them is no PEM.
fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadPair> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| {
        let what = format!("this file is not as PEM should be: {error}");
        BadPair::new(Part::Certificate, what, "have it written anew")
    })
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, BadPair> {
    // PKCS #8 says so in its first line, the older form in a header (RFC 1421 section 4.6.1.1).
    let holds = |text: &[u8]| memchr::memmem::find(pem, text).is_some();
    if holds(b"BEGIN ENCRYPTED PRIVATE KEY") || holds(b"4,ENCRYPTED") {
        let help =
            "decrypt it (`openssl pkey -in KEY -out NEW`) and let only the gateway's user read the file";
        return Err(BadPair::new(Part::Key, "this key is encrypted", help));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        BadPair::new(
            Part::Key,
            "this file holds no private key",
            "it begins with `-----BEGIN PRIVATE KEY-----`",
        )
    })
}

/// The authorities of a PEM file.
///
/// # Errors
/// In words: there is none, or one cannot be read.
pub(super) fn authorities(pem: &[u8]) -> Result<rustls::RootCertStore, String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|error| format!("this file is not as PEM should be: {error}"))?;
        roots.add(certificate).map_err(|error| format!("a certificate of it cannot be read: {error}"))?;
    }
    if roots.is_empty() { Err("this file holds no certificate".to_owned()) } else { Ok(roots) }
}

/// The next element of DER (X.690 section 8.1): its tag, its content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// From when and until when a certificate holds, in seconds since 1970 (RFC 5280 section 4.1.2.5).
fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut body, _) = element(certificate)?;
    // The version is tagged; before the validity stand number, algorithm and issuer.
    if let (0xa0, _, rest) = element(body)? {
        body = rest;
    }
    for _ in 0..3 {
        body = element(body)?.2;
    }
    let (_, validity, _) = element(body)?;
    let (tag, from, rest) = element(validity)?;
    let from = time(tag, from)?;
    let (tag, until, _) = element(rest)?;
    Some((from, time(tag, until)?))
}

/// Whether a certificate has the extension subjectAltName (RFC 5280 section 4.2.1.6).
fn has_alternative_names(certificate: &[u8]) -> bool {
    /// 2.5.29.17
    const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
    let extensions = || {
        let (_, certificate, _) = element(certificate)?;
        let (_, mut body, _) = element(certificate)?;
        loop {
            let (tag, content, rest) = element(body)?;
            if tag == 0xa3 {
                return Some(element(content)?.1);
            }
            body = rest;
        }
    };
    let mut left = extensions().unwrap_or_default();
    while let Some((_, extension, rest)) = element(left) {
        if element(extension).is_some_and(|(_, id, _)| id == ALTERNATIVE_NAMES) {
            return true;
        }
        left = rest;
    }
    false
}

/// UTCTime or GeneralizedTime, both in whole seconds and ending in `Z` (RFC 5280 section 4.1.2.5).
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        0x17 => text.split_at_checked(2)?,
        0x18 => text.split_at_checked(4)?,
        _ => return None,
    };
    let year: i32 = year.parse().ok()?;
    let year = if tag == 0x18 { year } else { year + if year < 50 { 2000 } else { 1900 } };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u32>().ok();
    let date = NaiveDate::from_ymd_opt(year, part(0)?, part(2)?)?;
    Some(date.and_hms_opt(part(4)?, part(6)?, part(8)?)?.and_utc().timestamp())
}

/// How many bits the modulus of an RSA key has; nothing for another key (RFC 8017 appendix A.1).
fn rsa_bits(key: &SubjectPublicKeyInfoDer<'_>) -> Option<usize> {
    /// 1.2.840.113549.1.1.1
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let (_, key, _) = element(key)?;
    let (_, algorithm, rest) = element(key)?;
    if element(algorithm)?.1 != RSA {
        return None;
    }
    // The bit string's first octet says how many bits are unused: none.
    let (_, bits, _) = element(rest)?;
    let (_, numbers, _) = element(bits.get(1..)?)?;
    let (_, modulus, _) = element(numbers)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let modulus = &modulus[zeros..];
    Some(modulus.len() * 8 - modulus.first()?.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(time(0x17, b"700101000000Z"), Some(0));
        assert_eq!(time(0x17, b"491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(0x18, b"20500101000000Z"), Some(2_524_608_000));
        for bad in [&b"700101000000"[..], b"7001010000Z", b"701301000000Z", b"Z", b"\xff\xff"] {
            assert_eq!(time(0x17, bad), None);
        }
        assert_eq!(time(0x04, b"700101000000Z"), None);
    }

    #[test]
    fn elements_that_are_cut_off_are_none() {
        let whole = [0x30, 0x82, 0x01, 0x00].into_iter().chain([7; 256]).collect::<Vec<u8>>();
        assert_eq!(
            element(&whole).map(|(tag, content, rest)| (tag, content.len(), rest.len())),
            Some((0x30, 256, 0))
        );
        for len in 0..whole.len() {
            assert!(element(&whole[..len]).is_none(), "{len}");
        }
        assert!(element(&[0x30, 0x80, 0, 0]).is_none(), "no length is not DER");
    }
}
