//! Every kind of policy that a `policies` section may name.

use crate::config::Kind;

use super::{Build, authenticate, authorize, cache, limit};

/// The kinds, in the order of the language.
pub static KINDS: &[Kind<Build>] = &[limit::KIND, authenticate::KIND, authorize::KIND, cache::KIND];

/// Their names.
pub const NAMES: &[&str] = &["rate_limit", "auth", "authorize", "cache"];

/// Kinds of the language that this version does not build.
pub const LATER: &[&str] = &["ip", "cors", "body", "headers", "deprecated", "shape", "compress"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_kinds() {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names, NAMES);
    }
}
