//! What is too much at load, and what is given up while it is evaluated.

use super::*;

#[test]
fn what_is_too_much_is_refused_where_it_begins() {
    let chain = |text: &str, times: usize| text.repeat(times);
    for (text, what, at) in [
        (format!("1{}", chain("+1", 4096)), "the expression is longer than 8192 bytes", 8192),
        (format!("[{}1]", chain("1,", 2000)), "the expression has more than 2000 parts", 2 * 1999 + 1),
        (format!("{}1{}", chain("[", 64), chain("]", 64)), "the expression is nested deeper than 64", 64),
        (
            "[1].all(a, [1].map(b, [1].filter(c, [1].exists(d, d > c))) != [])".to_owned(),
            "loops are nested deeper than 3",
            46,
        ),
    ] {
        let errors = Expression::compile(&text, &scope()).expect_err(what);
        assert_eq!((errors[0].what.as_str(), errors[0].offset, errors.len()), (what, at, 1));
    }
    for text in [
        format!("size([{}1]) == 1901", chain("1,", 1900)),
        format!("{}1{} != null", chain("[", 60), chain("]", 60)),
        "[1].all(a, [1].all(b, [1].all(c, a + b + c == 3)))".to_owned(),
        // The range of a loop is no part of its rounds.
        "[3].map(a, a).map(a, a).map(a, a).map(a, a).map(a, a).all(a, a == 3)".to_owned(),
    ] {
        assert_eq!(compile(&text).bool(&alice()), Ok(true), "{}", &text[..40]);
    }
}

/// What an expression comes to over a source with this body; whatever fails here has cost too much.
fn ground(text: &str, body: &serde_json::Value) -> Result<String, String> {
    let exchange = alice();
    let answered = crate::expression::Answered::new(None, Default::default(), Some(body.to_string().into()));
    let sources = [std::sync::OnceLock::from(answered)];
    let ground = Ground::from(&exchange).with_sources(&sources);
    compile(text).value(ground).map(|value| value.to_string()).map_err(|error| {
        assert!(error.is_incalculable(), "a cost that cannot be calculated is no cost of 1: {error}");
        error.to_string()
    })
}

#[test]
fn what_costs_too_much_is_given_up_before_it_is_done() {
    let numbers: Vec<u32> = (0..2000).collect();
    let body = json!({"list": numbers, "text": "a".repeat(500_000), "texts": vec!["abc"; 2000]});
    // Each would take minutes or gigabytes.
    for text in [
        "L.all(a, L.all(b, L.all(c, a + b + c >= 0)))",
        "L.map(a, L.map(b, [a, b, L]))",
        "L.all(a, [L, L] == [L, L])",
        "L.all(a, !(-1 in L))",
        "L.all(a, !T.trim().contains('b'))",
        "[T.trim(), T.trim()].all(t, L.all(a, !t.matches('b$')))",
        "L.all(a, T < T + 'x')",
        "L.map(a, T)",
        "L.map(a, {'a': T, 'b': L})",
        "L.map(a, T + T)",
        "L.map(a, [T, T])",
        "T.replace('', T)",
        "S.join(T)",
        "L.map(a, T.split(''))",
        "L.all(a, T.reverse() != '')",
        "L.all(a, string(T) != '')",
        "L.all(a, '%s'.format([T]) != '')",
        "[T.split(''), T.split(''), T.split('')]",
        "[T, T].map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).map(x, [x, x, x, x])",
        "[T].map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x)",
        // An error that `||` hides is one still.
        "L.all(a, L.all(b, L.all(c, true))) || true",
        "[1].exists(x, L.all(a, L.all(b, true)) || x == 1)",
    ] {
        let text = text.replace("L", "sources.user.body.list").replace("S.", "sources.user.body.texts.");
        let text = text.replace("T", "sources.user.body.text");
        let error = ground(&text, &body).expect_err(&text);
        assert!(error.contains("costs too much"), "{text}: {error}");
    }
    // What is asked of services every day costs little.
    for text in [
        "L.filter(a, a % 2 == 0).map(a, {'id': a, 'name': string(a)}).size() == 1000",
        "S.all(s, s.startsWith('a') && s.size() == 3)",
        "S.join(',').size() == 7999",
        "T.replace('a', 'bc').size() == 1000000",
        "T.indexOf('b') == -1 && T.lastIndexOf('ab') == -1",
        "size(L.map(a, [a, a]).map(a, a[0] + a[1])) == 2000",
    ] {
        let text = text.replace("L", "sources.user.body.list").replace("S.", "sources.user.body.texts.");
        let text = text.replace("T", "sources.user.body.text");
        assert_eq!(ground(&text, &body).as_deref(), Ok("true"), "{text}");
    }
}

#[test]
fn maps_keep_the_order_of_their_members() {
    let names: Vec<String> = (0..40).map(|at| format!("k{}", (at * 17) % 40)).collect();
    let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":1")).collect();
    let whole = format!("{{{}}}", members.join(","));
    let list = format!("[\"{}\"]", names.join("\",\""));
    let exchange = alice();
    for _ in 0..3 {
        let body = Some(whole.clone().into());
        let sources =
            [std::sync::OnceLock::from(crate::expression::Answered::new(None, Default::default(), body))];
        let ground = Ground::from(&exchange).with_sources(&sources);
        let all = |text: &str| compile(text).value(ground).unwrap().to_string();
        assert_eq!(all("sources.user.body.map(k, k)"), list);
        assert_eq!(all("sources.user.body.filter(k, true)"), list);
        assert_eq!(all("[sources.user.body][0]"), whole);
        assert_eq!(all("{'a': sources.user.body}.a"), whole);
        assert_eq!(all("sources.user.body"), whole);
        assert_eq!(all("sources.user.body.map(k, sources.user.body.filter(o, o == k)[0])"), list);
        let literal =
            format!("{{{}}}", names.iter().map(|name| format!("'{name}': 1")).collect::<Vec<_>>().join(","));
        assert_eq!(all(&literal), whole);
        assert_eq!(all(&format!("{literal}.map(k, k)")), list);
        // The first that cannot be judged decides what is reported, every time.
        assert!(compile("sources.user.body.exists_one(k, k == 'k17')").bool(ground).unwrap());
    }
    let query = Builder::get("/?z=1&a=2&m=3&a=4").build();
    assert_eq!(compile("request.query.map(k, k)").value(&query).unwrap().to_string(), r#"["z","a","m"]"#);
    assert_eq!(compile("request.query").value(&query).unwrap().to_string(), r#"{"z":"1","a":"2","m":"3"}"#);
}

#[test]
fn patterns_are_those_of_re2_in_place_and_in_loops() {
    let exchange = Builder::get("/?d=%D9%A3&w=%C3%A9&k=%E2%84%AA").build();
    for (text, holds) in [
        ("request.query.d.matches('^\\\\d+$')", false),
        ("['7', request.query.d].all(d, d.matches('^\\\\d+$'))", false),
        ("['7', '42'].all(d, d.matches('^\\\\d+$'))", true),
        ("request.query.w.matches(r'^\\w$')", false),
        ("matches(request.query.k, '(?i)^k$')", true),
        ("[request.query.k].exists(k, matches(k, '(?i)^k$'))", true),
        ("['a'].exists(a, a.matches('^b') || a.matches('^a'))", true),
    ] {
        assert_eq!(compile(text).bool(&exchange), Ok(holds), "{text}");
    }
}
