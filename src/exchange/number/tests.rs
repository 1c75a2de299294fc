use super::*;
use proptest::prelude::*;

pub(crate) fn magnitude(text: &str) -> Magnitude<'_> {
    match JsonNumber::of(text) {
        JsonNumber::Int(int) => Magnitude::Int(int),
        JsonNumber::Uint(uint) => Magnitude::Uint(uint),
        JsonNumber::Decimal(decimal) => match decimal.double() {
            Some(double) => Magnitude::Double(double),
            None => Magnitude::Text(text),
        },
    }
}

#[test]
fn numbers_are_of_the_kind_that_loses_no_digit() {
    for text in ["0", "7", "-7", "9223372036854775807", "-9223372036854775808"] {
        assert!(matches!(JsonNumber::of(text), JsonNumber::Int(_)), "{text}");
    }
    for text in ["9223372036854775808", "18446744073709551615"] {
        assert!(matches!(JsonNumber::of(text), JsonNumber::Uint(_)), "{text}");
    }
    for (text, double) in [
        ("-0", Some(-0.0)),
        ("1.10", Some(1.1)),
        ("1e2", Some(100.0)),
        ("12.0", Some(12.0)),
        ("1E300", Some(1e300)),
        ("100000000000000000000", Some(1e20)),
        ("0.1", Some(0.1)),
        ("1E400", None),
        ("1e-400", None),
        ("18446744073709551616", None),
        ("123456789012345678901", None),
        ("0.1000000000000000055511151231257827", None),
        ("9007199254740993.0", None),
    ] {
        match JsonNumber::of(text) {
            JsonNumber::Decimal(decimal) => assert_eq!(decimal.double(), double, "{text}"),
            JsonNumber::Int(_) | JsonNumber::Uint(_) => panic!("{text}"),
        }
    }
}

#[test]
fn numbers_compare_by_value() {
    let ordered = [
        "-1E400",
        "-18446744073709551617",
        "-9223372036854775809",
        "-9223372036854775808",
        "-1.5",
        "-1",
        "-1e-400",
        "0",
        "1e-400",
        "0.1",
        "0.1000000000000000055511151231257827",
        "1",
        "1.05",
        "1.1",
        "1.5",
        "2",
        "9007199254740992",
        "9007199254740992.5",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "123456789012345678901",
        "123456789012345678902",
        "1E400",
        "1E401",
    ];
    for (at, a) in ordered.iter().enumerate() {
        for (other, b) in ordered.iter().enumerate() {
            assert_eq!(magnitude(a).compare(magnitude(b)), Some(at.cmp(&other)), "{a} {b}");
        }
    }
    for (a, b) in [
        ("1.0", "1"),
        ("-0", "0"),
        ("-0.0e5", "0"),
        ("1.10", "11e-1"),
        ("9007199254740993.0", "9007199254740993"),
        ("1.8446744073709551616e19", "18446744073709551616"),
        ("1E401", "10e400"),
    ] {
        assert!(magnitude(a).equals(magnitude(b)) && magnitude(b).equals(magnitude(a)), "{a} {b}");
    }
    for (a, b) in [
        ("9007199254740993", "9007199254740992.0"),
        ("-9007199254740993", "-9007199254740992.0"),
        ("18446744073709551615", "18446744073709552000"),
        ("-9223372036854775808", "-9223372036854776000"),
    ] {
        assert!(!magnitude(a).equals(magnitude(b)) && !magnitude(b).equals(magnitude(a)), "{a} {b}");
    }
    assert!(!Magnitude::Double(f64::NAN).equals(Magnitude::Double(f64::NAN)));
    assert!(Magnitude::Double(f64::INFINITY).compare(Magnitude::Text("1E400")) == Some(Ordering::Greater));
}

/// Texts of JSON numbers, many of them near one another.
pub(crate) fn number_texts() -> impl Strategy<Value = String> {
    let integer = prop_oneof![
        Just("12345678901234567890".to_owned()),
        "0|[1-9][0-9]{0,3}",
        "[1-9][0-9]{14,24}",
        "1234567890123456789[0-9]{0,3}",
        "900719925474099[0-9]",
        "922337203685477580[0-9]",
        "1844674407370955161[0-9]",
    ];
    let fraction =
        prop_oneof![3 => Just(String::new()), 1 => "\\.0{1,3}", 1 => "\\.[0-9]{1,3}", 1 => "\\.[0-9]{15,20}"];
    let exponent =
        prop_oneof![4 => Just(String::new()), 1 => "[eE][+-]?[0-9]{1,2}", 1 => Just("E400".to_owned())];
    (any::<bool>(), integer, fraction, exponent).prop_map(|(negative, integer, fraction, exponent)| {
        format!("{}{integer}{fraction}{exponent}", if negative { "-" } else { "" })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_text_stays_and_equality_is_that_of_the_values(a in number_texts(), b in number_texts()) {
        prop_assert_eq!(JsonNumber::of(&a).to_string(), a.clone());
        let equal = Digits::of(&a).unwrap().compare(&Digits::of(&b).unwrap());
        prop_assert_eq!(magnitude(&a).compare(magnitude(&b)), Some(equal), "{} {}", a, b);
        prop_assert_eq!(magnitude(&b).compare(magnitude(&a)), Some(equal.reverse()));
    }
}
