//! What happens in one world: decided by its seed, and small enough to be cut down where it fails.

use fastrand::Rng;

/// What the services and the configuration of a world are like. Each kind has invariants of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Services do what they should; clients do what they like. Nothing counts against a service.
    Innocent,
    /// Services fail in every way.
    Faulty,
    /// A slow service, patient callers all the time, and callers that give up early.
    Impatient,
    /// One of two endpoints refuses every connection.
    Refusing,
    /// Connections are slow to open.
    SlowConnect,
    /// An adaptive limit with a long queue in front of a service of one speed.
    Queue,
    /// Hedged calls; one endpoint is unhealthy and fails fast.
    Hedged,
    /// Names whose addresses change, and reloads.
    Moving,
    /// HTTP/2 streams that are never read, at a service with few places.
    Unread,
}

pub(crate) const SCENARIOS: [Scenario; 9] = [
    Scenario::Innocent,
    Scenario::Faulty,
    Scenario::Impatient,
    Scenario::Refusing,
    Scenario::SlowConnect,
    Scenario::Queue,
    Scenario::Hedged,
    Scenario::Moving,
    Scenario::Unread,
];

/// One world.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) scenario: Scenario,
    pub(crate) clients: Vec<Client>,
    pub(crate) reloads: Vec<Reload>,
}

/// One connection of a client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// When it connects, in milliseconds.
    pub(crate) at: u64,
    pub(crate) http2: bool,
    pub(crate) requests: Vec<Request>,
    /// Whether it ends by a reset.
    pub(crate) resets: bool,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    A,
    B,
    Impatient,
    Limited,
    Both,
    All,
}

impl Route {
    pub(crate) fn path(self, token: u64) -> String {
        match self {
            Route::A => format!("/a/{token}"),
            Route::B => format!("/b/{token}"),
            Route::Impatient => format!("/impatient/{token}"),
            Route::Limited => format!("/limited/{token}"),
            Route::Both => format!("/both/{token}"),
            Route::All => format!("/all/{token}"),
        }
    }

    pub(crate) fn is_aggregate(self) -> bool {
        matches!(self, Route::Both | Route::All)
    }

    /// The route's `timeout` in milliseconds.
    pub(crate) fn timeout(self) -> u64 {
        match self {
            Route::Impatient => 300,
            _ => 3000,
        }
    }
}

/// How a client reads its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    AtOnce,
    /// So many milliseconds after the head.
    Late(u64),
    Never,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Its number, the same in path, header and bodies.
    pub(crate) token: u64,
    pub(crate) route: Route,
    pub(crate) body: Option<Upload>,
    pub(crate) reads: Reads,
    /// Leaves so many milliseconds after the request was sent.
    pub(crate) leaves: Option<u64>,
    /// The pause before it.
    pub(crate) pause: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) length: usize,
    pub(crate) chunked: bool,
    /// After so many bytes it pauses for so many milliseconds.
    pub(crate) stalls: Option<(usize, u64)>,
}

/// A new configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reload {
    pub(crate) at: u64,
    pub(crate) change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Comments, blank lines, the order of keys: nothing in meaning.
    Nothing,
    /// Another timeout.
    Timeout,
    /// Another weight.
    Weight,
}

impl Request {
    /// Whether its client does all that it owes: it must then get a whole answer within the bounds.
    pub(crate) fn is_honest(&self) -> bool {
        let prompt = self.body.as_ref().is_none_or(|body| body.stalls.is_none());
        prompt && self.reads == Reads::AtOnce && self.leaves.is_none()
    }
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Plan {
        let mut rng = Rng::with_seed(seed ^ 0x5eed);
        let scenario = SCENARIOS[(seed % SCENARIOS.len() as u64) as usize];
        let mut token = 0;
        let count = match scenario {
            Scenario::Queue => 120,
            Scenario::Impatient | Scenario::Hedged => 12,
            Scenario::Unread => 4,
            _ => rng.usize(2..12),
        };
        let clients = (0..count).map(|number| client(scenario, number, &mut rng, &mut token)).collect();
        let reloads = match scenario {
            Scenario::Hedged | Scenario::Queue => 0,
            _ => rng.usize(0..4),
        };
        let reloads = (0..reloads).map(|_| Reload { at: rng.u64(50..6000), change: change(&mut rng) });
        Plan { seed, scenario, clients, reloads: reloads.collect() }
    }

    /// Smaller worlds, the smallest first.
    pub(crate) fn smaller(&self) -> Vec<Plan> {
        let mut plans = Vec::new();
        let mut without = |change: &dyn Fn(&mut Plan)| {
            let mut plan = self.clone();
            change(&mut plan);
            plans.push(plan);
        };
        let half = self.clients.len() / 2;
        if half > 0 {
            without(&|plan| plan.clients.truncate(half));
            without(&|plan| drop(plan.clients.drain(..half)));
        }
        for index in 0..self.reloads.len() {
            without(&|plan| {
                plan.reloads.remove(index);
            });
        }
        for index in 0..self.clients.len() {
            if self.clients.len() > 1 {
                without(&|plan| drop(plan.clients.remove(index)));
            }
            for request in 0..self.clients[index].requests.len() {
                if self.clients[index].requests.len() > 1 {
                    without(&|plan| {
                        plan.clients[index].requests.remove(request);
                    });
                }
            }
        }
        plans
    }
}

fn change(rng: &mut Rng) -> Change {
    [Change::Nothing, Change::Timeout, Change::Weight][rng.usize(0..3)]
}

fn client(scenario: Scenario, number: usize, rng: &mut Rng, token: &mut u64) -> Client {
    let http2 = scenario == Scenario::Unread || (scenario != Scenario::Queue && rng.u8(0..4) == 0);
    let at = match scenario {
        Scenario::Queue => rng.u64(0..20),
        _ => rng.u64(0..4000),
    };
    // Somebody asks all the time: what holds for a service that answers others can be seen then.
    let patient = scenario == Scenario::Impatient && number < 2;
    let count = match scenario {
        _ if patient => 60,
        Scenario::Queue => 3,
        Scenario::Hedged => 10,
        Scenario::Unread => 5,
        _ => rng.usize(1..6),
    };
    let mut next = |rng: &mut Rng, index: usize| {
        *token += 1;
        request(scenario, *token, patient, number * 100 + index, rng)
    };
    let requests = (0..count).map(|index| next(rng, index)).collect();
    Client { at: if patient { 0 } else { at }, http2: http2 && !patient, requests, resets: rng.bool() }
}

fn request(scenario: Scenario, token: u64, patient: bool, index: usize, rng: &mut Rng) -> Request {
    let route = match scenario {
        Scenario::Impatient if patient => Route::A,
        Scenario::Impatient => Route::Impatient,
        Scenario::Queue | Scenario::Hedged | Scenario::Refusing | Scenario::SlowConnect => Route::A,
        Scenario::Unread => Route::B,
        _ => [Route::A, Route::A, Route::B, Route::Limited, Route::Both, Route::All][rng.usize(0..6)],
    };
    let pause = match scenario {
        _ if patient => 100,
        Scenario::Queue => 0,
        _ => rng.u64(0..400),
    };
    let mut request = Request { token, route, body: None, reads: Reads::AtOnce, leaves: None, pause };
    if patient || scenario == Scenario::Queue {
        return request;
    }
    if scenario == Scenario::Unread {
        request.reads = if index % 5 < 4 { Reads::Never } else { Reads::AtOnce };
        return request;
    }
    if !route.is_aggregate() && scenario != Scenario::Hedged && rng.u8(0..3) == 0 {
        let length = rng.usize(1..20_000);
        let stalls = (rng.u8(0..3) == 0).then(|| (rng.usize(0..length), rng.u64(200..20_000)));
        request.body = Some(Upload { length, chunked: rng.bool(), stalls });
    }
    request.reads = match rng.u8(0..12) {
        0 => Reads::Late(rng.u64(100..8000)),
        1 => Reads::Never,
        _ => Reads::AtOnce,
    };
    if rng.u8(0..8) == 0 {
        request.leaves = Some(rng.u64(0..1500));
    }
    request
}
