//! A reload that fails leaves everything that it touches as it was, whichever step fails.

use std::future::pending;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tokio::runtime::{Builder, LocalRuntime};

use super::*;
use crate::server::background::Background;
use crate::server::boot::{Gate, boot};
use crate::server::helpers;
use crate::server::{Options, Source, Stdout};
use crate::telemetry::OperatorLog;
use crate::telemetry::log::Level;

/// A longer wait would never end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gate in this process, with a service whose health it checks.
struct House {
    control: Control,
    /// Dropped, the work on upstreams has ended.
    background: Option<Background>,
    retired: Retired<Snapshot>,
    runtime: LocalRuntime,
    file: PathBuf,
    service: SocketAddr,
    probes: Receiver<()>,
}

/// What a reload could have changed.
#[derive(PartialEq, Debug)]
struct Seen {
    snapshot: *const Snapshot,
    version: u64,
    bound: Vec<sockets::Bound>,
    next_number: usize,
    metrics: String,
    limits: Vec<(String, usize, u64)>,
    in_redis: usize,
    connected: bool,
    largest_entry: u64,
    endpoints: Vec<usize>,
}

impl House {
    fn new() -> House {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = listener.local_addr().unwrap();
        let (seen, probes) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(mut stream), seen) = (stream, seen.clone()) else { return };
                std::thread::spawn(move || {
                    let mut head = [0; 1024];
                    while let Ok(1..) = stream.read(&mut head) {
                        if head.starts_with(b"GET /well") {
                            let _ = seen.send(());
                        }
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell");
                    }
                });
            }
        });
        let name =
            format!("portcullis-reload-{}-{}.yaml", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, before(service)).unwrap();
        let log = OperatorLog::start(false, Level::Error, |_: &[u8]| {}).unwrap();
        let background = Background::start(helpers::resolver(&log), &log).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
        let options = Options {
            source: Source::Path(file.clone()),
            drain_delay: Duration::ZERO,
            grace: Duration::ZERO,
            log,
            stdout: Stdout { terminal: false, colour: false },
            admin: |_, _| Box::pin(pending()),
            ready: Box::new(|_| {}),
        };
        let control = runtime.block_on(async {
            let Gate { control, .. } = boot(options, background.tools()).unwrap();
            control
        });
        let retired = Retired::default();
        House { control, background: Some(background), retired, runtime, file, service, probes }
    }

    fn reload(&mut self, text: &str) -> Report {
        std::fs::write(&self.file, text).unwrap();
        let started = Arc::clone(&self.control.snapshot().sources.config);
        self.runtime.block_on(reload(&self.control, Cause::Request, &started, &mut self.retired))
    }

    fn seen(&self) -> Seen {
        let inner = self.control.inner();
        let (snapshot, environment) = (inner.live.get(), &inner.environment);
        let metrics = environment.metrics.render();
        let counted = |line: &&str| !line.contains("reload");
        Seen {
            snapshot: Arc::as_ptr(&snapshot),
            version: snapshot.version,
            bound: inner.listening.borrow().bound.clone(),
            next_number: inner.next_number.get(),
            metrics: metrics.lines().filter(counted).map(|line| line.to_owned() + "\n").collect(),
            limits: environment
                .counters
                .kept()
                .into_iter()
                .map(|kept| (kept.name.to_string(), kept.keys, kept.evicted))
                .collect(),
            in_redis: environment.counters.decided().len(),
            connected: environment.counters.link().is_some(),
            largest_entry: environment.cache.max_entry(),
            endpoints: snapshot
                .upstreams
                .iter()
                .flat_map(|upstream| upstream.set().endpoints())
                .map(|endpoint| Arc::as_ptr(&endpoint) as usize)
                .collect(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.control.inner().listening.borrow().bound[0].local
    }

    /// The status of an answer, and what is left of the limit.
    fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let left = answer.lines().find_map(|line| line.split_once("remaining=")).map_or("", |(_, rest)| rest);
        (answer[9..12].to_owned(), left.split(',').next().unwrap().to_owned())
    }

    /// The service is asked how it is, again.
    #[track_caller]
    fn is_checked(&self) {
        while self.probes.try_recv().is_ok() {}
        // The first may have been on its way before.
        for _ in 0..2 {
            self.probes.recv_timeout(PATIENCE).expect("a probe");
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.control.stop("core");
        let _ = std::fs::remove_file(&self.file);
    }
}

fn before(service: SocketAddr) -> String {
    format!(
        "
listeners: {{ a: {{ listen: '127.0.0.1:0' }} }}
telemetry: {{ access_log: none }}
rate_limits: {{ edge: {{ limit: 100, window: 1h, headers: [draft-7] }} }}
upstreams:
  service: {{ url: 'http://{service}', health: {{ path: /well, every: 20ms, timeout: 10s }} }}
routes:
  /x: {{ upstream: service, policies: {{ rate_limit: edge }} }}
"
    )
}

/// Everything is another one, and more of it; `more` are further listeners.
fn after(service: SocketAddr, more: &str) -> String {
    format!(
        "
listeners:
  a: {{ listen: '127.0.0.1:0' }}
{more}
telemetry: {{ access_log: none }}
redis: {{ url: 'redis://127.0.0.1:1' }}
cache: {{ max_entry: 4KiB }}
overload: {{ max_connections: 17 }}
rate_limits:
  edge: {{ limit: 50, window: 2h, max_keys: 10, headers: [draft-7] }}
  shared: {{ limit: 50, window: 2h, store: redis, headers: [draft-7] }}
upstreams:
  service:
    url: 'http://{service}'
    timeouts: {{ response: 7s }}
    breaker: {{ consecutive: 2 }}
    health: {{ path: /well, every: 25ms, timeout: 10s }}
  other: {{ url: 'http://{service}', concurrency: {{ max: 3 }} }}
routes:
  /x: {{ upstream: service, policies: {{ rate_limit: [edge, shared] }} }}
  /y: {{ upstream: other }}
  /z:
    aggregate: {{ sources: {{ one: {{ upstream: other, path: /one }}, two: {{ upstream: service, path: /two }} }} }}
"
    )
}

#[test]
fn a_reload_that_fails_at_any_step_changes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    // No other test has an address like this one.
    let free = TcpListener::bind("127.0.0.77:0").unwrap().local_addr().unwrap();
    let mut house = House::new();
    for left in ["99", "98", "97"] {
        assert_eq!(house.get("/x"), ("200".to_owned(), left.to_owned()));
    }
    house.is_checked();
    let port_taken = format!(
        "  b: {{ listen: '{free}' }}\n  c: {{ listen: '{}' }}\n  d: {{ listen: '127.0.0.1:0' }}",
        taken.local_addr().unwrap()
    );
    let steps = [
        (
            "a name that leads nowhere",
            after(house.service, "").replace("upstream: other }", "upstream: gone }"),
        ),
        ("a port that is taken", after(house.service, &port_taken)),
        ("the work on upstreams has ended", after(house.service, &format!("  b: {{ listen: '{free}' }}"))),
    ];
    let mut left = 97;
    for (at, (step, text)) in steps.into_iter().enumerate() {
        if at == 2 {
            house.background = None;
        }
        let before = house.seen();
        let report = house.reload(&text);
        assert!(report.failure.is_some(), "{step}");
        assert_eq!(house.seen(), before, "{step}: {:?}", report.failure);
        assert!(TcpStream::connect(free).is_err(), "{step}: an address of the failed one is served");
        left -= 1;
        assert_eq!(house.get("/x"), ("200".to_owned(), left.to_string()), "{step}");
        assert_eq!(house.get("/y").0, "404", "{step}");
        if at < 2 {
            house.is_checked();
        }
    }
}

#[test]
fn the_reload_after_one_that_failed_finds_what_there_was() {
    let mut house = House::new();
    assert_eq!(house.get("/x").1, "99");
    let good = after(house.service, "").replace(", shared]", "]");
    assert!(house.reload(&good.replace("upstream: other }", "upstream: gone }")).failure.is_some());
    let report = house.reload(&good);
    assert!(report.failure.is_none(), "{:?} {}", report.failure, report.diagnostics);
    assert_eq!(house.get("/x"), ("200".to_owned(), "48".to_owned()), "one was spent before both of them");
    assert_eq!(house.get("/y").0, "200");
    house.is_checked();
    let seen = house.seen();
    assert_eq!((seen.version, seen.largest_entry), (2, 4096));
}
