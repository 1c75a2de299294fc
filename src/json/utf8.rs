//! Whether bytes that come in pieces are UTF-8.

use super::Invalid;

/// Judges a stream of bytes; a character may be cut by the border of two pieces.
#[derive(Default, Debug)]
pub struct Utf8 {
    held: [u8; 4],
    length: usize,
}

impl Utf8 {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// They are not UTF-8.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Invalid> {
        while self.length > 0 {
            let Some((&byte, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            self.held[self.length] = byte;
            self.length += 1;
            match std::str::from_utf8(&self.held[..self.length]) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_some() || self.length == 4 => {
                    return Err(Invalid::NotUtf8);
                }
                Err(_) => {}
            }
        }
        let Err(error) = std::str::from_utf8(bytes) else { return Ok(()) };
        if error.error_len().is_some() {
            return Err(Invalid::NotUtf8);
        }
        let cut = &bytes[error.valid_up_to()..];
        self.held[..cut.len()].copy_from_slice(cut);
        self.length = cut.len();
        Ok(())
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// In the middle of a character.
    pub fn finish(&self) -> Result<(), Invalid> {
        if self.length == 0 { Ok(()) } else { Err(Invalid::NotUtf8) }
    }
}
