use proptest::prelude::*;

use super::*;

const RESPONSE: Duration = Duration::from_secs(15);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_service_that_never_answered_is_accused() {
    let (liveness, start) = (Liveness::default(), Instant::now());
    assert!(liveness.accuses((start, start), RESPONSE, start + ms(300)));
}

#[test]
fn impatient_callers_do_not_accuse_a_service_that_answers_others() {
    let (liveness, start) = (Liveness::default(), Instant::now());
    // One patient caller every five seconds; the service takes 400 ms.
    for call in 0..100 {
        let began = start + ms(5_000 * call);
        liveness.answered(ms(400), began + ms(400));
        for step in 0..12 {
            let cut = began + ms(700 + 350 * step);
            let since = cut - ms(300);
            assert!(!liveness.accuses((since, since), RESPONSE, cut), "call {call}, step {step}");
        }
    }
}

#[test]
fn a_head_that_came_in_between_clears_the_service() {
    let (liveness, start) = (Liveness::default(), Instant::now());
    liveness.answered(ms(5), start);
    assert!(liveness.accuses((start, start), RESPONSE, start + ms(300)));
    liveness.answered(ms(5), start + ms(200));
    assert!(!liveness.accuses((start, start), RESPONSE, start + ms(300)));
}

#[test]
fn a_service_that_hangs_is_accused_at_once_by_those_who_wait_longer_than_it_took() {
    let (liveness, start) = (Liveness::default(), Instant::now());
    liveness.answered(ms(20), start);
    let began = start + ms(10);
    assert!(!liveness.accuses((began, began), RESPONSE, began + ms(19)));
    assert!(liveness.accuses((began, began), RESPONSE, began + ms(20)));
}

#[test]
fn a_slow_service_that_hangs_is_accused_once_its_response_timeout_has_passed() {
    let (liveness, start) = (Liveness::default(), Instant::now());
    liveness.answered(ms(400), start);
    let cut = |at: Instant| liveness.accuses((at - ms(300), at - ms(300)), RESPONSE, at);
    assert!(!cut(start + RESPONSE - ms(1)));
    assert!(cut(start + RESPONSE));
}

#[test]
fn what_was_slow_long_ago_says_nothing_any_more() {
    let (liveness, start) = (Liveness::default(), Instant::now());
    liveness.answered(ms(900), start);
    let later = start + ms(61_000);
    liveness.answered(ms(5), later);
    assert!(liveness.accuses((later, later), RESPONSE, later + ms(300)));
}

proptest! {
    /// The slowest response of the last 30 seconds always bounds what accuses, and none older than 60 does.
    #[test]
    fn the_slowest_response_of_late_is_known(
        steps in prop::collection::vec((0_u64..20_000, 1_u64..2_000), 1..60),
    ) {
        let (liveness, start) = (Liveness::default(), Instant::now());
        let (mut now, mut seen) = (start, Vec::new());
        for (pause, took) in steps {
            now += ms(pause);
            liveness.answered(ms(took), now);
            seen.push((now, took));
            let slowest = |within: u64| {
                let of_late = seen.iter().filter(|(at, _)| now.duration_since(*at) <= ms(within));
                of_late.map(|(_, took)| *took).max().unwrap_or_default()
            };
            let known = liveness.slowest(now);
            prop_assert!(known >= ms(slowest(30_000)) && known <= ms(slowest(60_000)), "{known:?}");
        }
    }
}
