//! Every upstream once: declared ones by name, those written in place by their URL.

use std::collections::HashMap;
use std::sync::Arc;

use crate::action::Called;
use crate::config::{Config, Host, Target, UpstreamSettings};
use crate::exchange::Name;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;
use crate::upstream::{Settings, Timeouts, Upstream};

use super::Environment;

/// The upstreams of one snapshot.
pub(super) struct Upstreams {
    list: Vec<Arc<Upstream>>,
    written: Vec<bool>,
    by_name: HashMap<Name, u32>,
    by_url: HashMap<Name, u32>,
    kept: HashMap<Name, Arc<Upstream>>,
    cores: usize,
    metrics: Arc<Metrics>,
}

impl Upstreams {
    /// Takes in what is declared; an upstream whose settings are unchanged is the one from before.
    pub(super) fn declare(
        config: &Config,
        previous: Option<&Snapshot>,
        environment: &Environment,
    ) -> Upstreams {
        let kept = previous.into_iter().flat_map(|snapshot| &snapshot.upstreams);
        let kept =
            kept.map(|upstream| (Arc::clone(&upstream.settings().name), Arc::clone(upstream))).collect();
        let mut upstreams = Upstreams {
            list: Vec::new(),
            written: Vec::new(),
            by_name: HashMap::new(),
            by_url: HashMap::new(),
            kept,
            cores: environment.cores,
            metrics: Arc::clone(&environment.metrics),
        };
        for upstream in &config.upstreams {
            let name = Arc::clone(&upstream.name.value);
            let number = upstreams.add(Arc::clone(&name), &upstream.settings);
            upstreams.by_name.insert(name, number);
        }
        upstreams
    }

    fn add(&mut self, name: Name, written: &UpstreamSettings) -> u32 {
        let response = written.timeouts.response;
        let settings = Settings {
            name: Arc::clone(&name),
            host: match &written.url.host {
                Host::Name(name) => name.to_string(),
                Host::Ip(ip) => ip.to_string(),
            },
            port: written.url.port,
            authority: written.url.authority(),
            base_path: written.url.base.to_string(),
            timeouts: Timeouts {
                connect: written.timeouts.connect,
                response: response.unwrap_or(crate::config::Timeouts::RESPONSE),
                idle: written.timeouts.idle,
            },
        };
        let upstream = match self.kept.get(&name) {
            Some(kept) if *kept.settings() == settings => Arc::clone(kept),
            _ => Arc::new(Upstream::new(settings, self.cores, self.metrics.upstream(&name))),
        };
        self.list.push(upstream);
        self.written.push(response.is_some());
        (self.list.len() - 1) as u32
    }

    /// The upstream that a route or a source names; a dangling name was reported before.
    pub(super) fn called(&mut self, target: &Target) -> Option<Called> {
        let number = match target {
            Target::Named(name) => *self.by_name.get(name.as_str())?,
            Target::Url(url) => {
                let name: Name = url.to_string().into();
                match self.by_url.get(&name) {
                    Some(number) => *number,
                    None => {
                        let number = self.add(Arc::clone(&name), &UpstreamSettings::anonymous(url.clone()));
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
