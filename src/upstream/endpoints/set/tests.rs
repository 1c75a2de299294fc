use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::upstream::endpoints::balance::hash::stable;
use crate::upstream::endpoints::endpoint::HealthState;

const CORE: CoreId = CoreId(0);

fn settings(yaml: &str) -> UpstreamSettings {
    let text = format!(
        "listen: 127.0.0.1:0\nupstreams: {{ u: {{ {yaml} }} }}\nroutes: {{ /: {{ upstream: u }} }}\n"
    );
    let path = std::path::Path::new("portcullis.yaml");
    let vocabulary = crate::config::Vocabulary { policies: &[], later: &[] };
    let loaded = crate::config::load_text(path, &text, &|_| None, vocabulary);
    loaded
        .config
        .unwrap_or_else(|| panic!("{}", loaded.diagnostics.render(false)))
        .upstreams
        .remove(0)
        .settings
}

fn named(last: u8, weight: u32) -> Place {
    let address = ([10, 0, 0, last], 80).into();
    Place {
        key: EndpointKey {
            address,
            authority: "users".into(),
            by_name: true,
            tls: None,
            version: HttpVersion::Auto,
        },
        weight,
    }
}

fn weights(set: &Set) -> Vec<(String, u32)> {
    let seen = set.seen(CORE);
    let shown = seen.endpoints.iter().zip(&seen.weights);
    shown.map(|(endpoint, weight)| (endpoint.address().ip().to_string(), *weight)).collect()
}

#[test]
fn the_addresses_of_one_name_share_the_keys() {
    let now = Instant::now();
    let set = Set::new(
        &settings("url: http://users, balance: { consistent_hash: request.path }"),
        None,
        1,
        None,
        now,
    );
    set.replace(&[named(1, 1), named(2, 1), named(3, 1)], true, &[], now);
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for key in 0..300 {
        let at = set.seen(CORE).pick(&Tried::new(), Some(stable(format!("key-{key}").as_bytes())), CORE, now);
        *counts.entry(at.unwrap()).or_default() += 1;
    }
    assert!(counts.len() == 3 && counts.values().all(|count| *count >= 60), "{counts:?}");
}

#[test]
fn an_endpoint_is_in_a_set_once_with_all_its_weight() {
    let now = Instant::now();
    let set = Set::new(&settings("url: http://users"), None, 1, None, now);
    set.replace(&[named(1, 2), named(2, 1), named(1, 3)], true, &[], now);
    assert_eq!(weights(&set), [("10.0.0.1".to_owned(), 5), ("10.0.0.2".to_owned(), 1)]);
}

#[test]
fn another_weight_is_no_other_endpoint() {
    let now = Instant::now();
    let set = Set::new(&settings("url: http://users"), None, 1, None, now);
    set.replace(&[named(1, 1), named(2, 1)], true, &[], now);
    let [first, second] = &set.endpoints()[..] else { panic!("two") };
    assert!(first.checked(false, now));
    set.replace(&[named(2, 7), named(1, 9), named(3, 1)], true, &[], now);
    let after = set.endpoints();
    assert!(Arc::ptr_eq(&after[0], second) && Arc::ptr_eq(&after[1], first));
    assert_eq!(first.health(), HealthState::Unhealthy);
    assert_eq!(weights(&set).iter().map(|one| one.1).collect::<Vec<_>>(), [7, 9, 1]);
    let ramps: Vec<bool> = after.iter().map(|one| one.candidate(1, now, false).ramp < 1.0).collect();
    assert_eq!(ramps, [false, false, true], "only the third is new");
}

#[test]
fn a_successor_has_the_endpoints_of_the_set_before() {
    let now = Instant::now();
    let two = "endpoints: [http://10.0.0.1, { url: http://10.0.0.2, weight: 2 }]";
    let before = Set::new(&settings(two), None, 1, None, now);
    let _active = crate::upstream::endpoints::endpoint::Active::begin(&before.endpoints()[1]);
    let three = "endpoints: [http://10.0.0.2, http://10.0.0.3], balance: random";
    let after = Set::new(&settings(three), None, 1, Some(&before), now).endpoints();
    assert!(Arc::ptr_eq(&after[0], &before.endpoints()[1]));
    assert_eq!((after[0].active(), after[1].active()), (1, 0));
    assert!(after[1].candidate(1, now, false).ramp < 1.0, "it is new in a set that ran");
    // What is found replaces nothing that is known.
    let found = Set::new(&settings("url: http://users"), None, 1, Some(&before), now);
    assert_eq!(found.endpoints().len(), 0);
    let place = Place::written(before_url(&settings(two)), 1, (None, HttpVersion::Auto)).unwrap();
    found.replace(&[place], true, &before.endpoints(), now);
    assert!(Arc::ptr_eq(&found.endpoints()[0], &before.endpoints()[0]));
}

fn before_url(settings: &UpstreamSettings) -> &Url {
    settings.endpoints.urls().next().unwrap()
}

#[test]
fn an_address_of_a_name_that_refuses_is_left_out_while_there_are_others() {
    let now = Instant::now();
    let set = Set::new(&settings("url: http://users, balance: round_robin"), None, 1, None, now);
    set.replace(&[named(1, 1), named(2, 1)], true, &[], now);
    set.endpoints()[0].reach.failed(now);
    let pick = |now| set.seen(CORE).pick(&Tried::new(), None, CORE, now).unwrap();
    assert!((0..10).all(|_| pick(now) == 1));
    let later = now + Duration::from_secs(2);
    assert!((0..10).any(|_| pick(later) == 0), "it is tried again");
    set.endpoints()[0].reach.failed(later);
    set.endpoints()[1].reach.failed(later);
    assert!((0..10).any(|_| pick(later) == 0), "where all refuse, all are tried");
    set.endpoints()[0].reach.opened();
    assert!((0..10).all(|_| pick(later) == 0));
}

#[tokio::test]
async fn a_set_is_known_with_its_first_endpoint_or_when_all_sources_have_answered() {
    let now = Instant::now();
    let end = now + Duration::from_secs(60);
    let fixed = Set::new(&settings("url: http://10.0.0.1"), None, 1, None, now);
    assert!(fixed.known(now).await);
    for (places, settled) in [(vec![named(1, 1)], false), (Vec::new(), true)] {
        let set = Set::new(&settings("url: http://users"), None, 1, None, now);
        assert!(!set.known(now).await, "nothing is known yet");
        let mut known = std::pin::pin!(set.known(end));
        assert!(futures_poll(known.as_mut()).is_pending());
        set.replace(&[], false, &[], now);
        assert!(futures_poll(known.as_mut()).is_pending());
        set.replace(&places, settled, &[], now);
        assert!(known.await && set.known(now).await);
    }
    let mixed = Set::new(&settings("endpoints: [http://users, http://10.0.0.1]"), None, 1, None, now);
    assert!(mixed.known(now).await, "one is enough");
}

fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[test]
fn a_set_knows_its_endpoints_by_name_and_by_address() {
    let list = "endpoints: [\"http://[::1]\", \"http://[::2]:81\", http://10.0.0.1:3001]";
    let set = Set::new(&settings(list), None, 1, None, Instant::now());
    for named in ["[::1]", "[::1]:80", "::1", "[::2]:81", "[::2]", "10.0.0.1", "10.0.0.1:3001"] {
        assert!(set.is_named(named), "{named}");
    }
    for other in ["", "[", "[:", "[::3]", "[::2]:80", "10.0.0.1:80", "10.0.0.2"] {
        assert!(!set.is_named(other), "{other}");
    }
    assert!(["[::1]", "[::2]", "10.0.0.1"].into_iter().all(|name| set.has_name(|host| host == name)));
}

/// The configuration cannot use the type of the exchange: the two agree.
#[test]
fn the_authority_of_a_url_is_one_of_a_request() {
    for written in ["users", "Users.Internal.", "users:3001", "10.0.0.1:80", "[::1]", "[2001:DB8::1]:443"] {
        let settings = settings(&format!("url: 'http://{written}'"));
        let url = before_url(&settings);
        let text = url.authority();
        let authority = Authority::read(text.as_str()).unwrap();
        assert_eq!(authority.host, url.host.to_string());
        assert_eq!(authority.port_or(crate::exchange::Scheme::Http), Some(url.port));
    }
}
