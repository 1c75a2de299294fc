//! What telling of one request costs: its log line and its counters.

use std::hint::black_box;
use std::time::{Duration, UNIX_EPOCH};

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis::exchange::CoreId;
use portcullis::telemetry::format::Formatter;
use portcullis::telemetry::{Entry, Format, Metrics};

fn entry() -> Entry<'static> {
    Entry {
        grpc: None,
        at: UNIX_EPOCH + Duration::from_millis(1_764_037_486_007),
        id: b"0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
        client: [203, 0, 113, 195].into(),
        peer: None,
        listener: "default",
        route: "/api/users/*",
        method: b"GET",
        host: b"api.example.com",
        path: b"/api/users/4711/orders",
        version: http::Version::HTTP_11,
        status: 200,
        error: None,
        reason: "",
        source: None,
        note: None,
        bytes_in: 0,
        bytes_out: 1234,
        tunnel: None,
        duration: Duration::from_micros(12_045),
        upstream: Some("users"),
        endpoint: Some(([10, 0, 12, 34], 8080).into()),
        attempts: 1,
        upstream_time: Duration::from_micros(11_900),
        identity: Some("user-4711"),
    }
}

fn lines(c: &mut Criterion) {
    let entry = entry();
    for (name, format) in [("line/json", Format::Json), ("line/text", Format::Text { colour: true })] {
        let mut formatter = Formatter::new(format);
        let mut out = Vec::with_capacity(64 * 1024);
        c.bench_function(name, |bench| {
            bench.iter(|| {
                if out.len() > 32 * 1024 {
                    out.clear();
                }
                formatter.push(&mut out, black_box(&entry));
            });
        });
    }
}

fn counters(c: &mut Criterion) {
    let metrics = Metrics::new(2);
    let route = metrics.route("default", "/api/users/*");
    c.bench_function("metrics/started and finished", |bench| {
        bench.iter(|| {
            let route = black_box(&route);
            route.started(black_box(CoreId(1)));
            route.finished(
                black_box(CoreId(1)),
                black_box(200),
                black_box(Duration::from_micros(734)),
                0,
                1234,
            );
        });
    });
    let metrics = Metrics::new(2);
    for number in 0..10_000 {
        metrics.route("default", &format!("/api/{number}/*")).started(CoreId(0));
    }
    c.bench_function("metrics/render 10000 routes", |bench| bench.iter(|| metrics.render()));
}

criterion_group!(benches, lines, counters);
criterion_main!(benches);
