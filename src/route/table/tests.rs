use super::*;
use crate::exchange::target::{PathRules, Target};
use proptest::prelude::*;
use std::cmp::Ordering;

fn table(keys: &[&'static str]) -> Table<&'static str> {
    let mut builder = TableBuilder::new();
    for &key in keys {
        let (methods, pattern) = Pattern::parse_key(key).unwrap();
        builder.insert(Layer::Shared, methods, &pattern, key).unwrap();
    }
    builder.build()
}

/// The rule's key and what `*` took, or `404`, or `405` and what is allowed.
fn answer(table: &Table<&'static str>, method: &str, raw: &str) -> String {
    let target = Target::parse(raw.as_bytes(), PathRules::KEEP).unwrap().target;
    match table.find(target.path(), &Method::from_bytes(method.as_bytes()).unwrap()) {
        Found::Matched(Matched { rule, rest_start: Some(rest), .. }) => {
            format!("{rule} -> {}", &target.path()[rest..])
        }
        Found::Matched(Matched { rule, .. }) => (*rule).to_owned(),
        Found::MethodNotAllowed { allow, .. } => format!("405 {allow}"),
        Found::NotFound => "404".to_owned(),
    }
}

#[track_caller]
fn gets(keys: &[&'static str], raw: &str, expected: &str) {
    assert_eq!(answer(&table(keys), "GET", raw), expected, "{raw}");
}

#[test]
fn a_prefix_matches_at_a_segment_boundary() {
    let keys = ["/api/users/*", "/api/orders/*"];
    gets(&keys, "/api/users/42", "/api/users/* -> /42");
    gets(&keys, "/api/users/42/", "/api/users/* -> /42/");
    gets(&keys, "/api/orders", "/api/orders/* -> ");
    gets(&keys, "/api/orders/", "/api/orders/* -> /");
    gets(&keys, "/api/orders?x=1", "/api/orders/* -> ");
    gets(&keys, "/api/ordersX", "404");
    gets(&keys, "/API/Orders/7", "404");
    gets(&keys, "/api/users/api/users/1", "/api/users/* -> /api/users/1");
    gets(&keys, "/api/users/api/orders/1", "/api/users/* -> /api/orders/1");
    gets(&keys, "//api/users/42", "/api/users/* -> /42");
    gets(&keys, "/api%2Fusers/42", "404");
    gets(&keys, "/api", "404");
    gets(&keys, "/", "404");
}

#[test]
fn reported_prefix_mistakes_are_not_made() {
    gets(&["/forecast/v1/*"], "/forecast/v1/today", "/forecast/v1/* -> /today");
    gets(&["/container1/*"], "/container1", "/container1/* -> ");
    gets(&["/api/v1/*", "/api/*"], "/api?x=1", "/api/* -> ");
    gets(&["/api/v1/*", "/api/*"], "/api/v1", "/api/v1/* -> ");
    gets(&["/stat/*"], "/status", "404");
    gets(&["/api/users/*", "/api/users2/*"], "/api/users2/1", "/api/users2/* -> /1");
}

#[test]
fn the_most_specific_pattern_wins_in_any_order() {
    let mut keys = [
        "/*",
        "/a/*",
        "/a/{x}",
        "/a/b",
        "/a/{x}/c",
        "/a/b/*",
        "/{x}/b",
        "/a/b/",
        "/{x}/{y}/d",
        "/",
        "/a/{x}/*",
    ];
    for _ in 0..keys.len() {
        keys.rotate_left(1);
        gets(&keys, "/a/b", "/a/b");
        gets(&keys, "/a/b/", "/a/b/");
        gets(&keys, "/a/b/c", "/a/b/* -> /c");
        gets(&keys, "/a/z", "/a/{x}");
        gets(&keys, "/a/z/", "/a/{x}/* -> /");
        gets(&keys, "/a/z/c", "/a/{x}/c");
        gets(&keys, "/a", "/a/* -> ");
        gets(&keys, "/a/", "/a/* -> /");
        gets(&keys, "/z/b", "/{x}/b");
        gets(&keys, "/z/z/d", "/{x}/{y}/d");
        gets(&keys, "/z/z/e", "/* -> /z/z/e");
        gets(&keys, "/", "/");
    }
    gets(&["/*"], "/", "/* -> /");
}

#[test]
fn a_literal_that_leads_nowhere_is_taken_back() {
    gets(&["/a/b/c", "/a/{x}/d"], "/a/b/d", "/a/{x}/d");
    gets(&["/a/b/c", "/{x}/*"], "/a/b/d", "/{x}/* -> /b/d");
    let table = table(&["/{p}/b/c", "/{x}/{y}/d"]);
    let Found::Matched(found) = table.find("/1/b/d", &Method::GET) else { panic!("no match") };
    assert_eq!(found.params().collect::<Vec<_>>(), [("x", 1..2), ("y", 3..4)]);
}

#[test]
fn trailing_slashes_count_and_parameters_are_not_empty() {
    gets(&["/health"], "/health/", "404");
    gets(&["/health/"], "/health", "404");
    gets(&["/a/{x}"], "/a/b/", "404");
    gets(&["/a/{x}"], "/a/", "404");
    gets(&["/a/{x}/"], "/a/b/", "/a/{x}/");
}

#[test]
fn segments_are_matched_whole_and_decoded() {
    gets(&["/admin/*", "/*"], "/admin;x", "/* -> /admin;x");
    gets(&["/admin/*", "/*"], "/admin;x=/users;y/1", "/* -> /admin;x=/users;y/1");
    gets(&["/admin/*", "/*"], "/admin/users;y/1", "/admin/* -> /users;y/1");
    gets(&["/admin", "/*"], "/admin;x", "/* -> /admin;x");
    gets(&["/v1/items:batch", "/*"], "/v1/items%3abatch", "/v1/items:batch");
    gets(&["/caf\u{e9}", "/*"], "/caf%c3%A9", "/caf\u{e9}");
    gets(&["/a%2Fb", "/*"], "/a%2fb", "/a%2Fb");
    gets(&["/a%2Fb", "/a/b"], "/a/b", "/a/b");
    gets(&["/a%2Fb"], "/a/b", "404");
    gets(&["/a%3Bb", "/*"], "/a;b", "/a%3Bb");
    gets(&["/a%3Bb", "/*"], "/a;c", "/* -> /a;c");
    gets(&["/a%3Bb", "/*"], "/a%3bb", "/a%3Bb");
    gets(&["/a%25b", "/*"], "/a%25b", "/a%25b");

    let table = table(&["/u/{id}/{n}/*"]);
    let path = "/u/4%202;v=1/x/rest;p";
    let Found::Matched(found) = table.find(path, &Method::GET) else { panic!("no match") };
    let values: Vec<_> = found.params().map(|(name, span)| (name, &path[span])).collect();
    assert_eq!(values, [("id", "4%202;v=1"), ("n", "x")]);
    assert_eq!(found.rest_start.map(|at| &path[at..]), Some("/rest;p"));
    assert_eq!(&**found.pattern, "/u/{id}/{n}/*");
}

#[test]
fn the_pattern_decides_over_all_its_methods() {
    let keys =
        ["GET /x", "/x", "POST,PUT /y", "GET /y", "DELETE /a/b", "/a/*", "TRACE /t", "HEAD /h", "GET /h"];
    let table = table(&keys);
    for (method, path, expected) in [
        ("GET", "/x", "GET /x"),
        ("HEAD", "/x", "GET /x"),
        ("POST", "/x", "/x"),
        ("PURGE", "/x", "/x"),
        ("TRACE", "/x", "405 GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("CONNECT", "/a/c", "405 GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("PUT", "/y", "POST,PUT /y"),
        ("DELETE", "/y", "405 GET, HEAD, POST, PUT"),
        ("OPTIONS", "/y", "405 GET, HEAD, POST, PUT"),
        ("get", "/y", "405 GET, HEAD, POST, PUT"),
        ("GET", "/a/b", "405 DELETE"),
        ("HEAD", "/a/b", "405 DELETE"),
        ("GET", "/a/c", "/a/* -> /c"),
        ("TRACE", "/t", "TRACE /t"),
        ("HEAD", "/h", "HEAD /h"),
        ("GET", "/h", "GET /h"),
    ] {
        assert_eq!(answer(&table, method, path), expected, "{method} {path}");
    }
}

#[test]
fn a_target_without_a_path_is_found_nowhere() {
    let table = table(&["/*"]);
    assert!(matches!(table.find("*", &Method::OPTIONS), Found::NotFound));
    assert!(matches!(table.find("", &Method::GET), Found::NotFound));
}

#[test]
fn the_same_pattern_and_method_twice_is_a_clash() {
    let add = |builder: &mut TableBuilder<()>, layer, key: &str| {
        let (methods, pattern) = Pattern::parse_key(key).unwrap();
        builder.insert(layer, methods, &pattern, ())
    };
    let mut builder = TableBuilder::new();
    add(&mut builder, Layer::Shared, "GET,PUT /a/{x}").unwrap();
    add(&mut builder, Layer::Shared, "/a/{x}").unwrap();
    let clash = add(&mut builder, Layer::Shared, "PUT /a/{y}").unwrap_err();
    assert_eq!(clash.to_string(), "`PUT /a/{x}` is routed twice");
    let clash = add(&mut builder, Layer::Shared, "/%61/{y}").unwrap_err();
    assert_eq!(clash.to_string(), "`/a/{x}` is routed twice");
    add(&mut builder, Layer::Listener, "PUT /a/{y}").unwrap();
    assert!(add(&mut builder, Layer::Listener, "PUT /a/{y}").is_err());
}

#[test]
fn a_listeners_routes_replace_shared_ones_on_the_same_pattern() {
    let own = ("/a/{y}", Layer::Listener);
    let shared = ("GET /a/{x}", Layer::Shared);
    for order in [[own, shared], [shared, own]] {
        let mut builder = TableBuilder::new();
        for (key, layer) in order {
            let (methods, pattern) = Pattern::parse_key(key).unwrap();
            builder.insert(layer, methods, &pattern, layer).unwrap();
        }
        let table = builder.build();
        let Found::Matched(found) = table.find("/a/1", &Method::GET) else { panic!("no match") };
        assert_eq!((*found.rule, &**found.pattern), (Layer::Listener, "/a/{y}"));
    }
}

/// The words of the language, one pattern at a time.
fn pattern_matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) | (["*"], _) => true,
        ([first, pattern @ ..], [segment, path @ ..]) => {
            let fits = if first.starts_with('{') { !segment.is_empty() } else { first == segment };
            fits && pattern_matches(pattern, path)
        }
        _ => false,
    }
}

fn more_specific(a: &[&str], b: &[&str]) -> Ordering {
    let rank = |segment: Option<&&str>| match segment {
        // A pattern that ends where the path does leaves nothing to a star.
        None => 3,
        Some(&"*") => 0,
        Some(text) if text.starts_with('{') => 1,
        Some(_) => 2,
    };
    (0..a.len().max(b.len()))
        .map(|at| rank(a.get(at)).cmp(&rank(b.get(at))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn split(path: &str) -> Vec<&str> {
    path[1..].split('/').collect()
}

fn naive(rules: &[(Vec<&'static str>, String)], method: &str, path: &str) -> String {
    let segments = split(path);
    let best = rules
        .iter()
        .filter(|(_, pattern)| pattern_matches(&split(pattern), &segments))
        .max_by(|(_, a), (_, b)| more_specific(&split(a), &split(b)));
    let Some((_, best)) = best else { return "404".to_owned() };
    let rows = || rules.iter().filter(|(_, pattern)| pattern == best);
    let listing = |method: &str| rows().find(|(methods, _)| methods.contains(&method));
    let row = listing(method)
        .or_else(|| if method == "HEAD" { listing("GET") } else { None })
        .or_else(|| rows().find(|(methods, _)| methods.is_empty() && method != "TRACE"));
    match row {
        Some((methods, pattern)) => format!("{} {pattern}", methods.join(",")),
        None => format!("405 {best}"),
    }
}

fn patterns() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "{p}"]);
    let end = prop::sample::select(vec!["", "/", "/*"]);
    (prop::collection::vec(segment, 0..4), end).prop_map(|(segments, end)| {
        let mut text = String::new();
        for (index, segment) in segments.iter().enumerate() {
            text.push('/');
            text.push_str(&segment.replace('p', &format!("p{index}")));
        }
        text.push_str(end);
        if text.is_empty() { "/".to_owned() } else { text }
    })
}

fn paths() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "c", "a;v", "b;"]);
    (prop::collection::vec(segment, 0..5), any::<bool>()).prop_map(|(segments, slash)| {
        let end = if slash || segments.is_empty() { "/" } else { "" };
        format!("{}{end}", segments.iter().map(|segment| format!("/{segment}")).collect::<String>())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_agrees_with_a_naive_scan(
        rows in prop::collection::vec(
            (prop::sample::select(vec![vec![], vec!["GET"], vec!["POST", "HEAD"], vec!["GET", "PUT"], vec!["TRACE"]]), patterns()),
            0..12,
        ),
        requests in prop::collection::vec(
            (prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "DELETE", "TRACE"]), paths()),
            1..8,
        ),
    ) {
        let mut builder = TableBuilder::new();
        let mut rules = Vec::new();
        for (methods, text) in rows {
            let pattern = Pattern::parse(&text).unwrap();
            let list = if methods.is_empty() { Methods::Any } else { Methods::parse(&methods.join(",")).unwrap() };
            if builder.insert(Layer::Shared, list, &pattern, format!("{} {text}", methods.join(","))).is_ok() {
                rules.push((methods, text));
            }
        }
        let table = builder.build();
        for (method, path) in requests {
            let target = Target::parse(path.as_bytes(), PathRules::KEEP).unwrap().target;
            prop_assert_eq!(target.path(), &path);
            let found = match table.find(&path, &Method::from_bytes(method.as_bytes()).unwrap()) {
                Found::Matched(found) => {
                    prop_assert_eq!(found.names.len(), found.spans.len());
                    prop_assert_eq!(found.pattern.ends_with('*'), found.rest_start.is_some());
                    found.rule.clone()
                }
                Found::MethodNotAllowed { pattern, .. } => format!("405 {pattern}"),
                Found::NotFound => "404".to_owned(),
            };
            prop_assert_eq!(found, naive(&rules, method, &path), "{} {}", method, path);
        }
    }
}
