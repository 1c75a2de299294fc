//! What tests of aggregates and shapes share: reading what an answer says of its sources, and bodies in codings.

use super::{Answer, Origin, Turn};

/// The page that says what an aggregate comes to and what a shape does.
const PAGE: &str = include_str!("../../../docs/aggregates.md");

/// The rows of that table of the page, cell by cell, found by the first cell of its head.
#[track_caller]
pub(crate) fn page_table(first: &str) -> Vec<Vec<&'static str>> {
    table(PAGE, first)
}

/// The same of any page.
#[track_caller]
pub(crate) fn table(page: &'static str, first: &str) -> Vec<Vec<&'static str>> {
    let head = format!("| {first} |");
    let lines = page.lines().skip_while(|line| !line.starts_with(&head)).skip(2);
    let rows: Vec<Vec<&str>> = lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(!rows.is_empty(), "a table that begins with {first}");
    rows
}

/// The rows of all tables of a page whose head has these cells, cell by cell.
pub(crate) fn rows_of(page: &'static str, head: &[&str]) -> Vec<Vec<&'static str>> {
    let head = format!("| {} |", head.join(" | "));
    let mut lines = page.lines();
    let mut rows = Vec::new();
    while lines.by_ref().any(|line| line == head) {
        let table = lines.by_ref().skip(1).take_while(|line| line.starts_with('|'));
        rows.extend(table.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()));
    }
    rows
}

/// The header line of a JSON answer.
pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");

/// An origin that answers 200 with that JSON, always.
pub(crate) fn json_origin(body: &str) -> Origin {
    let body = body.to_owned();
    Origin::serve(move |turn| turn.answer(200, &[JSON], &body))
}

/// Sources and their words as `aggregate-status` tells them, in its order; fails the test where the line is not in its form.
#[track_caller]
pub(crate) fn told(answer: &Answer) -> Vec<(String, String)> {
    let line = answer.header("aggregate-status").unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    let member = |member: &str| {
        let mut parts = member.split(';');
        let name = parts.next().unwrap_or_default();
        let mut letters = name.chars();
        assert!(letters.next().is_some_and(|first| first.is_ascii_alphabetic()), "{line}");
        assert!(letters.all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)), "{line}");
        let word = parts.next().and_then(|word| word.strip_prefix("s=")).unwrap_or_else(|| panic!("{line}"));
        let time = parts.next().and_then(|time| time.strip_prefix("ms=")).unwrap_or_else(|| panic!("{line}"));
        assert!(time.parse::<u64>().is_ok_and(|ms| ms < 60_000), "{line}");
        let rest: Vec<&str> = parts.collect();
        assert!(rest.iter().all(|rest| ["cached", "stale"].contains(rest)), "{line}");
        (name.to_owned(), [&[word][..], &rest].concat().join(";"))
    };
    if line.is_empty() { Vec::new() } else { line.split(", ").map(member).collect() }
}

/// The same as one text: `user=ok orders=timeout`.
#[track_caller]
pub(crate) fn told_words(answer: &Answer) -> String {
    told(answer).iter().map(|(name, word)| format!("{name}={word}")).collect::<Vec<_>>().join(" ")
}

/// Answers in so many chunks as there are pieces of that length, with a trailer.
pub(crate) fn in_pieces(turn: &mut Turn, headers: &[(&str, &str)], body: &[u8], length: usize) {
    turn.read_body();
    turn.chunked(200, headers);
    body.chunks(length).for_each(|piece| turn.chunk(piece));
    turn.last_chunk(&[("x-trailer", "1")]);
}

// Streams of stored bytes, made by hand: small enough to be checked by eye against the specifications.

/// gzip (RFC 1952) around one stored block (RFC 1951 section 3.2.4).
pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut all = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    all.extend(stored(body));
    all.extend(crc32(body).to_le_bytes());
    all.extend(length32(body).to_le_bytes());
    all
}

/// zlib (RFC 1950) around one stored block: what `deflate` means.
pub(crate) fn zlib(body: &[u8]) -> Vec<u8> {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in body {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    let mut all = vec![0x78, 0x01];
    all.extend(stored(body));
    all.extend((high << 16 | low).to_be_bytes());
    all
}

/// brotli (RFC 7932): a window of 16 bits, one meta-block that is not compressed, and the empty last one.
pub(crate) fn brotli(body: &[u8]) -> Vec<u8> {
    // From the lowest bit: WBITS 0, ISLAST 0, MNIBBLES 00, MLEN - 1 in 16 bits, ISUNCOMPRESSED 1.
    let head = (length32(body) - 1) << 4 | 1 << 20;
    let mut all = head.to_le_bytes()[..3].to_vec();
    all.extend(body);
    all.push(0b11);
    all
}

/// zstd (RFC 8878): a single segment with one raw block, without a checksum.
pub(crate) fn zstd(body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    let mut all = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, length];
    all.extend(&((u32::from(length) << 3) | 1).to_le_bytes()[..3]);
    all.extend(body);
    all
}

/// gzip of a JSON text of so many blanks and at least; then `[]`. Every match of 258 bytes takes 13 bits.
pub(crate) fn bomb(blanks: u64) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0b011, 3); // The last block, with the fixed codes.
    bits.literal(b' ');
    for _ in 0..blanks.div_ceil(258) {
        bits.code(0b1100_0101, 8); // A length of 258,
        bits.code(0, 5); // one byte back.
    }
    bits.literal(b'[');
    bits.literal(b']');
    bits.code(0, 7);
    let mut all = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    all.extend(bits.done);
    all.push(u8::try_from(bits.open & 0xff).unwrap());
    // The sum is wrong. Nobody gets as far.
    all.extend([0; 8]);
    all
}

/// gzip that is long and decodes to nothing but that text: so many empty stored blocks come before it.
pub(crate) fn hollow(body: &[u8], blocks: usize) -> Vec<u8> {
    let mut all = gzip(body);
    all.splice(10..10, [0, 0, 0, 0xff, 0xff].repeat(blocks));
    all
}

#[derive(Default)]
struct Bits {
    done: Vec<u8>,
    open: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, bits: u64, count: u32) {
        self.open |= bits << self.count;
        self.count += count;
        while self.count >= 8 {
            self.done.push(u8::try_from(self.open & 0xff).unwrap());
            self.open >>= 8;
            self.count -= 8;
        }
    }

    /// Codes stand with their highest bit first.
    fn code(&mut self, code: u64, count: u32) {
        self.put(code.reverse_bits() >> (64 - count), count);
    }

    fn literal(&mut self, byte: u8) {
        assert!(byte < 144);
        self.code(u64::from(byte) + 0x30, 8);
    }
}

fn stored(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    let mut all = vec![1];
    all.extend(length.to_le_bytes());
    all.extend((!length).to_le_bytes());
    all.extend(body);
    all
}

fn length32(body: &[u8]) -> u32 {
    u32::try_from(body.len()).unwrap()
}

fn crc32(body: &[u8]) -> u32 {
    !body.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| {
                if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 }
            },
        )
    })
}

/// The sums that the specifications name.
#[test]
fn codings_are_what_others_read() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    assert_eq!(&zlib(b"Wikipedia")[14 + 2..], 0x11e6_0398_u32.to_be_bytes());
    assert_eq!(brotli(b"a"), [0, 0, 0x10, b'a', 3]);
    assert_eq!(bomb(258 * 8).len(), 10 + (3 + 8 + 8 * 13 + 8 + 8 + 7_usize).div_ceil(8) + 8);
}
