use std::time::Duration;

use super::*;

fn lines<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    page.lines().filter(|line| line.starts_with(name)).collect()
}

#[test]
fn the_cores_are_summed() {
    let metrics = Metrics::new(2);
    let route = metrics.route("default", "/a");
    for core in [CoreId(0), CoreId(1)] {
        for _ in 0..3 {
            route.started(core);
        }
        route.finished(core, 200, Duration::from_millis(3), 10, 20);
        route.finished(core, 0, Duration::from_millis(1500), 1, 0);
    }
    let page = metrics.render();
    assert_eq!(
        lines(&page, "portcullis_requests_total{"),
        [
            r#"portcullis_requests_total{listener="default",route="/a",class="none"} 2"#,
            r#"portcullis_requests_total{listener="default",route="/a",class="2xx"} 2"#,
            r#"portcullis_requests_total{listener="default",route="/a",class="4xx"} 0"#,
            r#"portcullis_requests_total{listener="default",route="/a",class="5xx"} 0"#,
        ]
    );
    for line in [
        r#"portcullis_requests_in_flight{listener="default",route="/a"} 2"#,
        r#"portcullis_request_duration_seconds_bucket{listener="default",route="/a",le="0.0025"} 0"#,
        r#"portcullis_request_duration_seconds_bucket{listener="default",route="/a",le="0.005"} 2"#,
        r#"portcullis_request_duration_seconds_bucket{listener="default",route="/a",le="2.5"} 4"#,
        r#"portcullis_request_duration_seconds_bucket{listener="default",route="/a",le="+Inf"} 4"#,
        r#"portcullis_request_duration_seconds_sum{listener="default",route="/a"} 3.006000000"#,
        r#"portcullis_request_duration_seconds_count{listener="default",route="/a"} 4"#,
        r#"portcullis_request_bytes_total{listener="default",route="/a"} 22"#,
        r#"portcullis_response_bytes_total{listener="default",route="/a"} 40"#,
    ] {
        assert!(page.lines().any(|told| told == line), "{line} in {page}");
    }
}

#[test]
fn every_sample_belongs_to_a_family_that_was_announced_once() {
    let metrics = Metrics::new(1);
    metrics.route("l", "").finished(CoreId(0), 999, Duration::ZERO, 0, 0);
    metrics.listener("l").opened(CoreId(0));
    metrics.upstream("u").attempted(CoreId(0), Outcome::Broken);
    let page = metrics.render();
    assert!(page.ends_with('\n'));
    let mut family = "";
    let mut seen = HashSet::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest.split_once(' ').unwrap().0, family);
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split_once(' ').unwrap().0;
            assert!(seen.insert(family), "{family} twice");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with(family), "{name} under {family}");
            value.parse::<f64>().unwrap();
        }
    }
    assert!(page.contains(r#"portcullis_upstream_attempts_total{upstream="u",outcome="broken"} 1"#));
    assert!(page.contains("portcullis_connections_open{listener=\"l\"} 1\n"));
}

#[test]
fn labels_are_escaped() {
    let metrics = Metrics::new(1);
    metrics.route("a\"b", "c\\d\ne").started(CoreId(0));
    assert!(metrics.render().contains(r#"in_flight{listener="a\"b",route="c\\d\ne"} 1"#));
}

#[test]
fn names_keep_their_numbers_over_reloads_and_lose_them_with_the_configuration() {
    let metrics = Metrics::new(1);
    let first = metrics.route("default", "/a");
    assert!(Arc::ptr_eq(&first, &metrics.route("default", "/a")));
    assert!(Arc::ptr_eq(&metrics.upstream("u"), &metrics.upstream("u")));
    let unmatched = metrics.route("default", "");
    metrics.route("gone", "/a").started(CoreId(0));
    metrics.route("default", "/gone").started(CoreId(0));
    metrics.listener("gone").opened(CoreId(0));
    metrics.upstream("gone").attempted(CoreId(0), Outcome::Answered);
    let routes = HashMap::from_iter([(Name::from("default"), HashSet::from_iter([Name::from("/a")]))]);
    metrics.retain(&Names { routes, upstreams: HashSet::from_iter([Name::from("u")]) });
    assert!(Arc::ptr_eq(&first, &metrics.route("default", "/a")));
    assert!(Arc::ptr_eq(&unmatched, &metrics.route("default", "")));
    assert!(!metrics.render().contains("gone"));
}

#[test]
fn errors_reloads_and_drops_are_told() {
    let metrics = Metrics::new(2);
    metrics.error(CoreId(0), ErrorKind::NoRoute);
    metrics.error(CoreId(1), ErrorKind::NoRoute);
    metrics.access_log_dropped().fetch_add(7, Ordering::Relaxed);
    metrics.loaded(1, UNIX_EPOCH + Duration::from_secs(50));
    metrics.reload_failed();
    let page = metrics.render();
    assert_eq!(lines(&page, "portcullis_errors_total{").len(), ErrorKind::ALL.len());
    for line in [
        r#"portcullis_errors_total{error="no_route"} 2"#,
        r#"portcullis_errors_total{error="forbidden"} 0"#,
        "portcullis_access_log_dropped_lines_total 7",
        r#"portcullis_config_reloads_total{result="failed"} 1"#,
        r#"portcullis_config_reloads_total{result="ok"} 0"#,
        "portcullis_config_last_reload_successful 0",
        "portcullis_config_last_reload_success_timestamp_seconds 50",
        "portcullis_config_version 1",
    ] {
        assert!(page.lines().any(|told| told == line), "{line} in {page}");
    }
    metrics.reloaded(2, UNIX_EPOCH + Duration::from_secs(60));
    let page = metrics.render();
    assert!(page.contains("portcullis_config_last_reload_successful 1\n"));
    assert!(page.contains("portcullis_config_version 2\n"));
}

/// Many unused routes cost neither lines nor sets of counters.
#[test]
fn routes_without_requests_have_no_series() {
    let metrics = Metrics::new(64);
    for number in 0..10_000 {
        metrics.route("default", &format!("/r{number}"));
    }
    assert!(!metrics.render().contains("route="));
}
