//! Files of certificates and keys, read when the configuration is.

use std::fmt;
use std::path::PathBuf;

use super::field::Field;
use super::span::Spanned;

/// The largest such file, in bytes: the whole list of CAs of a system is a quarter of it.
const LARGEST: usize = 1 << 20;

/// What is not to be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub(super) fn new(bytes: Vec<u8>) -> Secret {
        Secret(bytes)
    }

    /// The secret.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A PEM file that was read. Equal where it says the same.
#[derive(Clone, Debug)]
pub struct PemFile {
    /// Where it is, and where that is written.
    pub path: Spanned<PathBuf>,
    /// What stands in it.
    pub pem: Secret,
}

impl PartialEq for PemFile {
    fn eq(&self, other: &PemFile) -> bool {
        self.pem == other.pem
    }
}

/// Reads a PEM file, and keeps its place.
pub(super) fn file(field: Field<'_>) -> Option<PemFile> {
    let pem = Secret::new(read(field)?);
    Some(PemFile { path: Spanned::new(field.path()?, field.span()), pem })
}

/// Reads a PEM file (RFC 7468). What stands in it is judged by those who use it.
pub(super) fn read(field: Field<'_>) -> Option<Vec<u8>> {
    let path: PathBuf = field.path()?;
    match std::fs::read(&path) {
        Ok(pem) if pem.len() <= LARGEST && pem.windows(11).any(|part| part == b"-----BEGIN ") => Some(pem),
        Ok(_) => {
            field.error("this file holds no PEM", "it begins with `-----BEGIN `");
            None
        }
        Err(error) => {
            field.error(
                format!("this file cannot be read: {error}"),
                "paths start at the file that names them",
            );
            None
        }
    }
}
