use std::sync::Arc;

use super::*;
use crate::cache::Cache;

fn settings(ttl: Option<u64>, error: u64, revalidate: u64) -> Settings {
    Settings {
        cache: Arc::new(Cache::new(1 << 20)),
        ttl: ttl.map(Duration::from_secs),
        key: None,
        head: true,
        stale_if_error: Duration::from_secs(error),
        stale_while_revalidate: Duration::from_secs(revalidate),
        shared: false,
    }
}

fn head(lines: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in lines {
        headers.append(name, value.as_bytes()).unwrap();
    }
    headers
}

/// Age, lifetime and keep in seconds.
fn judged(status: u16, lines: &[(&str, &str)], asker: Asker, settings: &Settings) -> Option<[u64; 3]> {
    let status = StatusCode::from_u16(status).unwrap();
    let now = (SystemTime::now(), Duration::from_secs(2));
    let term = term((status, &head(lines)), asker, settings, now)?;
    Some([term.age.as_secs(), term.lifetime.as_secs(), term.keep.as_secs()])
}

const DAY: u64 = 24 * 3600;

#[test]
fn times_come_from_the_answer_first() {
    let (plain, all) = (settings(None, 0, 0), settings(Some(50), 7, 9));
    let known = Asker::default();
    for (lines, without, with) in [
        // Two seconds on its way make it two seconds old, and what says nothing is fresh from now on.
        (&[][..], None, Some([2, 52, 9])),
        (&[("cache-control", "max-age=60")], Some([2, 60, 0]), Some([2, 60, 9])),
        (&[("cache-control", "max-age=60"), ("age", "10")], Some([12, 60, 0]), Some([12, 60, 9])),
        (&[("age", "10")], None, Some([12, 62, 9])),
        (&[("cache-control", "max-age=60, stale-if-error=70")], Some([2, 60, 70]), Some([2, 60, 70])),
        (&[("cache-control", "max-age=60, stale-while-revalidate=1")], Some([2, 60, 1]), Some([2, 60, 7])),
        (&[("cache-control", "max-age=60, must-revalidate")], Some([2, 60, 0]), Some([2, 60, 0])),
        (&[("cache-control", "s-maxage=60")], Some([2, 60, 0]), Some([2, 60, 0])),
        (&[("cache-control", "max-age=0")], None, Some([2, 0, 9])),
        (&[("cache-control", "max-age=60"), ("etag", "\"x\"")], Some([2, 60, DAY]), Some([2, 60, DAY])),
        (
            &[("cache-control", "max-age=0"), ("last-modified", "Wed, 01 Jan 2025 00:00:00 GMT")],
            Some([2, 0, DAY]),
            Some([2, 0, DAY]),
        ),
        (
            &[("cache-control", "no-cache, max-age=60"), ("etag", "\"x\"")],
            Some([2, 0, DAY]),
            Some([2, 0, DAY]),
        ),
        (&[("cache-control", "no-cache, max-age=60")], None, None),
        (&[("cache-control", "no-cache, max-age=60"), ("last-modified", "yesterday")], None, None),
        // Long over, and of no use: nobody may be given it, and nobody can be asked.
        (&[("cache-control", "max-age=60"), ("age", "100")], None, None),
    ] {
        assert_eq!(judged(200, lines, known, &plain), without, "{lines:?}");
        assert_eq!(judged(200, lines, known, &all), with, "{lines:?}");
    }
}

#[test]
fn who_asks_bears_on_it() {
    let settings = settings(Some(50), 0, 0);
    let cookie = Asker { cookie: true, ..Asker::default() };
    let alone = Asker { alone: true, ..Asker::default() };
    let authorization = Asker { authorization: true, ..Asker::default() };
    let kept = |control: &str, asker| judged(200, &[("cache-control", control)], asker, &settings).is_some();
    assert!(kept("x", Asker::default()) && kept("x", alone));
    assert!(!kept("x", cookie) && !kept("public", cookie) && kept("max-age=9", cookie));
    assert!(!kept("private", Asker::default()) && kept("private", alone));
    assert!(!kept("max-age=9", authorization) && kept("public", authorization));
    assert!(kept("max-age=9, must-revalidate", authorization) && kept("s-maxage=9", authorization));
    assert!(!kept("private, s-maxage=9", authorization));
    assert!(!kept("max-age=9, proxy-revalidate", authorization));
    assert!(!kept("max-age=9, no-store", Asker::default()));
    assert!(kept("max-age=9, no-store, must-understand", Asker::default()));
}

#[test]
fn how_long_what_is_stale_may_be_given() {
    let settings = settings(None, 7, 9);
    let leeway = |control: &str| {
        let control = CacheControl::read(&head(&[("cache-control", control)]));
        let leeway = Leeway::of(&control, &settings);
        [leeway.error.as_secs(), leeway.revalidate.as_secs(), leeway.on_error().as_secs()]
    };
    assert_eq!(leeway("max-age=1"), [7, 9, 9]);
    assert_eq!(leeway("stale-if-error=20"), [20, 9, 20]);
    assert_eq!(leeway("stale-while-revalidate=0"), [7, 0, 7]);
    for forbidden in ["no-cache", "must-revalidate", "proxy-revalidate", "s-maxage=1"] {
        assert_eq!(leeway(&format!("{forbidden}, stale-if-error=5, stale-while-revalidate=5")), [0; 3]);
    }
}
