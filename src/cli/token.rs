//! `token`: signs a token for tests. Tokens of production come from an identity provider.

use std::env::VarError;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::arguments::duration;
use super::failure::Failure;
use super::output;
use crate::runtime::clock;

/// A shorter secret can be guessed (RFC 7518 section 3.2).
const SHORT: usize = 32;

#[derive(Args)]
pub(super) struct Arguments {
    /// The environment variable that holds the secret.
    #[arg(long, value_name = "NAME")]
    secret_env: String,
    /// The subject (`sub`).
    #[arg(long, value_name = "SUBJECT")]
    sub: Option<String>,
    /// The audience (`aud`); several make an array.
    #[arg(long, value_name = "AUDIENCE")]
    aud: Vec<String>,
    /// The issuer (`iss`).
    #[arg(long, value_name = "ISSUER")]
    iss: Option<String>,
    /// The lifetime of the token.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    ttl: Duration,
    /// A further claim; the value is JSON, or else text; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = claim)]
    claim: Vec<(String, Value)>,
}

impl Arguments {
    /// The claims that are given by options of their own, then those that are given by name.
    fn named(&self) -> Vec<(String, Value)> {
        let audience = match &self.aud[..] {
            [] => None,
            [one] => Some(json!(one)),
            several => Some(json!(several)),
        };
        let own = [("aud", audience), ("iss", self.iss.as_ref().map(|issuer| json!(issuer)))];
        let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        own.chain(self.claim.iter().cloned()).collect()
    }
}

pub(super) fn token(arguments: &Arguments) -> Result<(), Failure> {
    let name = &arguments.secret_env;
    let secret = std::env::var(name);
    let secret = secret.map_err(|error| Failure::Environment(unusable(name, &error)))?;
    if secret.is_empty() {
        return Err(Failure::Environment(format!(
            "the environment variable `{name}` is empty; {}",
            help(name)
        )));
    }
    if secret.len() < SHORT {
        output::tell(&format!(
            "warning: the secret has {} bytes; `run` refuses a secret below {SHORT} bytes, which can be guessed\n",
            secret.len()
        ));
    }
    let token = sign(&secret, claims(arguments.sub.as_deref(), arguments.ttl, &arguments.named()));
    output::print(&format!("{}\n", token?));
    Ok(())
}

/// What is wrong with the variable, and how to correct it.
pub(super) fn unusable(name: &str, error: &VarError) -> String {
    match error {
        VarError::NotPresent => format!("the environment variable `{name}` is not set; {}", help(name)),
        VarError::NotUnicode(_) => format!("the environment variable `{name}` is no UTF-8 text"),
    }
}

fn help(name: &str) -> String {
    format!("set it to the secret that the gateway checks tokens with: `export {name}=...`")
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write it as `name=value`")?;
    if name.is_empty() {
        return Err("the claim has no name".to_owned());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

/// The claims of a token that is valid from now on; what is given by name wins.
pub(super) fn claims(sub: Option<&str>, ttl: Duration, more: &[(String, Value)]) -> Map<String, Value> {
    let now = clock::since_epoch().as_secs();
    let mut claims = Map::new();
    if let Some(sub) = sub {
        claims.insert("sub".to_owned(), json!(sub));
    }
    claims.insert("iat".to_owned(), json!(now));
    claims.insert("exp".to_owned(), json!(now + ttl.as_secs().max(1)));
    claims.extend(more.iter().cloned());
    claims
}

/// Signs a token with HS256 (RFC 7515, RFC 7518 section 3.2).
pub(super) fn sign(secret: &str, claims: Map<String, Value>) -> Result<String, Failure> {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(json!({ "alg": "HS256", "typ": "JWT" })), part(Value::Object(claims)));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map_err(|error| Failure::Environment(format!("the secret cannot sign: {error}")))?;
    mac.update(signed.as_bytes());
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())))
}
