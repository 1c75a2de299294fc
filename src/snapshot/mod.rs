//! The compiled, immutable gateway: what a configuration means.
//!
//! Start with [`Snapshot`]; `compile/` makes one from a configuration, [`Live`] is the handle that a reload swaps.
//! This is the only room that sees configuration and runtime whole.

pub mod compile;
pub mod explain;
pub mod forwarded;
mod guard;
pub mod live;
pub mod reference;
pub mod schema;
pub mod tls;

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::action::Action;
use crate::action::describe::Description;
use crate::action::proxy::Proxy;
use crate::config::{InterimAnswers, Span};
use crate::exchange::headers::same_folded;
use crate::exchange::target::PathRules;
use crate::exchange::{Error, Exchange, Headers, Name, Place, Pseudonym, Response};
use crate::http1::HeadLimits;
use crate::net::Facts;
use crate::policy::chain::Chain;
use crate::route::{HostList, Predicate, Table};
use crate::runtime::hash::HashMap;
use crate::telemetry::metrics::RouteMetrics;
use crate::upstream::{Tools, Upstream};

pub use forwarded::Trust;
pub use guard::Guard;
pub use live::{Live, Watcher};

/// The bounds of what a listener takes from a client, section "Bounded" of the rules of the edge.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Head size, lines and target size.
    pub head: HeadLimits,
    /// Largest request body in bytes.
    pub body: u64,
    /// For the whole head, from connecting or from its first byte.
    pub head_timeout: Duration,
    /// The longest gap between two bytes of a body, and the span over which `body_rate` is measured.
    pub body_timeout: Duration,
    /// The least bytes a second of a body that is waited for.
    pub body_rate: u64,
    /// How long a connection may be idle between two requests, and an answer wait for a client that does not read.
    pub idle: Duration,
    /// How long an answer is waited for once its HTTP/1 client has ended its own side.
    pub half_closed: Duration,
    /// The longest time for which what a refused client still sends is read and thrown away.
    pub linger: Duration,
    /// The most bytes that are read of it.
    pub linger_bytes: u64,
    /// Concurrent HTTP/2 streams a connection.
    pub streams: u32,
    /// Open connections of one client address; none is no bound.
    pub connections_per_client: Option<u32>,
    /// For a TLS handshake.
    pub handshake_timeout: Duration,
    /// TLS handshakes of the process under way, beyond which new connections are closed.
    pub handshakes: u64,
}

/// What a listener does with a request.
pub struct ListenerPlan {
    /// Its name.
    pub name: Name,
    /// Where it listens.
    pub address: SocketAddr,
    /// The hosts it answers for; every host where none are named.
    pub hosts: Option<HostList>,
    /// How it speaks TLS, if it does.
    pub tls: Option<Arc<tls::ListenerTls>>,
    /// Its bounds.
    pub limits: Limits,
    /// How targets are read: as the most permissive of the routes wants it, the rules refuse the rest.
    pub path_rules: PathRules,
    /// Which clients get interim answers of services.
    pub interim: InterimAnswers,
    /// Whose word about the client is believed, and in which fields.
    pub trust: Trust,
    /// From pattern and method to the rules that may answer, in the order of their `match`.
    pub table: Table<Vec<Alternative>>,
    /// Every rule; the numbers in the table point here.
    pub rules: Vec<Rule>,
    /// The rule of a request that no route matches.
    pub no_route: u32,
    /// The rule of a request whose method no route takes.
    pub method_not_allowed: u32,
}

impl ListenerPlan {
    /// Whether a peer's word about the client is taken.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.trust.trusts(ip)
    }

    /// Whether both have one address, where the Host of a request chooses. A port that the system is to choose is
    /// another one for every listener.
    fn shares(&self, other: &ListenerPlan) -> bool {
        std::ptr::eq(self, other) || (self.address == other.address && self.address.port() != 0)
    }

    /// How closely its hosts fit a request's; every host fits a listener that names none, but loosely.
    fn closeness(&self, host: &str) -> Option<usize> {
        self.hosts.as_ref().map_or(Some(0), |hosts| hosts.closeness(host))
    }
}

/// One of the rules behind a pattern.
pub struct Alternative {
    /// What the request must have beside its path, if anything.
    pub when: Option<Predicate<Exchange>>,
    /// The rule, as an index into [`ListenerPlan::rules`].
    pub rule: u32,
}

/// What a rule does. Proxying, which most rules do, is called by its name: its future needs no box then.
pub enum RuleAction {
    /// Forwards to a service.
    Proxy(Box<Proxy>),
    /// Any other kind.
    Other(Arc<dyn Action>),
}

impl RuleAction {
    /// Makes the answer.
    ///
    /// # Errors
    /// As [`Action::run`].
    pub async fn run(&self, exchange: &mut Exchange) -> Result<Response, Error> {
        match self {
            RuleAction::Proxy(proxy) => proxy.forward(exchange).await,
            RuleAction::Other(action) => action.run(exchange).await,
        }
    }

    /// What it is, and what it would do with a request.
    pub fn describe(&self, exchange: &mut Exchange) -> Description {
        match self {
            RuleAction::Proxy(proxy) => proxy.describe(exchange),
            RuleAction::Other(action) => action.describe(exchange),
        }
    }
}

/// A compiled route: what guards it and what it does.
pub struct Rule {
    /// The route's key as written; empty for the rules of a miss.
    pub name: Name,
    /// A number made of everything that its part of the configuration says, and of what `cache` and `shape` say wherever
    /// they are written: what was kept under another is not given any more.
    pub print: u64,
    /// The names of its path parameters, in the order of its pattern.
    pub params: Arc<[Name]>,
    /// What runs before and after the action.
    pub policies: Chain,
    /// The same as it is written, in the order it runs.
    pub guards: Box<[Guard]>,
    /// Where the route's alternative is written; `None` for the rules of a miss.
    pub at: Option<Span>,
    /// What it does.
    pub action: RuleAction,
    /// From the head of the request to the head of the answer.
    pub timeout: Duration,
    /// What its paths may hold.
    pub path_rules: PathRules,
    /// Its counters.
    pub metrics: Arc<RouteMetrics>,
}

/// The compiled gateway.
pub struct Snapshot {
    /// Counts up with every reload that took effect, from 1.
    pub version: u64,
    /// When it was compiled.
    pub made: SystemTime,
    /// What each listener does, in the order of the configuration.
    pub listeners: Vec<Arc<ListenerPlan>>,
    /// Every upstream; the numbers in records point here.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Header names that tell an upstream who the client is: removed from every request.
    pub identity_headers: Vec<String>,
    /// How the process names itself to services.
    pub pseudonym: Arc<Pseudonym>,
    /// Where the admin listener stands, if there is one.
    pub admin: Option<SocketAddr>,
    /// What it was compiled from, for the next reload and for those who ask.
    pub sources: compile::Sources,
}

impl Snapshot {
    /// The plan of a listener by name.
    pub fn listener(&self, name: &str) -> Option<&Arc<ListenerPlan>> {
        self.listeners.iter().find(|listener| &*listener.name == name)
    }

    /// Begins the background work of its upstreams; one that takes the place of one in `before` takes over from it.
    pub fn start_upstreams(&self, before: Option<&Snapshot>, tools: &Tools) {
        let before = before.into_iter().flat_map(|before| &before.upstreams);
        let before: HashMap<&str, &Arc<Upstream>> =
            before.map(|upstream| (&*upstream.settings().name, upstream)).collect();
        for upstream in &self.upstreams {
            let name = &*upstream.settings().name;
            let start = || upstream.start_background(tools, before.get(name).copied());
            // Half of the upstreams would have been taken over from, and no configuration could go on with them.
            if catch_unwind(AssertUnwindSafe(start)).is_err() {
                tools.log.error(format_args!("the background work of `{name}` broke down as it began"));
            }
        }
    }

    /// The listeners that have no sockets of their own: they share the address of another.
    pub fn sharers(&self) -> impl Iterator<Item = &Arc<ListenerPlan>> {
        let owners: Vec<_> = self.addresses().map(Arc::as_ptr).collect();
        self.listeners.iter().filter(move |plan| !owners.contains(&Arc::as_ptr(plan)))
    }

    /// One listener for each address, in the order of the configuration: the one whose name the address's sockets
    /// bear. Where several share an address it is the one without `hosts`, else the first.
    pub fn addresses(&self) -> impl Iterator<Item = &Arc<ListenerPlan>> {
        self.listeners.iter().enumerate().filter_map(|(at, plan)| {
            let mut sharing = self.listeners.iter().filter(|other| other.shares(plan));
            let Some(default) = sharing.clone().find(|other| other.hosts.is_none()) else {
                return sharing.next().is_none_or(|first| Arc::ptr_eq(first, plan)).then_some(plan);
            };
            // It takes the place of the first, so that the order is the file's.
            let first = self.listeners.iter().position(|other| other.shares(default));
            (first == Some(at)).then_some(default)
        })
    }
}

/// A snapshot as one exchange holds it: the exchange keeps it alive, and sees this one from start to end.
pub struct Pinned {
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// The listener the request came in by.
    pub plan: Arc<ListenerPlan>,
    /// The other listeners on the same address.
    beside: Box<[Rc<Pinned>]>,
}

impl Pinned {
    /// Pins a snapshot for one of its listeners.
    pub fn new(snapshot: Arc<Snapshot>, listener: &str) -> Option<Rc<Pinned>> {
        let plan = Arc::clone(snapshot.listener(listener)?);
        let others =
            snapshot.listeners.iter().filter(|other| other.shares(&plan) && !Arc::ptr_eq(other, &plan));
        let alone = |plan: &Arc<ListenerPlan>| {
            let (snapshot, plan) = (Arc::clone(&snapshot), Arc::clone(plan));
            Rc::new(Pinned { snapshot, plan, beside: Box::default() })
        };
        let beside = others.map(alone).collect();
        Some(Rc::new(Pinned { snapshot, plan, beside }))
    }

    /// Whether no other listener has the same address, so that no host need be asked for.
    pub fn is_alone(&self) -> bool {
        self.beside.is_empty()
    }

    /// Whether any listener on the address takes a peer's word about the client.
    pub fn address_trusts(&self, ip: IpAddr) -> bool {
        self.plan.trusts(ip) || self.beside.iter().any(|other| other.plan.trusts(ip))
    }

    /// The listener that answers for a request that names this host, among those on the same address: the closest one.
    /// Where none does it is this one. Each judges the public host as it believes the peer, so that none is reached by the
    /// word of a proxy that it does not trust.
    pub fn for_host(self: Rc<Self>, host: &[u8], connection: &Facts, headers: &Headers) -> Rc<Pinned> {
        if self.is_alone() {
            return self;
        }
        let named = std::str::from_utf8(host).unwrap_or_default();
        let closeness = |pinned: &Pinned| {
            let reported = pinned.plan.trust.reported(connection, headers).ok();
            match reported.and_then(|reported| reported.authority(host)) {
                Some(public) => pinned.plan.closeness(std::str::from_utf8(&public).unwrap_or_default()),
                None => pinned.plan.closeness(named),
            }
        };
        let mut best = (closeness(&self), &self);
        for other in &self.beside {
            let closeness = closeness(other);
            if closeness > best.0 {
                best = (closeness, other);
            }
        }
        Rc::clone(best.1)
    }

    /// The listener whose terms a TLS client is served by, among those on the same address: the one whose hosts fit the
    /// name best that the client asks for. Where it names none, or none fits, it is this one.
    pub fn for_server_name(&self, name: Option<&str>) -> &Pinned {
        let Some(name) = name else { return self };
        let mut best = (self.plan.closeness(name), self);
        for other in &self.beside {
            let closeness = other.plan.closeness(name);
            if closeness > best.0 {
                best = (closeness, other);
            }
        }
        best.1
    }

    /// The rule with this number.
    pub fn rule(&self, rule: u32) -> Option<&Rule> {
        self.plan.rules.get(rule as usize)
    }
}

impl Place for Pinned {
    fn listener(&self) -> &str {
        &self.plan.name
    }

    fn route(&self, rule: Option<u32>) -> &str {
        rule.and_then(|rule| self.rule(rule)).map_or("", |rule| &rule.name)
    }

    fn print(&self, rule: Option<u32>) -> u64 {
        rule.and_then(|rule| self.rule(rule)).map_or(0, |rule| rule.print)
    }

    fn params(&self, rule: Option<u32>) -> &[Name] {
        rule.and_then(|rule| self.rule(rule)).map_or(&[], |rule| &rule.params)
    }

    fn upstream(&self, upstream: u32) -> &str {
        self.snapshot.upstreams.get(upstream as usize).map_or("", |upstream| &upstream.settings().name)
    }

    fn pseudonym(&self) -> Option<&Pseudonym> {
        Some(&self.snapshot.pseudonym)
    }

    fn names_identity(&self, name: &[u8]) -> bool {
        self.snapshot.identity_headers.iter().any(|header| same_folded(header.as_bytes(), name))
    }

    fn allow(&self, path: &str) -> &str {
        self.plan.table.allow(path)
    }
}
