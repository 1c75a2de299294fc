//! Policies: what is declared once and used by name, and what is in force for a rule.

use crate::runtime::hash::HashMap;
use std::cell::RefCell;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use crate::config::{
    Config, Definition, Diagnostic, Diagnostics, Kind, Listener, Origin, Part, Policies, Span, in_force,
};
use crate::exchange::Name;
use crate::expression::Scope;
use crate::policy::authenticate::jwt::Jwt;
use crate::policy::chain::Chain;
use crate::policy::{Env, Phase, Policy, authenticate, kinds, limit};

use crate::snapshot::{Guard, Snapshot};
use crate::store::registry::Configured;

use super::environment::Environment;

/// What `auth` and `rate_limits` declare, built, and what rules have in common.
pub(super) struct Definitions<'a> {
    declared: HashMap<(&'static str, Name), Arc<dyn Policy>>,
    auth: HashMap<Name, Arc<Jwt>>,
    identity_headers: Vec<String>,
    environment: &'a Environment,
    counters: Configured<'a>,
    config: &'a Config,
    /// A policy is built once for every place where it is written and every set of names it may use there.
    built: RefCell<HashMap<Built, Option<Arc<dyn Policy>>>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Built {
    at: Span,
    params: Vec<String>,
    rest: bool,
}

impl<'a> Definitions<'a> {
    pub(super) fn build(
        config: &'a Config,
        previous: Option<&Snapshot>,
        environment: &'a Environment,
        out: &Diagnostics,
    ) -> Definitions<'a> {
        let mut definitions = Definitions {
            declared: HashMap::default(),
            auth: HashMap::default(),
            identity_headers: Vec::new(),
            environment,
            counters: environment.counters.with(config.redis.as_ref()),
            config,
            built: RefCell::default(),
        };
        for definition in &config.auth {
            if let Some(jwt) = authenticate::declare(definition.field(out)) {
                for name in jwt.identity_header_names() {
                    if !definitions.identity_headers.iter().any(|known| known == name) {
                        definitions.identity_headers.push(name.to_owned());
                    }
                }
                let name = &definition.name.value;
                let jwt = previous.and_then(|previous| unchanged(definition, previous)).unwrap_or(jwt);
                definitions.declared.insert(("auth", Arc::clone(name)), Arc::clone(&jwt) as Arc<dyn Policy>);
                definitions.auth.insert(Arc::clone(name), jwt);
            }
        }
        // A declared limit is used on any route: it may not name what only some patterns have.
        let scope = Scope { identity: true, ..Scope::default() };
        for definition in &config.rate_limits {
            let name = Arc::clone(&definition.name.value);
            let env = definitions.env(&scope, &name);
            if let Some(limit) =
                limit::declare(definition.field(out), &scope, Arc::clone(&name), Some(&name), &env)
            {
                definitions.declared.insert(("rate_limit", name), limit);
            }
        }
        definitions
    }

    fn env<'e>(&'e self, scope: &'e Scope, place: &'e Name) -> Env<'e> {
        Env {
            scope,
            named: self,
            counters: &self.counters,
            redis: self.counters.has_redis(),
            metrics: &self.environment.metrics,
            cache: &self.environment.cache,
            place,
        }
    }

    /// The names of identity headers.
    pub(super) fn identity(&self) -> &[String] {
        &self.identity_headers
    }

    pub(super) fn identity_headers(&self) -> Vec<String> {
        self.identity_headers.clone()
    }

    /// The authenticators by name.
    pub(super) fn into_auth(self) -> HashMap<Name, Arc<Jwt>> {
        self.auth
    }

    /// The policies of a rule: the nearest of route, listener and file wins, kind by kind; as they run, as they are
    /// written, and a number made of what those say that decide what an answer is kept as. `owner` names the route and
    /// its alternative: it has to be the same for every listener that the route is shared by.
    pub(super) fn chain(
        &self,
        listener: &Listener,
        (owner, route): (&str, &Policies),
        scope: &Scope,
        out: &Diagnostics,
    ) -> (Chain, Box<[Guard]>, u64) {
        let mut guards = Vec::new();
        let mut print = DefaultHasher::new();
        let (mut list, mut whole, mut auth) = (Vec::new(), true, None);
        let mut readers = Vec::new();
        let mut limits_at = None;
        for in_force in in_force(&self.config.policies, &listener.policies, route) {
            // Unknown kinds were reported when the file was read.
            let Some(kind) = Kind::find(kinds::KINDS, in_force.kind) else { continue };
            for part in &in_force.parts {
                let key = Built { at: part.body.span, params: scope.params.clone(), rest: scope.rest };
                let built = self.built.borrow().get(&key).cloned();
                let policy = built.unwrap_or_else(|| {
                    let place = place_name(part, listener, owner);
                    let policy = (kind.build)(part.field(out), &self.env(scope, &place));
                    self.built.borrow_mut().insert(key, policy.clone());
                    policy
                });
                whole &= policy.is_some();
                if policy.as_ref().is_some_and(|policy| policy.reads_identity()) {
                    readers.push((kind.name, part.policy.kind.span));
                }
                match policy.as_ref().map(|policy| policy.phase()) {
                    Some(Phase::Shape) => part.body.feed_ordered(&mut print),
                    Some(Phase::Cache) => part.body.feed(&mut print),
                    _ => {}
                }
                guards.extend(policy.as_ref().map(|policy| Guard::new(kind.name, policy.phase(), part)));
                list.extend(policy);
            }
            if kind.name == limit::KIND.name {
                // The place that decides names what it inherits: it is why the limits meet.
                let decides = in_force.parts.iter().find(|part| part.origin == in_force.origin);
                limits_at = decides.map(|part| part.policy.kind.span);
            }
            if kind.name == authenticate::KIND.name {
                auth = in_force.parts.first().map(|part| part.policy.kind.span);
            }
        }
        if whole && auth.is_none() {
            readers.into_iter().for_each(|reader| nobody_known(reader, out));
        }
        // A limit that could not be built may be the one that is missed.
        if let Some(auth) = auth.filter(|_| whole) {
            unlimited(auth, &list, out);
        }
        if let Some(clash) = limit::clash(&list).filter(|_| whole) {
            unreadable(&clash, limits_at, out);
        }
        guards.sort_by_key(|guard| guard.phase);
        (Chain::new(limit::combine(list)), guards.into(), print.finish())
    }
}

impl crate::policy::Declared for Definitions<'_> {
    fn find(&self, kind: &'static str, name: &str) -> Option<Arc<dyn Policy>> {
        self.declared.get(&(kind, Name::from(name))).cloned()
    }
}

/// The authenticator from before, where its definition says the same, the secret that a reference brought in included.
fn unchanged(definition: &Definition, previous: &Snapshot) -> Option<Arc<Jwt>> {
    let name = &definition.name.value;
    let before = previous.sources.config.auth.iter().find(|before| before.name.value == *name)?;
    if !before.body.same(&definition.body) {
        return None;
    }
    previous.sources.auth.get(name).cloned()
}

/// Warns where nothing bounds how many tokens a client may try.
fn unlimited(auth: Span, policies: &[Arc<dyn Policy>], out: &Diagnostics) {
    if policies.iter().any(|policy| policy.phase() == Phase::LimitBefore) {
        return;
    }
    let warning = Diagnostic::warning(auth, "no rate limit stands before this `auth` on some route");
    out.add(
        warning.help("whoever sends bad tokens is never limited: add a `rate_limit` with the key client.ip"),
    );
}

/// Reports limits of one route whose header fields no client could read.
fn unreadable(clash: &limit::Clash, meet: Option<Span>, out: &Diagnostics) {
    let limit::Conflict { mine, theirs, field } = clash.conflict;
    let (mine, theirs) = (mine.word(), theirs.word());
    let what = format!(
        "this limit says `{mine}` and another one of its route says `{theirs}`: both write `{field}`, in two grammars"
    );
    let problem = Diagnostic::error(clash.second, what).note(clash.first, "the other limit");
    let problem = meet.into_iter().fold(problem, |problem, at| problem.note(at, "here they meet"));
    out.add(problem.help("write the same `headers` in both, or in one of them alone"));
}

/// Warns where a policy judges by who the client is, and nothing tells it.
fn nobody_known((kind, at): (&str, Span), out: &Diagnostics) {
    let what = format!("this `{kind}` reads `identity`, but on some route no `auth` stands before it");
    let help = match kind {
        "authorize" => "nobody is known there, and a condition that cannot be judged refuses: add an `auth`",
        "cache" => "nobody is known there, and what has no key is not kept: add an `auth`",
        _ => "nobody is known there, and the client's address is counted instead: add an `auth`",
    };
    out.add(Diagnostic::warning(at, what).help(help));
}

/// The name of a policy that is written in place: whose it is, which no declared name can be. Not where it stands:
/// what an edit moves to another line is the same policy still.
fn place_name(part: &Part<'_>, listener: &Listener, owner: &str) -> Name {
    let (kind, index) = (&part.policy.kind.value, part.index);
    match part.origin {
        Origin::File => format!("policies {kind} {index}"),
        Origin::Listener => format!("listener {} {kind} {index}", listener.name.value),
        Origin::Route => format!("{owner} {kind} {index}"),
    }
    .into()
}
