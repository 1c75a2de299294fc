#!/usr/bin/env bash
# hyper 1.12.0 (crates.io): a server answers `expect: 100-continue` over HTTP/1.1 and never over HTTP/2.
#
# A server made with hyper reads the whole body of a request and answers 200. A client sends `expect: 100-continue` and holds
# its body back until it is asked for it (RFC 9110 section 10.1.1, which is about all versions of HTTP). Over HTTP/1.1
# hyper sends 100 as soon as the service polls the body. Over HTTP/2 the same service gets the request with the field still
# in it, and no interim response is sent: the client waits for as long as it likes to, here until a bound of three seconds
# passes, and then sends the body unasked. The crate h2 0.4.20 under it can send interim responses; hyper has no way to ask
# for one.
#
# Needs cargo. Prints what was seen, and fails where that is no longer so.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
bytes = "=1.12.1"
h2 = "=0.4.20"
http = "=1.5.0"
http-body-util = "=0.1.3"
hyper = { version = "=1.12.0", features = ["server", "http1", "http2"] }
hyper-util = { version = "=0.1.20", features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["rt", "macros", "io-util", "time"] }
TOML
cat >"$work/src/main.rs" <<'RUST'
use std::convert::Infallible;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(3);

async fn serve(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    Ok(Response::new(Full::new(body)))
}

async fn http1() -> String {
    let (mut client, server) = tokio::io::duplex(4096);
    let service = service_fn(serve);
    tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service));
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await.unwrap();
    let mut line = [0; 12];
    let interim = match timeout(PATIENCE, client.read_exact(&mut line)).await {
        Ok(read) => read.map(|_| String::from_utf8_lossy(&line).into_owned()).unwrap(),
        Err(_) => "nothing".to_owned(),
    };
    client.write_all(b"hi").await.unwrap();
    interim
}

async fn http2() -> (String, u16) {
    let (client, server) = tokio::io::duplex(4096);
    let service = service_fn(serve);
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    tokio::spawn(builder.serve_connection(TokioIo::new(server), service));
    let (mut requests, connection) = h2::client::handshake(client).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://a/").header("expect", "100-continue").body(()).unwrap();
    let (mut response, mut body) = requests.send_request(request, false).unwrap();
    let interim = match timeout(PATIENCE, poll_fn(|cx| response.poll_informational(cx))).await {
        Ok(Some(Ok(interim))) => interim.status().as_str().to_owned(),
        Ok(_) => "no interim response".to_owned(),
        Err(_) => "nothing".to_owned(),
    };
    body.send_data(Bytes::from_static(b"hi"), true).unwrap();
    (interim, response.await.unwrap().status().as_u16())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("HTTP/1.1, body held back: {}", http1().await);
    let (interim, status) = http2().await;
    println!("HTTP/2, body held back: {interim}; then sent unasked: {status}");
}
RUST
output="$(cd "$work" && CARGO_TARGET_DIR="$work/target" cargo run --quiet)"
printf 'hyper 1.12.0, h2 0.4.20\n%s\n' "$output"
expected='HTTP/1.1, body held back: HTTP/1.1 100
HTTP/2, body held back: nothing; then sent unasked: 200'
[ "$output" = "$expected" ] || { echo "this has changed" >&2; exit 1; }
