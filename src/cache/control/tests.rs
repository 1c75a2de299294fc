use super::*;

fn head(lines: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in lines {
        headers.append(name, value.as_bytes()).unwrap();
    }
    headers
}

fn control(value: &str) -> CacheControl {
    CacheControl::read(&head(&[("cache-control", value)]))
}

#[test]
fn directives_are_read_in_every_form() {
    let none = CacheControl::default();
    let aged = |seconds| CacheControl { max_age: Some(seconds), ..none };
    let no_store = CacheControl { no_store: true, ..none };
    let broken = CacheControl { broken: true, ..no_store };
    for (value, expected) in [
        ("", none),
        (" , ,", none),
        ("max-age=60", aged(60)),
        ("MAX-AGE=60", aged(60)),
        ("max-age=\"60\"", aged(60)),
        ("max-age = 60", aged(60)),
        ("foo, max-age=60 ,bar=\"a, no-store\"", aged(60)),
        ("bar=\"a\\\", no-store\", max-age=1", aged(1)),
        // What is said twice counts in its stricter form, what cannot be read in the strictest.
        ("max-age=60, max-age=5", aged(5)),
        ("max-age=5, max-age=60", aged(5)),
        ("max-age", aged(0)),
        ("max-age=", aged(0)),
        ("max-age=-1", aged(0)),
        ("max-age=+5", aged(0)),
        ("max-age=1.5", aged(0)),
        ("max-age=99999999999999999999999", aged(MANY)),
        // Written with the wrong mark between them: whatever else it says, it says it.
        ("max-age=60;no-store", broken),
        ("private; max-age=60", broken),
        ("public;foo, max-age=60", CacheControl { max_age: Some(60), ..broken }),
        ("foo=\"a;b\", max-age=60", aged(60)),
        ("no-store", no_store),
        ("No-Store=anything", no_store),
        ("x-no-store, no-storex", none),
        ("no-cache=\"x-a, x-b\"", CacheControl { no_cache: true, ..none }),
        ("private=\"set-cookie\"", CacheControl { private: true, ..none }),
        ("x=\"never ends, max-age=60", broken),
        ("must-revalidate", CacheControl { must_revalidate: true, ..none }),
        ("proxy-revalidate", CacheControl { proxy_revalidate: true, ..none }),
        ("must-understand, no-store", CacheControl { must_understand: true, ..no_store }),
        ("only-if-cached", CacheControl { only_if_cached: true, ..none }),
        ("public, s-maxage=1", CacheControl { public: true, s_maxage: Some(1), ..none }),
        (
            "stale-if-error=7, stale-while-revalidate=8",
            CacheControl { stale_if_error: Some(7), stale_while_revalidate: Some(8), ..none },
        ),
    ] {
        assert_eq!(control(value), expected, "{value}");
    }
}

#[test]
fn all_lines_count() {
    let headers = head(&[("cache-control", "max-age=60"), ("x", "no-store"), ("cache-control", "no-cache")]);
    let expected = CacheControl { max_age: Some(60), no_cache: true, ..CacheControl::default() };
    assert_eq!(CacheControl::read(&headers), expected);
}

const NOON: &str = "Wed, 25 Nov 2026 12:00:00 GMT";
const LATER: &str = "Wed, 25 Nov 2026 12:01:30 GMT";

fn noon() -> SystemTime {
    http_date(NOON.as_bytes()).unwrap()
}

#[test]
fn a_lifetime_is_what_the_nearest_word_says() {
    let at = |lines: &[(&str, &str)]| {
        let headers = head(lines);
        CacheControl::read(&headers).lifetime(&headers, noon()).map(|time| time.as_secs())
    };
    assert_eq!(at(&[]), None);
    assert_eq!(at(&[("cache-control", "public")]), None);
    assert_eq!(at(&[("cache-control", "max-age=5, s-maxage=9"), ("expires", LATER)]), Some(9));
    assert_eq!(at(&[("cache-control", "max-age=5"), ("expires", LATER)]), Some(5));
    assert_eq!(at(&[("expires", LATER)]), Some(90));
    assert_eq!(at(&[("expires", LATER), ("date", LATER)]), Some(0));
    assert_eq!(at(&[("expires", NOON), ("date", LATER)]), Some(0));
    assert_eq!(at(&[("expires", "0")]), Some(0));
    assert_eq!(at(&[("expires", "-1"), ("expires", LATER)]), Some(0));
    assert_eq!(at(&[("expires", "Wednesday, 25-Nov-26 12:00:10 GMT")]), Some(10));
    assert_eq!(at(&[("expires", "Wed Nov 25 12:00:11 2026")]), Some(11));
}

#[test]
fn an_age_is_what_is_told_and_what_the_date_shows() {
    let at = |lines: &[(&str, &str)], waited| {
        age(&head(lines), noon() + Duration::from_secs(60), Duration::from_secs(waited)).as_secs()
    };
    assert_eq!(at(&[], 3), 3);
    assert_eq!(at(&[("age", "10")], 3), 13);
    assert_eq!(at(&[("age", "10, 20")], 0), 10);
    assert_eq!(at(&[("age", "10"), ("age", "20")], 0), 10);
    assert_eq!(at(&[("age", "x")], 3), 3);
    assert_eq!(at(&[("age", "-5")], 3), 3);
    assert_eq!(at(&[("age", "99999999999999999999")], 3), MANY + 3);
    assert_eq!(at(&[("date", NOON)], 0), 60);
    assert_eq!(at(&[("date", NOON), ("age", "100")], 0), 100);
    assert_eq!(at(&[("date", NOON), ("age", "1")], 0), 60);
    assert_eq!(at(&[("date", NOON), ("age", "59")], 2), 61);
    // A clock that goes before ours makes nothing old, and a date that cannot be read says nothing.
    assert_eq!(at(&[("date", LATER)], 0), 0);
    assert_eq!(at(&[("date", "yesterday")], 0), 0);
    assert_eq!(at(&[("date", NOON), ("date", NOON)], 0), 0);
    assert_eq!(at(&[("date", "Wed, 25 Nov 2026 12:00:59 GMT")], 0), 1);
    let almost = noon() + Duration::from_millis(999);
    assert_eq!(age(&head(&[("date", NOON)]), almost, Duration::ZERO).as_secs(), 0);
}

#[test]
fn what_forbids_what() {
    for (value, keeping, stale) in [
        ("max-age=1", false, false),
        ("no-store", true, false),
        ("no-store, must-understand", false, false),
        ("must-understand, foo;bar", true, false),
        ("no-cache", false, true),
        ("must-revalidate", false, true),
        ("proxy-revalidate", false, true),
        ("s-maxage=1", false, true),
    ] {
        let control = control(value);
        assert_eq!((control.forbids_keeping(), control.forbids_stale()), (keeping, stale), "{value}");
    }
}
