use super::*;

use std::sync::Barrier;
use std::thread;

use proptest::prelude::*;

const SETTINGS: OutlierSettings =
    OutlierSettings { consecutive: 3, eject: Duration::from_secs(5), max_ejected: 0.5 };

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Three failures at one moment; the last one tells.
fn fail(outlier: &Outlier, now: Instant) -> bool {
    [(); 3].map(|()| outlier.failure(now, &SETTINGS, || true)) == [false, false, true]
}

#[test]
fn failures_in_a_row_eject_it_for_the_time_set() {
    let (outlier, now) = (Outlier::new(), Instant::now());
    assert_eq!(outlier.ejected_until(now), None);
    for _ in 0..10 {
        assert!(!outlier.failure(now, &SETTINGS, || true));
        assert!(!outlier.failure(now, &SETTINGS, || true));
        outlier.success();
    }
    assert_eq!(outlier.ejected_until(now), None);
    assert!(fail(&outlier, now));
    assert_eq!(outlier.ejected_until(now), Some(now + seconds(5)));
    assert!(outlier.ejected_until(now + seconds(5) - Duration::from_nanos(1)).is_some());
    assert_eq!(outlier.ejected_until(now + seconds(5)), None);
}

#[test]
fn each_ejection_is_longer_up_to_ten_times_the_first() {
    let (outlier, mut now) = (Outlier::new(), Instant::now());
    for length in [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 50, 50] {
        assert!(fail(&outlier, now));
        assert_eq!(outlier.ejected_until(now), Some(now + seconds(length)));
        now += seconds(length);
    }
    // Nine calm periods are forgiven one by one, and none beyond the first ejection.
    now += seconds(5 * 7);
    assert!(fail(&outlier, now));
    assert_eq!(outlier.ejected_until(now), Some(now + seconds(20)));
    now += seconds(20) + seconds(3_600);
    assert!(fail(&outlier, now));
    assert_eq!(outlier.ejected_until(now), Some(now + seconds(5)));
}

#[test]
fn a_set_that_can_spare_no_more_keeps_it_and_is_asked_again() {
    let (outlier, now) = (Outlier::new(), Instant::now());
    let mut asked = 0;
    for _ in 0..5 {
        assert!(!outlier.failure(now, &SETTINGS, || {
            asked += 1;
            false
        }));
    }
    assert_eq!((asked, outlier.ejected_until(now)), (3, None));
    assert!(outlier.failure(now, &SETTINGS, || true));
}

#[test]
fn late_failures_do_not_count_while_it_is_out_nor_after() {
    let (outlier, now) = (Outlier::new(), Instant::now());
    assert!(fail(&outlier, now));
    for _ in 0..100 {
        assert!(!outlier.failure(now + seconds(4), &SETTINGS, || true));
    }
    assert_eq!(outlier.ejected_until(now), Some(now + seconds(5)));
    let back = now + seconds(5);
    assert!(!outlier.failure(back, &SETTINGS, || true));
    assert!(!outlier.failure(back, &SETTINGS, || true));
    assert!(outlier.failure(back, &SETTINGS, || true));
}

#[test]
fn half_of_a_set_goes_but_never_the_only_endpoint() {
    for (share, endpoints, most) in [
        (0.5, 0, 0),
        (0.5, 1, 0),
        (0.5, 2, 1),
        (0.5, 3, 1),
        (0.5, 10, 5),
        (0.1, 3, 1),
        (0.29, 100, 29),
        (1.0, 4, 4),
        (0.0, 9, 0),
    ] {
        assert_eq!(most_ejected(share, endpoints), most, "{share} of {endpoints}");
    }
}

proptest! {
    /// At no time is more of a set out than its cap, whoever fails in whatever order.
    #[test]
    fn the_cap_of_the_set_holds(
        endpoints in 1usize..12,
        steps in prop::collection::vec((0usize..12, any::<bool>(), 0u64..3), 0..300),
    ) {
        let set: Vec<_> = (0..endpoints).map(|_| Outlier::new()).collect();
        let most = most_ejected(SETTINGS.max_ejected, endpoints);
        let mut now = Instant::now();
        for (which, failed, wait) in steps {
            now += seconds(wait);
            let out = || set.iter().filter(|endpoint| endpoint.ejected_until(now).is_some()).count();
            let endpoint = &set[which % endpoints];
            if failed {
                endpoint.failure(now, &SETTINGS, || out() < most);
            } else {
                endpoint.success();
            }
            prop_assert!(out() <= most);
        }
    }
}

#[test]
fn cores_that_fail_at_once_eject_it_once_and_keep_the_cap_of_the_set() {
    for _ in 0..20 {
        let (now, start, lock) = (Instant::now(), Barrier::new(8), Mutex::new(()));
        let set: Vec<_> = (0..4).map(|_| Outlier::new()).collect();
        let ejections = thread::scope(|scope| {
            let cores: Vec<_> = (0..8)
                .map(|core| {
                    let (set, start, lock) = (&set, &start, &lock);
                    scope.spawn(move || {
                        start.wait();
                        let fails = |attempt: usize| {
                            let mut held = None;
                            let counted = || {
                                held = Some(lock.lock().expect("no thread has panicked"));
                                set.iter().filter(|one| one.ejected_until(now).is_some()).count() < 2
                            };
                            set[(core + attempt) % 4].failure(now, &SETTINGS, counted)
                        };
                        (0..100).filter(|attempt| fails(*attempt)).count()
                    })
                })
                .collect();
            cores.into_iter().map(|core| core.join().expect("a core's count")).sum::<usize>()
        });
        assert_eq!(ejections, 2);
        assert_eq!(set.iter().filter(|one| one.ejected_until(now) == Some(now + seconds(5))).count(), 2);
    }
}
