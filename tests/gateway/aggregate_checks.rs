//! What is found at load: every error and every warning that docs/aggregates.md names, by `portcullis check`.

use crate::support::Gateway;

/// The exit code of `check` and what it says of an aggregate with those keys, on a route with those.
fn check(route: &str, aggregate: &str) -> (Option<i32>, String) {
    let config = format!(
        "
        upstreams: {{ users: {{ url: http://127.0.0.1:1 }} }}
        routes: {{ '/home/{{id}}': {{ {route} aggregate: {{ {aggregate} }} }} }}
        "
    );
    let output = Gateway::prepare(&[]).run(&["check", "-c", "CONFIG"], &config);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// A source of `users` with those options.
fn source(name: &str, options: &str) -> String {
    format!("{name}: {{ upstream: users, path: /{name}{options} }}")
}

fn sources(all: &[(&str, &str)]) -> String {
    let all: Vec<String> = all.iter().map(|(name, options)| source(name, options)).collect();
    format!("sources: {{ {} }}", all.join(", "))
}

#[test]
fn what_cannot_be_is_an_error() {
    let reads = |name: &str| format!(", query: {{ q: '{{sources.{name}.body.x}}' }}");
    let two = sources(&[("a", ""), ("b", "")]);
    for (what, aggregate) in [
        ("a circle of one", sources(&[("a", &reads("a")), ("b", "")])),
        ("a circle of two", sources(&[("a", &reads("b")), ("b", &reads("a"))])),
        ("a circle of three", sources(&[("a", &reads("c")), ("b", &reads("a")), ("c", &reads("b"))])),
        ("a circle by when", sources(&[("a", ", when: 'sources.b.status == 200'"), ("b", &reads("a"))])),
        ("a circle by for_each", sources(&[("a", ", for_each: 'sources.b.body'"), ("b", &reads("a"))])),
        ("a source that is not there", sources(&[("a", &reads("c")), ("b", "")])),
        ("a member that no source has", sources(&[("a", ", query: { q: '{sources.b.bodies}' }"), ("b", "")])),
        ("an item without a list", sources(&[("a", ", query: { q: '{item.id}' }")])),
        ("keep of no source", format!("{two}, shape: {{ keep: [c.x] }}")),
        ("omit of no source", format!("{two}, shape: {{ omit: [c] }}")),
        ("rename of no source", format!("{two}, shape: {{ rename: {{ c.x: y }} }}")),
        ("body that reads no source", format!("{two}, shape: {{ body: 'sources.c.body' }}")),
        ("keep that omit takes away", format!("{two}, shape: {{ keep: [a, b.x], omit: [b.x] }}")),
        ("unwrap that keep cannot reach", format!("{two}, shape: {{ unwrap: c }}")),
        ("rename onto another source", format!("{two}, shape: {{ rename: {{ a: b }} }}")),
        (
            "a fallback that clashes",
            format!("mode: partial, {}", sources(&[("a", ", merge: true, fallback: { b: 1 }"), ("b", "")])),
        ),
        ("errors_key of a source", format!("mode: partial, errors_key: a, {two}")),
        ("cache of a POST", sources(&[("a", ", method: POST, cache: 10s")])),
        ("no source", "sources: {}".to_owned()),
        ("a name", sources(&[("9a", "")])),
        ("connection to a source", sources(&[("a", ", forward_headers: [connection]")])),
        ("framing to a source", sources(&[("a", ", forward_headers: [content-length]")])),
        ("host to a source", sources(&[("a", ", forward_headers: [host]")])),
        ("framing of a source", sources(&[("a", ", expose: [transfer-encoding]")])),
        ("a validator of a source", sources(&[("a", ", expose: [etag]")])),
        ("caching of a source", sources(&[("a", ", expose: [cache-control]")])),
    ] {
        let (code, said) = check("", &aggregate);
        assert_eq!(code, Some(1), "{what}: {aggregate}\n{said}");
        assert!(said.contains("error: ") && said.contains("portcullis.yaml:"), "{what}: {said}");
    }
}

#[test]
fn what_is_odd_is_a_warning() {
    let reads = ", query: { q: '{sources.a.body.x}' }";
    let keeps = "shape: { keep: [a] }";
    for (what, route, aggregate, warned) in [
        ("dropped whole", "", format!("{}, {keeps}", sources(&[("a", ""), ("b", "")])), true),
        (
            "dropped and read",
            "",
            format!("{}, shape: {{ keep: [b] }}", sources(&[("a", ""), ("b", reads)])),
            false,
        ),
        ("omitted whole", "", format!("{}, shape: {{ omit: [b] }}", sources(&[("a", ""), ("b", "")])), true),
        ("needs what may fail", "", format!("mode: partial, {}", sources(&[("a", ""), ("b", reads)])), true),
        (
            "needs what is required",
            "",
            format!("mode: partial, {}", sources(&[("a", ", required: true"), ("b", reads)])),
            false,
        ),
        (
            "needs what falls back",
            "",
            format!("mode: partial, {}", sources(&[("a", ", fallback: { x: 1 }"), ("b", reads)])),
            false,
        ),
        ("needs, in mode all", "", sources(&[("a", ""), ("b", reads)]), false),
        (
            "short of time",
            "timeout: 1s,",
            format!("mode: partial, {}", sources(&[("a", ", required: true, timeout: 2s"), ("b", "")])),
            true,
        ),
        (
            "in time",
            "timeout: 3s,",
            format!("mode: partial, {}", sources(&[("a", ", required: true, timeout: 2s"), ("b", "")])),
            false,
        ),
        ("required in all", "", sources(&[("a", ", required: true"), ("b", "")]), true),
        ("fallback in all", "", sources(&[("a", ", fallback: 1"), ("b", "")]), true),
        (
            "fallback of a required one",
            "",
            format!("mode: partial, {}", sources(&[("a", ", required: true, fallback: 1"), ("b", "")])),
            true,
        ),
        ("nothing", "", format!("mode: partial, {}", sources(&[("a", ""), ("b", "")])), false),
    ] {
        let (code, said) = check(route, &aggregate);
        assert_eq!(code, Some(0), "{what}: {aggregate}\n{said}");
        assert_eq!(said.contains("warning: "), warned, "{what}: {aggregate}\n{said}");
    }
}
