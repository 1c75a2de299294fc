use super::*;
use proptest::prelude::*;

const KEEP: PathRules = PathRules::KEEP;
const STRICT: PathRules = PathRules { encoded_slash_keep: false, semicolon_keep: false };
const SEMICOLON: PathRules = PathRules { semicolon_keep: true, ..STRICT };

fn read(raw: &str, rules: PathRules) -> Result<String, TargetError> {
    Target::parse(raw.as_bytes(), rules).map(|parsed| parsed.target.as_str().to_owned())
}

#[track_caller]
fn becomes(raw: &str, normal: &str) {
    assert_eq!(read(raw, STRICT).as_deref(), Ok(normal), "{raw}");
}

#[track_caller]
fn refused(raw: &str, why: TargetError) {
    assert_eq!(read(raw, STRICT), Err(why), "{raw}");
}

#[test]
fn a_normal_path_stays_byte_for_byte() {
    for path in [
        "/",
        "/api/users/42",
        "/api/users/42/",
        "/.well-known/x",
        "/..a/...",
        "/a..",
        "/x:y@z,!$&'()*+=~-_",
        "/a%3Bb",
        "/a%3b",
        "/%e2%82%ac/%E2%82%AC/a%252Fb/k%3Aone",
        "/a%20c",
        "/%FE%c0%ae",
    ] {
        becomes(path, path);
    }
}

#[test]
fn unreserved_escapes_are_decoded() {
    becomes("/%61%50%49/%7E%2d%5f%2E5", "/aPI/~-_.5");
}

#[test]
fn dot_segments_are_resolved_and_slashes_merged() {
    becomes("/a/./b/../c", "/a/c");
    becomes("/a/b/..", "/a/");
    becomes("/a/.", "/a/");
    becomes("/a/..", "/");
    becomes("/.", "/");
    becomes("/a/%2e%2E/c", "/c");
    becomes("/a/.%2e/c", "/c");
    becomes("/a/%2e/c", "/a/c");
    becomes("//api///users/42//", "/api/users/42/");
    becomes("/a//../b", "/b");
    becomes("/api/staff/../boss", "/api/boss");
}

#[test]
fn climbing_above_the_root_is_refused() {
    for raw in ["/..", "/../a", "/a/../..", "/%2e%2e/", "/a/../../b", "//..", "/./.."] {
        refused(raw, TargetError::Climb);
    }
}

#[test]
fn unsafe_characters_are_refused_raw_and_encoded() {
    refused("/a%2Fb", TargetError::EncodedSlash);
    refused("/a%2fb", TargetError::EncodedSlash);
    refused("/a%5Cb", TargetError::Backslash);
    refused("/a%5cb", TargetError::Backslash);
    refused("/a\\b", TargetError::Backslash);
    refused("/a%00", TargetError::Control);
    refused("/a%0d%0aX:%20y", TargetError::Control);
    refused("/a%1F", TargetError::Control);
    refused("/a%7f", TargetError::Control);
    refused("/a\tb", TargetError::Control);
    refused("/a\u{7f}", TargetError::Control);
    refused("/a#b", TargetError::Fragment);
    refused("/open/a#/../../private", TargetError::Fragment);
    refused("/é", TargetError::NonAscii);
    for raw in ["/%zz", "/%", "/%4", "/a%4/b", "/%%341"] {
        refused(raw, TargetError::Escape);
    }
    for character in "\"<>`{} ".chars() {
        refused(&format!("/a{character}b"), TargetError::Character);
    }
}

/// The characters of which the escape is meant are those that the WHATWG URL standard leaves unencoded in paths, or did
/// (`^`, until 2023), and that RFC 3986 does not allow there.
#[test]
fn what_browsers_leave_unencoded_is_encoded() {
    becomes("/a[0]/b|c^d", "/a%5B0%5D/b%7Cc%5Ed");
    becomes("/a%5b0%5D/%7c%2c", "/a%5B0%5D/%7C%2c");
    becomes("/[..]/../x", "/x");
    becomes("/a/[/../]", "/a/%5D");
    becomes("/a?[]|^", "/a?[]|^");
    becomes("http://h/[", "/%5B");
    assert_eq!(read("/a%2F[;x", KEEP).as_deref(), Ok("/a%2F%5B;x"));
    for raw in ["http://h[/", "http://[::1]]/", "http://h|/", "http://h^/"] {
        refused(raw, TargetError::Authority);
    }
    let target = Target::parse(b"/tags/[a|b]", STRICT).unwrap().target;
    assert_eq!(&*percent_decode(target.path()), b"/tags/[a|b]");
}

#[test]
fn dots_with_parameters_are_refused() {
    for raw in ["/a/..;/b", "/a/..;x", "/a/.;x/b", "/a/%2e%2e;/b", "/a/.%2e;x", "/a/..%3bx/b", "/a/.%3B"] {
        refused(raw, TargetError::DotParameters);
    }
    refused("/;x/admin", TargetError::BareParameters);
    refused("/%3b/admin", TargetError::BareParameters);
    refused("/a/%3Bx/admin", TargetError::BareParameters);
    refused("/a/;x/..", TargetError::BareParameters);
}

#[test]
fn a_semicolon_is_refused_unless_it_is_kept() {
    for raw in ["/a;x", "/a;", "/a;x=1/b", "/a/;x", "/a;x/../b", "/a/b;c?d;e", "http://h/a;b"] {
        refused(raw, TargetError::Semicolon);
    }
    becomes("/a?b;c", "/a?b;c");
    for path in ["/a;v=1/b;c", "/a/;jsessionid=1", "/a;", "/;", "/a;%3B%2e;"] {
        let kept = path.replace("%2e", ".");
        assert_eq!(read(path, SEMICOLON).as_deref(), Ok(&*kept), "{path}");
        let target = Target::parse(path.as_bytes(), SEMICOLON).unwrap().target;
        assert_eq!(target.check(STRICT), Err(TargetError::Semicolon), "{path}");
        assert_eq!(target.check(SEMICOLON), Ok(()), "{path}");
    }
    assert_eq!(read("/a;x/../b", SEMICOLON).as_deref(), Ok("/b"));
    for raw in ["/a/..;/b", "/..;x", "/a/.;x", "/a/%2e%2e%3b", "/a/..%3Bx/b", "/.;"] {
        assert_eq!(read(raw, SEMICOLON), Err(TargetError::DotParameters), "{raw}");
    }
    assert_eq!(read("/;x/admin", SEMICOLON), Err(TargetError::BareParameters));
}

#[test]
fn the_query_is_kept_byte_for_byte() {
    becomes("/a?x=1", "/a?x=1");
    becomes("/a?", "/a?");
    becomes("/a/../b?q=a+b&q=%C3%A9&empty=&flag", "/b?q=a+b&q=%C3%A9&empty=&flag");
    becomes(
        "/a?url=http://x.y//z?b/../c;%2F%5C%00%zz%\\|\"<>{}^`[]",
        "/a?url=http://x.y//z?b/../c;%2F%5C%00%zz%\\|\"<>{}^`[]",
    );
    refused("/a?b c", TargetError::Character);
    refused("/a?b#c", TargetError::Fragment);
    refused("/a?é", TargetError::NonAscii);
    refused("/a?\u{1}", TargetError::Control);
    refused("//a?\u{7f}", TargetError::Control);

    let target = Target::parse(b"/a/./b?x?y", STRICT).unwrap().target;
    assert_eq!((target.path(), target.query()), ("/a/b", Some("x?y")));
    assert_eq!(Target::parse(b"/a", STRICT).unwrap().target.query(), None);
    assert_eq!(Target::parse(b"/a?", STRICT).unwrap().target.query(), Some(""));
}

#[test]
fn an_encoded_slash_can_be_kept_but_hides_no_dots() {
    for path in [
        "/queues/%2F/fetch",
        "/a%2fb",
        "/permissions/%2f/a%252Fb/%E2%82%AC",
        "/%2F%2f",
        "/..a%2F...",
        "/a%2F",
    ] {
        assert_eq!(read(path, KEEP).as_deref(), Ok(path));
        let target = Target::parse(path.as_bytes(), KEEP).unwrap().target;
        assert_eq!(target.check(SEMICOLON), Err(TargetError::EncodedSlash));
    }
    for raw in [
        "/..%2f",
        "/a/..%2Fb",
        "/a/%2f..",
        "/a%2F..%2Fb",
        "/%2e%2e%2fa",
        "/a%2F.",
        "/a%2f..;x/b",
        "/..;x%2fb",
    ] {
        assert_eq!(read(raw, KEEP), Err(TargetError::EncodedSlash), "{raw}");
    }
    assert_eq!(Target::parse(b"/a//b?x=%2F", KEEP).unwrap().target.check(STRICT), Ok(()));
}

#[test]
fn absolute_form_names_an_authority() {
    let parse = |raw: &str| Target::parse(raw.as_bytes(), STRICT);
    for (raw, authority, text) in [
        ("http://gw.example.com/api/users/42", "gw.example.com", "/api/users/42"),
        ("HTTPS://h:8080//a/../b?q", "h:8080", "/b?q"),
        ("http://h", "h", "/"),
        ("http://h?q", "h", "/?q"),
        ("http://[::1]:80/", "[::1]:80", "/"),
    ] {
        let parsed = parse(raw).unwrap();
        assert_eq!((parsed.authority.as_deref(), parsed.target.as_str()), (Some(authority), text));
    }
    assert_eq!(parse("http://u:p@h/"), Err(TargetError::UserInfo));
    for raw in [
        "http:///x",
        "http://h:8x/",
        "http://[::1/",
        "http://[]/",
        "http://a b/",
        "http://a\\b/",
        "http://[::1]x/",
        "http://:80/",
    ] {
        assert_eq!(parse(raw), Err(TargetError::Authority), "{raw}");
    }
    assert_eq!(parse("http://h#f"), Err(TargetError::Fragment));
    for raw in ["", "gw:443", "a/b", "?x", "ftp://h/", "**", "http:/x", "http"] {
        assert_eq!(parse(raw), Err(TargetError::Form), "{raw}");
    }
}

#[test]
fn the_asterisk_is_a_target_of_its_own() {
    let target = Target::parse(b"*", STRICT).unwrap().target;
    assert!(target.is_asterisk());
    assert_eq!((target.path(), target.query()), ("*", None));
    assert!(!Target::parse(b"/*", STRICT).unwrap().target.is_asterisk());
}

#[test]
fn a_rewritten_path_is_normalised_again() {
    assert_eq!(Target::from_rewritten("/v2//x/./y?a=b", STRICT).unwrap().as_str(), "/v2/x/y?a=b");
    assert_eq!(Target::from_rewritten("*", STRICT), Err(TargetError::Form));
    assert_eq!(Target::from_rewritten("http://h/", STRICT), Err(TargetError::Form));
    assert_eq!(Target::from_rewritten("/../x", STRICT), Err(TargetError::Climb));
}

#[test]
fn escapes_are_decoded_once() {
    assert_eq!(&*percent_decode("a%20b%252F%2f"), b"a b%2F/");
    assert_eq!(&*percent_decode("plain"), b"plain");
    assert_eq!(&*percent_decode("%zz%4"), b"%zz%4");
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "/", "/", "/", ".", "..", "a", "b;c", ";", "%2e", "%2E", "%2f", "%2F", "%3b", "%61", "%25", "%20",
        "%e2", "2e", "[", "|", "?", "a", "b", "..", "/a", "/b/", "%",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()).into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn normalising_twice_changes_nothing(raw in pieces(), slash: bool, semicolon: bool) {
        let rules = PathRules { encoded_slash_keep: slash, semicolon_keep: semicolon };
        if let Ok(parsed) = Target::parse(&raw, rules) {
            let once = parsed.target;
            let again = Target::parse(once.as_str().as_bytes(), rules).unwrap().target;
            prop_assert_eq!(once.as_str(), again.as_str());
            prop_assert_eq!(once.path(), again.path());
            prop_assert!(once.path().starts_with('/'));
            prop_assert!(!once.path().contains("//"));
            let decoded = once.path().replace("%2f", "/").replace("%2F", "/").replace("%3b", ";");
            for segment in decoded.split('/') {
                let name = segment.split(';').next().unwrap_or("");
                prop_assert!(name != "." && name != "..", "{}", once.path());
            }
        }
    }

    #[test]
    fn the_short_and_the_long_way_agree(raw in pieces()) {
        // A leading `/./` forces the long way and leaves the same path behind.
        let long = [b"/.", &raw[..]].concat();
        for rules in [STRICT, SEMICOLON] {
            let read = |raw: &[u8]| read(std::str::from_utf8(raw).unwrap(), rules);
            prop_assert_eq!(read(&raw), read(&long));
        }
    }

    /// What narrower rules refuse of a path that wider ones let in is what they refuse from the start.
    #[test]
    fn a_path_is_judged_alike_before_and_after_its_route_is_known(raw in pieces(), slash: bool, semicolon: bool) {
        let rules = PathRules { encoded_slash_keep: slash, semicolon_keep: semicolon };
        if let Ok(wide) = Target::parse(&raw, KEEP) {
            match Target::parse(&raw, rules) {
                Ok(narrow) => {
                    prop_assert_eq!(narrow.target.as_str(), wide.target.as_str());
                    prop_assert_eq!(wide.target.check(rules), Ok(()));
                }
                // A segment that `..` took away is no part of the path any more.
                Err(_) => {
                    let climbs = String::from_utf8_lossy(&raw).to_lowercase().replace("%2e", ".").contains("..");
                    prop_assert!(climbs || wide.target.check(rules).is_err());
                }
            }
        } else {
            prop_assert!(Target::parse(&raw, rules).is_err());
        }
    }

    #[test]
    fn any_bytes_are_judged_without_panic(raw in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Target::parse(&raw, KEEP);
        let _ = Target::parse(&[b"http://", &raw[..]].concat(), STRICT);
    }
}
