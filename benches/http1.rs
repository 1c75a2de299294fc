//! What one head costs: reading it as a listener and as a transport does, and writing it.

#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{Method, StatusCode};
use portcullis::exchange::Headers;
use portcullis::http1::encode::{ConnectionLine, request_head, response_head};
use portcullis::http1::head::{parse_request, parse_response};
use portcullis::http1::{Framing, HeadLimits};

const LIMITS: HeadLimits = HeadLimits { head: 16 * 1024, headers: 100, target: 8 * 1024 };

const CURL: &str = "GET /api/users/42?fields=name HTTP/1.1\r\nHost: gateway.example.com\r\n\
    User-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";
const WRK: &str = "GET /api/echo HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
const BROWSER: &str = "POST /api/orders?page=2&sort=created HTTP/1.1\r\nHost: gateway.example.com\r\n\
    Connection: keep-alive\r\nContent-Length: 128\r\nContent-Type: application/json\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
    Accept: application/json, text/plain, */*\r\nOrigin: https://app.example.com\r\n\
    Referer: https://app.example.com/orders\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\r\n";
const NGINX: &str = "HTTP/1.1 200 OK\r\nServer: nginx/1.26.1\r\nDate: Tue, 02 Jul 2024 10:00:00 GMT\r\n\
    Content-Type: application/json\r\nContent-Length: 612\r\nLast-Modified: Tue, 28 May 2024 13:22:30 GMT\r\n\
    Connection: keep-alive\r\nETag: \"6655dab6-264\"\r\nAccept-Ranges: bytes\r\n\r\n";

/// Reads the same head over and over into the same memory, as a connection does.
fn reading(c: &mut Criterion) {
    for (name, head) in [("wrk", WRK), ("curl", CURL), ("browser", BROWSER)] {
        let mut memory = Headers::new();
        c.bench_function(&format!("parse_request/{name}"), |b| {
            b.iter(|| {
                let old = std::mem::take(&mut memory);
                if let Ok(Some(head)) = parse_request(black_box(head.as_bytes()), &LIMITS, old) {
                    memory = black_box(head).headers;
                }
            });
        });
    }
    let mut memory = Headers::new();
    c.bench_function("parse_response/nginx", |b| {
        b.iter(|| {
            let old = std::mem::take(&mut memory);
            if let Ok(Some(head)) = parse_response(black_box(NGINX.as_bytes()), &LIMITS, old, false) {
                memory = black_box(head).headers;
            }
        });
    });
    c.bench_function("parse_request/browser_new_memory", |b| {
        b.iter(|| parse_request(black_box(BROWSER.as_bytes()), &LIMITS, Headers::new()));
    });
}

fn writing(c: &mut Criterion) {
    let mut out = Vec::with_capacity(1024);
    if let Ok(Some(head)) = parse_request(BROWSER.as_bytes(), &LIMITS, Headers::new()) {
        c.bench_function("request_head/browser", |b| {
            b.iter(|| {
                out.clear();
                request_head(
                    &mut out,
                    &Method::POST,
                    black_box("/api/orders"),
                    &head.headers,
                    Framing::Length(128),
                );
                black_box(&out);
            });
        });
    }
    if let Ok(Some(head)) = parse_response(NGINX.as_bytes(), &LIMITS, Headers::new(), false) {
        c.bench_function("response_head/nginx", |b| {
            b.iter(|| {
                out.clear();
                response_head(
                    &mut out,
                    black_box(StatusCode::OK),
                    &head.headers,
                    Framing::Length(612),
                    ConnectionLine::None,
                );
                black_box(&out);
            });
        });
    }
}

criterion_group!(benches, reading, writing);
criterion_main!(benches);
