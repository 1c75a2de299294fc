use std::time::Duration;

use super::arguments::duration;
use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::CommandFactory;
use serde_json::{Value, json};

fn parse(line: &str) -> Result<Arguments, Failure> {
    Arguments::try_parse_from(line.split(' ')).map_err(|error| Failure::Usage(Box::new(error)))
}

fn code(line: &str) -> u8 {
    exit_code(&parse(line).map(|_| ()))
}

#[test]
fn the_arguments_do_not_contradict_each_other() {
    Arguments::command().debug_assert();
}

#[test]
fn exit_codes_tell_help_from_slips() {
    assert_eq!(code("portcullis --help"), 0);
    assert_eq!(code("portcullis run --help"), 0);
    assert_eq!(code("portcullis --version"), 0);
    for slip in ["portcullis", "portcullis rum", "portcullis run --grace 30", "portcullis check --output xml"]
    {
        assert_eq!(code(slip), 2, "{slip}");
    }
    assert_eq!(exit_code(&Ok(())), 0);
    assert_eq!(exit_code(&Err(Failure::Configuration)), 1);
    assert_eq!(exit_code(&Err(Failure::Unreadable)), 2);
    assert_eq!(exit_code(&Err(Failure::Environment(String::new()))), 2);
}

#[test]
fn durations_are_written_as_in_a_configuration() {
    assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
    assert!(duration("30").unwrap_err().contains("`30s`"));
}

#[test]
fn a_secret_that_is_not_set_is_told_with_the_mend() {
    let told = token::unusable("JWT_SECRET", &std::env::VarError::NotPresent);
    assert!(told.contains("`JWT_SECRET` is not set") && told.contains("`export JWT_SECRET=...`"), "{told}");
}

#[test]
fn a_token_holds_its_claims_and_a_signature_over_them() {
    let more = [("roles".to_owned(), json!(["admin"])), ("exp".to_owned(), json!(5))];
    let claims = token::claims(Some("u1"), Duration::from_secs(60), &more);
    let Ok(signed) = token::sign("secret", claims) else { panic!("any secret signs") };
    let parts: Vec<&str> = signed.split('.').collect();
    let body: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    assert_eq!((&body["sub"], &body["roles"], &body["exp"]), (&json!("u1"), &json!(["admin"]), &json!(5)));
    // Computed with another implementation.
    let Ok(Value::Object(known)) = serde_json::from_str(r#"{"iat":1516239022,"sub":"u1"}"#) else {
        panic!("a map")
    };
    let Ok(signed) = token::sign("secret", known) else { panic!("any secret signs") };
    assert_eq!(
        signed,
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE1MTYyMzkwMjIsInN1YiI6InUxIn0.\
         5gG2wJvodetlESTgGX-rECLRzd1aSoqwN78TV10u_Qk"
    );
}

#[test]
fn a_table_names_route_action_and_policies() {
    let listing = json!({ "listeners": [{ "name": "default", "address": "127.0.0.1:80", "routes": [
        { "route": "/a/*", "conditional": false, "action": "upstream", "upstreams": ["a"],
          "policies": [{ "policy": "auth", "from": "file", "parts": [{ "is": "user", "from": "file" }] }] },
        { "route": "GET /b", "conditional": true, "action": "respond", "upstreams": [], "policies": [] },
    ] }] });
    assert_eq!(
        routes::table(&listing),
        "listener default on 127.0.0.1:80\n  \
         /a/*                           -> a     auth: user (file)\n  \
         GET /b (if its `match` holds)  respond\n"
    );
}
