//! Answers that come before the request has been sent: they reach the client, over HTTP/1 and HTTP/2. Ids in comments are
//! cases of the catalogue of behaviour.

use std::process::Command;

use bytes::Bytes;

use crate::support::h2::{Session, Stream, block_on, read, request};
use crate::support::{Gateway, Origin, Turn};

const UPLOAD: usize = 20_000_000;

/// Services that answer to a head, each with other words for what becomes of the request; the last one reads all of it.
fn services() -> [Origin; 4] {
    let closes = |turn: &mut Turn| {
        turn.answer_early(403, &[], "no");
        turn.close();
    };
    let stays = |turn: &mut Turn| {
        turn.answer_early(403, &[], "no");
        turn.wait_closed();
    };
    let streams = |turn: &mut Turn| {
        turn.chunked(403, &[]);
        turn.chunk("n");
        turn.chunk("o");
        turn.last_chunk(&[]);
        turn.close();
    };
    [Origin::serve(closes), Origin::serve(stays), Origin::serve(streams), Origin::echo()]
}

const ROUTES: &str = "
    listeners: { default: { listen: '127.0.0.1:0', limits: { body: 32MiB } }, small: { listen: '127.0.0.1:0' } }
    routes: { /closes: { upstream: ORIGIN1 }, /stays: { upstream: ORIGIN2 }, /streams: { upstream: ORIGIN3 }, /reads: { upstream: ORIGIN4 } }
    ";

/// What curl says of an upload: its exit code, the status, and the content of the answer.
fn curl(gateway: &Gateway, listener: &str, arguments: &[&str], path: &str) -> (i32, String) {
    let file = gateway.folder().join("upload");
    std::fs::write(&file, vec![b'x'; UPLOAD]).unwrap();
    let url = format!("http://{}{path}", gateway.listener(listener));
    let said = Command::new("curl")
        .args(["-s", "-m", "60", "-X", "POST", "-H", "Expect:", "-w", " %{http_code}", "-T"])
        .arg(&file)
        .args(arguments)
        .arg(url)
        .output()
        .unwrap();
    (said.status.code().unwrap_or(-1), String::from_utf8_lossy(&said.stdout).into_owned())
}

#[test]
fn curl_reads_an_answer_that_comes_before_its_upload_has_ended() {
    // s-090
    let [closes, stays, streams, reads] = services();
    let gateway = Gateway::start(&[&closes, &stays, &streams, &reads], ROUTES);
    for protocol in ["--http1.1", "--http2-prior-knowledge"] {
        for path in ["/closes", "/stays", "/streams"] {
            // curl 7.88 may wait for ever behind an early answer of HTTP/2 that has no length.
            if path == "/streams" && protocol != "--http1.1" {
                continue;
            }
            let said = curl(&gateway, "default", &[protocol], path);
            assert_eq!(said, (0, "no 403".to_owned()), "{protocol} {path}");
            let said = curl(&gateway, "default", &[protocol, "-H", "Transfer-Encoding: chunked"], path);
            assert_eq!(said, (0, "no 403".to_owned()), "{protocol} {path}, chunked");
        }
        // One that grows over its bound, and one that nobody wants.
        let arguments = [protocol, "-H", "Transfer-Encoding: chunked", "-o", "/dev/null"];
        assert_eq!(curl(&gateway, "small", &arguments, "/reads"), (0, " 413".to_owned()), "{protocol}");
        let arguments = [protocol, "-o", "/dev/null"];
        assert_eq!(curl(&gateway, "default", &arguments, "/none"), (0, " 404".to_owned()), "{protocol}");
    }
}

#[test]
fn an_early_answer_over_http2_leaves_the_connection_and_lets_the_client_finish() {
    let [closes, stays, streams, reads] = services();
    let gateway = Gateway::start(&[&closes, &stays, &streams, &reads], ROUTES);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        for path in ["/closes", "/stays", "/streams"] {
            let asked = session.open(request("POST", path, &[]), false).await.unwrap();
            let Stream { answer, mut body } = asked;
            body.send_data(Bytes::from(vec![0; 10_000]), false).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 403, "{path}");
            assert_eq!(read(answer.into_body()).await.unwrap().0, b"no", "{path}");
            // More than the window of the stream: somebody reads it.
            let mut left = 1_000_000;
            while left > 0 {
                body.reserve_capacity(left);
                let room =
                    std::future::poll_fn(|cx| body.poll_capacity(cx)).await.expect("it is open").unwrap();
                body.send_data(Bytes::from(vec![0; room.min(left)]), room >= left).unwrap();
                left -= room.min(left);
            }
        }
        assert_eq!(session.fetch("GET", "/none").await.unwrap().status, 404);
    });
}
