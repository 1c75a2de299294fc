//! Names as they stand in JSON, and as they are meant.

use std::borrow::Cow;

/// What a JSON text (without its quotes) says. A lone surrogate, which no text can say, stands as U+FFFD.
pub fn unescaped(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        at += 1;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let escape = raw.get(at).copied().unwrap_or(b'\\');
        at += 1;
        match escape {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let first = hex(raw, at);
                at += 4;
                let mut code = u32::from(first);
                if (0xd800..0xdc00).contains(&first) && raw.get(at..at + 2) == Some(b"\\u") {
                    let second = hex(raw, at + 2);
                    if (0xdc00..0xe000).contains(&second) {
                        at += 6;
                        code = 0x10000 + ((code - 0xd800) << 10) + (u32::from(second) - 0xdc00);
                    }
                }
                let letter = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            byte => out.push(byte),
        }
    }
    Cow::Owned(out)
}

fn hex(raw: &[u8], at: usize) -> u16 {
    raw.get(at..at + 4)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| u16::from_str_radix(digits, 16).ok())
        .unwrap_or(0)
}

/// Whether a JSON text (without its quotes) says this name.
pub fn same_name(raw: &[u8], name: &[u8]) -> bool {
    // A name that holds a backslash itself must not be taken for an escape that looks the same.
    if raw.contains(&b'\\') { *unescaped(raw) == *name } else { raw == name }
}

/// Writes a text as JSON, with its quotes.
pub fn push_quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}
