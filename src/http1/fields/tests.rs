use proptest::prelude::*;

use super::*;

type Split = Vec<(Vec<u8>, Vec<u8>)>;

fn ours(mut section: &[u8]) -> Result<Split, &'static str> {
    let mut lines = Split::new();
    while let Some(line) = next(section)? {
        lines.push((line.name.to_vec(), line.value.to_vec()));
        section = &section[line.len..];
    }
    assert_eq!(section, b"\r\n");
    Ok(lines)
}

fn theirs(section: &[u8]) -> Option<Split> {
    let mut table = [httparse::EMPTY_HEADER; 64];
    match httparse::parse_headers(section, &mut table) {
        Ok(httparse::Status::Complete((len, lines))) if len == section.len() => {
            Some(lines.iter().map(|line| (line.name.into(), line.value.into())).collect())
        }
        _ => None,
    }
}

/// What is kept of the lines of a section, as it would be written.
fn kept(section: &[u8]) -> String {
    let mut out = Headers::new();
    read(section, 64, Writer::Client, &mut out).unwrap().unwrap();
    let mut written = Vec::new();
    out.write_to(&mut written);
    String::from_utf8(written).unwrap()
}

/// Sections of pieces that mean something, and of some that break them.
fn section() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec!["Host", "x-a", "Content_Length", "a", ":", ": ", ":\t", " ", "\t", "\r\n", "v"]),
        2 => prop::sample::select(vec!["a value of more than eight bytes", "\u{fc}", "\"(", "\r", "\n", "\0", "\x7f", "\x1f"]),
    ];
    let line = (
        prop::sample::select(vec!["Host: ", "x-a:", "", "a-name-that-no-table-of-names-has-room-for: "]),
        prop::collection::vec(piece, 0..5),
    );
    prop::collection::vec(line, 0..5).prop_map(|lines| {
        let lines: Vec<String> =
            lines.into_iter().map(|(start, rest)| start.to_owned() + &rest.concat() + "\r\n").collect();
        (lines.concat() + "\r\n").into_bytes()
    })
}

proptest! {
    #[test]
    fn lines_are_split_as_by_others(section in section()) {
        let Ok(Some(len)) = line::section(&section, 64) else { return Ok(()) };
        prop_assert_eq!(ours(&section[..len]).ok(), theirs(&section[..len]), "{:?}", String::from_utf8_lossy(&section));
    }

    #[test]
    fn what_is_kept_is_read_again_as_it_is(section in section()) {
        if let Ok(Some((facts, len))) = read(&section, 64, Writer::Client, &mut Headers::new()) {
            prop_assert_eq!(len, line::section(&section, 64).unwrap().unwrap());
            prop_assert!(facts.hosts <= 5);
            let once = kept(&section);
            let again = format!("{once}\r\n");
            prop_assert_eq!(kept(again.as_bytes()), once);
        }
    }
}

#[test]
fn lines_are_kept_with_one_blank_and_a_low_name() {
    for line in ["X-A: b", "x-a:b", "X-a:  b", "x-A:\tb \t", "x-a: b "] {
        assert_eq!(kept(format!("{line}\r\n\r\n").as_bytes()), "x-a: b\r\n", "{line:?}");
    }
    for line in ["X-A:", "x-a: ", "x-a:  ", "x-a:\t"] {
        assert_eq!(kept(format!("{line}\r\n\r\n").as_bytes()), "x-a: \r\n", "{line:?}");
    }
    let long = "X-A-Name-That-No-Table-Of-Names-Has-Room-For: b\r\n";
    assert_eq!(kept(format!("{long}\r\n").as_bytes()), long.to_ascii_lowercase());
}

#[test]
fn a_control_byte_is_found_wherever_it_stands() {
    for length in 0..20 {
        assert_eq!(control(&vec![b' '; length]), None);
        for at in 0..length {
            for byte in 0..=255u8 {
                let mut bytes = vec![0xff; length];
                bytes[at] = byte;
                assert_eq!(control(&bytes), byte.is_ascii_control().then_some(at), "{byte:#x}");
                bytes[at..].fill(byte);
                assert_eq!(control(&bytes), byte.is_ascii_control().then_some(at), "{byte:#x}");
            }
        }
    }
}

#[test]
fn long_sections_are_read_like_short_ones() {
    let line = format!("x-a: {}\r\n", "b".repeat(SHORT));
    let section = format!("{line}\r\n");
    let len = |bytes: &[u8]| {
        read(bytes, 64, Writer::Client, &mut Headers::new()).map(|read| read.map(|(_, len)| len))
    };
    assert_eq!(len(section.as_bytes()), Ok(Some(section.len())));
    for end in 0..section.len() {
        assert_eq!(len(&section.as_bytes()[..end]), Ok(None), "{end}");
    }
    assert_eq!(len(format!("{line}\n").as_bytes()), Err(HeadError::Malformed("bare line feed")));
}

#[test]
fn empty_members_of_connection_are_skipped_and_counted() {
    let section = |options: &str| format!("connection: {options}\r\nx-a: 1\r\nx-b: 2\r\n\r\n");
    assert_eq!(kept(section(&format!("x-a{}", ",".repeat(MAX_MEMBERS - 1))).as_bytes()), "x-b: 2\r\n");
    assert_eq!(kept(section(", close,, keep-alive , x-a").as_bytes()), "x-b: 2\r\n");
    let known = "keep-alive, close,".repeat(MAX_MEMBERS / 2);
    assert_eq!(kept(section(&known[..known.len() - 1]).as_bytes()), "x-a: 1\r\nx-b: 2\r\n");
    for many in [
        known,
        ",".repeat(MAX_MEMBERS),
        ",".repeat(14_500),
        ", ".repeat(MAX_MEMBERS),
        "x-a,".repeat(MAX_MEMBERS + 1),
    ] {
        let section = section(&many);
        let read = read(section.as_bytes(), 64, Writer::Client, &mut Headers::new());
        assert_eq!(read.err(), Some(HeadError::Malformed("too many connection options")));
    }
}

#[test]
fn all_that_connection_names_is_dropped_and_nothing_else() {
    // Names that are as alike as names can be: one length, the same ends, any case.
    let names: Vec<String> = (0..MAX_MEMBERS).map(|at| format!("x-named-{at:02}-and-more-of-it")).collect();
    let short: Vec<String> = (0..MAX_MEMBERS).map(|at| format!("x{at:02}")).collect();
    for names in [names, short] {
        let listed =
            names.iter().step_by(2).map(|name| name.to_ascii_uppercase()).collect::<Vec<_>>().join(", ");
        let lines: String = names.iter().map(|name| format!("{name}: 1\r\n")).collect();
        let left: String = names.iter().skip(1).step_by(2).map(|name| format!("{name}: 1\r\n")).collect();
        assert_eq!(kept(format!("Connection: {listed}\r\n{lines}\r\n").as_bytes()), left);
    }
}

#[test]
fn what_connection_names_is_compared_with_no_empty_name() {
    // As many commas as may stand there are no name to compare with: only `x-a` is.
    let mut named = Named::new();
    let line = next(b"connection: ,,, x-a ,,\r\n").unwrap().unwrap();
    let mut facts = Facts::default();
    facts.take(HeaderId::Connection, &line, &mut named).unwrap();
    assert_eq!((named.as_slice(), facts.members), (&[&b"x-a"[..]][..], 6));
}
