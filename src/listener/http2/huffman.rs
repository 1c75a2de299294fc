//! The Huffman code of HPACK (RFC 7541 section 5.2), decoding only, for blocks whose faults are looked for: the library
//! decodes all others.

/// How many symbols there are: all bytes, and the end of a string, which none may hold.
const SYMBOLS: usize = 257;

/// The longest code.
const LONGEST: usize = 30;

/// The length of each symbol's code in bits (RFC 7541 appendix B). The codes follow from these: those of one length are
/// consecutive numbers in the order of their symbols, and a longer one goes on where the shorter ones end.
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];

/// The symbols in the order of their codes, and how many have a code of each length.
const CODES: ([u16; SYMBOLS], [u32; LONGEST + 1]) = codes();

const fn codes() -> ([u16; SYMBOLS], [u32; LONGEST + 1]) {
    let (mut order, mut counts) = ([0; SYMBOLS], [0; LONGEST + 1]);
    let (mut filled, mut length) = (0, 1);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                order[filled] = symbol as u16;
                filled += 1;
                counts[length] += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    (order, counts)
}

/// Decodes a string; none where it is not valid.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let (order, counts) = &CODES;
    let mut text = Vec::with_capacity(bytes.len() * 2);
    // The bits of a code that have come, how many, the first code of that length, and its place in the order.
    let (mut code, mut length, mut first, mut place) = (0_u32, 0, 0_u32, 0_u32);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| u32::from(byte >> at & 1))) {
        (code, length, first) = (code << 1 | bit, length + 1, first << 1);
        let count = *counts.get(length)?;
        if code - first < count {
            let symbol = order[(place + code - first) as usize];
            text.push(u8::try_from(symbol).ok()?);
            (code, length, first, place) = (0, 0, 0, 0);
        } else {
            (first, place) = (first + count, place + count);
        }
    }
    // What fills the last byte is the beginning of the end of a string, which is all ones.
    (length < 8 && code + 1 == 1 << length).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_are_decoded() {
        // RFC 7541 appendices C.4 and C.6.
        let examples: [(&[u8], &str); 5] = [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff], "www.example.com"),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
            (&[0x64, 0x02], "302"),
            (&[], ""),
        ];
        for (bytes, text) in examples {
            assert_eq!(decode(bytes).as_deref(), Some(text.as_bytes()));
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        // Padding that is not all ones, a whole byte of it, and the end of a string within one.
        for bytes in [&[0x18][..], &[0x1f, 0xff], &[0xff; 4]] {
            assert_eq!(decode(bytes), None, "{bytes:x?}");
        }
    }
}
