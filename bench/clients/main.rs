//! Clients and a service that `wrk` and `nginx` have no match for, with one line of numbers at the end.
//!
//!     clients handshakes PORT SECONDS CONNECTIONS x25519|x25519mlkem768
//!     clients websockets PORT PATH SECONDS CONNECTIONS BYTES
//!     clients echo PORT
//!
//! `handshakes` makes full TLS 1.3 handshakes one after the other on so many threads, never resumes a session, and asks
//! for nothing: each connection is closed by both sides before the next one begins. `websockets` opens WebSockets and
//! sends on each one message after the other, the next one when the last has come back. `echo` is the service that
//! sends them back.

use std::error::Error;
use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream as Socket};
use tokio::task::JoinSet;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// What is waited for longer has come to nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// The key and the answer to it of RFC 6455 section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The mask of every frame: what a service takes off costs it the same whatever it is.
const MASK: [u8; 4] = [0x5a, 0x88, 0x81, 0x0f];

/// What one connection, or all of them, saw.
#[derive(Default)]
struct Seen {
    /// From begun to done, in nanoseconds.
    took: Vec<u64>,
    broken: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["handshakes", port, seconds, connections, group] => handshakes(port, seconds, connections, group),
        ["websockets", port, path, seconds, connections, bytes] => {
            on_one_thread(websockets(port, path, seconds, connections, bytes))
        }
        ["echo", port] => on_one_thread(echo(port)),
        _ => Err("usage: handshakes PORT SECONDS CONNECTIONS GROUP | websockets PORT PATH SECONDS CONNECTIONS BYTES | echo PORT".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("clients: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn on_one_thread(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// Prints the line of numbers: how many were done in how many microseconds, and the percentiles of their time.
fn report(mut seen: Seen, elapsed: Duration) {
    seen.took.sort_unstable();
    let part =
        |of: usize| seen.took.get(seen.took.len() * of / 100).map_or(0, |nanoseconds| nanoseconds / 1000);
    println!(
        r#"RESULT {{"requests":{},"micros":{},"p50":{},"p99":{},"broken":{}}}"#,
        seen.took.len(),
        elapsed.as_micros(),
        part(50),
        part(99),
        seen.broken
    );
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

// ---- handshakes

fn handshakes(port: &str, seconds: &str, connections: &str, group: &str) -> Outcome {
    let (port, seconds, connections): (u16, f64, u32) =
        (port.parse()?, seconds.parse()?, connections.parse()?);
    let config = Arc::new(config(group)?);
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(seconds);
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let config = Arc::clone(&config);
            thread::spawn(move || {
                let mut seen = Seen::default();
                while Instant::now() < end {
                    let begun = Instant::now();
                    match handshake(port, &config) {
                        Ok(()) => seen.took.push(nanoseconds(begun)),
                        Err(_) => seen.broken += 1,
                    }
                }
                seen
            })
        })
        .collect();
    let mut all = Seen::default();
    for thread in threads {
        let seen = thread.join().map_err(|_| "a thread ended early")?;
        all.took.extend(seen.took);
        all.broken += seen.broken;
    }
    report(all, begun.elapsed());
    Ok(())
}

/// One cipher for all who are compared: the one that OpenSSL's clients ask for first.
fn config(group: &str) -> Outcome<ClientConfig> {
    let mut provider = default_provider();
    provider.cipher_suites = vec![cipher_suite::TLS13_AES_256_GCM_SHA384];
    provider.kx_groups = match group {
        "x25519" => vec![kx_group::X25519],
        "x25519mlkem768" => vec![kx_group::X25519MLKEM768],
        _ => return Err("the group is x25519 or x25519mlkem768".into()),
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config =
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Any)).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Connects, agrees, says goodbye and waits for the end of the other side.
fn handshake(port: u16, config: &Arc<ClientConfig>) -> io::Result<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from("bench.test").map_err(io::Error::other)?;
    let mut session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    session.send_close_notify();
    while session.wants_write() {
        session.write_tls(&mut socket)?;
    }
    socket.shutdown(Shutdown::Write)?;
    let mut rest = [0; 4096];
    while socket.read(&mut rest)? > 0 {}
    Ok(())
}

/// Takes every certificate: the load is not what is measured.
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

// ---- WebSocket

async fn websockets(port: &str, path: &str, seconds: &str, connections: &str, bytes: &str) -> Outcome {
    let (port, seconds, connections, bytes): (u16, f64, u32, u16) =
        (port.parse()?, seconds.parse()?, connections.parse()?, bytes.parse()?);
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(tokio::time::timeout(PATIENCE, opened(port, path)).await??);
    }
    let (asked, answered) = (frame(bytes, true), frame(bytes, false));
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(seconds);
    let mut carried = JoinSet::new();
    for socket in open {
        carried.spawn_local(carry(socket, asked.clone(), answered.clone(), end));
    }
    let mut all = Seen::default();
    while let Some(seen) = carried.join_next().await {
        let seen = seen?;
        all.took.extend(seen.took);
        all.broken += seen.broken;
    }
    report(all, begun.elapsed());
    Ok(())
}

async fn opened(port: u16, path: &str) -> Outcome<Socket> {
    let mut socket = Socket::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    let asked = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    socket.write_all(asked.as_bytes()).await?;
    let head = head(&mut socket).await?;
    if head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT) {
        Ok(socket)
    } else {
        Err(format!("the WebSocket is not opened: {head}").into())
    }
}

/// Reads a head to its end and not beyond it.
async fn head(socket: &mut Socket) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 16 * 1024 {
            return Err(ErrorKind::InvalidData.into());
        }
        head.push(socket.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A whole binary frame of so many bytes.
fn frame(bytes: u16, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut frame = vec![0x82];
    if bytes < 126 {
        frame.push(bit | u8::try_from(bytes).unwrap_or(0));
    } else {
        frame.push(bit | 126);
        frame.extend(bytes.to_be_bytes());
    }
    if masked {
        frame.extend(MASK);
    }
    let mask = if masked { MASK } else { [0; 4] };
    frame.extend((0..usize::from(bytes)).map(|at| b'w' ^ mask[at % 4]));
    frame
}

/// One message after the other until the end.
async fn carry(mut socket: Socket, asked: Vec<u8>, answered: Vec<u8>, end: Instant) -> Seen {
    let (mut seen, mut read) = (Seen::default(), vec![0; answered.len()]);
    while Instant::now() < end {
        let begun = Instant::now();
        let turn = async {
            socket.write_all(&asked).await?;
            socket.read_exact(&mut read).await
        };
        match tokio::time::timeout(PATIENCE, turn).await {
            Ok(Ok(_)) if read == answered => seen.took.push(nanoseconds(begun)),
            _ => {
                seen.broken += 1;
                break;
            }
        }
    }
    seen
}

/// Opens every WebSocket and sends its frames back.
async fn echo(port: &str) -> Outcome {
    let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>()?)).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::task::spawn_local(answer(socket));
    }
}

async fn answer(mut socket: Socket) -> Outcome {
    socket.set_nodelay(true)?;
    head(&mut socket).await?;
    let opened = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    );
    socket.write_all(opened.as_bytes()).await?;
    let (mut read, mut out) = (Vec::with_capacity(16 * 1024), Vec::with_capacity(16 * 1024));
    loop {
        while let Some(whole) = unmasked(&read, &mut out) {
            read.drain(..whole);
        }
        if !out.is_empty() {
            socket.write_all(&out).await?;
            out.clear();
        }
        if socket.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
}

/// Writes the first frame back without its mask, where it is whole; how long it is.
fn unmasked(read: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let (&[first, second], rest) = read.split_first_chunk()?;
    let (long, length) = match second & 0x7f {
        126 => (2, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (8, usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?),
        short => (0, usize::from(short)),
    };
    let mask = rest.get(long..long + 4)?;
    let payload = rest.get(long + 4..long + 4 + length)?;
    out.extend([first, second & 0x7f]);
    out.extend(&rest[..long]);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    Some(2 + long + 4 + length)
}
