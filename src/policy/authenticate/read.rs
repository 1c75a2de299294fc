//! Reads authenticators from the configuration, and the policy that names one.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Diagnostic, Field, Key, Kind, Schema, Section, shape};
use crate::policy::{Build, Env, Policy};

use super::IdentityMap;
use super::jwt::{Algorithm, Jwt, Settings, UnfitSettings};

/// The policy `auth`.
pub const KIND: Kind<Build> = Kind {
    name: "auth",
    summary: "Who is asking: the name of an authenticator, or `none`",
    schema: shape::text,
    build,
};

const AUTH: &[Key] = &[
    Key::needed("jwt", || shape::object(JWT), "A signed token (RFC 7519) in the Authorization header"),
    Key::optional(
        "identity",
        || shape::map(shape::text()),
        "Headers for the upstream, and the claims they carry",
    ),
    Key::later("api_key"),
    Key::later("basic"),
    Key::later("mtls"),
    Key::later("introspect"),
    Key::later("forward"),
    Key::later("sign"),
    Key::later("optional"),
];

const JWT: &[Key] = &[
    Key::needed("secret", shape::reference, "The secret shared with the issuer, 32 bytes or more for HS256"),
    Key::optional("algorithms", algorithms_schema, "What a token may be signed with (default [HS256])"),
    Key::optional("issuer", one_or_many, "The issuers that are trusted: a token's `iss` is one of them"),
    Key::optional("audience", one_or_many, "Our names: a token's `aud` holds one of them"),
    Key::optional("leeway", shape::duration, "How far the issuer's clock may be off (default 0s)"),
    Key::optional("require", || shape::list(shape::text()), "Claims that must be there (default [exp])"),
    Key::optional("scheme", shape::text, "The scheme in the Authorization header (default Bearer)"),
    Key::later("keys"),
    Key::later("jwks"),
    Key::later("oidc"),
    Key::later("max_age"),
    Key::later("from"),
];

fn one_or_many() -> Schema {
    shape::any(vec![shape::text(), shape::texts()])
}

fn algorithms_schema() -> Schema {
    let names: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
    shape::list(shape::choice(&names))
}

/// What an authenticator looks like.
pub fn schema() -> Schema {
    shape::object(AUTH)
}

fn build(field: Field<'_>, env: &Env<'_>) -> Option<Arc<dyn Policy>> {
    let names = field.one_or_many();
    let [name] = names.as_slice() else {
        field.error(
            "a list of authenticators is part of the language but not supported by this version",
            "name one",
        );
        return None;
    };
    env.named.find("auth", name.text()?.as_str())
}

/// Reads what stands under a name of `auth`.
pub fn declare(field: Field<'_>) -> Option<Arc<Jwt>> {
    let section = Section::open(field, AUTH)?;
    let identity = match section.get("identity") {
        None => Some(IdentityMap::default()),
        Some(identity) => identity_map(identity),
    };
    let jwt = section.get("jwt")?;
    let jwt_section = Section::open(jwt, JWT)?;
    let texts = |key: &str| -> Option<Vec<String>> {
        let Some(field) = jwt_section.get(key) else { return Some(Vec::new()) };
        let read: Vec<Option<String>> =
            field.one_or_many().into_iter().map(|item| Some(item.filled()?.into_string())).collect();
        read.into_iter().collect()
    };
    let secret = jwt_section.get("secret");
    let settings = Settings {
        secret: secret.and_then(|secret| secret.filled()).map(|text| text.into_string().into_bytes())?,
        algorithms: jwt_section.read("algorithms", vec![Algorithm::Hs256], |list| list.list_of(algorithm)),
        issuer: texts("issuer")?,
        audience: texts("audience")?,
        leeway: jwt_section.read("leeway", Duration::ZERO, |leeway| leeway.duration()),
        require: match jwt_section.get("require") {
            None => vec!["exp".to_owned()],
            Some(list) => list.list_of(|claim| Some(claim.filled()?.into_string()))?,
        },
        scheme: match jwt_section.get("scheme") {
            None => "Bearer".to_owned(),
            Some(scheme) => scheme.filled()?.into_string(),
        },
        identity: identity?,
    };
    match Jwt::new(settings) {
        Ok(jwt) => Some(Arc::new(jwt)),
        Err(unfit) => {
            let (key, help) = match unfit {
                UnfitSettings::ShortSecret(_) => ("secret", "make one with `openssl rand -base64 48`"),
                UnfitSettings::NoAlgorithm => {
                    ("algorithms", "remove the key, or write `algorithms: [HS256]`")
                }
                UnfitSettings::Scheme => ("scheme", "write `Bearer`, or remove the key"),
            };
            jwt_section.get(key).unwrap_or(jwt).error(unfit.to_string(), help);
            None
        }
    }
}

fn algorithm(field: Field<'_>) -> Option<Algorithm> {
    let words: Vec<(&str, Algorithm)> =
        Algorithm::ALL.iter().map(|algorithm| (algorithm.name(), *algorithm)).collect();
    let later = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
    if field.node().word() == Some("none") {
        field
            .error("`none` is no signature: anybody could write such a token", "write `algorithms: [HS256]`");
        return None;
    }
    field.choice(&words, &later)
}

fn identity_map(field: Field<'_>) -> Option<IdentityMap> {
    let entries = field.entries()?;
    let mut headers = Vec::new();
    for (name, claim) in &entries {
        let path = claim.filled()?.into_string();
        if path.starts_with('{') {
            claim.out().add(crate::config::not_yet(claim.span(), "an expression as an identity header"));
            return None;
        }
        headers.push((name.value.to_owned(), path));
    }
    match IdentityMap::new(headers) {
        Ok(map) => Some(map),
        Err(unfit) => {
            let at = entries
                .iter()
                .find(|(name, _)| *name.value == unfit.0)
                .map_or(field.label(), |(name, _)| name.span);
            let what = format!("`{}` cannot be an identity header", unfit.0);
            let help = "it is no header name, one that the gate has a rule for, or named twice (what is neither letter nor digit counts as `-`)";
            field.out().add(Diagnostic::error(at, what).help(help));
            None
        }
    }
}
