//! Questions to the name servers of this machine: the addresses of a host, the targets of a service.
//!
//! Nothing is kept here but the connections: whoever asks decides when to ask again, from the lifetime that comes with
//! an answer. `/etc/resolv.conf` and `/etc/hosts` are read again when they change.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, TokioResolver};

use crate::runtime::{task, time};

use super::names::Names;

/// How long one server may take for one answer, at most; the system's own setting may ask for less.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long one question may take with every server and every repetition.
const WHOLE: Duration = Duration::from_secs(8);
/// How long the addresses of one family wait for those of the other.
const GRACE: Duration = Duration::from_secs(1);
/// How long the answers of a network in memory hold.
const MEMORY_TTL: Duration = Duration::from_secs(1);
/// The most targets of a service that are looked at.
const MAX_TARGETS: usize = 256;

/// An answer without records that a server stands by, or no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Failed {
    /// The name does not exist or has no such records; how long that holds, if it was said (RFC 2308).
    Absent { ttl: Option<Duration> },
    /// Nothing could be learned.
    Broken(String),
}

/// What was learned, and for how long it holds.
pub(super) type Answer<T> = Result<(Vec<T>, Duration), Failed>;

/// The addresses of a host by family: what one family failed with says nothing of the other.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) v4: Answer<Ipv4Addr>,
    pub(super) v6: Answer<Ipv6Addr>,
}

/// A target of a service (RFC 2782).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) weight: u16,
    pub(super) priority: u16,
}

/// Asks name servers. Cheap to clone; all of its questions must be asked on one runtime.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    source: Source,
    current: Mutex<Arc<Current>>,
}

/// Where the settings of a resolver come from.
enum Source {
    Files { resolv_conf: PathBuf, hosts: PathBuf },
    Fixed,
    Memory(Arc<dyn Names>),
}

/// The settings in force.
struct Current {
    /// Who asks the name servers, or why nobody can.
    dns: Result<TokioResolver, String>,
    hosts: Hosts,
    search: Vec<Name>,
    ndots: usize,
    read: Looks,
}

/// How the two files looked when they were read.
type Looks = [Option<(SystemTime, u64)>; 2];

impl Resolver {
    /// The resolver of this machine: the name servers of `/etc/resolv.conf`, or one on this machine where it names
    /// none, after the names of `/etc/hosts`. Those are known also where no name server can be asked
    /// ([`Resolver::fault`]).
    pub fn system() -> Resolver {
        Resolver::from_files(Path::new("/etc/resolv.conf"), Path::new("/etc/hosts"))
    }

    /// A resolver with settings from other files of the same kinds.
    pub fn from_files(resolv_conf: &Path, hosts: &Path) -> Resolver {
        let current = read(resolv_conf, hosts);
        let source = Source::Files { resolv_conf: resolv_conf.to_owned(), hosts: hosts.to_owned() };
        Resolver::with(source, current)
    }

    /// A resolver that knows one name server and no file.
    pub fn with_nameserver(server: SocketAddr) -> Resolver {
        let config = ResolverConfig::from_name_servers(vec![name_server(server)]);
        let current = build(config, ResolverOpts::default(), Hosts::default(), Looks::default());
        Resolver::with(Source::Fixed, current)
    }

    /// A resolver that asks nobody but this.
    pub fn memory(names: Arc<dyn Names>) -> Resolver {
        let none = Err("names are looked up in memory".to_owned());
        let current = Current {
            dns: none,
            hosts: Hosts::default(),
            search: Vec::new(),
            ndots: 1,
            read: Looks::default(),
        };
        Resolver::with(Source::Memory(names), current)
    }

    /// Why no name server can be asked, in words for the operator.
    pub fn fault(&self) -> Option<String> {
        let current = self.shared.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.dns.as_ref().err().cloned()
    }

    fn with(source: Source, current: Current) -> Resolver {
        Resolver { shared: Arc::new(Shared { source, current: Mutex::new(Arc::new(current)) }) }
    }

    /// The addresses of a host. The search domains of the system hold for names without dots, as everywhere on it.
    pub(super) async fn addresses(&self, host: &str) -> Addresses {
        if let Source::Memory(names) = &self.shared.source {
            return by_family(names.addresses(host).await);
        }
        let current = self.current().await;
        let Ok(name) = Name::from_utf8(host) else {
            let why = Failed::Broken("not a name".to_owned());
            return Addresses { v4: Err(why.clone()), v6: Err(why) };
        };
        // Before the search domains: what is known on this machine must not wait for a name server.
        if let Some(found) = current.without_asking(&name) {
            return found;
        }
        let mut absent = None;
        for name in current.candidates(name) {
            let found = current.both(&name).await;
            let is_absent = |failed: &Failed| matches!(failed, Failed::Absent { .. });
            // Only a name that surely is not there makes room for the next: another service may bear that one.
            match (&found.v4, &found.v6) {
                (Err(v4), Err(v6)) if is_absent(v4) && is_absent(v6) => absent = absent.or(Some(found)),
                _ => return found,
            }
        }
        let none = Failed::Absent { ttl: None };
        absent.unwrap_or(Addresses { v4: Err(none.clone()), v6: Err(none) })
    }

    /// The targets of a service name such as `_http._tcp.users.internal`; none where it says that it has none.
    pub(super) async fn targets(&self, service: &str) -> Answer<Target> {
        let current = self.current().await;
        let name = Name::from_utf8(service).map_err(|_| Failed::Broken("not a name".to_owned()))?;
        let mut absent = Failed::Absent { ttl: None };
        for name in current.candidates(name) {
            let target = |data: &RData| match data {
                RData::SRV(srv) => Some(Target {
                    host: srv.target.to_utf8(),
                    port: srv.port,
                    weight: srv.weight,
                    priority: srv.priority,
                }),
                _ => None,
            };
            match current.ask(&name, RecordType::SRV, target).await {
                Err(failed @ Failed::Absent { .. }) => absent = failed,
                Err(failed) => return Err(failed),
                Ok((mut targets, ttl)) => {
                    // A dot alone says that the service is not offered there (RFC 2782): no targets are an answer.
                    targets.retain(|target| target.host != "." && target.port != 0);
                    targets.sort_by_key(|target| target.priority);
                    targets.truncate(MAX_TARGETS);
                    return Ok((targets, ttl));
                }
            }
        }
        Err(absent)
    }

    /// The settings in force, read again where the files have changed.
    async fn current(&self) -> Arc<Current> {
        if let Source::Files { .. } = self.shared.source {
            let shared = Arc::clone(&self.shared);
            // Only a runtime that is shutting down takes no more such work.
            let _ = task::spawn_blocking(move || shared.refresh()).await;
        }
        Arc::clone(&self.shared.current.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    fn refresh(&self) {
        let Source::Files { resolv_conf, hosts } = &self.source else { return };
        let read_last = self.current.lock().unwrap_or_else(PoisonError::into_inner).read;
        if looks(resolv_conf, hosts) != read_last {
            let current = Arc::new(read(resolv_conf, hosts));
            *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
        }
    }
}

impl Current {
    /// The full names that a written one may mean, in order (resolv.conf(5), `ndots` and `search`).
    fn candidates(&self, mut name: Name) -> Vec<Name> {
        if name.is_fqdn() {
            return vec![name];
        }
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let within = self.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok());
        let mut names: Vec<Name> = within.collect();
        name.set_fqdn(true);
        let at = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(at, name);
        names
    }

    /// What is known of a name on this machine: what the file of hosts says, and that `localhost` is this machine and
    /// `invalid` is nowhere (RFC 6761).
    fn without_asking(&self, name: &Name) -> Option<Addresses> {
        let mut full = name.clone();
        full.set_fqdn(true);
        if let Some(found) = self.local(&full) {
            return Some(found);
        }
        let none = || Failed::Absent { ttl: None };
        let last = full.iter().next_back().map(<[u8]>::to_ascii_lowercase)?;
        match last.as_slice() {
            b"localhost" => Some(Addresses {
                v4: Ok((vec![Ipv4Addr::LOCALHOST], Duration::MAX)),
                v6: Ok((vec![Ipv6Addr::LOCALHOST], Duration::MAX)),
            }),
            b"invalid" => Some(Addresses { v4: Err(none()), v6: Err(none()) }),
            _ => None,
        }
    }

    /// What the file of hosts says of a name. It is asked of nobody else then, whichever family it has here.
    fn local(&self, name: &Name) -> Option<Addresses> {
        let find = |kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let (local_v4, local_v6) = (find(RecordType::A), find(RecordType::AAAA));
        if local_v4.is_none() && local_v6.is_none() {
            return None;
        }
        let none = Failed::Absent { ttl: None };
        let v4 = local_v4.map_or(Err(none.clone()), |found| gather(found.answers(), v4));
        let v6 = local_v6.map_or(Err(none), |found| gather(found.answers(), v6));
        Some(Addresses { v4, v6 })
    }

    async fn both(&self, name: &Name) -> Addresses {
        if let Some(found) = self.local(name) {
            return found;
        }
        let mut ask_v4 = pin!(self.ask(name, RecordType::A, v4));
        let mut ask_v6 = pin!(self.ask(name, RecordType::AAAA, v6));
        tokio::select! {
            v4 = &mut ask_v4 => Addresses { v6: rest(v4.is_ok(), ask_v6).await, v4 },
            v6 = &mut ask_v6 => Addresses { v4: rest(v6.is_ok(), ask_v4).await, v6 },
        }
    }

    async fn ask<T>(&self, name: &Name, kind: RecordType, read: impl Fn(&RData) -> Option<T>) -> Answer<T> {
        let dns = self.dns.as_ref().map_err(|why| Failed::Broken(why.clone()))?;
        match time::timeout(WHOLE, dns.lookup(name.clone(), kind)).await {
            Ok(Ok(lookup)) => gather(lookup.answers(), read),
            Ok(Err(error)) => Err(failed(&error)),
            Err(_) => Err(Failed::Broken("no answer in time".to_owned())),
        }
    }
}

/// The answer of a network in memory, by family.
fn by_family(answer: Option<Vec<IpAddr>>) -> Addresses {
    let Some(found) = answer else {
        let why = Failed::Broken("the name server failed".to_owned());
        return Addresses { v4: Err(why.clone()), v6: Err(why) };
    };
    let v4: Vec<Ipv4Addr> =
        found.iter().filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None }).collect();
    let v6: Vec<Ipv6Addr> =
        found.iter().filter_map(|ip| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None }).collect();
    let absent = || Failed::Absent { ttl: Some(MEMORY_TTL) };
    Addresses {
        v4: if v4.is_empty() { Err(absent()) } else { Ok((v4, MEMORY_TTL)) },
        v6: if v6.is_empty() { Err(absent()) } else { Ok((v6, MEMORY_TTL)) },
    }
}

fn v4(data: &RData) -> Option<Ipv4Addr> {
    if let RData::A(a) = data { Some(a.0) } else { None }
}

fn v6(data: &RData) -> Option<Ipv6Addr> {
    if let RData::AAAA(aaaa) = data { Some(aaaa.0) } else { None }
}

/// The other family's answer, for which a found one does not wait long (RFC 8305 section 3).
async fn rest<T>(found: bool, ask: impl Future<Output = Answer<T>>) -> Answer<T> {
    if !found {
        return ask.await;
    }
    let late = |_| Err(Failed::Broken("no answer in time".to_owned()));
    time::timeout(GRACE, ask).await.unwrap_or_else(late)
}

/// The records that were asked for; they hold as long as the shortest lived of them or of the aliases to them.
fn gather<T>(records: &[Record], read: impl Fn(&RData) -> Option<T>) -> Answer<T> {
    let ttl = records.iter().map(|record| record.ttl).min().unwrap_or(0);
    let ttl = Duration::from_secs(u64::from(ttl));
    let found: Vec<T> = records.iter().filter_map(|record| read(&record.data)).collect();
    if found.is_empty() { Err(Failed::Absent { ttl: Some(ttl) }) } else { Ok((found, ttl)) }
}

fn failed(error: &NetError) -> Failed {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
        {
            Failed::Absent { ttl: none.negative_ttl.map(|ttl| Duration::from_secs(u64::from(ttl))) }
        }
        NetError::Dns(DnsError::NoRecordsFound(none)) => Failed::Broken(said(none.response_code)),
        NetError::Dns(DnsError::ResponseCode(code)) => Failed::Broken(said(*code)),
        NetError::Timeout => Failed::Broken("no answer in time".to_owned()),
        NetError::NoConnections => Failed::Broken("no name server can be reached".to_owned()),
        other => Failed::Broken(other.to_string()),
    }
}

fn said(code: ResponseCode) -> String {
    let code = match code {
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::NotImp => "NOTIMP",
        other => return format!("the name server answered with error {}", u16::from(other)),
    };
    format!("the name server answered {code}")
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp(address.ip());
    server.connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].into();
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

fn looks(resolv_conf: &Path, hosts: &Path) -> Looks {
    [resolv_conf, hosts].map(|path| {
        let facts = std::fs::metadata(path).ok()?;
        Some((facts.modified().ok()?, facts.len()))
    })
}

fn read(resolv_conf: &Path, hosts: &Path) -> Current {
    // Before the reading: what changes meanwhile is then read once more.
    let read = looks(resolv_conf, hosts);
    let settings = std::fs::read(resolv_conf).unwrap_or_default();
    let (config, options) = match parse_resolv_conf(&settings) {
        Ok(parsed) => parsed,
        // Without a name server there, one on this machine is asked (resolv.conf(5)).
        Err(_) => {
            let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);
            (ResolverConfig::from_name_servers(vec![name_server(local)]), ResolverOpts::default())
        }
    };
    let mut names = Hosts::default();
    if let Ok(file) = std::fs::File::open(hosts) {
        // A line that cannot be read ends the reading; what stands before it holds.
        let _ = names.read_hosts_conf(file);
    }
    build(config, options, names, read)
}

fn build(config: ResolverConfig, mut options: ResolverOpts, hosts: Hosts, read: Looks) -> Current {
    let (domain, search, servers) = config.into_parts();
    let search = if search.is_empty() { domain.into_iter().collect() } else { search };
    let ndots = options.ndots;
    options.timeout = options.timeout.min(TIMEOUT);
    // Who asks keeps the answers: a second store would only hide that a name has moved.
    options.cache_size = 0;
    // In their order, one after the other, as the system's own resolver asks them: the first may know names that the
    // others deny.
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options.num_concurrent_reqs = 1;
    options.use_hosts_file = ResolveHosts::Never;
    let config = ResolverConfig::from_name_servers(servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    let dns = builder.build().map_err(|error| format!("the name resolver cannot be set up: {error}"));
    Current { dns, hosts, search, ndots, read }
}

#[cfg(test)]
mod tests;
