//! One source of endpoints: a name, a service or a file, followed from the first upstream that names it to the last.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::config::{Discover, Endpoints, Host, UpstreamSettings};
use crate::runtime::task;

use super::discovery::dns::{self, Following};
use super::discovery::{Found, Pace, Sink, file};
use super::tools::Tools;

/// What is followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::upstream) enum SourceKey {
    /// The addresses of a name, all at one port.
    Name(Arc<str>, u16),
    /// SRV records.
    Service(String),
    /// A list in a file, whose URLs are `https://` or `http://`.
    File(PathBuf, bool),
}

/// A source and what it has given last.
pub(in crate::upstream) struct EndpointSource {
    key: SourceKey,
    absent_after: Duration,
    latest: Mutex<Latest>,
    /// The upstream that takes what is found.
    owner: Mutex<Owner>,
    following: Following,
}

/// Is called after each answer, with the reason where nothing was learned; [`EndpointSource::latest`] has the rest.
pub(in crate::upstream) type Owner = Arc<dyn Fn(Option<&str>) + Send + Sync>;

/// What a source has given last.
#[derive(Clone, Default)]
pub(in crate::upstream) struct Latest {
    /// The endpoints, once there were any or it was said that there are none.
    pub(in crate::upstream) found: Option<Vec<Found>>,
    /// Whether the first answer has come. A name server that fails gives none; a file that cannot be read does.
    pub(in crate::upstream) settled: bool,
}

impl SourceKey {
    /// What the settings of an upstream name, each at the place of the endpoint as it is written; none for an address.
    pub(in crate::upstream) fn all(settings: &UpstreamSettings) -> Vec<Option<SourceKey>> {
        match &settings.endpoints {
            Endpoints::Fixed(list) => list
                .iter()
                .map(|endpoint| match &endpoint.url.host {
                    Host::Name(name) => Some(SourceKey::Name(Arc::clone(name), endpoint.url.port)),
                    Host::Ip(_) => None,
                })
                .collect(),
            Endpoints::Discovered(Discover::DnsSrv(name)) => vec![Some(SourceKey::Service(name.clone()))],
            Endpoints::Discovered(Discover::File(path)) => {
                vec![Some(SourceKey::File(path.clone(), settings.tls.is_some()))]
            }
        }
    }
}

impl EndpointSource {
    /// The source for an upstream: one of `before` where it is the same, else a new one, which goes on with what one
    /// of `before` has given where that differs in its time alone.
    pub(in crate::upstream) fn follow(
        key: SourceKey,
        absent_after: Duration,
        before: &[Option<Arc<EndpointSource>>],
        owner: &Owner,
        tools: &Tools,
    ) -> Arc<EndpointSource> {
        let before = before.iter().flatten().find(|source| source.key == key);
        if let Some(same) = before.filter(|source| source.absent_after == absent_after) {
            *same.owner.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(owner);
            return Arc::clone(same);
        }
        let latest = before.map(|source| source.latest()).unwrap_or_default();
        let carries = latest.found.as_ref().is_some_and(|found| !found.is_empty());
        let pace = Pace { absent_after, carries, ..Pace::default() };
        Arc::new_cyclic(|source| EndpointSource {
            following: start(&key, pace, sink(source.clone()), tools),
            key,
            absent_after,
            latest: Mutex::new(latest),
            owner: Mutex::new(Arc::clone(owner)),
        })
    }

    /// What it has given last.
    pub(in crate::upstream) fn latest(&self) -> Latest {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks earlier than its records say; not more often than a second, however often this is called.
    pub(in crate::upstream) fn ask_again(&self) {
        self.following.ask_again();
    }
}

fn start(key: &SourceKey, pace: Pace, sink: Sink, tools: &Tools) -> Following {
    let resolver = tools.resolver.clone();
    match key {
        SourceKey::Name(name, port) => {
            let (work, following) = dns::host(resolver, name, *port, pace, sink);
            task::spawn_on(&tools.runtime, work);
            following
        }
        SourceKey::Service(name) => {
            let (work, following) = dns::service(resolver, name, pace, sink);
            task::spawn_on(&tools.runtime, work);
            following
        }
        SourceKey::File(path, tls) => {
            let (work, following) = file::file(resolver, (path, *tls), file::EVERY, pace, sink);
            task::spawn_on(&tools.runtime, work);
            following
        }
    }
}

/// Takes what is found and passes it on to the upstream that owns the source then.
fn sink(source: Weak<EndpointSource>) -> Sink {
    Arc::new(move |news| {
        let Some(source) = source.upgrade() else { return };
        let failure = {
            let mut latest = source.latest.lock().unwrap_or_else(PoisonError::into_inner);
            match news {
                Ok(found) => {
                    *latest = Latest { found: Some(found), settled: true };
                    None
                }
                Err(why) => {
                    latest.settled |= matches!(source.key, SourceKey::File(..));
                    Some(why)
                }
            }
        };
        let owner = Arc::clone(&source.owner.lock().unwrap_or_else(PoisonError::into_inner));
        owner(failure.as_deref());
    })
}
