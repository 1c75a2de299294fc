//! The styles of several limits on one answer.

use super::*;
use HeaderStyle::{Draft6, Draft7, Draft8, Legacy};

fn styled(name: &str, limit: u64, styles: &[HeaderStyle]) -> Settings {
    let mut settings = settings(name, limit, memory(&Manual::new()));
    settings.styles = Some(Styles::of(styles));
    settings
}

/// What each style says is left: of the limits of draft 8 the least.
fn left(answer: &Response) -> [Option<u64>; 4] {
    let eight =
        told(answer).1.into_iter().filter_map(|member| member.split("; r=").nth(1)?.parse().ok()).min();
    let seven = field(answer, "ratelimit")
        .split_once("remaining=")
        .and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
    let number = |name: &str| field(answer, name).parse().ok();
    [eight, seven, number("ratelimit-remaining"), number("x-ratelimit-remaining")]
}

#[test]
fn every_style_that_one_limit_asks_for_names_the_strictest_of_all() {
    for (strict, wide) in [
        (vec![Draft7], vec![Legacy]),
        (vec![Legacy], vec![Draft7, Draft6]),
        (vec![Draft6], vec![Legacy]),
        (vec![Draft8], vec![Legacy]),
        (vec![Legacy], vec![Draft8]),
        (vec![Draft6, Draft7], vec![Draft7]),
    ] {
        let case = format!("{strict:?} and {wide:?}");
        let all = Styles::of(&strict).and(Styles::of(&wide));
        let chain = chain([styled("wide", 1000, &wide), styled("strict", 3, &strict)]);
        for (number, remaining) in [2, 1, 0, 0, 0].into_iter().enumerate() {
            let answer = ask(&chain);
            assert_eq!(answer.status == 429, number >= 3, "{case}");
            let wanted = [Draft8, Draft7, Draft6, Legacy].map(|style| all.has(style).then_some(remaining));
            assert_eq!(left(&answer), wanted, "{case}");
        }
    }
}

#[test]
fn a_limit_that_refuses_is_stricter_than_one_with_less_left() {
    let mut dear = styled("dear", 10, &[Legacy]);
    dear.cost = cel("7");
    // The other one has 0 left when this one still has 3, which do not suffice.
    let chain = chain([styled("cheap", 2, &[Draft7]), dear]);
    assert_eq!(left(&ask(&chain)), [None, Some(1), None, Some(1)]);
    let refused = ask(&chain);
    assert_eq!((refused.status.as_u16(), left(&refused)), (429, [None, Some(3), None, Some(3)]));
}

#[test]
fn of_those_that_refuse_the_one_that_refuses_longest_is_named() {
    let window = |mut settings: Settings, window_us: u64| {
        settings.tiers[0].1.window_us = window_us;
        settings.parts = FieldParts::new(None, window_us);
        settings
    };
    let mut dear = window(styled("long", 10, &[Draft7]), 60 * MINUTE);
    dear.cost = cel("7");
    let chain = chain([window(styled("short", 1, &[Draft7]), MINUTE), dear]);
    assert_eq!(ask(&chain).status, 200);
    let refused = ask(&chain);
    assert_eq!(field(&refused, "ratelimit"), "limit=10, remaining=3, reset=3600");
    assert_eq!(
        (field(&refused, "ratelimit-policy"), field(&refused, "retry-after")),
        ("10;w=3600".into(), "3600".into())
    );
}

#[test]
fn one_that_is_hidden_is_in_no_field_and_its_refusal_has_none() {
    let chain = chain([styled("visible", 1000, &[Legacy, Draft7]), styled("hidden", 2, &[])]);
    assert_eq!(left(&ask(&chain)), [None, Some(999), None, Some(999)]);
    assert_eq!(left(&ask(&chain)), [None, Some(998), None, Some(998)]);
    let refused = ask(&chain);
    assert_eq!(refused.status, 429);
    // It would say that 998 are left.
    for name in ["ratelimit", "ratelimit-policy", "x-ratelimit-remaining", "retry-after"] {
        assert_eq!(field(&refused, name), "", "{name}");
    }
}

#[test]
fn a_refusal_without_a_question_has_no_fields_either() {
    let user = |change: fn(&mut Settings)| {
        let mut user = styled("user", 10, &[Legacy]);
        user.phase = Phase::LimitAfter;
        change(&mut user);
        chain([styled("edge", 1000, &[Legacy]), user])
    };
    for chain in [
        user(|user| (user.key, user.missing) = (cel("request.headers[\"x-key\"]"), Missing::Deny)),
        user(|user| user.cost = cel("-1.0")),
    ] {
        let refused = ask(&chain);
        assert_eq!((refused.status.as_u16(), left(&refused)), (429, [None; 4]));
        assert_eq!(field(&refused, "retry-after"), "");
    }
}

#[test]
fn a_limit_that_says_nothing_of_headers_gives_way_to_one_that_does() {
    let usual = |name: &str| {
        let mut settings = styled(name, 3, &[]);
        settings.styles = None;
        settings
    };
    for (others, wanted) in [
        (vec![], [Some(2), None, None, None]),
        (vec![Legacy], [Some(2), None, None, Some(2)]),
        (vec![Draft8], [Some(2), None, None, None]),
        (vec![Draft7], [None, Some(2), None, None]),
        (vec![Draft6, Legacy], [None, None, Some(2), Some(2)]),
    ] {
        let answer = ask(&chain([styled("other", 1000, &others), usual("usual")]));
        assert_eq!(left(&answer), wanted, "{others:?}");
    }
}

#[test]
fn two_grammars_of_one_field_are_a_conflict_whichever_comes_first() {
    let all = [Draft8, Draft7, Draft6, Legacy];
    for one in all {
        for other in all {
            let conflict = Styles::of(&[one, Legacy]).conflict(Styles::of(&[other]));
            let expected = (one == Draft8) != (other == Draft8) && ![one, other].contains(&Legacy);
            assert_eq!(conflict.is_some(), expected, "{one:?} and {other:?}");
        }
    }
}

#[test]
fn a_cost_that_no_limit_admits_is_refused_and_takes_nothing() {
    let spend = |cost: &str, limit: u64| {
        let mut settings = settings("l", limit, memory(&Manual::new()));
        settings.cost = cel(cost);
        let chain = chain([settings]);
        let mut seen = exchange(&[]);
        let answer = walk(&chain, &mut seen, 200, &[]);
        let left = if answer.status == 200 { seen.quotas[0].remaining } else { u64::MAX };
        (answer.status.as_u16(), seen.record.reason, left)
    };
    for cost in [
        "double(\"inf\")",
        "double(\"-inf\")",
        "double(\"nan\")",
        "1e308",
        "-1e308",
        "-1",
        "-0.001",
        "4294967295.5",
        "4294967296",
        "9223372036854775807",
        "18446744073709551615u",
        "double(\"1e999\")",
        "int(\"99999999999999999999\")",
        "9223372036854775807 + 1",
        "double(\"5.1234567890123456789\")",
    ] {
        assert_eq!(spend(cost, u64::from(u32::MAX)), (429, "cost", u64::MAX), "{cost}");
    }
    for (cost, left) in [("0", 10), ("-0.0", 10), ("0.001", 9), ("1.5", 8), ("10", 0), ("10u", 0), ("9.5", 0)]
    {
        assert_eq!(spend(cost, 10), (200, "", left), "{cost}");
    }
    assert_eq!(spend("4294967295", u64::from(u32::MAX)), (200, "", 0));
    assert_eq!(spend("11", 10), (429, "", u64::MAX), "asked, and refused for good");
    for cost in ["\"7\"", "request.headers[\"x-cost\"]", "double(\"many\")"] {
        assert_eq!(spend(cost, 10), (200, "", 9), "{cost}");
    }
}
