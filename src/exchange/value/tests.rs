use super::*;
use proptest::prelude::*;

#[test]
fn a_text_is_read_as_it_is_written() {
    for text in [
        "null",
        "true",
        "[]",
        "{}",
        r#"{"a":[1,2.50,-0,1E400,12345678901234567890123],"b":{"c":"x"}}"#,
        r#"["\"\\\n","é"]"#,
        "-1.5e+3",
    ] {
        assert_eq!(JsonValue::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(JsonValue::parse(" [ 1 , \"\\u00e9\" ] ").unwrap().to_string(), "[1,\"é\"]");
    let twice = r#"{"a":1,"a":2}"#;
    assert_eq!(JsonValue::parse(twice).unwrap().to_string(), r#"{"a":2}"#);
    assert_eq!(JsonValue::parse(r#"{"b":1,"a":2,"b":3}"#).unwrap().to_string(), r#"{"b":3,"a":2}"#);
    assert_eq!(JsonValue::parse_unique(twice), None);
    assert_eq!(JsonValue::parse_unique(r#"[{"b":{"a":1,"\u0061":2}}]"#), None);
}

#[test]
fn members_keep_their_order_and_are_equal_in_any() {
    let names = |range: std::ops::RangeInclusive<char>| range.map(|name| format!("\"{name}\":1"));
    let down = format!("{{{}}}", names('a'..='z').rev().collect::<Vec<_>>().join(","));
    let up = format!("{{{}}}", names('a'..='z').collect::<Vec<_>>().join(","));
    let (one, other) = (JsonValue::parse(&down).unwrap(), JsonValue::parse(&up).unwrap());
    assert_eq!(one.to_string(), down);
    assert_eq!(one, other);
    assert_eq!(one.sorted(), up);
    let nested = JsonValue::parse(r#"[{"b":{"d":1,"c":2},"a":3}]"#).unwrap();
    assert_eq!(nested.sorted(), r#"[{"a":3,"b":{"c":2,"d":1}}]"#);
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "",
        " ",
        "nul",
        "nulll",
        "tru",
        "[1,]",
        "[1 2]",
        "[,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "01",
        "-",
        "-01",
        "1.",
        ".5",
        "+1",
        "1e",
        "1e+",
        "0x1",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\n\"",
        "\"\\ud800\"",
        "[",
        "{",
        "1 2",
        "NaN",
        "\"a\\",
        "é",
        "\"\\é\"",
    ] {
        assert_eq!(JsonValue::parse(text), None, "{text}");
    }
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(JsonValue::parse(&nested(127)).is_some());
    assert!(JsonValue::parse(&nested(128)).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    /// Another reader of JSON judges alike, but for numbers that it cannot hold.
    #[test]
    fn it_is_json_where_others_say_so(text in "[\\[\\]{}\",:\\\\a0-9eE.+\\- ntrufals]{0,12}|\\{\"a\": ?[0-9.e-]{1,6}\\}|\"[^\"]{0,6}\"") {
        let ours = JsonValue::parse(&text);
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(theirs) => {
                let again: serde_json::Value = serde_json::from_str(&ours.unwrap().to_string()).unwrap();
                prop_assert_eq!(again, theirs);
            }
            Err(error) => prop_assert!(ours.is_none() || error.to_string().contains("out of range"), "{}", text),
        }
    }
}
