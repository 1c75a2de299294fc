//! What only the whole shows: names that lead nowhere, definitions that nobody uses, routes written twice.

use crate::runtime::hash::{HashMap, HashSet};

use super::addresses;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::document::{Entry, Node, Value};
use super::field::Field;
use super::inherit::replaced;
use super::model::Config;
use super::policies::Policies;
use super::public::is_public;
use super::route::{Action, Route, Target, target};
use super::span::Span;
use super::suggest::nearest;
use super::text::{Text, quoted};
use super::url::Url;

/// Reports everything that only the whole shows.
pub(super) fn check(root: &Node, config: &Config, out: &Diagnostics) {
    let mut names = Names::new(root, out);
    names.policies(&config.policies);
    names.routes(&config.routes);
    twice(&config.routes, out);
    for upstream in &config.upstreams {
        for url in upstream.settings.endpoints.urls() {
            cleartext(url, upstream.name.span, out);
        }
    }
    for listener in &config.listeners {
        names.policies(&listener.policies);
        names.routes(&listener.routes);
        twice(&listener.routes, out);
    }
    // A definition may be used where reading failed: no warnings before the errors are gone.
    if !out.has_errors() {
        names.unused();
    }
    replacements(config, out);
    open_routes(config, out);
    addresses::check(config, out);
}

/// One kind of definition: what it is called, which there are (also those that could not be read), which were used.
struct Defined<'a> {
    what: &'static str,
    section: &'static str,
    entries: &'a [Entry],
    used: HashSet<&'a str>,
}

impl<'a> Defined<'a> {
    fn new(what: &'static str, section: &'static str, root: &'a Node) -> Self {
        let entries = root.get(section).map(Node::entries).unwrap_or_default();
        Self { what, section, entries, used: HashSet::default() }
    }

    fn resolve(&mut self, text: &Text, out: &Diagnostics) {
        let names = || self.entries.iter().map(|entry| entry.key.value.as_str());
        if let Some(name) = names().find(|name| *name == text.as_str()) {
            self.used.insert(name);
            return;
        }
        if text.is_expanded() {
            let what = format!("there is no {} of the name that this reference holds", self.what);
            out.add(Diagnostic::error(text.span(), what).help(format!("declare it in `{}`", self.section)));
            return;
        }
        let problem = Diagnostic::error(text.span(), format!("there is no {} {}", self.what, text.shown()));
        let problem = problem.help(format!("declare it in `{}`", self.section));
        out.add(problem.did_you_mean(nearest(text.as_str(), names())));
    }
}

struct Names<'a> {
    upstreams: Defined<'a>,
    auth: Defined<'a>,
    rate_limits: Defined<'a>,
    out: &'a Diagnostics,
}

impl<'a> Names<'a> {
    fn new(root: &'a Node, out: &'a Diagnostics) -> Self {
        Self {
            upstreams: Defined::new("upstream", "upstreams", root),
            auth: Defined::new("authenticator", "auth", root),
            rate_limits: Defined::new("rate limit", "rate_limits", root),
            out,
        }
    }

    /// `auth` and `rate_limit` name definitions: a name, or a list of names; a map is a body in place.
    fn policies(&mut self, policies: &Policies) {
        let out = self.out;
        for policy in policies.iter() {
            let (defined, inherits) = match &*policy.kind.value {
                "auth" => (&mut self.auth, false),
                "rate_limit" => (&mut self.rate_limits, true),
                _ => continue,
            };
            for item in policy.field(out).one_or_many() {
                let keyword = item.is_word("none") || (inherits && item.is_word("inherit"));
                let scalar = matches!(item.node().value, Value::Scalar(_));
                if let Some(text) = Some(item).filter(|_| scalar && !keyword).and_then(|item| item.text()) {
                    defined.resolve(&text, out);
                }
            }
        }
    }

    fn routes(&mut self, routes: &[Route]) {
        for body in routes.iter().flat_map(|route| &route.alternatives) {
            self.policies(&body.policies);
            match &body.action.value {
                Action::Upstream(Target::Named(text)) => self.upstreams.resolve(text, self.out),
                Action::Upstream(Target::Url(url)) => cleartext(url, body.action.span, self.out),
                Action::Aggregate(node) => self.sources(node),
                _ => {}
            }
        }
    }

    /// The sources of an aggregate name upstreams too; whatever else is in them their kind reads.
    fn sources(&mut self, aggregate: &Node) {
        let sources = aggregate.get("sources").map(Node::entries).unwrap_or_default();
        for source in sources {
            let entry = source.value.entries().iter().find(|entry| entry.key.value == "upstream");
            let Some(entry) = entry else { continue };
            let field = Field::new(&entry.key.value, entry.key.span, &entry.value, self.out);
            match target(field) {
                Some(Target::Named(text)) => self.upstreams.resolve(&text, self.out),
                Some(Target::Url(url)) => cleartext(&url, field.span(), self.out),
                None => {}
            }
        }
    }

    fn unused(&self) {
        for defined in [&self.upstreams, &self.auth, &self.rate_limits] {
            for entry in
                defined.entries.iter().filter(|entry| !defined.used.contains(entry.key.value.as_str()))
            {
                let name = &entry.key;
                let what = format!("the {} {} is never used", defined.what, quoted(&name.value));
                self.out.add(Diagnostic::warning(name.span, what).help("use it, or remove it"));
            }
        }
    }
}

/// Warns where a service can be expected to lie on the internet: what goes there is not encrypted.
fn cleartext(url: &Url, at: Span, out: &Diagnostics) {
    if !url.tls && is_public(&url.host) {
        let problem = Diagnostic::warning(at, "this service has a public address and is reached without TLS");
        out.add(
            problem.help(
                "anybody on the way reads and changes what is sent: use `https://`, or an address of your own network",
            ),
        );
    }
}

/// Routes of one scope that answer the same method and pattern.
fn twice(routes: &[Route], out: &Diagnostics) {
    let mut seen: HashMap<String, Vec<&Route>> = HashMap::default();
    for route in routes {
        let same = seen.entry(route.key.pattern.shape()).or_default();
        let (mine, name) = (&route.key.methods, &route.name);
        let twin = same.iter().find(|other| {
            let theirs = &other.key.methods;
            (mine.is_empty() && theirs.is_empty()) || mine.iter().any(|method| theirs.contains(method))
        });
        if let Some(twin) = twin {
            let what = format!("the route {} is written twice", quoted(&name.value));
            let problem = Diagnostic::error(name.span, what).note(twin.name.span, "first written here");
            out.add(
                problem
                    .help("one pattern and method is one route: give it a list of alternatives with `match`"),
            );
        }
        same.push(route);
    }
}

/// Warns where a listener without TLS sends everything to `https`, but serves the routes of the file as well: they win
/// over its `/*`.
fn open_routes(config: &Config, out: &Diagnostics) {
    let is_wide = |route: &&Route| &*route.key.pattern.text == "/*";
    for listener in config.listeners.iter().filter(|listener| listener.tls.is_none()) {
        let Some(wide) = listener.routes.iter().find(is_wide) else { continue };
        let to_https = wide.alternatives.iter().any(|body| match &body.action.value {
            Action::Redirect(node) => node.get("scheme").is_some_and(|scheme| scheme.word() == Some("https")),
            _ => false,
        });
        let open = config.routes.iter().find(|route| !is_wide(route));
        if let (true, Some(open)) = (to_https, open) {
            let what = "this redirect leaves out the routes of the file, which are served here without TLS";
            let problem = Diagnostic::warning(wide.name.span, what).note(open.name.span, "one of them");
            out.add(problem.help("write the routes of the file into the listener with `tls`"));
        }
    }
}

/// Warns where a policy drops an outer one without saying so.
fn replacements(config: &Config, out: &Diagnostics) {
    let warn = |inner: &Policies, outer: &[&Policies]| {
        for policy in inner.iter() {
            let kind = &policy.kind.value;
            if let Some(lost) = replaced(policy, outer) {
                let what = format!("this {} replaces an outer one", quoted(kind));
                let problem =
                    Diagnostic::warning(policy.kind.span, what).note(lost.kind.span, "the one that is lost");
                out.add(problem.help(format!("keep both with `{kind}: [inherit, ...]`")));
            }
        }
    };
    for listener in &config.listeners {
        warn(&listener.policies, &[&config.policies]);
        for body in config.routes.iter().chain(&listener.routes).flat_map(|route| &route.alternatives) {
            warn(&body.policies, &[&listener.policies, &config.policies]);
        }
    }
}
