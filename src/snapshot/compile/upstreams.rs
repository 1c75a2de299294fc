//! Every upstream once: declared ones by name, those written in place by their URL.

use crate::runtime::hash::HashMap;
use std::sync::Arc;

use crate::action::Called;
use crate::config::{Balance, Config, Diagnostics, Span, Target, Text, UpstreamSettings, Url};
use crate::exchange::Name;
use crate::expression::{Scope, load};
use crate::net::Network;
use crate::net::tls::client::SystemRoots;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;
use crate::upstream::{Rules, Settings, Timeouts, Upstream};

use super::{Environment, upstream_tls};

/// The upstreams of one snapshot.
pub(super) struct Upstreams {
    list: Vec<Arc<Upstream>>,
    written: Vec<bool>,
    by_name: HashMap<Name, u32>,
    by_url: HashMap<Name, u32>,
    kept: HashMap<Name, Arc<Upstream>>,
    cores: usize,
    metrics: Arc<Metrics>,
    network: Network,
    system: SystemRoots,
}

impl Upstreams {
    /// Takes in what is declared; an upstream whose settings mean the same is the one from before, and one whose settings
    /// have changed is its successor.
    pub(super) fn declare(
        config: &Config,
        previous: Option<&Snapshot>,
        environment: &Environment,
        out: &Diagnostics,
    ) -> Upstreams {
        let kept = previous.into_iter().flat_map(|snapshot| &snapshot.upstreams);
        let kept =
            kept.map(|upstream| (Arc::clone(&upstream.settings().name), Arc::clone(upstream))).collect();
        let mut upstreams = Upstreams {
            list: Vec::new(),
            written: Vec::new(),
            by_name: HashMap::default(),
            by_url: HashMap::default(),
            kept,
            cores: environment.cores,
            metrics: Arc::clone(&environment.metrics),
            network: environment.network.clone(),
            system: SystemRoots::default(),
        };
        for upstream in &config.upstreams {
            let name = Arc::clone(&upstream.name.value);
            let judged = (rules(&upstream.settings, out), Some(upstream.span()));
            let number = upstreams.add(Arc::clone(&name), &upstream.settings, judged, out);
            upstreams.by_name.insert(name, number);
        }
        upstreams
    }

    fn add(
        &mut self,
        name: Name,
        written: &UpstreamSettings,
        (rules, span): (Rules, Option<Span>),
        out: &Diagnostics,
    ) -> u32 {
        let response = written.timeouts.response;
        let first = written.endpoints.urls().next();
        let settings = Settings {
            name: Arc::clone(&name),
            host: first.map_or_else(|| name.to_string(), |url| url.host.bare()),
            authority: first.map_or_else(|| name.to_string(), Url::authority),
            base_path: first.map_or_else(String::new, |url| url.base.to_string()),
            timeouts: Timeouts {
                connect: written.timeouts.connect,
                response: response.unwrap_or(crate::config::Timeouts::RESPONSE),
                idle: written.timeouts.idle,
                tunnel_idle: written.timeouts.tunnel_idle.unwrap_or(written.timeouts.idle),
                tunnel: written.timeouts.tunnel,
            },
            written: written.clone(),
        };
        let upstream = match self.kept.get(&name) {
            Some(kept) if *kept.settings() == settings => Arc::clone(kept),
            kept => {
                let metrics = self.metrics.upstream(&name);
                let tls =
                    upstream_tls::client(&name, written, span, kept.map(|kept| &**kept), &self.system, out);
                Arc::new(match kept {
                    Some(kept) => kept.successor(settings, rules, self.cores, metrics, tls),
                    None => Upstream::new(settings, rules, self.cores, metrics, (self.network.clone(), tls)),
                })
            }
        };
        self.list.push(upstream);
        self.written.push(response.is_some());
        (self.list.len() - 1) as u32
    }

    /// The upstream that a route or a source names; a dangling name was reported before.
    pub(super) fn called(&mut self, target: &Target, out: &Diagnostics) -> Option<Called> {
        let number = match target {
            Target::Named(name) => *self.by_name.get(name.as_str())?,
            Target::Url(url) => {
                let name: Name = url.to_string().into();
                match self.by_url.get(&name) {
                    Some(number) => *number,
                    None => {
                        let number = self.add(
                            Arc::clone(&name),
                            &UpstreamSettings::anonymous(url.clone()),
                            (Rules::default(), None),
                            out,
                        );
                        self.by_url.insert(name, number);
                        number
                    }
                }
            }
        };
        let upstream = Arc::clone(&self.list[number as usize]);
        Some(Called { number, upstream, response_is_written: self.written[number as usize] })
    }

    pub(super) fn into_list(self) -> Vec<Arc<Upstream>> {
        self.list
    }
}

/// The expressions of an upstream, which is called for any route: they may not name what only some patterns have.
fn rules(written: &UpstreamSettings, out: &Diagnostics) -> Rules {
    let scope = Scope { identity: true, ..Scope::default() };
    let compiled = |text: &Text| load::expression(text, &scope, out).map(Arc::new);
    Rules {
        hash_by: match &written.balance {
            Balance::ConsistentHash(key) => compiled(key),
            _ => None,
        },
        unsafe_: written.retry.unsafe_.as_ref().and_then(compiled),
    }
}
