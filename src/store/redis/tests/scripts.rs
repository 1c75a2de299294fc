//! What the scripts count.

use redis::Commands;

use crate::store::Algorithm::{FixedWindow, SlidingWindow, TokenBucket};
use crate::store::redis::{Remote, Return, Trip};

use super::server::{Server, until};
use super::{Limit, limit, taken, trip, up};

const ALL: [crate::store::Algorithm; 3] = [SlidingWindow, FixedWindow, TokenBucket];
const HOUR: u64 = 3_600_000;

#[test]
fn a_key_gets_its_limit_and_no_more() {
    let server = Server::start();
    let link = up(&server.url());
    for algorithm in ALL {
        let limit = limit(algorithm, 10, HOUR);
        let key = format!("k{algorithm:?}");
        for left in (0..10).rev() {
            let grant = taken(&link, trip(&key, limit, 1));
            assert_eq!((grant.granted, grant.remaining), (1, left), "{algorithm:?}");
            assert!(grant.reset_us > 0 && grant.reset_us <= limit.window_us, "{algorithm:?}: {grant:?}");
        }
        let refused = taken(&link, trip(&key, limit, 1));
        assert_eq!((refused.granted, refused.remaining), (0, 0), "{algorithm:?}");
        assert!(refused.reset_us > 0 && refused.reset_us <= limit.window_us, "{algorithm:?}: {refused:?}");
        let other = taken(&link, trip(&format!("{key}2"), limit, 7));
        assert_eq!((other.granted, other.remaining), (7, 3), "{algorithm:?}");
        assert_eq!(taken(&link, trip(&format!("{key}2"), limit, 4)).granted, 0);
        assert_eq!(taken(&link, trip(&format!("{key}2"), limit, 3)).granted, 3);
        assert_eq!(taken(&link, trip(&format!("{key}2"), limit, 0)).granted, 0);
        assert_eq!(taken(&link, trip(&format!("{key}3"), limit, 11)).granted, 0, "more than there can be");
    }
}

#[test]
fn no_key_lives_for_ever() {
    let server = Server::start();
    let link = up(&server.url());
    let mut look = server.connection();
    let check = |look: &mut redis::Connection| {
        let keys: Vec<String> = look.keys("*").unwrap();
        assert!(!keys.is_empty());
        for key in keys {
            let life: i64 = look.pttl(&key).unwrap();
            assert!(life > 0 && life <= 21_000, "{key}: {life}");
        }
    };
    for algorithm in ALL {
        let limit = limit(algorithm, 5, 20_000);
        let key = format!("k{algorithm:?}");
        let grant = taken(&link, Trip { want: 4, hold_us: 400_000, ..trip(&key, limit, 2) });
        check(&mut look);
        link.give_back(Return { key: key.as_bytes().into(), limit, permits: 1, at_us: grant.at_us });
        taken(&link, trip(&key, limit, 9));
        check(&mut look);
        taken(&link, Trip { owed: 1, ..trip(&key, limit, 1) });
        check(&mut look);
        // The other algorithms over the same key.
        taken(&link, trip("shared", limit, 1));
        check(&mut look);
    }
}

#[test]
fn what_is_given_back_can_be_taken_again() {
    let server = Server::start();
    let link = up(&server.url());
    for algorithm in ALL {
        let limit = limit(algorithm, 10, HOUR);
        let key = format!("k{algorithm:?}");
        let grant = taken(&link, trip(&key, limit, 10));
        let back = |permits| Return { key: key.as_bytes().into(), limit, permits, at_us: grant.at_us };
        link.give_back(back(4));
        let left = |cost| taken(&link, trip(&key, limit, cost));
        // The refill since is not given back: a bucket may be a permit short.
        let again = left(3);
        assert_eq!(again.granted, 3, "{algorithm:?}");
        assert!(again.remaining <= 1, "{algorithm:?}: {again:?}");
        link.give_back(back(100));
        assert!(left(0).remaining <= 10);
    }
}

#[test]
fn a_lease_leaves_something_for_others() {
    let server = Server::start();
    let link = up(&server.url());
    for algorithm in ALL {
        let limit = limit(algorithm, 100, HOUR);
        let key = format!("k{algorithm:?}");
        let lease = Trip { want: 50, hold_us: 1_000_000, ..trip(&key, limit, 1) };
        let grant = taken(&link, lease.clone());
        assert!((24..=25).contains(&grant.granted), "{algorithm:?}: {grant:?}");
        assert_eq!(grant.valid_us, 1_000_000, "{algorithm:?}");
        let mut total = grant.granted;
        for _ in 0..200 {
            total += taken(&link, lease.clone()).granted;
        }
        assert!((99..=100).contains(&total), "{algorithm:?}: {total}");
    }
}

#[test]
fn a_bucket_without_room_for_holding_is_spent_at_once() {
    let server = Server::start();
    let link = up(&server.url());
    let small = Limit { burst: 1, ..limit(TokenBucket, 10, 1000) };
    let grant = taken(&link, Trip { want: 5, hold_us: 500_000, ..trip("k", small, 1) });
    assert_eq!((grant.granted, grant.valid_us), (1, 0));
}

#[test]
fn what_was_owed_is_counted_first() {
    let server = Server::start();
    let link = up(&server.url());
    for algorithm in ALL {
        let limit = limit(algorithm, 10, HOUR);
        let key = format!("k{algorithm:?}");
        let grant = taken(&link, Trip { owed: 6, ..trip(&key, limit, 1) });
        assert_eq!((grant.granted, grant.remaining), (1, 3), "{algorithm:?}");
        let grant = taken(&link, Trip { owed: 600, ..trip(&key, limit, 1) });
        assert_eq!((grant.granted, grant.remaining), (0, 0), "{algorithm:?}");
        assert!(grant.reset_us <= limit.window_us, "{algorithm:?}: {grant:?}");
    }
}

#[test]
fn what_is_spent_stays_spent_when_the_limit_changes() {
    let server = Server::start();
    let link = up(&server.url());
    for before in ALL {
        for after in ALL {
            let key = format!("{before:?}{after:?}");
            taken(&link, trip(&key, limit(before, 10, HOUR), 8));
            let grant = taken(&link, trip(&key, limit(after, 20, HOUR), 1));
            assert_eq!(grant.granted, 1, "{key}");
            assert_eq!(grant.remaining, 11, "{key}: {grant:?}");
            // Far less than what is spent: nothing is left. It comes back within a window, or as a bucket refills: nine
            // permits, of which a little has refilled by now.
            let grant = taken(&link, trip(&key, limit(after, 3, HOUR), 3));
            assert_eq!((grant.granted, grant.remaining), (0, 0), "{key}: {grant:?}");
            let longest = if after == TokenBucket { 3 * HOUR } else { HOUR };
            assert!(grant.reset_us <= longest * 1000, "{key}: {grant:?}");
            assert!(grant.reset_us > (longest - HOUR / 10) * 1000, "{key}: {grant:?}");
        }
    }
}

#[test]
fn a_shorter_window_ends_sooner() {
    let server = Server::start();
    let link = up(&server.url());
    for algorithm in ALL {
        let key = format!("k{algorithm:?}");
        taken(&link, trip(&key, limit(algorithm, 5, HOUR), 5));
        let short = limit(algorithm, 5, 60);
        let grant = taken(&link, trip(&key, short, 5));
        assert!(grant.reset_us <= 60_000, "{algorithm:?}: {grant:?}");
        until("the permits are back", || taken(&link, trip(&key, short, 5)).granted == 5);
    }
}

#[test]
fn what_is_broken_heals() {
    let server = Server::start();
    let link = up(&server.url());
    let mut look = server.connection();
    let state: Vec<u8> = {
        taken(&link, trip("sample", limit(SlidingWindow, 5, 20_000), 1));
        look.get("sample").unwrap()
    };
    for algorithm in ALL {
        let limit = limit(algorithm, 5, 20_000);
        let cut = &state[..state.len() - 1];
        let junk: [&[u8]; 7] =
            [b"999", b"", b"\x90", b"\xdd\xff\xff\xff\xff", b"\x97\x4d\xc0\xc0", cut, b"\x81\x01\x02"];
        for value in junk {
            let _: () = look.set("k", value).unwrap();
            let grant = taken(&link, trip("k", limit, 1));
            assert_eq!((grant.granted, grant.remaining), (1, 4), "{algorithm:?} {value:?}");
            assert!(look.pttl::<_, i64>("k").unwrap() > 0);
        }
        let _: () = redis::cmd("DEL").arg("k").query(&mut look).unwrap();
        let _: () = look.rpush("k", 1).unwrap();
        assert_eq!(taken(&link, trip("k", limit, 1)).granted, 1, "{algorithm:?}");
        assert!(look.pttl::<_, i64>("k").unwrap() > 0);
        // Our own state, but somebody took its end away.
        let _: () = look.persist("k").unwrap();
        assert_eq!(taken(&link, trip("k", limit, 1)).remaining, 3, "{algorithm:?}");
        assert!(look.pttl::<_, i64>("k").unwrap() > 0);
        let _: () = look.set("k", "999").unwrap();
        assert_eq!(taken(&link, trip("k", limit, 6)).granted, 0);
        assert!(!look.exists::<_, bool>("k").unwrap(), "what nothing is written over is removed");
    }
}

#[test]
fn great_numbers_are_counted_exactly() {
    let server = Server::start();
    let link = up(&server.url());
    let most = u64::from(u32::MAX);
    let month = 30 * 24 * HOUR;
    for algorithm in ALL {
        for (limit_, window) in [(most, month), (most, 1), (most - 1, HOUR), (1, month), (7, 1_000)] {
            let limit = limit(algorithm, limit_, window);
            let key = format!("k{algorithm:?}{limit_}{window}");
            let grant = taken(&link, trip(&key, limit, limit_));
            assert_eq!(grant.granted, limit_, "{key}");
            assert!(grant.reset_us <= limit.window_us, "{key} {grant:?}");
            if window > 100_000 {
                let refused = taken(&link, trip(&key, limit, limit_));
                assert_eq!(refused.granted, 0, "{key}");
                assert!(refused.reset_us <= limit.window_us, "{key}: {refused:?}");
                assert!(refused.reset_us > limit.window_us / 2, "{key}: {refused:?}");
            }
        }
    }
}

#[test]
fn nothing_is_admitted_under_a_limit_of_zero() {
    let server = Server::start();
    let link = up(&server.url());
    for algorithm in ALL {
        let none = limit(algorithm, 0, 1000);
        assert_eq!(taken(&link, trip("k", none, 1)).granted, 0, "{algorithm:?}");
    }
}

/// Under a saturating load: never more in a window than the limit, and whoever waits as long as told is admitted.
#[test]
fn whoever_waits_as_long_as_told_is_admitted() {
    let server = Server::start();
    let link = up(&server.url());
    for algorithm in ALL {
        let limit = limit(algorithm, 7, 150);
        let key = format!("k{algorithm:?}");
        let mut admitted: Vec<u64> = Vec::new();
        let mut not_before = 0;
        let mut costs = [3, 1, 2, 7, 1, 1].iter().cycle();
        let mut cost = 3;
        while admitted.len() < 80 {
            let grant = taken(&link, trip(&key, limit, cost));
            if grant.granted > 0 {
                admitted.extend(std::iter::repeat_n(grant.at_us, cost as usize));
                not_before = 0;
                cost = *costs.next().unwrap();
            } else {
                assert!(not_before == 0 || grant.at_us < not_before, "{algorithm:?}: refused after the wait");
                if not_before == 0 {
                    not_before = grant.at_us + grant.reset_us;
                }
            }
        }
        let (window, burst) = (limit.window_us, 7);
        for (first, start) in admitted.iter().enumerate() {
            let within = |span: u64| admitted[first..].iter().filter(|at| *at - start < span).count() as u64;
            match algorithm {
                SlidingWindow => assert!(within(window) <= 7, "{admitted:?}"),
                FixedWindow => assert!(within(window) <= 14, "{admitted:?}"),
                TokenBucket => {
                    for span in [window / 7, window, 3 * window] {
                        assert!(within(span) <= burst + 7 * span / window, "{admitted:?}");
                    }
                }
            }
        }
    }
}
