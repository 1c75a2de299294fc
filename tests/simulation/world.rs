//! One world: a gateway without sockets, its services and its clients, in made-up time.

use std::cell::Cell;
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
use portcullis::listener::secure::Secure;
use portcullis::net::{Network as Reachable, Stream};
use portcullis::pipeline::Core;
use portcullis::runtime::{clock, task};
use portcullis::snapshot::compile::{Environment, compile, vocabulary};
use portcullis::snapshot::{Live, Snapshot, Watcher};
use portcullis::telemetry::log::Level;
use portcullis::telemetry::{CoreLog, Format, OperatorLog};
use portcullis::upstream::background::discovery::Resolver;
use portcullis::upstream::limits::breaker::{Admission, State};
use portcullis::upstream::{Tools, Upstream};
use tokio::runtime::{Builder, Handle};

use crate::client::Caller;
use crate::client_http2;
use crate::config::{PROBING, WAITING, config};
use crate::network::{Network, Pace, Reached};
use crate::plan::{Change, Client, Ends, Plan, Reads, Request, Route, Scenario};
use crate::seen::{Line, Log, Seen};
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

/// How long a drained process may need for what is under way: a call, an answer that is not read, a last request.
const DRAINED: Duration = Duration::from_secs(20);

/// How often idle connections are swept.
const SWEEP: Duration = Duration::from_secs(5);

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
    /// When idle connections were swept last.
    swept: Cell<Duration>,
}

/// What a reload of these worlds keeps: of each upstream the state of its breaker, how often that has opened, the calls
/// under way, those that wait, and how many may be under way.
fn states(snapshot: &Snapshot) -> Vec<(State, u64, u32, u32, u32)> {
    let now = clock::now();
    let state = |one: &Arc<Upstream>| {
        let (breaker, gate) = (one.breaker(), one.gate());
        (breaker.state(now), breaker.opened(), gate.active(), gate.waiting(), gate.limit())
    };
    snapshot.upstreams.iter().map(state).collect()
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
    fn start(scenario: Scenario, network: &Arc<Network>, log: &Log, began: Instant) -> Rc<Gateway> {
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
            Ok(value) => lines.with(|seen| seen.lines.push(Line { at: clock::since(began), value })),
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
            secure: Rc::new(Secure {
                name: "public".into(),
                handshakes: Arc::default(),
                metrics: environment.metrics.handshakes("public"),
                log: Arc::clone(&operator),
            }),
            log: operator,
        });
        let (log, swept) = (log.clone(), Cell::default());
        Rc::new(Gateway { scenario, environment, tools, live, door, core, connections, log, swept })
    }

    /// Puts a new configuration in force.
    fn reload(&self, changes: &[Change]) {
        let before = self.live.get();
        let was = states(&before);
        let snapshot = compiled(self.scenario, changes, &self.environment, Some(&before));
        snapshot.start_upstreams(Some(&before), &self.tools);
        for (old, new) in before.upstreams.iter().zip(&snapshot.upstreams) {
            let name = &new.settings().name;
            if changes.last() == Some(&Change::Nothing) && !Arc::ptr_eq(old, new) {
                self.log.fault(format!("a reload that changes nothing made upstream {name} anew"));
            }
            // None of these changes is one of the endpoints, or of the limits of their calls.
            let (old, new) = (old.set().endpoints(), new.set().endpoints());
            if old.len() != new.len()
                || !old.iter().all(|one| new.iter().any(|other| Arc::ptr_eq(one, other)))
            {
                self.log.fault(format!("a reload changed the endpoints of {name}"));
            }
        }
        let is = states(&snapshot);
        if was != is {
            self.log.fault(format!("a reload changed the state of upstreams from {was:?} to {is:?}"));
        }
        self.live.swap(Arc::new(snapshot));
    }

    /// Has the process take no further request.
    fn drain(&self) {
        self.door.core.drain();
    }

    /// What must hold at every moment.
    fn look(&self, at: Duration) {
        let snapshot = self.live.get();
        let now = clock::now();
        // Seldom, as a core does: what a service closes is to be dropped without it.
        let sweeps = at >= self.swept.get() + SWEEP;
        if sweeps {
            self.swept.set(at);
        }
        for upstream in &snapshot.upstreams {
            let name = &upstream.settings().name;
            if sweeps {
                upstream.sweep(self.core.id, now);
            }
            let (gate, breaker) = (upstream.gate(), upstream.breaker());
            if gate.waiting() > 0 && gate.active() < gate.limit() {
                self.log.fault(format!("a call of {name} waits though a place is free"));
            }
            if self.scenario == Scenario::Queued && gate.waiting() > WAITING {
                self.log.fault(format!("{} calls of {name} wait, at most {WAITING}", gate.waiting()));
            }
            if self.scenario != Scenario::Queue && gate.active() > gate.limit() {
                self.log.fault(format!(
                    "{} calls of {name} are under way, at most {}",
                    gate.active(),
                    gate.limit()
                ));
            }
            // Calls under way may have all places; without them a probe must pass.
            if breaker.state(now) == State::HalfOpen && gate.active() == 0 {
                let admit = || match breaker.admit(now) {
                    Admission::Pass(pass) => Some(pass),
                    Admission::Open { .. } => None,
                };
                // All at once, and given back: as if their clients left.
                let passes: Vec<_> = std::iter::from_fn(admit).take(10).collect();
                if !(1..=PROBING).contains(&passes.len()) {
                    let count = passes.len();
                    self.log.fault(format!("the breaker of {name} lets {count} probes through at once"));
                }
            }
            if self.scenario == Scenario::Unread && UNREAD.contains(&at) && upstream.gate().active() > 0 {
                self.log.fault(format!("calls of {name} are held by answers that nobody reads"));
            }
            if !self.scenario.is_well() {
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
    let pace = match plan.scenario {
        scenario if scenario.is_prompt() => Pace::Prompt,
        Scenario::Unread => Pace::Wide,
        _ => Pace::Mixed,
    };
    let network = Network::new(plan.seed, pace);
    task::spawn_local(Arc::clone(&network).run());
    services(&plan, &network, &log, began);
    let gateway = Gateway::start(plan.scenario, &network, &log, began);
    names(&plan, &network);
    let (looking, prompt) = (Rc::clone(&gateway), plan.scenario.is_prompt());
    let looks = task::spawn_local(async move {
        loop {
            // Often where every moment counts, as long as requests come.
            let often = prompt && clock::since(began) < WELL_FROM;
            pass(Duration::from_millis(if often { 7 } else { 250 })).await;
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
    if let Some(at) = plan.drains {
        pass_until(began + Duration::from_millis(at)).await;
        log.note(clock::since(began), "the process drains");
        gateway.drain();
        pass(DRAINED).await;
        let left = gateway.core.open();
        if left > 0 {
            log.fault(format!("{left} connections are left {DRAINED:?} after the process began to drain"));
        }
    }
    pass_until(began + PROBED).await;
    for (index, token) in PROBES.enumerate() {
        let route = if index % 2 == 0 { Route::A } else { Route::B };
        let request =
            Request { token, route, body: None, reads: Reads::AtOnce, leaves: None, pause: 0, tunnel: None };
        let at = index as u64 * 1000;
        call(
            &gateway,
            &network,
            &caller,
            Client { at, http2: index > 1, requests: vec![request], ends: Ends::Closes },
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
        if gateway.core.is_draining() {
            return;
        }
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
            let quick = Duration::from_millis(if scenario.is_prompt() { 0 } else { rng.u64(0..4) });
            let quick = Reached::Accepted(quick);
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
