use proptest::prelude::*;

use super::*;

const RESPONSE: Duration = Duration::from_secs(15);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_service_that_never_answered_is_accused_after_ten_times_the_wait() {
    let (liveness, start) = (Liveness::default(), Instant::now());
    let cut = |at: Instant| liveness.accuses((at - ms(300), at - ms(300)), RESPONSE, at);
    assert!(!cut(start + ms(300)), "it may be slow: nothing is known of it");
    assert!(!cut(start + ms(2_999)));
    assert!(cut(start + ms(3_000)));
    let quick = Liveness::default();
    let cut = |at: Instant| quick.accuses((at - ms(10), at - ms(10)), RESPONSE, at);
    assert!(!cut(start + ms(10)) && !cut(start + ms(999)) && cut(start + ms(1_000)), "at least a second");
    let slow = Liveness::default();
    let cut = |at: Instant| slow.accuses((at - ms(5_000), at - ms(5_000)), RESPONSE, at);
    assert!(!cut(start + ms(5_000)) && cut(start + RESPONSE), "at most the response timeout");
}

#[test]
fn a_quiet_service_keeps_what_is_known_of_it() {
    let (liveness, start) = (Liveness::default(), Instant::now());
    liveness.answered(ms(400), start);
    // An hour later many impatient callers come at once.
    let later = start + Duration::from_secs(3600);
    for call in 0..20 {
        let began = later + ms(call);
        assert!(!liveness.accuses((began, began), RESPONSE, began + ms(150)), "call {call}");
    }
    let cut = later + RESPONSE;
    assert!(liveness.accuses((cut - ms(150), cut - ms(150)), RESPONSE, cut), "it hangs after all");
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
    // The first attempt that comes to nothing begins a second after the head.
    let first = start + ms(1_000);
    assert!(!cut(first + ms(300)));
    assert!(!cut(first + RESPONSE - ms(1)));
    assert!(cut(first + RESPONSE));
    liveness.answered(ms(400), first + RESPONSE);
    assert!(!cut(first + RESPONSE + ms(400)), "a head clears it");
}

#[test]
fn what_was_slow_long_ago_says_nothing_any_more() {
    let (liveness, start) = (Liveness::default(), Instant::now());
    liveness.answered(ms(900), start);
    for stretch in 1..=2 {
        let later = start + ms(31_000 * stretch);
        liveness.answered(ms(5), later);
        let accused = liveness.accuses((later, later), RESPONSE, later + ms(300));
        assert_eq!(accused, stretch == 2, "the stretch before still counts");
    }
}

proptest! {
    /// The slowest response of the last 30 seconds is always known, and none from before the last two stretches in
    /// which anything was answered.
    #[test]
    fn the_slowest_response_of_late_is_known(
        steps in prop::collection::vec((0_u64..20_000, 1_u64..2_000), 1..60),
    ) {
        let (liveness, start) = (Liveness::default(), Instant::now());
        let (mut now, mut seen) = (start, Vec::new());
        for (pause, took) in steps {
            now += ms(pause);
            liveness.answered(ms(took), now);
            let stretch = (now - start - ms(seen.first().map_or(pause, |(_, first, _)| *first))).as_secs() / 30;
            seen.push((stretch, if seen.is_empty() { pause } else { seen[0].1 }, took));
            let mut stretches: Vec<u64> = seen.iter().map(|(stretch, ..)| *stretch).collect();
            stretches.dedup();
            let kept = &stretches[stretches.len().saturating_sub(2)..];
            let slowest = seen.iter().filter(|(stretch, ..)| kept.contains(stretch)).map(|(.., took)| *took).max();
            prop_assert_eq!(liveness.slowest(), ms(slowest.unwrap_or_default()));
        }
    }
}

#[test]
fn a_body_that_moves_slowly_accuses_nobody() {
    let (liveness, start) = (Liveness::default(), Instant::now());
    liveness.answered(ms(20), start);
    let (began, cut) = (start + ms(1), start + ms(2_001));
    assert!(!liveness.accuses((began, cut - ms(40)), RESPONSE, cut), "it paused for 40 ms");
    assert!(
        !liveness.accuses((began, cut - ms(900)), RESPONSE, cut),
        "it moved for more than half of the time"
    );
    assert!(liveness.accuses((began, cut - ms(1_100)), RESPONSE, cut), "it hangs");
}
