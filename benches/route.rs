//! What finding a route costs as the table grows, and what bringing a target into its one form costs.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::Method;
use portcullis::exchange::target::{PathRules, Target};
use portcullis::route::{Layer, Methods, Pattern, Table, TableBuilder};
use std::hint::black_box;

/// A third each of whole paths, parameters and prefixes.
fn table(routes: usize) -> Table<usize> {
    let mut builder = TableBuilder::new();
    for index in 0..routes {
        let text = match index % 3 {
            0 => format!("/api/v1/service{index}/health"),
            1 => format!("/api/v1/service{index}/users/{{id}}/orders/{{order}}"),
            _ => format!("/api/v1/service{index}/*"),
        };
        builder.insert(Layer::Shared, Methods::Any, &Pattern::parse(&text).unwrap(), index).unwrap();
    }
    builder.build()
}

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    for routes in [10, 1_000, 10_000, 100_000] {
        let table = table(routes);
        // Many different paths, so that the cache sees the table and not one corner of it.
        let middle = routes / 6 * 3;
        let around = |offset: usize| (0..64).map(move |step| (middle + step * 3) % (routes / 3 * 3) + offset);
        let kinds: [(&str, Vec<String>); 4] = [
            ("whole", around(0).map(|index| format!("/api/v1/service{index}/health")).collect()),
            ("params", around(1).map(|i| format!("/api/v1/service{i}/users/42/orders/9f")).collect()),
            ("prefix", around(2).map(|index| format!("/api/v1/service{index}/a/b/c")).collect()),
            ("miss", around(0).map(|index| format!("/api/v1/none{index}/a/b/c")).collect()),
        ];
        for (kind, paths) in kinds {
            let mut at = 0;
            group.bench_function(BenchmarkId::new(kind, routes), |bencher| {
                bencher.iter(|| {
                    at = (at + 1) % paths.len();
                    black_box(table.find(&paths[at], &Method::GET));
                });
            });
        }
    }
    group.finish();
    let mut group = criterion.benchmark_group("build");
    group.sample_size(10);
    group.bench_function("100000", |bencher| bencher.iter_with_large_drop(|| table(100_000)));
    group.finish();
}

fn normalise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("target");
    for (name, raw) in [
        ("normal", "/api/v1/users/42/orders?page=2&size=50"),
        ("escapes", "/api/caf%C3%A9/a%20b/orders?page=2&size=50"),
        ("changed", "/api//v1/%75sers/./42/../43/orders?page=2&size=50"),
        ("absolute", "http://gw.example.com/api/v1/users/42/orders?page=2"),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(Target::parse(black_box(raw.as_bytes()), PathRules::default())));
        });
    }
    group.finish();
}

criterion_group!(benches, lookup, normalise);
criterion_main!(benches);
