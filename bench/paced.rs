//! A load at a rate that does not depend on the answers, and a source that answers after a fixed time. No crate is
//! needed: `rustc -O paced.rs`. A thread for each connection sleeps until its next request is due, so that both cost
//! little beside what is measured.
//!
//!     paced load PORT PATH RATE SECONDS CONNECTIONS
//!     paced source PORT MILLISECONDS FILE
//!
//! Requests are due at even distances, in turns on all connections. A latency counts from the moment when its request
//! was due, so that an answer which holds up the next request is told by both. The first half second is not counted.
//! A rate beyond what can be carried is a closed loop: what could not be sent in time is `unsent`.

use std::env;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const WARM: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(2);

/// What one connection, or all of them, saw.
#[derive(Default)]
struct Seen {
    /// From due to answered, in nanoseconds.
    took: Vec<u64>,
    /// From due to sent.
    late: Vec<u64>,
    status: u64,
    timeout: u64,
    broken: u64,
    unsent: u64,
}

/// Which requests of the whole load are one connection's: the `first`, and every `step` after it.
#[derive(Clone, Copy)]
struct Share {
    begin: Instant,
    first: u32,
    step: u32,
    total: u32,
    rate: f64,
    end: Instant,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["load", port, path, rate, seconds, connections] => load(port, path, rate, seconds, connections),
        ["source", port, milliseconds, file] => source(port, milliseconds, file),
        _ => Err("usage: load PORT PATH RATE SECONDS CONNECTIONS | source PORT MILLISECONDS FILE".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("paced: {fault}");
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn load(port: &str, path: &str, rate: &str, seconds: &str, connections: &str) -> Outcome {
    let (port, rate, seconds, step): (u16, f64, f64, u32) =
        (port.parse()?, rate.parse()?, seconds.parse()?, connections.parse()?);
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    let streams = (0..step).map(|_| connect(port)).collect::<io::Result<Vec<_>>>()?;
    let begin = Instant::now() + Duration::from_millis(20);
    let end = begin + Duration::from_secs_f64(seconds);
    let total = (rate * seconds) as u32;
    let threads: Vec<_> = (0u32..)
        .zip(streams)
        .map(|(first, stream)| {
            let (share, request) = (Share { begin, first, step, total, rate, end }, request.clone());
            thread::spawn(move || carry(stream, request.as_bytes(), share))
        })
        .collect();
    let mut all = Seen::default();
    for thread in threads {
        let seen = thread.join().map_err(|_| "a connection's thread ended early")?;
        all.took.extend(seen.took);
        all.late.extend(seen.late);
        all.status += seen.status;
        all.timeout += seen.timeout;
        all.broken += seen.broken;
        all.unsent += seen.unsent;
    }
    tell(all);
    Ok(())
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends one connection's share of the load and reads its answers.
fn carry(mut stream: TcpStream, request: &[u8], share: Share) -> Seen {
    let mut seen = Seen::default();
    let mut memory = vec![0; 256 * 1024];
    for number in (share.first..share.total).step_by(share.step as usize) {
        let since = Duration::from_secs_f64(f64::from(number) / share.rate);
        let due = share.begin + since;
        if let Some(rest) = due.checked_duration_since(Instant::now()) {
            thread::sleep(rest);
        }
        let sent = Instant::now();
        if sent > share.end {
            seen.unsent = u64::from((share.total - number).div_ceil(share.step));
            break;
        }
        match stream.write_all(request).and_then(|()| answer(&mut stream, &mut memory)) {
            Ok(status) => seen.status += u64::from(status != b'2'),
            Err(fault) => {
                match fault.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => seen.timeout += 1,
                    _ => seen.broken += 1,
                }
                return seen;
            }
        }
        if sent - share.begin >= WARM {
            seen.took.push(nanoseconds(due.elapsed()));
            seen.late.push(nanoseconds(sent - due));
        }
    }
    seen
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Reads one answer with a content-length; returns the first digit of its status.
fn answer(stream: &mut TcpStream, memory: &mut [u8]) -> io::Result<u8> {
    let (mut filled, mut whole) = (0, None);
    while whole.is_none_or(|whole| filled < whole) {
        match stream.read(&mut memory[filled..])? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
        if whole.is_none() {
            whole = end(&memory[..filled])?;
        }
    }
    Ok(memory[9])
}

/// Where the answer ends, once its head is there.
fn end(data: &[u8]) -> io::Result<Option<usize>> {
    const NAME: &[u8] = b"\r\ncontent-length:";
    let Some(head) = data.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let length =
        data[..head].windows(NAME.len()).position(|bytes| bytes.eq_ignore_ascii_case(NAME)).and_then(|at| {
            let digits: String = data[at + NAME.len()..]
                .iter()
                .map(|&byte| byte as char)
                .skip_while(|c| *c == ' ')
                .take_while(char::is_ascii_digit)
                .collect();
            digits.parse::<usize>().ok()
        });
    // Without a length the answer cannot be told from the next.
    length.map(|length| Some(head + 4 + length)).ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Prints one line of JSON after `RESULT `, as load.lua does; times in microseconds.
fn tell(mut all: Seen) {
    let (p50, p99, late) = (share(&mut all.took, 50), share(&mut all.took, 99), share(&mut all.late, 50));
    let Seen { status, timeout, broken, unsent, .. } = all;
    let requests = all.took.len();
    println!(
        "RESULT {{\"requests\":{requests},\"p50\":{p50:.1},\"p99\":{p99:.1},\"late\":{late:.1},\
         \"status\":{status},\"timeout\":{timeout},\"broken\":{broken},\"unsent\":{unsent}}}"
    );
}

fn share(times: &mut [u64], percent: usize) -> f64 {
    times.sort_unstable();
    times.get(times.len() * percent / 100).map_or(0.0, |&time| time as f64 / 1e3)
}

fn source(port: &str, milliseconds: &str, file: &str) -> Outcome {
    let (port, delay) = (port.parse::<u16>()?, Duration::from_millis(milliseconds.parse()?));
    let body = fs::read(file)?;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let whole = [head.as_bytes(), &body].concat();
    for stream in TcpListener::bind(("127.0.0.1", port))?.incoming() {
        let (stream, whole) = (stream?, whole.clone());
        thread::spawn(move || serve(stream, delay, &whole));
    }
    Ok(())
}

/// Answers the requests of one connection, which have no bodies, until it is closed.
fn serve(mut stream: TcpStream, delay: Duration, whole: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut memory = vec![0; 16 * 1024];
    let mut filled = 0;
    while filled < memory.len() {
        match stream.read(&mut memory[filled..])? {
            0 => break,
            count => filled += count,
        }
        if memory[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            thread::sleep(delay);
            stream.write_all(whole)?;
        }
    }
    Ok(())
}
