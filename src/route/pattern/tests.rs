use super::*;
use http::Method;

fn lit(text: &str) -> Segment {
    Segment::Literal(text.as_bytes().into())
}

#[test]
fn segments_are_literals_parameters_and_a_rest() {
    let pattern = Pattern::parse("/api/{userId}/x/*").unwrap();
    assert_eq!(pattern.segments(), [lit("api"), Segment::Param, lit("x"), Segment::Rest]);
    assert_eq!(pattern.names().iter().map(|name| &**name).collect::<Vec<_>>(), ["userId"]);
    assert_eq!(&**pattern.text(), "/api/{userId}/x/*");
    assert!(pattern.has_rest());
    assert_eq!(Pattern::parse("/").unwrap().segments(), [lit("")]);
    assert_eq!(Pattern::parse("/a/").unwrap().segments(), [lit("a"), lit("")]);
    assert_eq!(Pattern::parse("/*").unwrap().segments(), [Segment::Rest]);
}

#[test]
fn literals_are_read_as_a_path_is() {
    assert_eq!(Pattern::parse("/%61b").unwrap().segments(), [lit("ab")]);
    assert_eq!(Pattern::parse("/straße").unwrap().segments(), [lit("straße")]);
    assert_eq!(Pattern::parse("/stra%c3%9Fe").unwrap().segments(), [lit("straße")]);
    assert_eq!(
        Pattern::parse("/v1/items%3AbatchGet").unwrap().segments(),
        [lit("v1"), lit("items:batchGet")]
    );
    assert_eq!(Pattern::parse("/a%2Fb").unwrap().segments(), [lit("a/b")]);
    assert_eq!(Pattern::parse("/%2A").unwrap().segments(), [lit("*")]);
}

#[test]
fn patterns_that_cannot_match_are_refused() {
    for (text, error) in [
        ("", PatternError::Start),
        ("api", PatternError::Start),
        ("/a//b", PatternError::EmptySegment),
        ("//", PatternError::EmptySegment),
        ("/*/a", PatternError::Star),
        ("/a*", PatternError::Star),
        ("/**", PatternError::Star),
        ("/a-{x}", PatternError::Braces("a-{x}".to_owned())),
        ("/{x", PatternError::Braces("{x".to_owned())),
        ("/{{x}}", PatternError::Braces("{{x}}".to_owned())),
        ("/{}", PatternError::Name(String::new())),
        ("/{1a}", PatternError::Name("1a".to_owned())),
        ("/{user-id}", PatternError::Name("user-id".to_owned())),
        ("/{x}/{x}", PatternError::NameTwice("x".to_owned())),
        ("/{rest}", PatternError::NameReserved),
        ("/a/..", PatternError::DotSegment),
        ("/./a", PatternError::DotSegment),
        ("/%2e/a", PatternError::DotSegment),
        ("/a;b", PatternError::Semicolon),
        ("/a?b=c", PatternError::Query),
        ("/a b", PatternError::Literal("a b".to_owned(), TargetError::Character)),
        ("/a%zz", PatternError::Literal("a%zz".to_owned(), TargetError::Escape)),
        ("/a#b", PatternError::Literal("a#b".to_owned(), TargetError::Fragment)),
    ] {
        assert_eq!(Pattern::parse(text), Err(error), "{text}");
    }
    assert_eq!(Pattern::parse(&"/a".repeat(129)), Err(PatternError::TooLong));
}

#[test]
fn a_key_may_start_with_methods() {
    let (methods, pattern) = Pattern::parse_key("GET,POST /a").unwrap();
    assert_eq!(methods, Methods::Only([Method::GET, Method::POST].into_iter().collect()));
    assert_eq!(&**pattern.text(), "/a");
    assert_eq!(Pattern::parse_key("/a").unwrap().0, Methods::Any);
    assert!(matches!(Pattern::parse_key("get /a"), Err(PatternError::Methods(MethodsError::Case(_)))));
    assert!(matches!(Pattern::parse_key("/a b"), Err(PatternError::Literal(..))));
    assert!(matches!(Pattern::parse_key("GET"), Err(PatternError::Start)));
}
