//! Certificates and keys out of PEM files (RFC 7468).

use std::fmt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a PEM file cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PemError {
    /// No certificate stands in it.
    NoCertificate,
    /// No private key stands in it.
    NoKey,
    /// The key is encrypted, and there is nobody who could be asked for the password.
    Encrypted,
    /// What stands in it cannot be read.
    Broken,
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PemError::NoCertificate => "it holds no certificate (`-----BEGIN CERTIFICATE-----`)",
            PemError::NoKey => "it holds no private key (`-----BEGIN PRIVATE KEY-----`)",
            PemError::Encrypted => {
                "the key is encrypted: remove its password with `openssl pkey -in OLD -out NEW`"
            }
            PemError::Broken => "it cannot be read",
        })
    }
}

impl std::error::Error for PemError {}

/// All certificates of a file, in its order; at least one.
///
/// # Errors
/// There are none, or one cannot be read.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = read.map_err(|_| PemError::Broken)?;
    if certificates.is_empty() { Err(PemError::NoCertificate) } else { Ok(certificates) }
}

/// The first private key of a file.
///
/// # Errors
/// There is none, or it cannot be read without a password.
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    let holds = |text: &[u8]| pem.windows(text.len()).any(|part| part == text);
    if holds(b"BEGIN ENCRYPTED PRIVATE KEY") || holds(b"Proc-Type: 4,ENCRYPTED") {
        return Err(PemError::Encrypted);
    }
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) => Ok(key),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => Err(PemError::NoKey),
        Err(_) => Err(PemError::Broken),
    }
}
