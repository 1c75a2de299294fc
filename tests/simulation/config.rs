//! The configuration of a world.

use crate::plan::{Change, Scenario};

/// The most requests of `/limited` in ten seconds.
pub(crate) const LIMIT: usize = 5;

/// The most attempts that a call may make.
pub(crate) const ATTEMPTS: usize = 3;

/// The text, after these changes.
pub(crate) fn config(scenario: Scenario, changes: &[Change]) -> String {
    let response = match scenario {
        Scenario::SlowConnect => 500,
        _ => 1500,
    };
    let timeouts = changes.iter().filter(|change| **change == Change::Timeout).count();
    let weight = 1 + changes.iter().filter(|change| **change == Change::Weight).count() % 2;
    let moved = changes.iter().filter(|change| **change == Change::Nothing).count();
    let endpoints = match scenario {
        Scenario::Impatient | Scenario::SlowConnect | Scenario::Queue => {
            format!(r#"[{{ url: "http://10.0.0.1:80", weight: {weight} }}]"#)
        }
        Scenario::Moving => format!(r#"[{{ url: "http://a.sim:80", weight: {weight} }}]"#),
        _ => format!(r#"["http://10.0.0.1:80", {{ url: "http://10.0.0.2:80", weight: {weight} }}]"#),
    };
    let breaker = match scenario {
        // A single failure would be seen.
        Scenario::Faulty => {
            "{ consecutive: 3, ratio: 50%, min_requests: 6, window: 5s, open: 2s, probes: 2 }"
        }
        Scenario::Impatient => {
            "{ consecutive: 3, ratio: 90%, min_requests: 50, window: 5s, open: 2s, probes: 2 }"
        }
        Scenario::Hedged => "{ consecutive: 1000, ratio: 100%, min_requests: 1000 }",
        _ => "{ consecutive: 1, ratio: 1%, min_requests: 1, window: 5s, open: 2s, probes: 2 }",
    };
    let more = match scenario {
        Scenario::Queue => "concurrency: { adaptive: true, queue: 1000, queue_timeout: 20s }",
        Scenario::Hedged => {
            "hedge: { after: p80, max: 100% }, health: { path: /healthz, every: 300ms, timeout: 200ms, healthy: 1, unhealthy: 1 }"
        }
        Scenario::Unread => "concurrency: { max: 3, queue: 0 }",
        _ => "outliers: { consecutive: 2, eject: 1s }",
    };
    let retry = format!(
        r#"{{ attempts: {ATTEMPTS}, retry_on: [connect, reset, timeout, 503], budget: 20%, backoff: 10ms..30ms, unsafe: '"x-again" in request.headers' }}"#
    );
    let limits = "{ idle: 4s, head_timeout: 2s, body_timeout: 3s }";
    let idle = 2000 + timeouts;
    let comments = "# Nothing but a remark.\n\n".repeat(moved);
    format!(
        r#"{comments}listeners:
  public:
    listen: 127.0.0.1:1
    limits: {limits}
    routes:
      /a/*: {{ upstream: a, timeout: 3s }}
      /impatient/*: {{ upstream: a, timeout: 300ms }}
      /b/*: {{ upstream: b, timeout: 3s }}
      /limited/*: {{ upstream: b, timeout: 3s, policies: {{ rate_limit: few }} }}
      /both/{{n}}:
        timeout: 3s
        aggregate:
          mode: partial
          sources:
            one: {{ upstream: a, path: "/{{n}}", timeout: 2s, forward_headers: [x-sim] }}
            two: {{ upstream: b, path: "/{{n}}", timeout: 2s, forward_headers: [x-sim] }}
      /all/{{n}}:
        timeout: 3s
        aggregate:
          sources:
            one: {{ upstream: a, path: "/{{n}}", timeout: 2s, forward_headers: [x-sim] }}
            two: {{ upstream: b, path: "/{{n}}", timeout: 2s, forward_headers: [x-sim] }}
rate_limits:
  few: {{ limit: {LIMIT}, window: 10s, key: route }}
{comments}upstreams:
  a: {{ endpoints: {endpoints}, retry: {retry}, timeouts: {{ connect: 500ms, response: {response}ms, idle: {idle}ms }}, breaker: {breaker}, {more} }}
  b: {{ url: "http://10.0.1.1:80", retry: {retry}, timeouts: {{ connect: 500ms, response: {response}ms, idle: {idle}ms }}, breaker: {breaker}, {more} }}
"#
    )
}
