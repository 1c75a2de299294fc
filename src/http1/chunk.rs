//! The line before a chunk: its size and its extensions (RFC 9112 section 7.1).

use memchr::memchr;

use crate::exchange::headers::is_token;

/// Most hexadecimal digits of a chunk's size.
const SIZE: usize = 16;
/// Most bytes of one chunk's extensions, blanks included: they are thrown away, and a body of little but extensions would
/// pass by every limit on content.
pub(super) const EXTENSION: usize = 256;

const BAD_SIZE: &str = "bad chunk size";
const BAD_EXTENSION: &str = "bad chunk extension";

/// A chunk's line.
pub(super) struct ChunkLine {
    /// The bytes of content that follow; the last chunk has none.
    pub(super) size: u64,
    /// The bytes of its extensions.
    pub(super) extension: usize,
    /// The bytes of the line with its CRLF.
    pub(super) len: usize,
}

/// Reads the line that `buf` begins with; `None` where its end has not come yet.
///
/// # Errors
/// The reason, where it breaks the grammar or its bounds: as soon as the size shows that, and for extensions when the
/// line is complete or too long.
pub(super) fn line(buf: &[u8]) -> Result<Option<ChunkLine>, &'static str> {
    let near = &buf[..buf.len().min(SIZE + EXTENSION + 2)];
    let digits = near.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits > SIZE || (digits == 0 && !near.is_empty()) {
        return Err(BAD_SIZE);
    }
    let Some(next) = near.get(digits) else { return Ok(None) };
    if !matches!(next, b'\r' | b';' | b' ' | b'\t') {
        return Err(BAD_SIZE);
    }
    let longest = digits + EXTENSION + 2;
    let near = &near[..near.len().min(longest)];
    let Some(end) = memchr(b'\n', near) else {
        return if near.len() == longest { Err("long chunk extension") } else { Ok(None) };
    };
    let Some(extension) = near[digits..end].strip_suffix(b"\r") else { return Err(BAD_SIZE) };
    if extension.len() > EXTENSION {
        return Err("long chunk extension");
    }
    if !extension.is_empty() {
        judge(extension)?;
    }
    let size = near[..digits].iter().fold(0u64, |size, digit| size << 4 | hex(*digit));
    Ok(Some(ChunkLine { size, extension: extension.len(), len: end + 1 }))
}

/// `*( BWS ";" BWS name [ BWS "=" BWS value ] )`, where a value is a token or a quoted string. Blanks stand before and
/// after `;` and `=` alone: behind the size or a value they belong to nothing.
#[cold]
fn judge(mut rest: &[u8]) -> Result<(), &'static str> {
    if blanks(rest).is_empty() {
        return Err(BAD_SIZE);
    }
    while !rest.is_empty() {
        let name = blanks(rest).strip_prefix(b";").ok_or(BAD_EXTENSION)?;
        rest = token(blanks(name)).ok_or(BAD_EXTENSION)?;
        if let Some(value) = blanks(rest).strip_prefix(b"=") {
            let value = blanks(value);
            rest = if value.first() == Some(&b'"') { quoted(&value[1..]) } else { token(value) }
                .ok_or(BAD_EXTENSION)?;
        }
    }
    Ok(())
}

/// What follows the blanks that the bytes begin with.
fn blanks(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(bytes.len());
    &bytes[end..]
}

/// What follows the token that the bytes begin with; `None` where there is none.
fn token(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| !is_token(*byte)).unwrap_or(bytes.len());
    (end > 0).then(|| &bytes[end..])
}

/// What follows the quoted string whose opening quote has been taken (RFC 9110 section 5.6.4); `None` where it breaks the
/// grammar or does not end.
fn quoted(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(&bytes[at + 1..]),
            b'\\' if bytes.get(at + 1).is_some_and(|byte| is_text(*byte)) => at += 2,
            b'\\' => return None,
            byte if is_text(*byte) => at += 1,
            _ => return None,
        }
    }
}

/// A tab, a blank, a visible character or a byte above ASCII.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

const fn hex(digit: u8) -> u64 {
    match digit {
        b'0'..=b'9' => (digit - b'0') as u64,
        _ => ((digit | 0x20) - b'a') as u64 + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_names_with_values_and_blanks_around_their_signs() {
        for extension in [
            "",
            ";a",
            ";a;b",
            " ;a",
            "\t; a",
            " \t ; \ta \t= \tb ; c",
            ";a=b",
            ";a=\"\"",
            ";a=\"b;c=d\"",
            ";a=\"\\\"\\\\\";b",
            ";a = \"b\tc \u{fc}\"",
            ";!#$%&'*+-.^_`|~=~",
        ] {
            let line = format!("5{extension}\r\n");
            let read = line_of(&line).unwrap_or_else(|why| panic!("{extension:?}: {why}")).unwrap();
            assert_eq!(
                (read.size, read.extension, read.len),
                (5, extension.len(), line.len()),
                "{extension:?}"
            );
        }
    }

    #[test]
    fn what_is_outside_of_the_grammar_is_refused() {
        for extension in [
            ";",
            "; ",
            ";;a",
            ";a;",
            ";=b",
            ";a=",
            ";a= ",
            ";a b",
            ";a=b c",
            ";a=b ",
            ";a ",
            ";a=b=c",
            ";a=b\"c\"",
            ";a=\"b",
            ";a=\"b\\\"",
            ";a=\"b\"c",
            ";a=\"\\\0\"",
            ";a=\"\x7f\"",
            ";a=\"b\rc\"",
            ";a,b",
            ";a/b",
            ";\u{fc}",
            " x",
            "\r",
        ] {
            assert_eq!(line_of(&format!("5{extension}\r\n")).err(), Some(BAD_EXTENSION), "{extension:?}");
        }
        for padded in [" ", "\t", "  "] {
            assert_eq!(line_of(&format!("5{padded}\r\n")).err(), Some(BAD_SIZE), "{padded:?}");
        }
    }

    fn line_of(text: &str) -> Result<Option<ChunkLine>, &'static str> {
        for end in 0..text.len() {
            let cut = line(&text.as_bytes()[..end]);
            assert!(cut.is_err() || matches!(cut, Ok(None)), "{text:?} up to {end}");
        }
        line(text.as_bytes())
    }
}
