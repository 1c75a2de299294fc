//! Text made safe for one line of a log: JSON's escapes (RFC 8259 section 7), used by every format.

use std::fmt;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Appends the text so that it can stand between the quotes of a JSON string: no control character, quote or
/// backslash stands for itself, and what is no UTF-8 becomes U+FFFD.
pub(super) fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let clean = clean_prefix(text);
    out.extend_from_slice(&text[..clean]);
    if clean < text.len() {
        push_slowly(out, &text[clean..]);
    }
}

/// How many bytes from the start stand for themselves: printable ASCII but `"` and `\`.
fn clean_prefix(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    let dirty = words.iter().position(|word| !all_clean(u64::from_le_bytes(*word)));
    // Most texts are clean: their end is judged as one word too.
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    if dirty.is_none() && all_clean(u64::from_le_bytes(last)) {
        return text.len();
    }
    let clean = dirty.unwrap_or(words.len()) * 8;
    let rest = &text[clean..];
    clean + rest.iter().position(|byte| !is_clean(*byte)).unwrap_or(rest.len())
}

const fn is_clean(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'
}

/// Whether all eight bytes are clean, without a branch for each.
const fn all_clean(word: u64) -> bool {
    const fn zeroes(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = zeroes(word ^ (ONES * b'"' as u64));
    let backslash = zeroes(word ^ (ONES * b'\\' as u64));
    let delete = zeroes(word ^ (ONES * 0x7f));
    (word | control | quote | backslash | delete) & HIGH == 0
}

#[cold]
fn push_slowly(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            push_letter(out, letter);
        }
        if !chunk.invalid().is_empty() {
            push_letter(out, char::REPLACEMENT_CHARACTER);
        }
    }
}

fn push_letter(out: &mut Vec<u8>, letter: char) {
    match letter {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        letter if misleads(letter) => push_code(out, u32::from(letter)),
        letter => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Control characters, line ends that some readers honour, and marks that turn the writing direction: a line that
/// holds them may look like another line.
const fn misleads(letter: char) -> bool {
    matches!(letter,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `\uXXXX`; every letter that misleads has no more than 16 bits.
fn push_code(out: &mut Vec<u8>, code: u32) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(b"0123456789abcdef"[(code >> shift) as usize & 15]);
    }
}

/// Lets formatted text pass through [`push_escaped`].
pub(super) struct Escaping<'a>(pub(super) &'a mut Vec<u8>);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_escaped(self.0, text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &[u8]) -> String {
        let mut out = Vec::new();
        push_escaped(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn control_characters_never_stand_for_themselves() {
        assert_eq!(escaped(b"/a\r\nFAKE\t\x1b[31m\x7f\0"), r"/a\r\nFAKE\t\u001b[31m\u007f\u0000");
        assert_eq!(escaped("\u{85}\u{2028}\u{202e}".as_bytes()), r"\u0085\u2028\u202e");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(escaped(b"gr\xfcn \xe2\x82"), "gr\u{fffd}n \u{fffd}");
        assert_eq!(escaped("grün".as_bytes()), "grün");
    }

    #[test]
    fn every_byte_is_judged_alike_wherever_it_stands() {
        for byte in 0..=255u8 {
            for place in 0..8 {
                let mut word = [b'x'; 8];
                word[place] = byte;
                assert_eq!(all_clean(u64::from_le_bytes(word)), is_clean(byte), "{byte:#x} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn json_reads_back_what_was_escaped(text in any::<String>()) {
            let read: String = serde_json::from_str(&format!("\"{}\"", escaped(text.as_bytes()))).unwrap();
            prop_assert_eq!(read, text);
        }

        #[test]
        fn any_bytes_become_one_readable_line(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let line = escaped(&bytes);
            prop_assert!(!line.chars().any(char::is_control));
            let quoted = format!("\"{line}\"");
            prop_assert!(serde_json::from_str::<String>(&quoted).is_ok());
        }
    }
}
