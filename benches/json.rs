//! How fast JSON goes through: judged as one value, and shaped on the way, whole and in the pieces of a stream.

#![allow(missing_docs)]

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portcullis::json::{Path, Rules, Selection, Selector, check};

const SIZES: [(&str, usize); 2] = [("100KiB", 100 << 10), ("10MiB", 10 << 20)];
const PIECE: usize = 16 << 10;
const DEEP: usize = 200;

/// A page of articles, as a catalogue answers it: names, short texts, numbers, lists, no blanks.
fn articles(size: usize) -> Vec<u8> {
    let mut text = String::from("{\"page\":{\"number\":1,\"of\":12},\"items\":[");
    for n in 0.. {
        let _ = write!(
            text,
            "{{\"id\":{id},\"sku\":\"DK-{n:05}\",\"title\":\"Door knocker no. {n}, \\\"polished\\\"\",\"active\":true,\
             \"price\":{{\"cents\":{cents},\"currency\":\"EUR\",\"vat\":0.25}},\
             \"stock\":[{{\"place\":\"CPH\",\"count\":{few}}},{{\"place\":\"AAR\",\"count\":0}}],\
             \"text\":\"Cast by hand in a small foundry, polished twice and waxed.\",\
             \"labels\":[\"door\",\"brass\"],\"replaced_by\":null,\"changed\":\"2026-01-31T08:15:00Z\"}}",
            id = 10_000_000_000_000_u64 + n,
            cents = 4590 + n,
            few = n % 40,
        );
        if text.len() >= size {
            break;
        }
        text.push(',');
    }
    text.push_str("]}");
    text.into_bytes()
}

/// The same, as it stands in a file: a member a line, with blanks before it.
fn blanks(size: usize) -> Vec<u8> {
    let mut value = Vec::new();
    let mut indent = 0;
    let mut inside = false;
    let mut escaped = false;
    for byte in articles(size / 2) {
        let open = !inside && matches!(byte, b'{' | b'[');
        let close = !inside && matches!(byte, b'}' | b']');
        if byte == b'"' && !escaped {
            inside = !inside;
        }
        escaped = inside && byte == b'\\' && !escaped;
        indent -= usize::from(close);
        if close {
            value.push(b'\n');
            value.resize(value.len() + 2 * indent, b' ');
        }
        value.push(byte);
        indent += usize::from(open);
        if open || !inside && byte == b',' {
            value.push(b'\n');
            value.resize(value.len() + 2 * indent, b' ');
        }
    }
    value
}

/// Texts of four KiB, some of them not ASCII.
fn texts(size: usize) -> Vec<u8> {
    let line =
        "The bell at the front door does not work, the one in the yard does. Bitte läuten, s'il vous plaît. ";
    list(size, |text, n| {
        let _ = write!(text, "{{\"id\":{n},\"text\":\"{}\"}}", line.repeat(40));
    })
}

/// Measurements: numbers and little else.
fn numbers(size: usize) -> Vec<u8> {
    list(size, |text, n| {
        let _ = write!(text, "[{},{}.{:03},-{}e-7]", 1_767_225_600 + n, n % 90, n % 997, n % 10_000);
    })
}

/// Containers in containers, then the same again.
fn deep(size: usize) -> Vec<u8> {
    let (before, after) = ("{\"a\":[".repeat(DEEP), "]}".repeat(DEEP));
    list(size, |text, n| {
        let _ = write!(text, "{before}{n}{after}");
    })
}

fn list(size: usize, item: impl Fn(&mut String, usize)) -> Vec<u8> {
    let mut text = String::from("{\"items\":[");
    for n in 0.. {
        item(&mut text, n);
        if text.len() >= size {
            break;
        }
        text.push(',');
    }
    text.push_str("]}");
    text.into_bytes()
}

fn paths(names: &[&str]) -> Vec<Path> {
    names.iter().map(|name| Path::parse(name).expect("a path of the bench")).collect()
}

/// What is measured, by name.
fn shapes() -> Vec<(&'static str, Rules)> {
    let most = [
        "id", "sku", "title", "active", "price", "stock", "text", "labels",
        "changed", // all but `replaced_by`
    ]
    .map(|name| format!("items[].{name}"));
    let most: Vec<&str> = most.iter().map(String::as_str).collect();
    let new_name = (Path::parse("items[].title").expect("a path of the bench"), "name".to_owned());
    vec![
        ("keep_little", Rules { keep: paths(&["items[].id", "items[].price.cents"]), ..Rules::default() }),
        ("keep_most", Rules { keep: paths(&most), ..Rules::default() }),
        ("omit_one", Rules { omit: paths(&["items[].text"]), ..Rules::default() }),
        ("rename", Rules { rename: vec![new_name], ..Rules::default() }),
        ("unwrap", Rules { unwrap: vec!["items".to_owned()], ..Rules::default() }),
    ]
}

/// Whether the bytes are one value, as the body of a source is judged.
fn judged(c: &mut Criterion) {
    let mut group = c.benchmark_group("check");
    for (size_name, size) in SIZES {
        let bodies = [
            ("articles", articles(size)),
            ("blanks", blanks(size)),
            ("texts", texts(size)),
            ("numbers", numbers(size)),
            ("deep", deep(size)),
        ];
        for (name, body) in bodies {
            assert_eq!(check(&body), Ok(()), "{name} is no JSON");
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function(BenchmarkId::new(name, size_name), |b| b.iter(|| check(black_box(&body))));
        }
    }
    group.finish();
}

/// A page of articles through every kind of rule, in the pieces that a connection gives, into memory that is used again.
fn shaped(c: &mut Criterion) {
    let mut group = c.benchmark_group("shape");
    for (size_name, size) in SIZES {
        let body = articles(size);
        for (name, rules) in shapes() {
            let selection = Arc::new(Selection::new(&rules).expect("rules of the bench"));
            let mut out = Vec::with_capacity(2 * PIECE);
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function(BenchmarkId::new(name, size_name), |b| {
                b.iter(|| {
                    let mut selector = Selector::new(Arc::clone(&selection));
                    for piece in black_box(&body).chunks(PIECE) {
                        out.clear();
                        selector.feed(piece, &mut out).expect("a body of the bench");
                        black_box(&out);
                    }
                    selector.finish(&mut out)
                });
            });
        }
    }
    group.finish();
}

/// What a rule makes of bodies of other kinds.
fn shaped_kinds(c: &mut Criterion) {
    let mut group = c.benchmark_group("shape_kinds");
    let rules = Rules { keep: paths(&["items[].id", "items[].a"]), ..Rules::default() };
    let selection = Arc::new(Selection::new(&rules).expect("rules of the bench"));
    let size = SIZES[0].1;
    let bodies =
        [("blanks", blanks(size)), ("texts", texts(size)), ("numbers", numbers(size)), ("deep", deep(size))];
    for (name, body) in bodies {
        let mut out = Vec::with_capacity(body.len());
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new(name, SIZES[0].0), |b| {
            b.iter(|| {
                out.clear();
                let mut selector = Selector::new(Arc::clone(&selection));
                let fed = selector.feed(black_box(&body), &mut out);
                black_box(&out);
                fed.and_then(|()| selector.finish(&mut out))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, judged, shaped, shaped_kinds);
criterion_main!(benches);
