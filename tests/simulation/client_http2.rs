//! Clients over HTTP/2 that do what their plan says: every request is a stream of one connection.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use portcullis::runtime::{clock, task, time};

use crate::check::SLACK;
use crate::client::{Caller, HOLDS};
use crate::config::CLIENT_IDLE;
use crate::network::End;
use crate::plan::{Client, Ends, Reads, Request, Upload};
use crate::seen::Answer;
use crate::time::pass;
use crate::wire::pattern;

/// Bytes of a body that are sent at once.
const PIECE: usize = 8 * 1024;

/// How long the gateway waits for a client after its GOAWAY.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Opens the streams of a plan one after the other, without waiting for their answers.
pub(crate) async fn serve(caller: &Rc<Caller>, plan: &Client, end: End) {
    // A stream that is not read takes nothing from the others of its connection.
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(16 << 20);
    let Ok((sender, connection)) = builder.handshake(end).await else { return };
    let driver = task::spawn_local(async move {
        let _ = connection.await;
    });
    let mut streams = Vec::new();
    for request in &plan.requests {
        pass(Duration::from_millis(request.pause)).await;
        let Ok(ready) = sender.clone().ready().await else { break };
        caller.log.note(caller.now(), &format!("client opens {}", request.token));
        caller.log.with(|seen| seen.sent.insert(request.token, caller.now()));
        let (caller, request) = (Rc::clone(caller), request.clone());
        streams.push(task::spawn_local(async move {
            let token = request.token;
            let done = match request.leaves {
                Some(after) => {
                    let left = time::timeout(Duration::from_millis(after), stream(&caller, &request, ready));
                    left.await.unwrap_or(Err("leaves".to_owned()))
                }
                None => stream(&caller, &request, ready).await,
            };
            if let Err(why) = done {
                caller.log.note(caller.now(), &format!("client fails {token}: {why}"));
                caller.log.with(|seen| seen.failed.push((token, why)));
            }
        }));
    }
    for stream in streams {
        let _ = stream.await;
    }
    match plan.ends {
        Ends::Closes => drop(sender),
        Ends::Resets => driver.abort(),
        // The sender is kept: the connection ends when the gateway ends it.
        Ends::Stays | Ends::HalfHead(_) => {
            let began = clock::now();
            let _ = driver.await;
            let took = clock::now().saturating_duration_since(began);
            let most = Duration::from_millis(CLIENT_IDLE + SLACK) + LAST_WORD;
            if took > most {
                caller.log.fault(format!(
                    "the gateway kept a connection without streams for {took:?}, at most {most:?}"
                ));
            }
            drop(sender);
            return;
        }
    }
    let _ = driver.await;
}

async fn stream(caller: &Caller, request: &Request, mut sender: SendRequest<Bytes>) -> Result<(), String> {
    let token = request.token;
    let method = if request.body.is_some() { "POST" } else { "GET" };
    let mut head = http::Request::builder()
        .method(method)
        .uri(format!("http://gw.sim{}", request.route.path(token)))
        .header("x-sim", token);
    if let Some(body) = &request.body {
        head = head.header("x-length", body.length);
        if body.again {
            head = head.header("x-again", "1");
        }
        if !body.chunked {
            head = head.header("content-length", body.length);
        }
    }
    let head = head.body(()).map_err(|error| error.to_string())?;
    let said = |error: h2::Error| error.to_string();
    let (answer, mut body) = sender.send_request(head, request.body.is_none()).map_err(said)?;
    let sends = async {
        if let Some(upload) = &request.body
            && let Err(why) = send(caller, token, upload, &mut body).await
        {
            caller.log.note(caller.now(), &format!("client could not send all of {token}: {why}"));
        }
        clock::now()
    };
    let (sent, answer) = tokio::join!(sends, answer);
    let came = clock::now();
    let (head, mut body) = answer.map_err(said)?.into_parts();
    match request.reads {
        Reads::AtOnce => {}
        Reads::Late(after) => pass(Duration::from_millis(after)).await,
        Reads::Never => {
            pass(HOLDS).await;
            return Err("reads nothing".to_owned());
        }
    }
    let read = read(&mut body).await;
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    caller.log.note(
        caller.now(),
        &format!(
            "client gets {token}: {} with {} bytes ({})",
            head.status.as_u16(),
            read.as_ref().map_or(0, Vec::len),
            read.is_ok()
        ),
    );
    let answer = Answer {
        token,
        status: head.status.as_u16(),
        bears: text("x-sim").and_then(|number| number.parse().ok()),
        body: read,
        took: came.saturating_duration_since(sent),
        ended: caller.now(),
        aggregate: text("aggregate-status"),
        cache_control: text("cache-control"),
    };
    caller.log.with(|seen| seen.answers.push(answer));
    Ok(())
}

async fn read(body: &mut RecvStream) -> Result<Vec<u8>, String> {
    let mut whole = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|error| error.to_string())?;
        let _ = body.flow_control().release_capacity(piece.len());
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

async fn send(
    caller: &Caller,
    token: u64,
    upload: &Upload,
    stream: &mut SendStream<Bytes>,
) -> Result<(), String> {
    let all = pattern(token, 0, upload.length);
    let (first, pause) = upload.stalls.map_or((upload.length, 0), |(at, pause)| (at, pause));
    let mut at = 0;
    if all.is_empty() {
        stream.send_data(Bytes::new(), true).map_err(|error| error.to_string())?;
    }
    while at < all.len() {
        if at == first && pause > 0 {
            caller.log.with(|seen| seen.stalled.insert(token, caller.now()));
            pass(Duration::from_millis(pause)).await;
        }
        let stop = if at < first { first } else { all.len() };
        let wanted = (stop - at).min(PIECE);
        stream.reserve_capacity(wanted);
        while stream.capacity() == 0 {
            let gained = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
            match gained {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err(Reason::CANCEL.to_string()),
            }
        }
        let take = wanted.min(stream.capacity());
        let end = at + take == all.len();
        stream
            .send_data(Bytes::copy_from_slice(&all[at..at + take]), end)
            .map_err(|error| error.to_string())?;
        at += take;
    }
    Ok(())
}
