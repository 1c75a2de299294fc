use super::*;

fn found(pattern: &str, text: &str) -> bool {
    let regex = regex(pattern).unwrap_or_else(|error| panic!("{pattern}: {error:?}"));
    let found = regex.is_match(text);
    assert_eq!(
        bytes_regex(pattern).unwrap().is_match(text.as_bytes()),
        found,
        "{pattern} over bytes of {text:?}"
    );
    found
}

/// What RE2 answers; the first texts match, the second do not.
const RE2: &[(&str, &[&str], &[&str])] = &[
    (r"^\d+$", &["0", "42"], &["\u{0664}\u{0662}", "\u{FF11}", "", "a"]),
    (r"^\D$", &["a", "\u{0664}", "\n"], &["4", ""]),
    (r"^\w+$", &["aZ_9"], &["\u{e9}", "\u{0664}", "-"]),
    (r"^\W$", &["\u{e9}", " "], &["a", "_"]),
    // `\s` is no vertical tab, neither a no-break space.
    (r"^\s$", &[" ", "\t", "\n", "\u{c}", "\r"], &["\u{b}", "\u{a0}", "\u{2003}", "\u{85}"]),
    (r"^\S$", &["\u{b}", "\u{a0}", "a"], &[" "]),
    (r"^[[:space:]]$", &["\u{b}", " "], &["\u{a0}"]),
    (r"^[[:alpha:]]+$", &["aZ"], &["\u{e9}"]),
    (r"^[[:^digit:]]$", &["a", "\u{0664}"], &["4"]),
    (r"^[[:word:]-]+$", &["a-b_"], &["\u{e9}"]),
    (r"^[\d.]+$", &["1.2"], &["\u{0661}"]),
    (r"^[^\d]$", &["\u{0661}", "a"], &["1"]),
    (r"^[\D4]$", &["a", "4"], &["5"]),
    (r"^[a\s]+$", &["a a"], &["a\u{a0}"]),
    (r"\bcaf\b", &["caf", "caf\u{e9}", "\u{e9}caf"], &["cafe", "_caf"]),
    (r"^a\B", &["ab"], &["a", "a\u{e9}"]),
    // Folding is of Unicode's simple case, in classes too.
    (r"(?i)^k$", &["k", "K", "\u{212a}"], &["c"]),
    (r"(?i)^\w$", &["s", "\u{17f}", "\u{212a}"], &["\u{e9}"]),
    (r"(?i)^\W$", &["\u{e9}"], &["s", "\u{17f}"]),
    ("(?i)^\u{c9}$", &["\u{e9}", "\u{c9}"], &["e"]),
    (r"^.$", &["a", "\u{e9}", "\r"], &["\n", ""]),
    (r"(?s)^.$", &["\n", "a"], &[""]),
    (r"a$", &["a", "ba"], &["a\n", "ab"]),
    (r"a\z", &["a"], &["a\n"]),
    (r"(?m)a$", &["a", "a\nb"], &["ab", "a\r\nb"]),
    (r"(?m)^b", &["a\nb"], &["a\rb"]),
    (r"\Ab", &["b"], &["a\nb"]),
    (r"(?-s:^[^a]$)", &["\n"], &["a"]),
    (r"^\x41\x{e9}$", &["A\u{e9}"], &["A"]),
    (r"^\pL\p{Greek}\PN$", &["a\u{3b1}b"], &["1\u{3b1}b", "a\u{3b1}1"]),
    (r"^(?P<x>a)(?<y>b)$", &["ab"], &["a"]),
    (r"(?U)^a+$", &["aa"], &["b"]),
    (r"^a{2,3}$", &["aa", "aaa"], &["a", "aaaa"]),
    (r"^[]a]$", &["]", "a"], &["b"]),
    (r"^[^]a]$", &["b"], &["]", "a"]),
    (r"^\-\/\#\%$", &["-/#%"], &["-"]),
];

#[test]
fn classes_flags_and_anchors_are_those_of_re2() {
    for (pattern, yes, no) in RE2 {
        for text in *yes {
            assert!(found(pattern, text), "{pattern} matches {text:?}");
        }
        for text in *no {
            assert!(!found(pattern, text), "{pattern} does not match {text:?}");
        }
    }
}

/// What RE2 refuses, or reads as something else than the `regex` crate does; each with the bytes that are shown.
const REFUSED: &[(&str, &str, &str)] = &[
    (r"a\C", r"\C", "unrecognized escape sequence"),
    (r"(a)\1", r"\1", "backreferences are not supported"),
    (r"a(?=b)", "(?=", "look-around"),
    (r"(?<!b)a", "(?<!", "look-around"),
    (r"\Qa.b\E", r"\Q", "unrecognized escape sequence"),
    (r"a\Z", r"\Z", "unrecognized escape sequence"),
    (r"\<a", r"\<", "no escape of RE2's"),
    (r"a\b{end}", r"\b{end}", "no escape of RE2's"),
    (r"a\u00e9", r"\u00e9", "no escape of RE2's"),
    (r"[\u{e9}-\u{f0}]", r"\u{e9}", "no escape of RE2's"),
    (r"[a&&b]", "a&&b", "classes cannot be combined"),
    (r"[a--b]", "a--b", "classes cannot be combined"),
    (r"[a~~b]", "a~~b", "classes cannot be combined"),
    (r"[a[b]]", "[b]", "a class within a class"),
    (r"(?x)a b", "x", "no flag of RE2's"),
    (r"(?-u:a)", "u", "no flag of RE2's"),
    (r"(?R:a)", "R", "no flag of RE2's"),
    (r"a**", "**", "a repetition of a repetition"),
    (r"a{2}{3}", "{2}{3}", "a repetition of a repetition"),
    (r"a{1001}", "{1001}", "a repetition by more than 1000"),
    (r"a{,5}", "", "decimal"),
    (r"\p{scx=Greek}", r"\p{scx=Greek}", "properties have no values"),
    (r"(?:a{1000}){1000}", r"(?:a{1000}){1000}", "larger than 1024 KiB"),
    (r"\p{Nonsense}", r"\p{Nonsense}", "Unicode property not found"),
    ("a(", "(", "unclosed group"),
    ("é[", "[", "unclosed character class"),
];

#[test]
fn what_the_two_engines_read_differently_is_refused_at_its_place() {
    for (pattern, part, what) in REFUSED {
        let error = regex(pattern).expect_err(pattern);
        assert!(error.what.contains(what), "{pattern}: {error:?}");
        assert_eq!(&pattern[error.at.clone()], *part, "{pattern}: {error:?}");
        assert_eq!(bytes_regex(pattern).err(), Some(error));
    }
}

#[test]
fn bytes_that_are_no_utf8_are_matched_by_no_class() {
    for pattern in [r"^.$", r"^\D$", r"^\W$", r"^\S$", r"^[^a]$"] {
        assert!(!bytes_regex(pattern).unwrap().is_match(b"\xff"), "{pattern}");
    }
    assert!(bytes_regex("a").unwrap().is_match(b"\xffa\xff"));
}
