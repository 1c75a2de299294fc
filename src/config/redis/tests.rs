use super::*;
use crate::config::{Vocabulary, load_text};

fn loaded(redis: &str) -> (Option<Redis>, String) {
    let text =
        format!("listen: 127.0.0.1:0\nredis: {redis}\nroutes: {{ /x: {{ respond: {{ status: 204 }} }} }}\n");
    let env = |name: &str| (name == "REDIS_PASSWORD").then(|| "p@ss".to_owned());
    let loaded = load_text("gate.yaml".as_ref(), &text, &env, Vocabulary { policies: &[], later: &[] });
    let found = loaded.diagnostics.render(false);
    (loaded.config.and_then(|config| config.redis).filter(|_| !loaded.diagnostics.has_errors()), found)
}

fn read(redis: &str) -> Redis {
    let (redis, found) = loaded(redis);
    redis.unwrap_or_else(|| panic!("{found}"))
}

#[test]
fn a_url_alone_is_enough() {
    let redis = read("{ url: redis://cache }");
    assert_eq!(redis.nodes, [Node { host: Host::Name("cache".into()), port: 6379 }]);
    assert_eq!((redis.timeout, redis.namespace.as_str()), (Duration::from_millis(50), "portcullis"));
    assert_eq!((redis.tls, redis.username, redis.password), (None, None, None));
    assert_eq!((redis.database, redis.several), (0, false));
}

#[test]
fn a_url_carries_user_password_and_database() {
    let redis = read("{ url: \"rediss://gate:s%40cret@[::1]:7000/3\", timeout: 20ms, namespace: shop-1 }");
    assert_eq!(redis.nodes[0].port, 7000);
    assert_eq!(redis.username.as_deref(), Some("gate"));
    assert_eq!(redis.password.as_ref().map(Secret::as_bytes), Some(&b"s@cret"[..]));
    assert_eq!((redis.database, redis.namespace.as_str()), (3, "shop-1"));
    assert_eq!(redis.tls, Some(Tls::default()));
    assert!(!format!("{redis:?}").contains("cret@"));
}

#[test]
fn a_password_may_stand_beside_the_urls() {
    let redis = read("{ urls: [redis://a:7000, redis://b], password: \"${REDIS_PASSWORD}\" }");
    assert_eq!(redis.nodes.len(), 2);
    assert!(redis.several);
    assert_eq!(redis.password.as_ref().map(Secret::as_bytes), Some(&b"p@ss"[..]));
    assert_eq!(redis, read("{ password: \"p@ss\", urls: [redis://a:7000, redis://b:6379/0] }"));
}

#[test]
fn mistakes_are_told_with_their_mend() {
    for (redis, told) in [
        ("{}", "needs one of `url`, `urls`"),
        ("{ url: redis://a, urls: [redis://b] }", "has both"),
        ("{ urls: [] }", "`urls` is empty"),
        ("{ url: http://a }", "not the URL of a Redis server"),
        ("{ url: redis://a/x }", "no number of a database"),
        ("{ url: \"redis://a?db=1\" }", "query"),
        ("{ url: redis://a, timeout: 0ms }", "is zero"),
        ("{ url: redis://a, namespace: \"a{b}\" }", "not a namespace"),
        ("{ urls: [redis://a, rediss://b] }", "differ in more than host and port"),
        ("{ url: \"redis://:x@a\", password: y }", "is written here and in the URL"),
        ("{ url: redis://a, username: u }", "a user without a password"),
        ("{ url: redis://a, tls: {} }", "nothing would be encrypted"),
        ("{ url: rediss://a, tls: { key: k.pem } }", "belong together"),
        ("{ url: rediss://a, tls: { ca: not-there.pem } }", "cannot be read"),
    ] {
        let (read, found) = loaded(redis);
        assert!(read.is_none() && found.contains(told), "{redis}: {found}");
        assert!(found.contains("gate.yaml:2:"), "{redis}: {found}");
    }
}

#[test]
fn a_password_is_never_shown() {
    for redis in [
        "{ url: \"redis://u:hunter2@a:x\" }",
        "{ url: \"http://u:hunter2@a\" }",
        "{ urls: [redis://a, \"redis://:hunter2@b\"] }",
        "{ url: \"redis://:hunter2%zz@a\" }",
        "{ url: \"redis://:hunter2@a\", urls: [redis://b] }",
        "{ url: redis://a, password: hunter2, tls: {} }",
        "{ url: redis://a, password: [\"hunter2\"] }",
    ] {
        let (read, found) = loaded(redis);
        assert!(read.is_none() && !found.is_empty() && !found.contains("hunter2"), "{redis}: {found}");
    }
}
