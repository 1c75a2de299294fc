//! The authenticator `jwt`: signed tokens in the Authorization header (RFC 7519, RFC 6750 section 2.1).
//!
//! `verify.rs` judges one token and knows no clock; `cache.rs` remembers those that held; here both meet the request.
//! A client learns that its token is missing or not valid, and the log alone learns why; neither ever sees the token.

pub mod algorithm;
mod cache;
mod claims;
mod fault;
mod verify;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

pub use algorithm::Algorithm;
pub use fault::Fault;
pub use verify::MAX_TOKEN;

use self::cache::TokenCache;
use self::verify::Verifier;
use super::IdentityMap;
use crate::exchange::headers::valid_name;
use crate::exchange::{Error, ErrorKind, Exchange, HeaderId, Headers, Identity};
use crate::policy::{Phase, Policy, Step};
use crate::runtime::clock;

const CACHED_TOKENS: usize = 4096;
const CACHED_BYTES: usize = 4 * 1024 * 1024;

/// What a [`Jwt`] is made of.
pub struct Settings {
    /// The secret shared with the issuer.
    pub secret: Vec<u8>,
    /// The algorithms a token may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// The issuers whose tokens are accepted; empty accepts any.
    pub issuer: Vec<String>,
    /// Our names, one of which `aud` must hold; empty asks for none.
    pub audience: Vec<String>,
    /// How far the issuer's clock may be off.
    pub leeway: Duration,
    /// Claims that must be there, and not null.
    pub require: Vec<String>,
    /// The scheme in the Authorization header; its case does not matter.
    pub scheme: String,
    /// What the upstream is told.
    pub identity: IdentityMap,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            secret: Vec::new(),
            algorithms: vec![Algorithm::Hs256],
            issuer: Vec::new(),
            audience: Vec::new(),
            leeway: Duration::ZERO,
            require: vec!["exp".to_owned()],
            scheme: "Bearer".to_owned(),
            identity: IdentityMap::default(),
        }
    }
}

/// Settings no token should be trusted under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UnfitSettings {
    /// The secret has fewer bytes than the algorithm's hash (RFC 7518 section 3.2).
    ShortSecret(Algorithm),
    /// No algorithm is allowed.
    NoAlgorithm,
    /// The scheme is no token (RFC 9110 section 11.1).
    Scheme,
}

impl fmt::Display for UnfitSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnfitSettings::ShortSecret(algorithm) => {
                write!(f, "{} wants a secret of at least {} bytes", algorithm.name(), algorithm.min_secret())
            }
            UnfitSettings::NoAlgorithm => f.write_str("no algorithm is allowed"),
            UnfitSettings::Scheme => f.write_str("the scheme must be one word"),
        }
    }
}

/// The policy `auth` for one `jwt` authenticator.
pub struct Jwt {
    verifier: Verifier,
    cache: TokenCache,
    scheme: String,
}

impl Jwt {
    /// An authenticator from its settings; its cache is empty.
    ///
    /// # Errors
    /// [`UnfitSettings`].
    pub fn new(settings: Settings) -> Result<Jwt, UnfitSettings> {
        if settings.algorithms.is_empty() {
            return Err(UnfitSettings::NoAlgorithm);
        }
        let short = |algorithm: &&Algorithm| settings.secret.len() < algorithm.min_secret();
        if let Some(algorithm) = settings.algorithms.iter().find(short) {
            return Err(UnfitSettings::ShortSecret(*algorithm));
        }
        if !valid_name(settings.scheme.as_bytes()) {
            return Err(UnfitSettings::Scheme);
        }
        let key = |algorithm: &Algorithm| (*algorithm, algorithm.key(&settings.secret));
        Ok(Jwt {
            verifier: Verifier {
                keys: settings.algorithms.iter().map(key).collect(),
                issuer: settings.issuer,
                audience: settings.audience,
                leeway: settings.leeway,
                require: settings.require,
                identity: settings.identity,
            },
            cache: TokenCache::new(CACHED_TOKENS, CACHED_BYTES),
            scheme: settings.scheme,
        })
    }

    /// The names of the identity headers, in lower case: no client may send one, on any route.
    pub fn identity_header_names(&self) -> impl Iterator<Item = &str> {
        self.verifier.identity.header_names()
    }

    /// Whom a token tells at `now` (since 1970).
    ///
    /// # Errors
    /// Why it does not verify.
    pub fn authenticate(&self, token: &[u8], now: Duration) -> Result<Arc<Identity>, Fault> {
        if let Some((identity, times)) = self.cache.get(token) {
            times.check(now, self.verifier.leeway)?;
            return Ok(identity);
        }
        let verified = self.verifier.verify(token, now)?;
        let identity = Arc::new(verified.identity);
        self.cache.insert(token, identity.clone(), verified.times);
        Ok(identity)
    }

    /// The token in the Authorization line.
    fn token<'a>(&self, headers: &'a Headers) -> Result<&'a [u8], Error> {
        let mut lines = headers.all_id(HeaderId::Authorization);
        let line = lines.next();
        if lines.next().is_some() {
            // Which of two credentials counts is anybody's guess: the gate does not guess (RFC 9110 section 5.3).
            return Err(Error::new(ErrorKind::MalformedRequest).detail("more than one Authorization header"));
        }
        line.and_then(|line| self.credentials(line)).ok_or_else(|| {
            Error::new(ErrorKind::MissingToken).header("www-authenticate", self.scheme.as_str())
        })
    }

    /// What follows the scheme and its blanks; `None` for another scheme or nothing.
    fn credentials<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let (scheme, rest) = line.split_at_checked(self.scheme.len())?;
        if !scheme.eq_ignore_ascii_case(self.scheme.as_bytes()) {
            return None;
        }
        let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
        let token = &rest[blanks..];
        (blanks > 0 && !token.is_empty()).then_some(token)
    }
}

impl Policy for Jwt {
    fn phase(&self) -> Phase {
        Phase::Authenticate
    }

    fn kind(&self) -> &'static str {
        "auth"
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let token = match self.token(&exchange.request.headers) {
            Ok(token) => token,
            Err(error) => return Step::Fail(error),
        };
        // A clock before 1970 is broken: then every token that expires has.
        let now = clock::wall().duration_since(UNIX_EPOCH).unwrap_or(Duration::MAX);
        match self.authenticate(token, now) {
            Ok(identity) => {
                exchange.identity = Some(identity);
                Step::Continue
            }
            Err(fault) => Step::Fail(
                Error::new(ErrorKind::InvalidToken)
                    .source(fault)
                    .header("www-authenticate", format!("{} error=\"invalid_token\"", self.scheme)),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
