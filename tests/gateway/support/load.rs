//! Several gateways as one fleet, a load that never lets up, and what can be said for sure about its answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Client, Gateway, PATIENCE, until};

/// That many gateways with the same configuration, each on ports of its own; they start side by side.
#[track_caller]
pub(crate) fn fleet(count: usize, environment: &[(&str, &str)], config: &str) -> Vec<Gateway> {
    let one = || {
        let set =
            |prepared: super::gateway::Prepared, (name, value): &(&str, &str)| prepared.env(name, value);
        environment.iter().fold(Gateway::prepare(&[]), set).start(config)
    };
    std::thread::scope(|scope| {
        let starts: Vec<_> = (0..count).map(|_| scope.spawn(one)).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    })
}

/// One answer under load: it was decided at some moment between `sent` and `received`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    pub(crate) target: usize,
    pub(crate) sent: Instant,
    pub(crate) received: Instant,
    pub(crate) status: u16,
}

/// Connections that send one request after the other, each to all targets in turn.
pub(crate) struct Load {
    begun: Instant,
    over: Arc<AtomicBool>,
    hits: Arc<Mutex<Vec<Hit>>>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins, with so many connections to each gateway.
    pub(crate) fn start(fleet: &[Gateway], connections: usize, targets: &[&'static str]) -> Self {
        let (over, hits) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let begun = Instant::now();
        let one = |at: usize| {
            let mut client = fleet[at % fleet.len()].client();
            let (over, hits) = (Arc::clone(&over), Arc::clone(&hits));
            let targets = targets.to_vec();
            std::thread::spawn(move || send(&mut client, &targets, at, &over, &hits))
        };
        let workers = (0..fleet.len() * connections).map(one).collect();
        Self { begun, over, hits, workers }
    }

    /// Waits until it has lasted that long.
    #[track_caller]
    pub(crate) fn lasts(&self, time: Duration) -> &Self {
        until("the load has lasted long enough", || self.begun.elapsed() >= time);
        self
    }

    /// Waits until so many of a target have been admitted.
    #[track_caller]
    pub(crate) fn admits(&self, target: usize, count: usize) -> &Self {
        until("so many are admitted", || {
            let hits = self.hits.lock().unwrap();
            hits.iter().filter(|hit| hit.target == target && hit.status == 200).count() >= count
        });
        self
    }

    /// Ends it and gives all answers.
    #[track_caller]
    pub(crate) fn stop(self) -> Hits {
        self.over.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.join().expect("a connection of the load failed");
        }
        Hits { begun: self.begun, all: std::mem::take(&mut self.hits.lock().unwrap()) }
    }
}

fn send(client: &mut Client, targets: &[&str], first: usize, over: &AtomicBool, hits: &Mutex<Vec<Hit>>) {
    for number in first.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let target = number % targets.len();
        let sent = Instant::now();
        let status = client.get(targets[target]).status;
        hits.lock().unwrap().push(Hit { target, sent, received: Instant::now(), status });
    }
}

/// The answers of a load.
pub(crate) struct Hits {
    /// When the load began.
    pub(crate) begun: Instant,
    pub(crate) all: Vec<Hit>,
}

impl Hits {
    /// Those of one target.
    pub(crate) fn of(&self, target: usize) -> Self {
        self.which(|hit| hit.target == target)
    }

    fn which(&self, wanted: impl Fn(&Hit) -> bool) -> Self {
        Self { begun: self.begun, all: self.all.iter().copied().filter(|hit| wanted(hit)).collect() }
    }

    /// Those that were sent at or after that moment.
    pub(crate) fn since(&self, moment: Instant) -> Self {
        self.which(|hit| hit.sent >= moment)
    }

    /// Those that had their answer by that moment.
    pub(crate) fn before(&self, moment: Instant) -> Self {
        self.which(|hit| hit.received <= moment)
    }

    pub(crate) fn admitted(&self) -> usize {
        self.all.iter().filter(|hit| hit.status == 200).count()
    }

    /// Admitted in the first part of the load, as long as that.
    pub(crate) fn admitted_within(&self, time: Duration) -> usize {
        self.before(self.begun + time).admitted()
    }

    /// The most that were admitted for sure in any interval shorter than `window`: both ends of each lie in it.
    pub(crate) fn most_in_any(&self, window: Duration) -> usize {
        let mut admitted: Vec<&Hit> = self.all.iter().filter(|hit| hit.status == 200).collect();
        admitted.sort_by_key(|hit| hit.sent);
        let most = admitted.iter().enumerate().map(|(at, first)| {
            let end = first.sent + window;
            admitted[at..].iter().take_while(|h| h.sent < end).filter(|h| h.received < end).count()
        });
        most.max().unwrap_or(0)
    }

    /// How many may have been admitted in the window before a refusal: the fewest of all refusals, none without any. An answer
    /// counts where some moment of it lies in that time.
    pub(crate) fn fewest_before_a_refusal(&self, window: Duration) -> Option<usize> {
        let of = |status| self.all.iter().filter(move |hit| hit.status == status);
        let before = |refused: &Hit| {
            let in_time = |hit: &&Hit| hit.received + window >= refused.sent && hit.sent <= refused.received;
            of(200).filter(in_time).count()
        };
        of(429).map(before).min()
    }

    /// The most windows that can have begun, none before the one before it ended.
    pub(crate) fn windows(&self, window: Duration) -> usize {
        let first = self.all.iter().map(|hit| hit.sent).min();
        let last = self.all.iter().map(|hit| hit.received).max();
        let span = first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first);
        usize::try_from(span.as_micros() / window.as_micros()).unwrap() + 1
    }

    /// Fails where an answer was not one of these, or took so long that somebody must have hung.
    #[track_caller]
    pub(crate) fn only(&self, statuses: &[u16]) -> &Self {
        let other = self.all.iter().find(|hit| !statuses.contains(&hit.status));
        assert!(other.is_none(), "{other:?} among {} answers", self.all.len());
        let slowest = self.all.iter().map(|hit| hit.received - hit.sent).max().unwrap_or_default();
        assert!(slowest < PATIENCE / 10, "an answer took {slowest:?}");
        self
    }
}

/// The judgement itself.
#[test]
fn what_is_not_sure_is_not_counted() {
    let begun = Instant::now();
    let hit = |sent: u64, received: u64, status| Hit {
        target: 0,
        sent: begun + Duration::from_millis(sent),
        received: begun + Duration::from_millis(received),
        status,
    };
    let all = vec![hit(0, 50, 200), hit(10, 90, 200), hit(20, 30, 429), hit(60, 101, 200), hit(95, 109, 200)];
    let hits = Hits { begun, all };
    let window = Duration::from_millis(100);
    assert_eq!((hits.admitted(), hits.windows(window)), (4, 2));
    assert_eq!(hits.most_in_any(window), 3, "from 10 to 110");
    assert_eq!(hits.admitted_within(window), 2);
    assert_eq!(hits.fewest_before_a_refusal(window), Some(2), "those that were sent by then");
    assert_eq!(hits.since(begun + window / 2).fewest_before_a_refusal(window), None);
    assert_eq!((hits.since(begun + window).all.len(), hits.before(begun + window).all.len()), (0, 3));
}
