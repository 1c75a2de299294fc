//! Policies: what is declared once and used by name, and what is in force for a rule.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Config, Diagnostics, Kind, Policies, Span, in_force};
use crate::exchange::Name;
use crate::expression::Scope;
use crate::policy::chain::Chain;
use crate::policy::kinds::{self, Declared};
use crate::policy::{Env, Policy};

use super::Environment;

/// What `auth` and `rate_limits` declare, built, and what rules have in common.
pub(super) struct Definitions<'a> {
    declared: Declared,
    environment: &'a Environment,
    config: &'a Config,
    /// A policy is built once for every place it is written and every scope it is used in.
    built: RefCell<HashMap<Built, Option<Arc<dyn Policy>>>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Built {
    at: (u32, u32, u32),
    kind: String,
    params: Vec<String>,
    rest: bool,
    place: Option<String>,
}

impl<'a> Definitions<'a> {
    pub(super) fn build(config: &'a Config, environment: &'a Environment, out: &Diagnostics) -> Definitions<'a> {
        let declared = Declared::build(config, &environment.store, &environment.clock, out);
        Definitions { declared, environment, config, built: RefCell::default() }
    }

    pub(super) fn identity_headers(&self) -> Vec<String> {
        self.declared.identity_headers()
    }

    /// The policies of a rule: the nearest of route, listener and file wins, kind by kind.
    pub(super) fn chain(
        &self,
        listener: &Policies,
        route: &Policies,
        scope: &Scope,
        out: &Diagnostics,
    ) -> Chain {
        let mut list = Vec::new();
        for in_force in in_force(&self.config.policies, listener, route) {
            // Unknown kinds were reported when the file was read.
            let Some(kind) = Kind::find(kinds::KINDS, in_force.kind) else { continue };
            for part in &in_force.parts {
                let key = Built {
                    at: place(part.body.span),
                    kind: in_force.kind.to_owned(),
                    params: scope.params.clone(),
                    rest: scope.rest,
                    place: None,
                };
                let built = self.built.borrow().get(&key).cloned();
                let policy = built.unwrap_or_else(|| {
                    let env = Env {
                        scope,
                        declared: &self.declared,
                        store: &self.environment.store,
                        clock: &self.environment.clock,
                    };
                    let field = crate::config::Field::new(in_force.kind, part.policy.kind.span, part.body, out);
                    let policy = (kind.build)(field, &env);
                    self.built.borrow_mut().insert(key, policy.clone());
                    policy
                });
                list.extend(policy);
            }
        }
        Chain::new(list)
    }
}

fn place(span: Span) -> (u32, u32, u32) {
    (span.file.number(), span.line, span.column)
}

/// The name of an inline limit: the place where it stands, which no declared name can be.
pub(super) fn _place_name(span: Span) -> Name {
    format!("{}:{}:{}", span.file.number(), span.line, span.column).into()
}
