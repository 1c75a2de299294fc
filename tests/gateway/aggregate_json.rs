//! Fidelity: what of a source's bytes is JSON, and that they are carried as they came. Rows of the table "The body" in
//! docs/aggregates.md; ids in comments are cases of the catalogue of behaviour.

use crate::aggregate_bodies::{Case, INVALID, carried, case, hold, ok};
use crate::support::parts::{JSON, in_pieces};

/// 200 with these bytes, which are no JSON.
fn refused(body: impl AsRef<[u8]>) -> Case {
    let body = body.as_ref().to_vec();
    let name = String::from_utf8_lossy(&body).into_owned();
    case(name, INVALID, move |turn| turn.answer(200, &[JSON], &body))
}

#[test]
fn json_is_carried_byte_for_byte() {
    // s-065, s-066, s-073, s-074
    let digits = "9".repeat(10_000);
    let mut bodies: Vec<String> = [
        "12345678901234567890",
        "1.10",
        "-0",
        "1E400",
        "-0.0e-0",
        "0",
        "1e+05",
        "123e45",
        "0.1e1",
        "-1E-999999999",
        r#"{"a":1,"a":2}"#,
        r#"{"b":1,"a":2,"":3}"#,
        r#""\uD800""#,
        r#""\uDC00\uD800x""#,
        r#""\ud83d\ude00""#,
        r#""\u0000\/\b\f\n\r\t\"\\""#,
        "\"\u{7f}\u{2028}é\u{10ffff}\u{feff}\"",
        "true",
        "false",
        "null",
        "\"\"",
        "[]",
        "{}",
        "[ ]",
        "{ }",
        "[1 ,\t2\r\n,3 ]",
        "{ \"a\" : [ null , { } ] }",
        " \t\r\n{\"a\": 1}\n\n",
        "\n1 ",
        "[[[[[[[[[[]]]]]]]]]]",
        r#"{"_errors":{"user":{"error":"status","status":500}}}"#,
        r#"[{"n":1},{"n":2}]"#,
        "[100000000000000000000.0,1.10,-0,1E+2,0.1000000000000000055511151231257827]",
        r#"{"w":18446744073709551615,"z":123456789012345678901234567890}"#,
    ]
    .map(str::to_owned)
    .to_vec();
    bodies.extend([digits.clone(), format!("-0.{digits}E-{digits}"), format!("\"{}\"", "ü".repeat(200_000))]);
    bodies.push(format!("{}{}", "[".repeat(512), "]".repeat(512)));
    bodies.push(format!("{}1{}", r#"{"a":"#.repeat(512), "}".repeat(512)));
    bodies.push(format!("{}0{}", r#"[{"a":"#.repeat(256), "}]".repeat(256)));
    bodies.push(format!("[{}1]", "[],".repeat(100_000)));
    hold("", bodies.iter().map(|body| carried(body)).collect());
}

#[test]
fn json_is_carried_whatever_pieces_it_comes_in() {
    let texts = [
        "12345678901234567890",
        " [1.10 ,-0,1E400] ",
        r#"{"a":"\uD83D\uDE00\\","é€😀":[true,false,null]}"#,
        "\u{feff}{\"a\":1}",
    ];
    let piece = |text: &'static str, length: usize| {
        let expected = text.trim_start_matches('\u{feff}');
        case((text, length), ok(expected), move |turn| in_pieces(turn, &[JSON], text.as_bytes(), length))
    };
    let mut cases: Vec<Case> =
        texts.iter().flat_map(|text| [1, 2, 3, 5].map(|length| piece(text, length))).collect();
    for broken in ["tru", "[1,2", "\"\\u12", "1 2", "-", "\u{feff}", "{\"a\":1}}"] {
        cases.push(case(broken, INVALID, move |turn| in_pieces(turn, &[JSON], broken.as_bytes(), 1)));
    }
    hold("", cases);
}

#[test]
fn what_is_not_exactly_one_json_value_is_refused() {
    // s-064
    let mut cases = vec![carried("1")];
    cases.extend(
        [
            "Welcome",
            "<html></html>",
            " ",
            "\t\r\n",
            "{\"a\":1",
            "{\"a\":1}}",
            "{} {}",
            "1 2",
            "[1] // x",
            "// x\n1",
            "/* x */ 1",
            "NaN",
            "Infinity",
            "-Infinity",
            "-",
            "+1",
            ".5",
            "1.",
            "1.e1",
            "1e",
            "1e+",
            "0x1",
            "00",
            "-01",
            "1_0",
            "'a'",
            "\"a\nb\"",
            "\"\t\"",
            "\"\u{0}\"",
            "\"\u{1f}\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12G4\"",
            "\"\\",
            "\"a",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1,,2]",
            "{\"a\":1,}",
            "{,}",
            "{a:1}",
            "{\"a\" 1}",
            "{\"a\":}",
            "{\"a\"}",
            "{1:1}",
            "{\"a\":1 \"b\":2}",
            "tru",
            "True",
            "nul",
            "nulll",
            "]",
            "{\"a\":1]",
            "[1}",
            "[",
            "{",
            "\u{a0}1",
            "\u{2028}1",
            "\u{c}1",
            "1\u{0}",
            "\"\"\"\"",
            "\u{1b}",
            "data: {}\n\n",
            "{}\n{}\n",
        ]
        .map(refused),
    );
    let (deep, objects) = (513, r#"{"a":"#.repeat(513));
    cases.push(refused(format!("{}{}", "[".repeat(deep), "]".repeat(deep))));
    cases.push(refused(format!("{objects}1{}", "}".repeat(deep))));
    cases.push(refused("[".repeat(1_000_000)));
    hold("", cases);
}

#[test]
fn a_byte_order_mark_is_cut_off_and_other_encodings_are_refused() {
    let mut cases = vec![
        case("BOM", ok("{}"), |turn| turn.answer(200, &[JSON], "\u{feff}{}")),
        case("BOM and blanks", ok(" [1] "), |turn| turn.answer(200, &[JSON], "\u{feff} [1] ")),
    ];
    for text in ["\u{feff}", "\u{feff}\u{feff}{}", " \u{feff}{}", "{}\u{feff}", "[\u{feff}]", "\u{feff} "] {
        cases.push(refused(text));
    }
    for text in ["{\"a\":1}", "1", "\"é\""] {
        for mark in ["", "\u{feff}"] {
            let units: Vec<u16> = format!("{mark}{text}").encode_utf16().collect();
            let letters: Vec<u32> = format!("{mark}{text}").chars().map(u32::from).collect();
            cases.push(refused(units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<u8>>()));
            cases.push(refused(units.iter().flat_map(|unit| unit.to_be_bytes()).collect::<Vec<u8>>()));
            cases.push(refused(letters.iter().flat_map(|letter| letter.to_le_bytes()).collect::<Vec<u8>>()));
            cases.push(refused(letters.iter().flat_map(|letter| letter.to_be_bytes()).collect::<Vec<u8>>()));
        }
    }
    // Alone, cut, overlong, surrogates, beyond the last letter.
    for bytes in [
        &b"\xff"[..],
        b"\x80",
        b"\xe2\x82",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80\x80",
        b"\xef\xbb",
        b"\xe9",
    ] {
        cases.push(refused([b"\"", bytes, b"\""].concat()));
        cases.push(refused([b"{\"", bytes, b"\":1}"].concat()));
        cases.push(refused([b"1", bytes].concat()));
        let name = format!("{bytes:x?} in pieces");
        let body = [b"[\"a", bytes, b"\"]"].concat();
        cases.push(case(name, INVALID, move |turn| in_pieces(turn, &[JSON], &body, 1)));
    }
    hold("", cases);
}
