//! Numbers of claims, bodies and items keep their text, and compare by their value, however they are evaluated.

use std::cmp::Ordering;
use std::sync::OnceLock;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::exchange::number::tests::{magnitude, number_texts};
use crate::exchange::{Headers, JsonNumber};
use crate::expression::{Answered, JsonTemplate, Place, Template};

fn wide() -> Scope {
    Scope { identity: true, sources: vec!["user".into()], item: true, response: true, ..Scope::default() }
}

fn compile(text: &str) -> Expression {
    Expression::compile(text, &wide()).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

/// An exchange whose claims, source, item and answer are one JSON text.
struct Everywhere {
    exchange: Exchange,
    sources: [OnceLock<Answered>; 1],
    item: Json,
    response: Answered,
}

impl Everywhere {
    fn new(json: &str) -> Everywhere {
        let value = Json::parse(json).unwrap();
        let answered =
            || Answered::new(Some(200), Headers::new(), Some(Bytes::copy_from_slice(json.as_bytes())));
        Everywhere {
            exchange: Builder::get("/").identity("alice", value.clone(), &[]).build(),
            sources: [OnceLock::from(answered())],
            item: value,
            response: answered(),
        }
    }

    fn ground(&self) -> Ground<'_> {
        Ground::from(&self.exchange)
            .with_sources(&self.sources)
            .with_item(&self.item)
            .with_response(&self.response)
    }

    fn text(&self, text: &str) -> Option<String> {
        compile(text).text(self.ground()).ok().map(Into::into)
    }

    fn json(&self, text: &str) -> Option<String> {
        compile(text).value(self.ground()).ok().map(|value| value.to_string())
    }

    fn holds(&self, text: &str) -> Option<bool> {
        compile(text).bool(self.ground()).ok()
    }
}

const ROOTS: &[&str] = &["identity.claims", "sources.user.body", "item", "response.body"];

/// Every way there is to ask for equality: in place, in the interpreter, in lists and in maps.
fn equalities(a: &str, b: &str) -> Vec<String> {
    [
        "A == B",
        "!(A != B)",
        "[A].exists(x, x == B)",
        "[A].all(x, B == x)",
        "![A].exists(x, x != B)",
        "A in [B, 'x']",
        "[A, 'x'] == [B, 'x']",
        "{'k': [A]} == {'k': [B]}",
        "[[A]].exists(x, [B] in [x])",
        "dyn(A) == dyn(B)",
        "(true ? A : 'x') == B",
        "[1].map(n, {'a': A, 'b': B}).all(m, m.a == m.b)",
    ]
    .iter()
    .map(|text| text.replace('A', a).replace('B', b))
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_numbers_are_equal_only_where_their_values_are(a in number_texts(), b in number_texts(), twin: bool) {
        let b = if twin { a.clone() } else { b };
        let all = Everywhere::new(&format!("{{\"a\":{a},\"b\":{b}}}"));
        let order = magnitude(&a).compare(magnitude(&b)).unwrap();
        for root in ROOTS {
            let (x, y) = (format!("{root}.a"), format!("{root}.b"));
            for text in equalities(&x, &y) {
                prop_assert_eq!(all.holds(&text), Some(order == Ordering::Equal), "{} of {} and {}", text, a, b);
            }
            for (operator, expected) in
                [("<", order.is_lt()), ("<=", order.is_le()), (">", order.is_gt()), (">=", order.is_ge())]
            {
                let text = format!("[{x}].all(x, x {operator} {y})");
                prop_assert_eq!(all.holds(&text), Some(expected), "{} of {} and {}", text, a, b);
            }
            // A conversion keeps two numbers apart, or fails.
            if all.holds(&format!("double({x}) == double({y})")) == Some(true) {
                prop_assert_eq!(order, Ordering::Equal);
            }
            let by_text = format!("double(string({x})) == double(string({y}))");
            if all.holds(&by_text) == Some(true) {
                prop_assert_eq!(order, Ordering::Equal);
            }
        }
    }

    #[test]
    fn a_number_comes_out_as_it_came_in(n in number_texts()) {
        let json = format!("{{\"n\":{n},\"deep\":{{\"list\":[{n},{{\"n\":{n}}}]}}}}");
        let all = Everywhere::new(&json);
        let sorted = Json::parse(&json).unwrap().to_string();
        for root in ROOTS {
            for text in ["R.n", "string(R.n)", "R.deep.list[1].n", "R.deep.list.map(x, x)[0]", "[R.n].map(x, string(x))[0]",
                "R.deep.list.filter(x, type(x) == map)[0].n", "string(dyn(R.n))", "true ? R.n : 0"]
            {
                let text = text.replace('R', root);
                let value = all.text(&text);
                prop_assert_eq!(value.as_deref(), Some(n.as_str()), "{}", text);
            }
            let whole = root.to_string();
            prop_assert_eq!(all.json(&whole), Some(sorted.clone()));
            for (text, expected) in [
                ("[R][0]", sorted.clone()),
                ("R.deep.list.map(x, x)", format!("[{n},{{\"n\":{n}}}]")),
                ("{'id': R.n, 'all': [R.n]}", format!("{{\"id\":{n},\"all\":[{n}]}}")),
                ("R.deep.list + [R.n]", format!("[{n},{{\"n\":{n}}},{n}]")),
            ] {
                let text = text.replace('R', root);
                prop_assert_eq!(all.json(&text), Some(expected), "{}", text);
            }
            let template = |text: &str, place| Template::compile(&text.replace('R', root), &wide(), place).unwrap();
            let rendered = template("/v/{R.n}/x?y={string(R.n)}", Place::PathOrUrl).render(all.ground()).unwrap().into_owned();
            let encoded = n.replace('+', "%2B");
            prop_assert_eq!(rendered, format!("/v/{encoded}/x?y={encoded}"));
            let rendered = template("{R.n}", Place::Header).render(all.ground()).unwrap().into_owned();
            prop_assert_eq!(&rendered, &n);
            let body = JsonTemplate::compile(&r#"{"id":"{R.n}","t":"is {R.n}","m":"{[R.n].map(x, x)}"}"#.replace('R', root), &wide()).unwrap();
            prop_assert_eq!(body.render(all.ground()).unwrap(), format!("{{\"id\":{n},\"t\":\"is {n}\",\"m\":[{n}]}}"));
        }
    }

    /// What is calculated is exact, or rounds a double that came in whole, or fails: digits are never lost on the way in.
    #[test]
    fn nothing_is_calculated_with_a_number_that_loses_digits(n in number_texts()) {
        let all = Everywhere::new(&format!("{{\"n\":{n}}}"));
        let number = JsonNumber::of(&n);
        for text in ["R.n + 0.0", "R.n * 1.0", "[R.n].map(x, x - 0.0)[0]", "-R.n", "R.n / 1.0"] {
            for root in ROOTS {
                let value = all.json(&text.replace('R', root));
                match &number {
                    JsonNumber::Decimal(decimal) => match decimal.double() {
                        Some(_) => prop_assert!(value.is_some(), "{} {}", text, n),
                        None => prop_assert_eq!(&value, &None, "{} {}", text, n),
                    },
                    // The types do not mix; a sign can be turned.
                    _ => prop_assert!(value.is_none() || text.starts_with('-'), "{} {}", text, n),
                }
            }
        }
    }
}

#[test]
fn numbers_of_every_kind_work_as_cel_has_it() {
    let all = Everywhere::new(
        r#"{"one":1,"one_and_more":1.10,"whole":12.0,"big":18446744073709551616,"tiny":1e-400,"id":12345678901234567890123}"#,
    );
    for (text, holds) in [
        ("item.one_and_more == 1.1 && item.one_and_more > 1 && item.one_and_more in [1.1, 2]", true),
        ("item.whole == 12 && item.whole == 12u && [12].exists(x, x == item.whole)", true),
        ("type(item.one_and_more) == double && type(item.one) == int && type(item.id) == double", true),
        ("item.one_and_more + 1.0 > 2.0 && item.one_and_more * 2.0 == 2.2", true),
        ("[10, 20][item.whole - 11.0] == 20 && int(item.whole) == 12 && double(item.one) == 1.0", true),
        ("['a', 'b', 'c'][item.one] == 'b'", true),
        ("string(item.id) == '12345678901234567890123' && string(item.whole) == '12.0'", true),
        ("item.big > 18446744073709551615u && item.big != 18446744073709551615u && item.tiny > 0", true),
        ("item.id == 'x' || item.id == null || item.id == true", false),
        ("item.id in ['x'] || 'x' in [item.id]", false),
    ] {
        assert_eq!(all.holds(text), Some(holds), "{text}");
    }
    for text in [
        "item.id + 1.0 > 0.0",
        "int(item.id) > 0",
        "double(item.id) > 0.0",
        "-item.tiny < 0.0",
        "item.id < 'x'",
    ] {
        let error = compile(text).bool(all.ground()).expect_err(text).to_string();
        assert!(!error.contains("1234567"), "{error}");
        assert_eq!(error.contains("would lose digits"), !text.ends_with("'x'"), "{error}");
        assert!(!compile(text).holds(all.ground()), "{text}");
    }
}

#[test]
fn an_integer_is_not_rounded_to_be_compared_with_a_double() {
    for (a, b) in
        [("9007199254740993", "9007199254740992.0"), ("18446744073709551615", "18446744073709552000")]
    {
        let all = Everywhere::new(&format!("{{\"a\":{a},\"b\":{b}}}"));
        for text in equalities("item.a", "item.b").iter().chain(&equalities("item.b", "item.a")) {
            assert_eq!(all.holds(text), Some(false), "{text} {a} {b}");
        }
    }
}

/// The rows of the table of numbers in the documentation: examples, what they are read as, what calculating does.
fn table() -> Vec<Vec<&'static str>> {
    let page = include_str!("../../../../docs/configuration.md");
    let rows = page.lines().skip_while(|line| !line.starts_with("| Number in JSON |")).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn numbers_are_what_the_documentation_says() {
    let table = table();
    assert_eq!(table.len(), 4);
    for row in &table {
        let [examples, read_as, calculating] = row[..] else { panic!("{row:?}") };
        for number in examples.split(", ").map(|example| example.trim_matches('`')) {
            let all = Everywhere::new(&format!("{{\"n\":{number}}}"));
            let (kind, zero) = match read_as {
                "`int`" => ("int", "0"),
                "`uint`" => ("uint", "0u"),
                "`double`" | "its text" => ("double", "0.0"),
                other => panic!("{other}"),
            };
            for root in ROOTS {
                assert_eq!(all.holds(&format!("type({root}.n) == {kind}")), Some(true), "{number}");
                assert_eq!(all.text(&format!("string({root}.n)")).as_deref(), Some(number));
                assert_eq!(all.text(&format!("{root}.n")).as_deref(), Some(number));
                assert_eq!(all.json(&format!("[{root}.n]")), Some(format!("[{number}]")));
                assert_eq!(
                    all.holds(&format!("{root}.n in [1.5, {root}.n] && !({root}.n < {root}.n)")),
                    Some(true)
                );
                let sum = all.json(&format!("{root}.n + {zero}"));
                assert_eq!(sum.is_none(), calculating == "an error", "{number}");
                let double = all.json(&format!("double({root}.n)"));
                assert!(double.is_none() || read_as != "its text", "{number}");
            }
        }
    }
    let max = Everywhere::new(r#"{"int":9223372036854775807,"uint":18446744073709551615}"#);
    for text in [
        "item.int + 1",
        "item.uint + 1u",
        "double(item.int)",
        "double(item.uint)",
        "double('0.12345678901234567890')",
    ] {
        assert_eq!(max.json(text), None, "{text}");
    }
}
