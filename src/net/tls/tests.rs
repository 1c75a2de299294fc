//! Two ends on real sockets, certificates of a CA that is made for the test.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{HandshakeError, provider};
use crate::net::{Detached, Outbox, ReadBuffer, Stream};

/// A CA, a certificate of it for `localhost`, and the key of that: PEM.
struct Made {
    ca: Vec<u8>,
    chain: Vec<u8>,
    key: Vec<u8>,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("portcullis-net-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let openssl = |arguments: &str| {
            let done =
                Command::new("openssl").args(arguments.split(' ')).current_dir(&folder).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(&format!("req -x509 {new_key} -keyout ca.key -out ca.pem -subj /CN=ca -days 2"));
        openssl(&format!("req {new_key} -keyout leaf.key -out leaf.csr -subj /CN=leaf"));
        std::fs::write(folder.join("san"), "subjectAltName=DNS:localhost\n").unwrap();
        openssl(
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out leaf.pem -days 2 -extfile san",
        );
        let read = |name: &str| std::fs::read(Path::new(&folder).join(name)).unwrap();
        let made = Made { ca: read("ca.pem"), chain: read("leaf.pem"), key: read("leaf.key") };
        std::fs::remove_dir_all(&folder).unwrap();
        made
    })
}

fn server() -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(&made().chain).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(&made().key).unwrap();
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

fn client() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&made().ca).unwrap()).unwrap();
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

fn name(name: &'static str) -> ServerName<'static> {
    name.try_into().unwrap()
}

fn in_runtime<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bounded = async { tokio::time::timeout(std::time::Duration::from_secs(20), test).await };
    runtime.block_on(bounded).expect("it goes on")
}

fn attached(socket: TcpStream) -> Stream {
    Detached::new(socket).unwrap().attach().unwrap()
}

/// Two ends of a connection without TLS.
fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Two ends of a connection with TLS: the server's and the client's.
async fn pair() -> (Stream, Stream) {
    let (near, far) = sockets();
    let connecting = attached(near).connect_tls(client(), name("localhost"));
    let (near, far) = tokio::join!(connecting, attached(far).accept_tls(|_| Some(server())));
    (far.unwrap(), near.unwrap())
}

/// A client of its own thread, which the test steers by hand: whatever it does not say is not said.
fn by_hand(near: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
    StreamOwned::new(ClientConnection::new(client(), name("localhost")).unwrap(), near)
}

fn poll_once<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll(&mut Context::from_waker(Waker::noop()))
}

/// Bytes of which no two places that are mixed up look the same.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()).take(len).collect()
}

#[test]
fn the_facts_say_what_was_agreed() {
    in_runtime(async {
        let (server, client) = pair().await;
        let facts = server.facts("192.0.2.1:1".parse().unwrap());
        let tls = facts.tls.unwrap();
        assert_eq!(tls.server_name.as_deref(), Some("localhost"));
        assert_eq!(tls.alpn.as_deref(), Some(&b"http/1.1"[..]));
        assert!(tls.certificate.is_none() && facts.local.is_some());
        let tls = client.facts("192.0.2.1:1".parse().unwrap()).tls.unwrap();
        assert!(tls.certificate.is_some() && tls.server_name.is_none());
    });
}

#[test]
fn large_pieces_cross_both_ways_in_pieces_of_any_size() {
    in_runtime(async {
        for (write, read) in [(1, 16), (1_000, 4_096), (70_000, 333), (300_000, 128 * 1024)] {
            let (mut server, mut client) = pair().await;
            let sent = pattern(if write == 1 { 2_000 } else { 1_500_000 });
            let (mut up, mut down) = (Vec::new(), Vec::new());
            let send = async |stream: &mut Stream| {
                for piece in sent.chunks(write) {
                    stream.write_all(piece).await.unwrap();
                }
                stream.flush().await.unwrap();
                stream.finish_writing();
            };
            let receive = async |stream: &mut Stream, into: &mut Vec<u8>| {
                let mut buffer = BytesMut::new();
                loop {
                    buffer.clear();
                    buffer.reserve(read);
                    match poll_fn(|cx| stream.poll_read_buffer(&mut buffer, cx)).await.unwrap() {
                        0 => break,
                        len => assert_eq!(len, buffer.len()),
                    }
                    into.extend_from_slice(&buffer);
                }
                assert!(!stream.was_cut_off());
            };
            tokio::join!(send(&mut client), receive(&mut server, &mut up));
            tokio::join!(send(&mut server), receive(&mut client, &mut down));
            assert!(up == sent && down == sent, "{write} and {read}");
        }
    });
}

#[test]
fn reads_lend_and_what_is_left_comes_with_the_next() {
    in_runtime(async {
        let (mut server, mut client) = pair().await;
        let mut buffer = ReadBuffer::default();
        let sent = pattern(40_000);
        let mut got = Vec::new();
        client.write_all(&sent).await.unwrap();
        client.flush().await.unwrap();
        while got.len() < sent.len() {
            poll_fn(|cx| server.poll_read_lent(&mut buffer, cx)).await.unwrap();
            assert!(!buffer.bytes().is_empty());
            got.extend_from_slice(buffer.bytes());
        }
        assert!(got == sent);
        assert!(poll_once(|cx| server.poll_read_lent(&mut buffer, cx)).is_pending());
        client.finish_writing();
        poll_fn(|cx| server.poll_read_lent(&mut buffer, cx)).await.unwrap();
        assert!(buffer.bytes().is_empty() && !server.was_cut_off());
    });
}

#[test]
fn tickets_are_nothing_to_read_and_do_not_disturb() {
    in_runtime(async {
        let (mut server, mut client) = pair().await;
        // The tickets leave as the server waits.
        assert!(poll_once(|cx| server.poll_readable(cx)).is_pending());
        server.flush().await.unwrap();
        // They have come once the answer behind them is there.
        assert!(client.is_quiet());
        server.write_all(b"x").await.unwrap();
        poll_fn(|cx| client.poll_readable(cx)).await.unwrap();
        assert!(!client.is_quiet());
        assert_eq!(client.read_u8().await.unwrap(), b'x');
        assert!(client.is_quiet() && poll_once(|cx| client.poll_readable(cx)).is_pending());
        assert!(!client.has_failed());
        drop(server);
        poll_fn(|cx| client.poll_readable(cx)).await.unwrap();
        assert!(!client.is_quiet());
    });
}

#[test]
fn a_client_that_does_not_read_holds_the_writer_up_and_little_is_kept_for_it() {
    in_runtime(async {
        let (mut server, mut client) = pair().await;
        let sent = Bytes::from(pattern(8_000_000));
        let (mut out, mut left) = (Outbox::new(), sent.clone());
        out.small().extend_from_slice(b"head");
        let mut feed = |out: &mut Outbox, server: &mut Stream, cx: &mut Context<'_>| {
            loop {
                while out.has_room() && !left.is_empty() {
                    out.push(left.split_to(left.len().min(500_000)), b"");
                }
                match out.poll_flush(server, cx) {
                    Poll::Ready(flushed) if left.is_empty() => return Poll::Ready(flushed),
                    Poll::Ready(flushed) => flushed.unwrap(),
                    Poll::Pending => return Poll::Pending,
                }
            }
        };
        assert!(poll_once(|cx| feed(&mut out, &mut server, cx)).is_pending());
        assert!(!out.is_empty() && (1..80_000).contains(&server.unsent()), "{}", server.unsent());
        let stuck = out.written();
        assert!(poll_once(|cx| feed(&mut out, &mut server, cx)).is_pending());
        assert_eq!(out.written(), stuck, "nothing moves");
        let mut got = Vec::new();
        let read = async {
            let mut piece = vec![0; 65_536];
            while got.len() < sent.len() + 4 {
                let len = client.read(&mut piece).await.unwrap();
                got.extend_from_slice(&piece[..len]);
            }
        };
        let fed = poll_fn(|cx| feed(&mut out, &mut server, cx));
        let (fed, ()) = tokio::join!(fed, read);
        fed.unwrap();
        assert!(out.is_empty() && got[4..] == sent && server.unsent() == 0);
    });
}

#[test]
fn an_end_without_close_notify_is_an_end_that_shows() {
    in_runtime(async {
        let (near, far) = sockets();
        let client = std::thread::spawn(move || {
            let mut client = by_hand(near);
            client.write_all(b"all of it?").unwrap();
            // Only the socket ends.
            client.sock.shutdown(std::net::Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).unwrap();
            rest
        });
        let mut server = attached(far).accept_tls(|_| Some(server())).await.unwrap();
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"all of it?");
        assert!(server.was_cut_off() && !server.has_failed());
        server.write_all(b"yes").await.unwrap();
        // Dropping ends it as it should be: the client's library is content.
        drop(server);
        assert_eq!(client.join().unwrap(), b"yes");
    });
}

#[test]
fn an_end_that_is_to_be_a_reset_says_no_goodbye() {
    in_runtime(async {
        let (mut server, mut client) = pair().await;
        server.write_all(b"half of").await.unwrap();
        server.flush().await.unwrap();
        server.reset_at_end(true);
        drop(server);
        let mut got = Vec::new();
        let outcome = client.read_to_end(&mut got).await;
        assert!(outcome.is_err() || client.was_cut_off());
    });
}

#[test]
fn what_is_no_tls_and_what_ends_early_differ() {
    in_runtime(async {
        let failed = async |says: &[u8]| {
            let (mut near, far) = sockets();
            near.write_all(says).unwrap();
            near.shutdown(std::net::Shutdown::Write).unwrap();
            attached(far).accept_tls(|_| Some(server())).await.unwrap_err().0
        };
        assert!(matches!(failed(b"GET / HTTP/1.1\r\n\r\n").await, HandshakeError::NotTls));
        assert!(matches!(failed(b"").await, HandshakeError::Left));
        assert!(matches!(failed(&[22, 3, 1, 2, 0, 1]).await, HandshakeError::Left));
        assert_eq!(failed(&[22, 3, 1, 0, 4, 9, 9, 9, 9]).await.kind(), "protocol");

        let (near, far) = sockets();
        let wrong = attached(near).connect_tls(client(), name("elsewhere"));
        let (near, far) = tokio::join!(wrong, attached(far).accept_tls(|_| Some(server())));
        assert_eq!((near.unwrap_err().kind(), far.unwrap_err().0.kind()), ("certificate", "alert"));
    });
}

#[test]
fn a_handshake_in_the_smallest_pieces_is_one() {
    in_runtime(async {
        let (near, far) = sockets();
        let (middle, relayed) = sockets();
        // Each octet on its own, in both directions.
        let relay = |mut from: TcpStream, mut to: TcpStream| {
            std::thread::spawn(move || {
                to.set_nodelay(true).unwrap();
                let mut octet = [0];
                while from.read(&mut octet).is_ok_and(|len| len == 1) && to.write_all(&octet).is_ok() {}
                let _ = to.shutdown(std::net::Shutdown::Write);
            })
        };
        let (a, b) = (far.try_clone().unwrap(), middle.try_clone().unwrap());
        let threads = [relay(far, middle), relay(b, a)];
        let client = std::thread::spawn(move || {
            let mut client = by_hand(near);
            client.write_all(b"ping").unwrap();
            let mut answer = [0; 4];
            client.read_exact(&mut answer).unwrap();
            answer
        });
        let mut server = attached(relayed).accept_tls(|_| Some(server())).await.unwrap();
        let mut got = [0; 4];
        server.read_exact(&mut got).await.unwrap();
        server.write_all(&got).await.unwrap();
        server.flush().await.unwrap();
        assert_eq!(client.join().unwrap(), *b"ping");
        drop(server);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_forged_record_ends_the_connection_behind_what_was_good() {
    in_runtime(async {
        let (near, far) = sockets();
        let client = std::thread::spawn(move || {
            let mut client = by_hand(near);
            client.write_all(b"good").unwrap();
            client.sock.write_all(&[23, 3, 3, 0, 32]).unwrap();
            client.sock.write_all(&[7; 32]).unwrap();
            let mut rest = Vec::new();
            client.read_to_end(&mut rest)
        });
        let mut server = attached(far).accept_tls(|_| Some(server())).await.unwrap();
        let mut got = [0; 4];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"good");
        let error = server.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        assert!(server.has_failed() && !server.is_quiet());
        assert!(client.join().unwrap().is_err(), "the client gets an alert");
    });
}

#[test]
fn it_stays_on_its_thread() {
    in_runtime(async {
        let (server, mut client) = pair().await;
        assert_eq!(server.detach().unwrap_err().kind(), std::io::ErrorKind::Unsupported);
        client.shutdown().await.unwrap();
    });
}
