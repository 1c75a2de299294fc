//! One world: a gateway without sockets, its services and its clients, in made-up time.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use portcullis::config::load_text;
use portcullis::exchange::CoreId;
use portcullis::listener::accept::Door;
use portcullis::listener::connections::ConnectionCounts;
use portcullis::listener::handoff::Handoff;
use portcullis::net::{Network as Reachable, Stream};
use portcullis::pipeline::Core;
use portcullis::runtime::{clock, task};
use portcullis::snapshot::compile::{Environment, compile, vocabulary};
use portcullis::snapshot::{Live, Snapshot, Watcher};
use portcullis::telemetry::log::Level;
use portcullis::telemetry::{CoreLog, Format, OperatorLog};
use portcullis::upstream::Tools;
use portcullis::upstream::background::discovery::Resolver;
use tokio::runtime::{Builder, Handle};

use crate::client::Caller;
use crate::client_http2;
use crate::config::config;
use crate::network::{Network, Reached};
use crate::plan::{Change, Client, Plan, Reads, Request, Route, Scenario};
use crate::seen::{Log, Seen};
use crate::service::Services;
use crate::time::{pass, pass_until};

/// From when on services that fail do what they should.
pub(crate) const WELL_FROM: Duration = Duration::from_secs(20);

/// When it is asked whether all is well again.
const PROBED: Duration = Duration::from_secs(60);

/// By then every answer that nobody reads has been cut off.
const UNREAD: std::ops::Range<Duration> = Duration::from_secs(13)..PROBED;

/// After this nothing is under way any more.
const QUIET: Duration = Duration::from_secs(140);

/// The numbers of the requests that ask whether all is well again.
pub(crate) const PROBES: std::ops::Range<u64> = 1_000_000..1_000_004;

const CLIENT: &str = "192.0.2.7:4000";

/// The operator's log of all worlds: nobody reads it.
fn operator_log() -> Arc<OperatorLog> {
    static LOG: OnceLock<Arc<OperatorLog>> = OnceLock::new();
    let start = || OperatorLog::start(false, Level::Error, |_| {}).expect("a thread for the log");
    Arc::clone(LOG.get_or_init(start))
}

/// A gateway on one core.
struct Gateway {
    scenario: Scenario,
    environment: Environment,
    tools: Tools,
    live: Arc<Live>,
    door: Rc<Door>,
    core: Rc<Core>,
    connections: Arc<ConnectionCounts>,
    log: Log,
}

fn compiled(
    scenario: Scenario,
    changes: &[Change],
    environment: &Environment,
    before: Option<&Snapshot>,
) -> Snapshot {
    let text = config(scenario, changes);
    let loaded = load_text(Path::new("portcullis.yaml"), &text, &|_| None, vocabulary());
    let config =
        Arc::new(loaded.config.unwrap_or_else(|| panic!("{text}\n{}", loaded.diagnostics.to_json())));
    let snapshot = compile(&config, before, environment, &loaded.diagnostics);
    snapshot.unwrap_or_else(|| panic!("{text}\n{}", loaded.diagnostics.to_json()))
}

impl Gateway {
    fn start(scenario: Scenario, network: &Arc<Network>, log: &Log) -> Rc<Gateway> {
        let operator = operator_log();
        let tools = Tools {
            runtime: Handle::current(),
            resolver: Resolver::memory(Arc::clone(network) as _),
            log: Arc::clone(&operator),
        };
        let environment = Environment {
            network: Reachable::memory(Arc::clone(network) as _),
            tools: Some(tools.clone()),
            ..Environment::new(1)
        };
        let snapshot = compiled(scenario, &[], &environment, None);
        snapshot.start_upstreams(None, &tools);
        let live = Arc::new(Live::new(Arc::new(snapshot)));
        let lines = log.clone();
        let line = move |bytes: &[u8]| match serde_json::from_slice(bytes) {
            Ok(line) => lines.with(|seen| seen.lines.push(line)),
            Err(error) => lines.fault(format!("a line of the log is no JSON: {error}")),
        };
        let access = CoreLog::to_function(Format::Json, line);
        let core = Rc::new(Core::new(CoreId(0), Some(access), Arc::clone(&environment.metrics)));
        let connections = ConnectionCounts::new(1000);
        let (handoff, _) = Handoff::new(1);
        let door = Rc::new(Door {
            listener: 0,
            name: "public".into(),
            core: Rc::clone(&core),
            watcher: Rc::new(Watcher::new(Arc::clone(&live), "public")),
            handoff,
            metrics: environment.metrics.listener("public"),
            connections: Arc::clone(&connections),
            log: operator,
        });
        Rc::new(Gateway { scenario, environment, tools, live, door, core, connections, log: log.clone() })
    }

    /// Puts a new configuration in force.
    fn reload(&self, changes: &[Change]) {
        let before = self.live.get();
        let states = |snapshot: &Snapshot| -> Vec<_> {
            let now = clock::now();
            let state = |one: &Arc<portcullis::upstream::Upstream>| one.breaker().state(now);
            snapshot.upstreams.iter().map(state).collect()
        };
        let was = states(&before);
        let snapshot = compiled(self.scenario, changes, &self.environment, Some(&before));
        snapshot.start_upstreams(Some(&before), &self.tools);
        if changes.last() == Some(&Change::Nothing) {
            for (old, new) in before.upstreams.iter().zip(&snapshot.upstreams) {
                if !Arc::ptr_eq(old, new) {
                    let name = &new.settings().name;
                    self.log.fault(format!("a reload that changes nothing made upstream {name} anew"));
                }
            }
        }
        if was != states(&snapshot) {
            self.log.fault("a reload changed the state of a breaker".to_owned());
        }
        self.live.swap(Arc::new(snapshot));
    }

    /// What must hold at every moment.
    fn look(&self, at: Duration) {
        let snapshot = self.live.get();
        let now = clock::now();
        for upstream in &snapshot.upstreams {
            let name = &upstream.settings().name;
            upstream.sweep(self.core.id, now);
            if self.scenario == Scenario::Unread && UNREAD.contains(&at) && upstream.gate().active() > 0 {
                self.log.fault(format!("calls of {name} are held by answers that nobody reads"));
            }
            if self.scenario == Scenario::Faulty {
                continue;
            }
            if upstream.breaker().opened() > 0 {
                self.log.fault(format!("the breaker of {name} opened, for nothing that a service did"));
            }
            for endpoint in upstream.set().endpoints() {
                let refuses =
                    self.scenario == Scenario::Refusing && endpoint.address().to_string() == "10.0.0.1:80";
                if endpoint.is_ejected(now) && !refuses {
                    self.log.fault(format!("{} of {name} is ejected", endpoint.address()));
                }
            }
        }
        self.door.watcher.refresh();
    }

    /// What must hold when nothing is under way any more.
    fn rest(&self, network: &Network) {
        let mut zero = vec![
            ("connections of the core", self.core.open() as u64),
            ("connections of the process", self.connections.open()),
        ];
        // Health checks go on for ever.
        if self.scenario != Scenario::Hedged {
            zero.push(("ends of connections", network.open() as u64));
        }
        for upstream in &self.live.get().upstreams {
            zero.push(("calls under way", u64::from(upstream.gate().active())));
            zero.push(("calls that wait", u64::from(upstream.gate().waiting())));
            for endpoint in upstream.set().endpoints() {
                zero.push(("calls of an endpoint", u64::from(endpoint.active())));
            }
            if self.scenario == Scenario::Queue
                && &*upstream.settings().name == "a"
                && upstream.gate().limit() < 15
            {
                let limit = upstream.gate().limit();
                self.log
                    .fault(format!("the adaptive limit fell to {limit} though every answer took as long"));
            }
        }
        for (what, count) in zero {
            if count != 0 {
                self.log.fault(format!("{count} {what} are left when all is quiet"));
            }
        }
    }
}

/// Runs a world to its end.
pub(crate) fn run(plan: &Plan) -> Seen {
    fastrand::seed(plan.seed);
    let log = Log::default();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build_local(Default::default())
        .expect("a runtime");
    let shared = log.clone();
    let plan = plan.clone();
    runtime.block_on(async move {
        let world = task::spawn_local(world(plan, shared.clone()));
        if world.await.is_err() {
            shared.fault("the world panicked".to_owned());
        }
    });
    drop(runtime);
    log.with(std::mem::take)
}

async fn world(plan: Plan, log: Log) {
    let began = clock::now();
    clock::set_calendar(Duration::from_secs(1_800_000_000));
    let network = Network::new(plan.seed, plan.scenario == Scenario::Unread);
    task::spawn_local(Arc::clone(&network).run());
    services(&plan, &network, &log, began);
    let gateway = Gateway::start(plan.scenario, &network, &log);
    names(&plan, &network);
    let looking = Rc::clone(&gateway);
    let looks = task::spawn_local(async move {
        loop {
            pass(Duration::from_millis(250)).await;
            looking.look(clock::since(began));
        }
    });
    // The endpoints are known, and their health too.
    pass(Duration::from_millis(800)).await;
    reloads(&plan, &gateway, began);
    let caller = Rc::new(Caller { log: log.clone(), began });
    for client in plan.clients.clone() {
        call(&gateway, &network, &caller, client);
    }
    pass_until(began + PROBED).await;
    for (index, token) in PROBES.enumerate() {
        let route = if index % 2 == 0 { Route::A } else { Route::B };
        let request = Request { token, route, body: None, reads: Reads::AtOnce, leaves: None, pause: 0 };
        let at = index as u64 * 1000;
        call(
            &gateway,
            &network,
            &caller,
            Client { at, http2: index > 1, requests: vec![request], resets: false },
        );
    }
    pass_until(began + QUIET).await;
    looks.abort();
    let _ = looks.await;
    gateway.rest(&network);
}

/// A client begins, in its time.
fn call(gateway: &Rc<Gateway>, network: &Arc<Network>, caller: &Rc<Caller>, plan: Client) {
    let (gateway, network, caller) = (Rc::clone(gateway), Arc::clone(network), Rc::clone(caller));
    task::spawn_local(async move {
        pass(Duration::from_millis(plan.at)).await;
        let (mine, other) = network.connection();
        let peer: SocketAddr = CLIENT.parse().expect("an address");
        gateway.door.place(Stream::memory(other), peer);
        if plan.http2 {
            client_http2::serve(&caller, &plan, mine).await;
        } else {
            caller.serve(&plan, mine).await;
        }
    });
}

fn reloads(plan: &Plan, gateway: &Rc<Gateway>, began: Instant) {
    let mut planned = plan.reloads.clone();
    planned.sort_by_key(|reload| reload.at);
    let gateway = Rc::clone(gateway);
    task::spawn_local(async move {
        let mut changes = Vec::new();
        for reload in planned {
            pass_until(began + Duration::from_millis(reload.at + 800)).await;
            changes.push(reload.change);
            gateway.log.note(clock::since(began), &format!("reload: {:?}", reload.change));
            gateway.reload(&changes);
        }
    });
}

fn services(plan: &Plan, network: &Arc<Network>, log: &Log, began: Instant) {
    let services = Rc::new(Services {
        seed: plan.seed,
        scenario: plan.scenario,
        log: log.clone(),
        began,
        well_from: WELL_FROM,
    });
    for address in ["10.0.0.1:80", "10.0.0.2:80", "10.0.1.1:80", "10.0.2.1:80", "10.0.2.2:80"] {
        let at: SocketAddr = address.parse().expect("an address");
        let scenario = plan.scenario;
        let well = began + WELL_FROM;
        let accepted = network.listen(at, move |rng| {
            let quick = Reached::Accepted(Duration::from_millis(rng.u64(0..4)));
            match scenario {
                Scenario::Refusing if address == "10.0.0.1:80" => {
                    Reached::Refused(Duration::from_millis(rng.u64(0..5)))
                }
                Scenario::SlowConnect => Reached::Accepted(Duration::from_millis(rng.u64(250..450))),
                Scenario::Faulty if clock::read() < well => match rng.u8(0..12) {
                    0 => Reached::Refused(Duration::from_millis(rng.u64(0..20))),
                    1 => Reached::Silent,
                    2 => Reached::Accepted(Duration::from_millis(rng.u64(100..700))),
                    _ => quick,
                },
                _ => quick,
            }
        });
        services.serve(at, accepted);
    }
}

/// The addresses of names change, and the name server fails now and then.
fn names(plan: &Plan, network: &Arc<Network>) {
    let ip = |text: &str| -> IpAddr { text.parse().expect("an address") };
    let all = [ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.2.1"), ip("10.0.2.2")];
    network.name("a.sim", Some(all[..2].to_vec()));
    if plan.scenario != Scenario::Moving {
        return;
    }
    let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0xadd);
    let network = Arc::clone(network);
    task::spawn_local(async move {
        for _ in 0..6 {
            pass(Duration::from_millis(rng.u64(500..2500))).await;
            let answer = if rng.bool() { None } else { Some(all[rng.usize(0..3)..].to_vec()) };
            network.name("a.sim", answer);
        }
        network.name("a.sim", Some(all.to_vec()));
    });
}
