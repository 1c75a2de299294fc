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
    /// Answers that are never read, at a service with few places.
    Unread,
    /// Services that fail every call, and callers that ask all the time: what is tried again is bounded by the budget alone.
    Retried,
    /// Many requests on one key of each algorithm of limits.
    Limited,
    /// Few places and a short queue, at a service of one speed.
    Queued,
    /// One call after the other, at a service that fails for a while: the breaker can be followed step by step.
    Tripped,
    /// Hedged calls at two endpoints that are well; some answers are slow.
    Raced,
    /// The process drains while answers are under way.
    Drained,
    /// Tunnels of every kind, which either side ends or breaks off; in some worlds the process drains.
    Tunnelled,
}

/// One after the other, seed by seed. Most can happen where services fail.
pub(crate) const SCENARIOS: [Scenario; 17] = [
    Scenario::Innocent,
    Scenario::Faulty,
    Scenario::Impatient,
    Scenario::Refusing,
    Scenario::SlowConnect,
    Scenario::Queue,
    Scenario::Hedged,
    Scenario::Moving,
    Scenario::Unread,
    Scenario::Faulty,
    Scenario::Retried,
    Scenario::Limited,
    Scenario::Queued,
    Scenario::Tripped,
    Scenario::Raced,
    Scenario::Faulty,
    Scenario::Drained,
];

/// One of so many seeds is a world of tunnels, whatever its turn would be: the others stay the worlds that they were.
const TUNNELLED: u64 = 16;

impl Scenario {
    /// Whether bytes arrive in the moment in which they are sent, so that times can be compared exactly.
    pub(crate) fn is_prompt(self) -> bool {
        matches!(self, Scenario::Limited | Scenario::Queued | Scenario::Tripped)
    }

    /// Whether services do what they should, for clients that wait long enough.
    pub(crate) fn is_well(self) -> bool {
        !matches!(self, Scenario::Faulty | Scenario::Retried | Scenario::Tripped)
    }
}

/// One world.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) scenario: Scenario,
    pub(crate) clients: Vec<Client>,
    pub(crate) reloads: Vec<Reload>,
    /// When the process begins to drain, in milliseconds.
    pub(crate) drains: Option<u64>,
}

/// One connection of a client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// When it connects, in milliseconds.
    pub(crate) at: u64,
    pub(crate) http2: bool,
    pub(crate) requests: Vec<Request>,
    /// What it does after its requests.
    pub(crate) ends: Ends,
}

impl Client {
    /// Whether a request comes over this connection.
    pub(crate) fn has(&self, token: u64) -> bool {
        self.requests.iter().any(|request| request.token == token)
    }
}

/// How a client's connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    Closes,
    Resets,
    /// It waits until the gateway ends the connection.
    Stays,
    /// It sends so many bytes of a further head, and waits as well (over HTTP/2: it stays).
    HalfHead(usize),
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    A,
    B,
    Impatient,
    Limited,
    /// Partial.
    Both,
    /// Partial; the first source is required, the second has a fallback.
    Kept,
    All,
    Sliding,
    Fixed,
    Bucket,
}

impl Route {
    pub(crate) fn path(self, token: u64) -> String {
        match self {
            Route::A => format!("/a/{token}"),
            Route::B => format!("/b/{token}"),
            Route::Impatient => format!("/impatient/{token}"),
            Route::Limited => format!("/limited/{token}"),
            Route::Both => format!("/both/{token}"),
            Route::Kept => format!("/kept/{token}"),
            Route::All => format!("/all/{token}"),
            Route::Sliding => format!("/sliding/{token}"),
            Route::Fixed => format!("/fixed/{token}"),
            Route::Bucket => format!("/bucket/{token}"),
        }
    }

    pub(crate) fn is_aggregate(self) -> bool {
        matches!(self, Route::Both | Route::Kept | Route::All)
    }

    /// Whether a request of this route counts as a call of that upstream.
    pub(crate) fn calls(self, upstream: &str) -> bool {
        let plain = if matches!(self, Route::A | Route::Impatient) { "a" } else { "b" };
        self.is_aggregate() || plain == upstream
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
    /// What it becomes, where it asks for another protocol.
    pub(crate) tunnel: Option<Tunnel>,
}

/// What passes behind a 101.
#[derive(Clone, Debug)]
pub(crate) struct Tunnel {
    pub(crate) websocket: bool,
    /// Bytes of content from the client, and from the service.
    pub(crate) up: usize,
    pub(crate) down: usize,
    /// How many bytes come together with the head of the request, and with the 101.
    pub(crate) early_up: usize,
    pub(crate) early_down: usize,
    pub(crate) parts: Parts,
}

/// How a tunnel ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    /// One side ends its own, once it has sent everything, and the other then does the same.
    Client,
    Service,
    /// One side breaks off.
    ClientBreaks,
    ServiceBreaks,
    /// Neither does anything.
    Nobody,
    /// There is none: the service refuses.
    Refused,
}

impl Parts {
    /// Whether both sides say all that they have to say.
    pub(crate) fn is_orderly(self) -> bool {
        matches!(self, Parts::Client | Parts::Service)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) length: usize,
    pub(crate) chunked: bool,
    /// After so many bytes it pauses for so many milliseconds.
    pub(crate) stalls: Option<(usize, u64)>,
    /// Whether its client says that it may be repeated.
    pub(crate) again: bool,
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
        let stays = self.tunnel.as_ref().is_none_or(|tunnel| tunnel.parts != Parts::ClientBreaks);
        let prompt = stays && self.body.as_ref().is_none_or(|body| body.stalls.is_none());
        prompt && self.reads == Reads::AtOnce && self.leaves.is_none()
    }
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Plan {
        let mut rng = Rng::with_seed(seed ^ 0x5eed);
        let scenario = match seed % TUNNELLED {
            15 => Scenario::Tunnelled,
            _ => SCENARIOS[(seed % SCENARIOS.len() as u64) as usize],
        };
        let mut token = 0;
        let count = match scenario {
            Scenario::Queue => 120,
            Scenario::Tripped => 100,
            Scenario::Impatient | Scenario::Hedged | Scenario::Raced | Scenario::Queued => 12,
            Scenario::Retried => 8,
            Scenario::Limited => 5,
            Scenario::Unread => 4,
            _ => rng.usize(2..12),
        };
        let clients = (0..count).map(|number| client(scenario, number, &mut rng, &mut token)).collect();
        let reloads = match scenario {
            Scenario::Hedged | Scenario::Queue => 0,
            _ => rng.usize(0..4),
        };
        let reload = |rng: &mut Rng| Reload { at: rng.u64(50..6000), change: change(rng) };
        let reloads = (0..reloads).map(|_| reload(&mut rng)).collect();
        let drains = match scenario {
            Scenario::Drained => true,
            Scenario::Tunnelled => rng.bool(),
            _ => false,
        };
        let drains = drains.then(|| rng.u64(1500..5000));
        Plan { seed, scenario, clients, reloads, drains }
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
    let http2 = match scenario {
        Scenario::Queue | Scenario::Tunnelled => false,
        Scenario::Unread | Scenario::Tripped => rng.bool(),
        _ => rng.u8(0..4) == 0,
    };
    let at = match scenario {
        Scenario::Queue => rng.u64(0..20),
        Scenario::Retried | Scenario::Limited => rng.u64(0..200),
        Scenario::Tripped => number as u64 * 150,
        _ => rng.u64(0..4000),
    };
    // Somebody asks all the time: what holds for a service that answers others can be seen then.
    let patient = scenario == Scenario::Impatient && number < 2;
    let count = match scenario {
        _ if patient => 60,
        Scenario::Queue => 3,
        Scenario::Tripped => 1,
        Scenario::Hedged | Scenario::Raced => 10,
        Scenario::Retried => 15,
        Scenario::Limited => 100,
        Scenario::Unread | Scenario::Queued => 5,
        _ => rng.usize(1..6),
    };
    let mut next = |rng: &mut Rng, index: usize| {
        *token += 1;
        request(scenario, *token, patient, number * 100 + index, rng)
    };
    let requests: Vec<Request> = (0..count).map(|index| next(rng, index)).collect();
    let leaves = scenario == Scenario::Tripped && requests.iter().any(|request| request.leaves.is_some());
    let ends = match rng.u8(0..6) {
        _ if leaves => Ends::Resets,
        0 | 1 => Ends::Closes,
        2 | 3 => Ends::Resets,
        4 => Ends::Stays,
        _ => Ends::HalfHead(rng.usize(1..60)),
    };
    Client { at: if patient { 0 } else { at }, http2: http2 && !patient, requests, ends }
}

fn request(scenario: Scenario, token: u64, patient: bool, index: usize, rng: &mut Rng) -> Request {
    let route = match scenario {
        Scenario::Impatient if patient => Route::A,
        Scenario::Impatient => Route::Impatient,
        Scenario::Unread | Scenario::Queued | Scenario::Tripped => Route::B,
        Scenario::Limited => [Route::Sliding, Route::Fixed, Route::Bucket][rng.usize(0..3)],
        Scenario::Queue
        | Scenario::Hedged
        | Scenario::Raced
        | Scenario::Retried
        | Scenario::Refusing
        | Scenario::SlowConnect => Route::A,
        Scenario::Tunnelled => [Route::A, Route::B][rng.usize(0..2)],
        _ => {
            let routes = [
                Route::A,
                Route::A,
                Route::B,
                Route::B,
                Route::Limited,
                Route::Both,
                Route::Kept,
                Route::All,
            ];
            routes[rng.usize(0..routes.len())]
        }
    };
    let pause = match scenario {
        _ if patient => 100,
        Scenario::Queue => 0,
        Scenario::Limited => rng.u64(0..120),
        Scenario::Tripped => 0,
        Scenario::Queued => rng.u64(0..200),
        _ => rng.u64(0..400),
    };
    let mut request =
        Request { token, route, body: None, reads: Reads::AtOnce, leaves: None, pause, tunnel: None };
    match scenario {
        Scenario::Tunnelled => {
            request.tunnel = (rng.u8(0..4) > 0).then(|| tunnel(rng));
            return request;
        }
        _ if patient => return request,
        Scenario::Queue | Scenario::Limited | Scenario::Retried => return request,
        Scenario::Unread => {
            request.reads = if index % 5 < 4 { Reads::Never } else { Reads::AtOnce };
            return request;
        }
        Scenario::Queued | Scenario::Tripped => {
            // Before the service answers.
            let most = if scenario == Scenario::Queued { 350 } else { 20 };
            request.leaves = (rng.u8(0..5) == 0).then(|| rng.u64(5..most));
            return request;
        }
        _ => {}
    }
    let uploads = !route.is_aggregate() && scenario != Scenario::Hedged;
    if uploads && rng.u8(0..3) == 0 {
        let most = if rng.u8(0..4) == 0 { 100_000 } else { 20_000 };
        let length = if rng.u8(0..8) == 0 { 0 } else { rng.usize(1..most) };
        let stalls = length > 0 && scenario != Scenario::Raced && rng.u8(0..3) == 0;
        let stalls = stalls.then(|| (rng.usize(0..length), rng.u64(200..20_000)));
        request.body = Some(Upload { length, chunked: rng.bool(), stalls, again: rng.bool() });
    }
    request.reads = match rng.u8(0..12) {
        0 => Reads::Late(rng.u64(100..8000)),
        1 => Reads::Never,
        2 | 3 if scenario == Scenario::Innocent => Reads::Late(rng.u64(1000..8000)),
        _ => Reads::AtOnce,
    };
    if rng.u8(0..8) == 0 {
        request.leaves = Some(rng.u64(0..1500));
    }
    request
}

fn tunnel(rng: &mut Rng) -> Tunnel {
    let length = |rng: &mut Rng| [0, rng.usize(0..200), rng.usize(0..150_000)][rng.usize(0..3)];
    let early = |rng: &mut Rng| if rng.bool() { 0 } else { rng.usize(0..3000) };
    let parts = [
        Parts::Client,
        Parts::Client,
        Parts::Service,
        Parts::Service,
        Parts::ClientBreaks,
        Parts::ServiceBreaks,
        Parts::Nobody,
        Parts::Refused,
    ][rng.usize(0..8)];
    let (up, down, early_down) = (length(rng), length(rng), early(rng));
    let early_up = if parts == Parts::Refused { 0 } else { early(rng) };
    Tunnel { websocket: rng.bool(), up, down, early_up, early_down, parts }
}
