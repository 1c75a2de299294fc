//! What becomes of the answers of a service, one session each.

use super::*;

/// Answers each stream of one connection in this way.
async fn answering(wire: DuplexStream, mut answer: impl FnMut(usize, &mut h2::server::SendResponse<Bytes>)) {
    let mut connection = h2::server::handshake(wire).await.unwrap();
    let (mut count, mut open) = (0, Vec::new());
    while let Some(Ok((_, mut reply))) = connection.accept().await {
        answer(count, &mut reply);
        count += 1;
        open.push(reply);
    }
}

#[test]
fn malformed_answers_end_their_streams_alone_however_many_there_are() {
    run(|http2, network, mut accepted| async move {
        tokio::spawn(async move {
            answering(accepted.recv().await.unwrap(), |count, reply| {
                if count > 0 {
                    // RFC 9113 section 8.1.1: it announces content that it does not have.
                    let answer = http::Response::builder().header("content-length", "5").body(()).unwrap();
                    reply.send_response(answer, true).unwrap();
                }
            })
            .await;
        });
        let slow = exchange(&http2, &network, MAX_IDLE);
        let mut slow = pin!(slow);
        let begun = tokio::time::timeout(Duration::from_secs(1), slow.as_mut()).await;
        assert!(begun.is_err(), "it is not answered yet");
        for number in 0..1100 {
            let Err(failure) = exchange(&http2, &network, MAX_IDLE).await else { panic!("it is malformed") };
            assert_eq!((failure.party, failure.cause), (Party::Service, Cause::Protocol), "{number}");
        }
        let Err(failure) = slow.await else { panic!("it is never answered") };
        assert_eq!(failure.cause, Cause::Timeout, "its session has not ended");
    });
}

#[test]
fn trailers_of_an_answer_are_bounded_as_over_http1() {
    run(|http2, network, mut accepted| async move {
        tokio::spawn(async move {
            answering(accepted.recv().await.unwrap(), |count, reply| {
                let mut stream = reply.send_response(http::Response::new(()), false).unwrap();
                let lines = [32, 33, 1][count];
                let value = if count == 2 { "v".repeat(9_000) } else { "v".to_owned() };
                let mut trailers = http::HeaderMap::new();
                for _ in 0..lines {
                    trailers.append("x-checksum", value.parse().unwrap());
                }
                stream.send_trailers(trailers).unwrap();
            })
            .await;
        });
        for expected in [None, Some("too many trailers"), Some("trailers too large")] {
            let answer = exchange(&http2, &network, MAX_IDLE).await.unwrap_or_else(|why| panic!("{why:?}"));
            let Body::Stream(mut body) = answer.response.body else { panic!("trailers are to come") };
            match (poll_fn(|cx| body.poll_frame(cx)).await, expected) {
                (Some(Ok(Frame::Trailers(trailers))), None) => assert_eq!(trailers.len(), 32),
                (Some(Err(error)), Some(why)) => {
                    assert_eq!(error.private_source(), Some(why));
                    assert_eq!(error.failure().unwrap().cause, Cause::Protocol);
                }
                (other, _) => panic!("{other:?}, expected {expected:?}"),
            }
        }
    });
}

#[test]
fn a_length_that_an_answer_to_head_says_twice_is_passed_on_once() {
    run(|http2, network, mut accepted| async move {
        tokio::spawn(async move {
            answering(accepted.recv().await.unwrap(), |_, reply| {
                let length = ("content-length", "5");
                let answer = http::Response::builder().header(length.0, length.1).header(length.0, length.1);
                reply.send_response(answer.body(()).unwrap(), true).unwrap();
            })
            .await;
        });
        let answer = ask(&http2, &network, Method::HEAD, MAX_IDLE).await.unwrap().response;
        let lengths = answer.headers.iter().filter(|line| line.0 == HeaderId::ContentLength);
        assert_eq!(lengths.map(|line| line.2).collect::<Vec<_>>(), [b"5"]);
    });
}

#[test]
fn a_query_with_what_no_uri_has_goes_out_escaped() {
    for byte in b' '..=b'~' {
        let written = [b"/x?a=", &[byte][..], b"b"].concat();
        let Ok(parsed) = Target::parse(&written, PathRules::default()) else { continue };
        let mut headers = Headers::new();
        headers.push_id(HeaderId::Host, b"service");
        let (method, version, body) = (Method::GET, Version::HTTP_11, Body::Empty);
        let request = Request { method, target: parsed.target, version, headers, body };
        let head = head::request(&request, crate::http1::Framing::None, "http").unwrap();
        let expected = match byte {
            b'"' => "a=%22b".to_owned(),
            b'<' => "a=%3Cb".to_owned(),
            b'>' => "a=%3Eb".to_owned(),
            other => format!("a={}b", char::from(other)),
        };
        assert_eq!(head.uri().query(), Some(&*expected));
    }
}
