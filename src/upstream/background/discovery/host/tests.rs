use super::*;

fn absent<T>(ttl: Option<u64>) -> super::super::resolver::Answer<T> {
    Err(Failed::Absent { ttl: ttl.map(Duration::from_secs) })
}

fn broken<T>() -> super::super::resolver::Answer<T> {
    Err(Failed::Broken("away".to_owned()))
}

fn v4(ttl: u64, last: &[u8]) -> super::super::resolver::Answer<Ipv4Addr> {
    let all = last.iter().map(|n| Ipv4Addr::new(127, 0, 0, *n)).collect();
    Ok((all, Duration::from_secs(ttl)))
}

fn v6(ttl: u64) -> super::super::resolver::Answer<Ipv6Addr> {
    Ok((vec![Ipv6Addr::LOCALHOST], Duration::from_secs(ttl)))
}

struct Watched {
    host: Host,
    now: Instant,
}

impl Watched {
    fn new() -> Watched {
        let now = Instant::now();
        Watched { host: Host::new("service", 80, now), now }
    }

    /// Takes an answer, and gives what came of it and after how many milliseconds the next question is due.
    fn learn(
        &mut self,
        v4: super::super::resolver::Answer<Ipv4Addr>,
        v6: super::super::resolver::Answer<Ipv6Addr>,
    ) -> (Result<(), String>, u128) {
        let outcome = self.host.learn(Addresses { v4, v6 }, &Pace::default(), self.now);
        (outcome, self.host.due.unwrap().duration_since(self.now).as_millis())
    }
}

#[test]
fn records_live_their_time_within_bounds() {
    let mut watched = Watched::new();
    assert_eq!(watched.learn(v4(10, &[1]), absent(None)), (Ok(()), 10_000));
    assert_eq!(watched.learn(v4(0, &[1]), absent(None)), (Ok(()), 1_000));
    assert_eq!(watched.learn(v4(600, &[1]), absent(None)), (Ok(()), 30_000));
    assert_eq!(watched.learn(v4(20, &[1]), v6(7)), (Ok(()), 7_000), "the shorter of the two");
    let capped = Pace { max: Duration::from_secs(2), ..Pace::default() };
    assert_eq!(capped.found(Duration::from_secs(600)), Duration::from_secs(2));
}

#[test]
fn failures_are_repeated_ever_more_rarely() {
    let mut watched = Watched::new();
    let waits: Vec<u128> = (0..7).map(|_| watched.learn(broken(), broken()).1).collect();
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    assert_eq!(watched.learn(v4(10, &[1]), broken()).1, 10_000);
    assert_eq!(watched.learn(absent(Some(3600)), absent(None)).1, 1_000, "the word of IPv6 has no time");
    assert_eq!(watched.learn(absent(None), absent(Some(3600))).1, 10_000, "5 s at most, and twice that");
}

#[test]
fn what_was_known_outlives_failures_but_not_moves() {
    let mut watched = Watched::new();
    assert!(watched.learn(broken(), absent(None)).0.is_err());
    assert!(watched.host.is_unknown() && !watched.host.is_absent());
    let _ = watched.learn(v4(1, &[2, 1]), v6(1));
    let known = (watched.host.v4.clone(), watched.host.v6.clone());
    assert_eq!(known.0, [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)]);
    for nothing in [(broken(), broken()), (absent(None), broken()), (absent(None), absent(Some(9)))] {
        let failed = watched.learn(nothing.0, nothing.1).0.unwrap_err();
        assert!(failed.starts_with("service: "), "{failed}");
        assert_eq!((&watched.host.v4, &watched.host.v6), (&known.0, &known.1));
    }
    let _ = watched.learn(v4(1, &[3]), broken());
    assert_eq!(watched.host.v6, known.1, "nobody said that it has gone");
    let _ = watched.learn(v4(1, &[3]), absent(None));
    assert_eq!(watched.host.addresses(), ["127.0.0.3:80".parse().unwrap()]);
}

#[test]
fn absence_is_believed_after_its_time_and_failures_never() {
    let mut watched = Watched::new();
    assert!(watched.learn(absent(None), absent(None)).0.is_ok(), "there is nothing to keep");
    assert!(watched.host.is_absent());
    let _ = watched.learn(v4(1, &[1]), absent(None));
    assert!(!watched.host.is_absent());
    for _ in 0..100 {
        assert!(watched.learn(broken(), broken()).0.is_err());
        watched.now += Duration::from_secs(30);
    }
    assert!(watched.learn(absent(None), absent(None)).0.is_err());
    watched.now += Duration::from_secs(29);
    let (outcome, due) = watched.learn(absent(None), absent(None));
    assert!(outcome.is_err() && !watched.host.is_unknown());
    assert_eq!(due, 1_000, "asked when it may be believed, not later");
    watched.now += Duration::from_secs(1);
    assert!(watched.learn(absent(None), absent(None)).0.is_ok());
    assert!(watched.host.is_absent() && watched.host.is_unknown());
    // An answer in between breaks the absence.
    let _ = watched.learn(v4(1, &[1]), absent(None));
    let _ = watched.learn(absent(None), absent(None));
    watched.now += Duration::from_secs(29);
    let _ = watched.learn(v4(1, &[1]), absent(None));
    watched.now += Duration::from_secs(29);
    assert!(watched.learn(absent(None), absent(None)).0.is_err());
}
