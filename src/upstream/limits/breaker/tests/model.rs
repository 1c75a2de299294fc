//! Random lives of a breaker against a model that keeps every call it has seen and knows no tricks.

use super::*;

/// A round is the time between two changes (closed, or open and half-open together).
struct Model {
    settings: BreakerSettings,
    start: Instant,
    round: usize,
    /// The end of the open time; none while closed.
    until: Option<Instant>,
    /// The calls of this round, oldest first: in which tenth they ended, and whether they failed.
    ended: Vec<(u128, bool)>,
    /// The probes under way, the oldest first.
    under_way: Vec<(u64, Instant)>,
    next: u64,
    opened: u64,
}

impl Model {
    /// The round and whether the call is a probe, or how long it has to wait.
    fn admit(&mut self, now: Instant) -> Result<(usize, Option<u64>), Duration> {
        let Some(until) = self.until else { return Ok((self.round, None)) };
        if now < until {
            return Err(until - now);
        }
        if self.under_way.len() + self.ended.len() == self.settings.probes as usize {
            let held = self.settings.open.max(Duration::from_secs(1));
            match self.under_way.iter().position(|(_, began)| now - *began >= held) {
                Some(at) => drop(self.under_way.remove(at)),
                None => return Err(Duration::from_secs(1)),
            }
        }
        self.next += 1;
        self.under_way.push((self.next, now));
        Ok((self.round, Some(self.next)))
    }

    /// `failed` is none for an aborted call.
    fn end(&mut self, (round, probe): (usize, Option<u64>), now: Instant, failed: Option<bool>) {
        if round != self.round {
            return;
        }
        if let Some(probe) = probe {
            let Some(at) = self.under_way.iter().position(|(own, _)| *own == probe) else { return };
            self.under_way.remove(at);
        }
        let probe = probe.is_some();
        let Some(failed) = failed else { return };
        let tenth = (now - self.start).as_nanos() / (self.settings.window.as_nanos() / 10);
        self.ended.push((tenth, failed));
        if probe && !failed && self.ended.len() as u32 == self.settings.probes {
            self.change(None);
        } else if failed && (probe || self.too_many(tenth)) {
            self.opened += 1;
            self.change(Some(now + self.settings.open));
        }
    }

    fn too_many(&self, tenth: u128) -> bool {
        let row = self.ended.iter().rev().take_while(|call| call.1).count();
        let window: Vec<_> = self.ended.iter().filter(|call| call.0 + 10 > tenth).collect();
        let failures = window.iter().filter(|call| call.1).count();
        self.settings.consecutive.is_some_and(|most| row >= most as usize)
            || window.len() >= self.settings.min_requests as usize
                && self.settings.ratio.is_some_and(|ratio| failures as f64 >= ratio * window.len() as f64)
    }

    fn change(&mut self, until: Option<Instant>) {
        (self.round, self.until, self.under_way) = (self.round + 1, until, Vec::new());
        self.ended.clear();
    }

    fn state(&self, now: Instant) -> State {
        match self.until {
            None => State::Closed,
            Some(until) if now < until => State::Open,
            Some(_) => State::HalfOpen,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Admit,
    /// One of the calls under way ends on a core.
    End(usize, usize, Option<bool>),
    /// Milliseconds go by.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let failed = prop_oneof![4 => Just(Some(true)), 4 => Just(Some(false)), 1 => Just(None)];
    prop_oneof![
        5 => Just(Step::Admit),
        5 => (any::<usize>(), 0usize..3, failed).prop_map(|(which, core, failed)| Step::End(which, core, failed)),
        2 => (0u64..400).prop_map(Step::Wait),
    ]
}

fn settings() -> impl Strategy<Value = BreakerSettings> {
    // Quarters: fractions that the model too can hold.
    let ratio = prop::option::of((1u32..=4).prop_map(|quarters| f64::from(quarters) / 4.0));
    (prop::option::of(1u32..5), ratio, 1u32..12, 1u64..5, 0u64..900, 1u32..4).prop_map(
        |(consecutive, ratio, min_requests, tenths, open, probes)| BreakerSettings {
            consecutive,
            ratio,
            min_requests,
            window: milliseconds(tenths * 250),
            open: milliseconds(open),
            probes,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn it_does_what_the_model_does(settings in settings(), steps in prop::collection::vec(step(), 1..200)) {
        let start = Instant::now();
        let (breaker, mut now) = (Breaker::new(settings, 3), start);
        breaker.0.base.nanos(start);
        let mut model = Model {
            settings, start, round: 0, until: None, ended: Vec::new(), under_way: Vec::new(), next: 0,
            opened: 0,
        };
        let mut calls = Vec::new();
        for step in steps {
            match step {
                Step::Wait(time) => now += milliseconds(time),
                Step::Admit => match (breaker.admit(now), model.admit(now)) {
                    (Admission::Pass(pass), Ok(expected)) => {
                        prop_assert_eq!(pass.is_probe(), expected.1.is_some());
                        calls.push((pass, expected));
                    }
                    (Admission::Open { retry_after }, Err(expected)) => prop_assert_eq!(retry_after, expected),
                    (admission, expected) => prop_assert!(false, "{:?} for {:?}", admission, expected),
                },
                Step::End(..) if calls.is_empty() => {}
                Step::End(which, core, failed) => {
                    let (pass, expected) = calls.swap_remove(which % calls.len());
                    let before = model.round;
                    model.end(expected, now, failed);
                    if let Some(failed) = failed {
                        let change = breaker.record(pass, CoreId(core), now, failed.then_some("reset"));
                        let change = change.map(|change| change.state());
                        let until = model.until.map(|_| State::Open).unwrap_or(State::Closed);
                        prop_assert_eq!(change, (model.round != before).then_some(until));
                    }
                }
            }
            prop_assert_eq!(breaker.state(now), model.state(now));
            prop_assert_eq!(breaker.opened(), model.opened);
        }
    }
}
