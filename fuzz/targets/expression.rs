//! Any text as an expression (`e`) or as a template of text (`t`), a header (`h`) or a target (`p`), by its first byte:
//! it compiles or is refused with places inside it, and against fixed facts it comes to one value.
#![no_main]

#[path = "support/parser.rs"]
mod parser;
#[path = "support/exchange.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use portcullis::exchange::headers::valid_value;
use portcullis::exchange::{Exchange, Headers, Identity, JsonValue};
use portcullis::expression::{CompileError, EvalError, Expression, Place, Scope, Template};

/// A value that a request carries, and no message may.
const HIDDEN: &str = "hush-hush";

fn scope() -> Scope {
    Scope { identity: true, params: vec!["id".into()], rest: true, ..Scope::default() }
}

fn somebody() -> Exchange {
    let mut lines = Headers::new();
    for (name, value) in [
        ("x-a", "1"),
        ("x-a", "2"),
        ("x-hidden", HIDDEN),
        ("cookie", "sid=hush-hush; theme=dark"),
        ("x-latin", "caf\u{e9}"),
    ] {
        lines.append(name, value.as_bytes()).expect("a line of ours");
    }
    let claims = r#"{"sub":"alice","n":3,"half":0.5,"big":18446744073709551615,"huge":1e300,"price":1.10,"nil":null,
        "ok":true,"roles":["admin","dev"],"org":{"name":"acme","tags":[1,2.0,"x",[]]},"hidden":"hush-hush"}"#;
    let identity = Identity {
        id: "alice".to_owned(),
        claims: JsonValue::parse(claims).expect("claims of ours"),
        scopes: vec!["read".to_owned(), "write".to_owned()],
        method: "jwt",
        headers: Vec::new(),
    };
    support::exchange("/users/a%20b/x%2Fy/z?q=a+b&q=2&bad=%FF&hidden=hush-hush", lines, Some(identity))
}

fn nobody() -> Exchange {
    support::exchange("/users/7", Headers::new(), None)
}

fn refused(text: &str, errors: &[CompileError]) {
    assert!(!errors.is_empty());
    for error in errors {
        assert!(text.get(error.offset..error.offset + error.len).is_some(), "{error:?}");
        // Names of the compiler's own, such as `@0`, are nobody's business.
        assert!(
            !error.what.is_empty() && (text.contains('@') || !error.to_string().contains('@')),
            "{error}"
        );
    }
}

fn failed(text: &str, error: &EvalError) {
    let said = error.to_string();
    assert!(text.contains("hush") || !said.contains("hush"), "{said}");
}

fn evaluate(text: &str, expression: &Expression, exchange: &Exchange) {
    let (truth, value, written) =
        (expression.bool(exchange), expression.value(exchange), expression.text(exchange));
    let errors = [truth.as_ref().err(), value.as_ref().err(), written.as_ref().err()];
    errors.into_iter().flatten().for_each(|error| failed(text, error));
    assert_eq!(expression.holds(exchange), *truth.as_ref().unwrap_or(&false));
    assert_eq!(expression.value(exchange), value, "it comes to one value");
    if let Ok(truth) = truth {
        assert_eq!(value, Ok(JsonValue::Bool(truth)));
    }
    match (&value, &written) {
        (Ok(JsonValue::String(said)), Ok(written)) => assert_eq!(said, written),
        (Ok(JsonValue::Null | JsonValue::Array(_) | JsonValue::Object(_)), Ok(written)) => {
            panic!("no text, and yet {written}")
        }
        _ => {}
    }
    if let Ok(value) = &value {
        let json = value.to_string();
        assert_eq!(JsonValue::parse(&json).map(|read| read.to_string()), Some(json));
    }
}

fn render(text: &str, template: &Template, place: Place, exchange: &Exchange) {
    let made = match template.render(exchange) {
        Ok(made) => made,
        Err(error) => return failed(text, &error),
    };
    assert_eq!(template.render(exchange).as_ref(), Ok(&made), "it comes to one text");
    match place {
        Place::Text => {}
        Place::Header => assert!(valid_value(made.as_bytes())),
        Place::PathOrUrl => {
            assert!(valid_value(made.as_bytes()));
            // Nothing that a request chose starts another host.
            let own = template.literal().is_some() || text.starts_with("//") || text.contains("://");
            assert!(own || !made.starts_with("//"), "{made}");
        }
    }
}

fn template(text: &str, place: Place) {
    let compiled = match Template::compile(text, &scope(), place) {
        Ok(compiled) => compiled,
        Err(errors) => return refused(text, &errors),
    };
    // As it could be written, it is the same.
    let written = compiled.to_string();
    let again = Template::compile(&written, &scope(), place).expect("what it is written as compiles");
    assert_eq!(again.to_string(), written);
    for exchange in [somebody(), nobody()] {
        render(text, &compiled, place, &exchange);
        assert_eq!(again.render(&exchange).ok(), compiled.render(&exchange).ok());
    }
}

fn expression(text: &str) {
    let compiled = match Expression::compile(text, &scope()) {
        Ok(compiled) => compiled,
        Err(errors) => return refused(text, &errors),
    };
    assert_eq!(compiled.source(), text);
    let read = compiled.references();
    assert!(read.iter().enumerate().all(|(at, one)| !read[..at].contains(one)));
    evaluate(text, &compiled, &somebody());
    evaluate(text, &compiled, &nobody());
}

fuzz_target!(init: parser::spare(), |bytes: &[u8]| {
    let Some((first, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match first {
        b't' => template(text, Place::Text),
        b'h' => template(text, Place::Header),
        b'p' => template(text, Place::PathOrUrl),
        _ => expression(text),
    }
});
