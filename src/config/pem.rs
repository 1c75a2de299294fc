//! Files of certificates and keys, read when the configuration is.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::field::Field;
use super::span::Spanned;

/// The largest such file, in bytes: the whole list of CAs of a system is a quarter of it.
const LARGEST: u64 = 1 << 20;

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
    match bytes(&path) {
        Ok(pem) if pem.windows(11).any(|part| part == b"-----BEGIN ") => Some(pem),
        Ok(_) => {
            field.error("this file holds no PEM", "it begins with `-----BEGIN `");
            None
        }
        Err(what) => {
            field.error(what, "paths start at the file that names them");
            None
        }
    }
}

/// What stands in a file of certificates or keys. Only a regular file is opened: another may never come to its end.
///
/// # Errors
/// In words: it cannot be read, is empty, or is larger than 1 MiB.
pub fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("this file cannot be read: {error}");
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err("this is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(failed)?.take(LARGEST + 1);
    file.read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        0 => Err("this file is empty".to_owned()),
        1..=LARGEST => Ok(bytes),
        _ => Err("this file is too large for certificates: more than 1 MiB".to_owned()),
    }
}
