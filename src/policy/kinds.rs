//! Every kind of policy that a `policies` section may name.

use crate::config::Kind;

use super::guard::cors;
use super::transform::shape;
use super::{Build, authenticate, authorize, cache, limit};

/// The kinds, in the order of the language.
pub static KINDS: &[Kind<Build>] =
    &[cors::KIND, limit::KIND, authenticate::KIND, authorize::KIND, cache::KIND, shape::KIND];

/// Their names.
pub const NAMES: &[&str] = &["cors", "rate_limit", "auth", "authorize", "cache", "shape"];

/// Kinds of the language that this version does not build.
pub const LATER: &[&str] = &["ip", "body", "headers", "deprecated", "compress"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_kinds() {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names, NAMES);
    }
}
