use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::exchange::Exchange;
use crate::exchange::target::{PathRules, Target};
use crate::exchange::testing::Builder;

fn scope() -> Scope {
    Scope { identity: true, params: vec!["userId".into(), "b".into()], rest: true, ..Scope::default() }
}

fn template(text: &str, place: Place) -> Template {
    Template::compile(text, &scope(), place).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

fn render(text: &str, exchange: &Exchange) -> Result<String, EvalError> {
    template(text, Place::PathOrUrl).render(exchange).map(Cow::into_owned)
}

fn user(raw: &str) -> Exchange {
    let path = format!("/u/{raw}");
    Builder::get(&path)
        .param("userId", 1)
        .rest(2)
        .header("x-next", "//evil.example/?a#b")
        .header("x-dots", "..")
        .build()
}

#[test]
fn a_parameter_stays_what_it_is() {
    for (raw, made) in [
        ("42", "/users/42"),
        ("%E2%82%AC", "/users/%E2%82%AC"),
        ("a%2Fb", "/users/a%2Fb"),
        ("1%3Frole=admin%26x", "/users/1%3Frole%3Dadmin%26x"),
        ("a%23b", "/users/a%23b"),
        ("%252e%252e", "/users/%252e%252e"),
        ("%25", "/users/%25"),
        ("%FF", "/users/%FF"),
        ("a;v=1", "/users/a%3Bv%3D1"),
    ] {
        assert_eq!(render("/users/{userId}", &user(raw)).as_deref(), Ok(made), "{raw}");
    }
    let exchange = user("a%20%26%3D%2B");
    assert_eq!(render("/x?id={userId}&y=1", &exchange).as_deref(), Ok("/x?id=a%20%26%3D%2B&y=1"));
    assert_eq!(render("/x?id={params.userId + '&'}", &exchange).as_deref(), Ok("/x?id=a%20%26%3D%2B%26"));
    assert_eq!(template("id={userId}", Place::Text).render(&exchange).as_deref(), Ok("id=a &=+"));
}

#[test]
fn the_rest_of_a_path_keeps_its_slashes() {
    let exchange = Builder::get("/api/a%2Fb/c;v=1/").rest(4).build();
    assert_eq!(render("/new{rest}", &exchange).as_deref(), Ok("/new/a%2Fb/c;v=1/"));
    assert_eq!(render("/{rest}", &exchange).as_deref(), Ok("/a%2Fb/c;v=1/"));
    assert_eq!(
        render("{rest}?x={rest}", &exchange).as_deref(),
        Ok("/a%2Fb/c;v=1/?x=%2Fa%2Fb%2Fc%3Bv%3D1%2F")
    );
    assert_eq!(
        render("https://x.example{request.path}", &exchange).as_deref(),
        Ok("https://x.example/api/a%2Fb/c;v=1/")
    );
    let nothing = Builder::get("/api").build();
    assert_eq!(render("/new{rest}", &nothing).as_deref(), Ok("/new"));
    assert_eq!(render("{rest}", &nothing).as_deref(), Ok("/"));
    assert_eq!(render("https://x.example{rest}.evil", &nothing).as_deref(), Ok("https://x.example/.evil"));
}

#[test]
fn no_value_changes_the_shape_of_a_target() {
    let exchange = user("x");
    assert_eq!(
        render("/{request.headers['x-next']}", &exchange).as_deref(),
        Ok("/%2F%2Fevil.example%2F%3Fa%23b")
    );
    for text in [
        "/a/{request.headers['x-dots']}/b",
        "/{request.headers['x-dots']};v=1",
        "/.{'.'}/x",
        "/{''}/evil.example",
        "/a/{''}?x",
    ] {
        assert!(render(text, &exchange).is_err_and(|error| error.is_misplaced()), "{text}");
    }
    assert_eq!(render("/a{''}/b..{'..'}", &exchange).as_deref(), Ok("/a/b...."));
    assert_eq!(render("/x?a={request.headers['x-dots']}", &exchange).as_deref(), Ok("/x?a=.."));
    for text in
        ["https://{request.headers['x-next']}.a/", "https://{''}.a/", "https://a.{'x:1'}.b/", "//{'a@b'}.c/x"]
    {
        assert!(render(text, &exchange).is_err_and(|error| error.is_misplaced()), "{text}");
    }
    assert_eq!(render("https://{userId}.example.com/", &exchange).as_deref(), Ok("https://x.example.com/"));
    assert_eq!(
        render("{request.scheme}://{request.host}:8443/a?b={client.ip}#{userId}", &exchange).as_deref(),
        Ok("https://api.example.com:8443/a?b=192.0.2.1#x")
    );
    let rest = Builder::get("/api/").rest(4).param("userId", 0).build();
    assert!(render("{rest}/{userId}", &rest).is_err(), "no host out of two slashes");
}

#[test]
fn a_header_takes_no_control_bytes() {
    let exchange = user("a%E2%82%AC");
    assert_eq!(template("v={userId}", Place::Header).render(&exchange).as_deref(), Ok("v=a€"));
    for text in ["{'a\\nb'}", "x{'\\u0000'}", "x{'\\u007f'}"] {
        let error = template(text, Place::Header).render(&exchange).expect_err(text);
        assert!(error.is_misplaced(), "{text}");
        assert!(template(text, Place::Text).render(&exchange).is_ok(), "{text}");
    }
    assert!(Template::compile("a\nb", &scope(), Place::Header).is_err());
    assert!(template("{identity.id}", Place::Header).render(&exchange).is_err_and(|error| error.is_absent()));
}

#[test]
fn braces_balance_and_double_to_be_literal() {
    let exchange = user("x");
    for (text, made) in [
        ("{{userId}}", "{userId}"),
        ("a}}b{{", "a}b{"),
        ("{ userId }", "x"),
        ("{{{userId}}}", "{x}"),
        ("{{'a': '}'}['a']}", "{'a': '}'}['a']}"),
        ("{ {'a': '}'}['a'] }", "}"),
        ("{'it\\'s }'}", "it's }"),
        ("{r'\\'}{\"'\"}", "\\'"),
        ("{'''a'}''' + 'b'}", "a'}b"),
        ("", ""),
    ] {
        // A brace that only looks doubled is an error, not a guess.
        match Template::compile(text, &scope(), Place::Text) {
            Ok(template) => assert_eq!(template.render(&exchange).as_deref(), Ok(made), "{text}"),
            Err(_) => assert_eq!(text, "{{'a': '}'}['a']}"),
        }
    }
    assert_eq!(template("a{{b", Place::PathOrUrl).literal(), Some("a{b"));
    assert_eq!(template("{userId}", Place::Text).literal(), None);
}

#[test]
fn mistakes_are_found_where_they_are() {
    for (text, offset, what, mend) in [
        ("/a/{userId", 3, "this brace is never closed", Some("a literal brace is `{{`")),
        ("/a/userId}", 9, "this brace was never opened", Some("a literal brace is `}}`")),
        ("/a/{userid}", 4, "there is no name `userid`", Some("did you mean `userId`?")),
        ("/é/{request.pth}", 5, "`request` has no member `pth`", Some("did you mean `path`?")),
        ("/a/{}", 4, "the expression is empty", None),
        ("{request.host}://x", 0, "only `{request.scheme}` can stand for the scheme", None),
        ("https://{rest}", 0, "a path cannot stand in the host", None),
        ("https://x{userId}/", 0, "a value cannot end the host", Some("let a literal `.domain` follow it")),
    ] {
        let errors = Template::compile(text, &scope(), Place::PathOrUrl).expect_err(text);
        let error = &errors[0];
        assert_eq!(
            (error.offset, error.what.as_str(), error.mend.as_deref()),
            (offset, what, mend),
            "{text}"
        );
    }
    let both = Template::compile("{userid}{x.y}", &scope(), Place::Text).unwrap_err();
    assert_eq!(both.len(), 2);
}

#[test]
fn what_the_environment_gave_is_taken_as_it_is() {
    let segments = [
        Segment { text: "/x?k=", literal: false },
        Segment { text: "{userId}{{", literal: true },
        Segment { text: "&id={userId}{identity.idd}", literal: false },
    ];
    let errors = Template::compile_segments(&segments, &scope(), Place::PathOrUrl).unwrap_err();
    assert_eq!(errors[0].offset, 5 + 10 + 4 + 8 + 1);
    let segments = [segments[0], segments[1], Segment { text: "&id={userId}", literal: false }];
    let template = Template::compile_segments(&segments, &scope(), Place::PathOrUrl).unwrap();
    assert_eq!(template.render(&user("a%2Fb")).as_deref(), Ok("/x?k={userId}{{&id=a%2Fb"));
    let open = [Segment { text: "{", literal: false }, Segment { text: "userId}", literal: true }];
    assert!(Template::compile_segments(&open, &scope(), Place::Text).is_err());
}

#[test]
fn what_is_read_is_known() {
    let template = template("/{userId}?a={identity.id}", Place::PathOrUrl);
    assert!(template.needs_identity());
    assert_eq!(
        template.references().collect::<Vec<_>>(),
        [&Reference::Param(Some("userId".into())), &Reference::Identity("id")]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a claim holds, the target keeps its segments and its query, and is read back as that value.
    #[test]
    fn any_value_stays_in_its_place(value in "\\PC{0,12}|[./?#&%=;\\\\ a\r\n]{0,6}") {
        let exchange = Builder::get("/u").identity("x", json!({"v": value}), &[]).build();
        let made = render("/a/{identity.claims.v}/b?q={identity.claims.v}&z=1", &exchange);
        if matches!(value.as_str(), "" | "." | "..") {
            prop_assert!(made.is_err_and(|error| error.is_misplaced()));
            return Ok(());
        }
        let made = made.unwrap();
        prop_assert!(made.bytes().all(|byte| byte.is_ascii_graphic()));
        let (path, query) = made.split_once('?').unwrap();
        let segments: Vec<&str> = path.split('/').collect();
        prop_assert_eq!((segments.len(), segments[1], segments[3]), (4, "a", "b"));
        let decoded = crate::exchange::target::percent_decode(segments[2]);
        prop_assert_eq!(&*decoded, value.as_bytes());
        prop_assert_eq!(query.split('&').count(), 2);
        prop_assert!(!made.contains('#'));
        // A second normalisation changes nothing, or refuses.
        if let Ok(parsed) = Target::parse(made.as_bytes(), PathRules::KEEP) {
            prop_assert_eq!(parsed.target.as_str(), made);
        }
    }

    /// No text breaks the compiler, and errors point into it.
    #[test]
    fn no_text_breaks_the_compiler(text in "[a-z{}'\"/?:é. ]{0,24}") {
        if let Err(errors) = Template::compile(&text, &scope(), Place::PathOrUrl) {
            for error in errors {
                prop_assert!(text.get(error.offset..error.offset + error.len).is_some(), "{:?}", error);
            }
        }
    }
}
