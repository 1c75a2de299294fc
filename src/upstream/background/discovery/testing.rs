//! A name server for tests: answers by hand, over UDP and TCP.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::{Found, Pace, Sink};

/// Asks again at once, so that no test has to wait.
pub(crate) const QUICK: Pace = Pace {
    min: Duration::from_millis(10),
    max: Duration::from_millis(20),
    absent: Duration::from_millis(10),
    backoff: Duration::from_millis(20),
    absent_after: Duration::from_secs(3600),
    carries: false,
};

/// Whoever waits longer waits for ever.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;

/// What the server says to one question.
#[derive(Clone)]
pub(crate) enum Say {
    /// Records with this lifetime in seconds.
    Records(u32, Vec<Record>),
    /// The same, but only over TCP: over UDP they are cut off.
    Large(u32, Vec<Record>),
    /// An answer with this code and, in an SOA record, how long it holds.
    Code(u8, Option<u32>),
    Nothing,
}

#[derive(Clone)]
pub(crate) enum Record {
    Address(IpAddr),
    Service { priority: u16, weight: u16, port: u16, target: &'static str },
}

impl Say {
    pub(crate) fn addresses(ttl: u32, addresses: &[&str]) -> Say {
        let address = |text: &&str| Record::Address(text.parse().unwrap());
        Say::Records(ttl, addresses.iter().map(address).collect())
    }
}

type Zone = Arc<Mutex<HashMap<(String, u16), Say>>>;

/// A server that knows what it was news; of everything else it says that there is no such name.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    zone: Zone,
    asked: watch::Sender<Vec<(String, u16)>>,
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::slow(Duration::ZERO)
    }

    /// A server that takes this long for an answer, one after the other.
    pub(crate) fn slow(delay: Duration) -> Server {
        let (socket, listener) = sockets();
        let address = socket.local_addr().unwrap();
        let (zone, asked) = (Zone::default(), watch::Sender::new(Vec::new()));
        let (known, seen) = (Arc::downgrade(&zone), asked.clone());
        let over_tcp = Arc::downgrade(&zone);
        std::thread::spawn(move || serve_tcp(&listener, &over_tcp));
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        std::thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Some(zone) = known.upgrade() {
                let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
                let (name, kind, end) = question(&packet[..length]);
                seen.send_modify(|all| all.push((name.clone(), kind)));
                let say = zone.lock().unwrap().get(&(name, kind)).cloned().unwrap_or(Say::Code(3, None));
                if let Some(answer) = answer(&packet[..end], &say, false) {
                    if !delay.is_zero() {
                        let end = std::time::Instant::now() + delay;
                        while std::time::Instant::now() < end {
                            std::thread::park_timeout(delay);
                        }
                    }
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Server { address, zone, asked }
    }

    pub(crate) fn set(&self, name: &str, kind: u16, say: Say) {
        self.zone.lock().unwrap().insert((name.to_owned(), kind), say);
    }

    /// The questions so far.
    pub(crate) fn asked(&self) -> Vec<(String, u16)> {
        self.asked.borrow().clone()
    }

    /// Waits for so many more questions.
    pub(crate) async fn asked_again(&self, times: usize) {
        let wanted = self.asked.borrow().len() + times;
        let mut asked = self.asked.subscribe();
        let more = asked.wait_for(|all| all.len() >= wanted);
        drop(tokio::time::timeout(PATIENCE, more).await.expect("the name is asked for again"));
    }
}

/// The name and kind of the question, and where it ends.
fn question(packet: &[u8]) -> (String, u16, usize) {
    let mut at = 12;
    let mut labels = Vec::new();
    while packet[at] != 0 {
        let length = usize::from(packet[at]);
        labels.push(String::from_utf8(packet[at + 1..=at + length].to_vec()).unwrap());
        at += length + 1;
    }
    (labels.join(".").to_lowercase(), u16::from_be_bytes([packet[at + 1], packet[at + 2]]), at + 5)
}

/// A port that is free for both protocols.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()) {
            return (socket, listener);
        }
    }
}

/// Answers the questions of one connection, if ever one comes.
fn serve_tcp(listener: &TcpListener, zone: &Weak<Mutex<HashMap<(String, u16), Say>>>) {
    let Ok((mut stream, _)) = listener.accept() else { return };
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut packet).unwrap();
        let (name, kind, end) = question(&packet);
        let Some(zone) = zone.upgrade() else { return };
        let say = zone.lock().unwrap().get(&(name, kind)).cloned().unwrap_or(Say::Code(3, None));
        let Some(answer) = answer(&packet[..end], &say, true) else { continue };
        let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
        framed.extend(answer);
        stream.write_all(&framed).unwrap();
    }
}

fn answer(question: &[u8], say: &Say, whole: bool) -> Option<Vec<u8>> {
    let (code, answers, authorities) = match say {
        Say::Nothing => return None,
        Say::Large(..) if !whole => (0, 0, 0),
        Say::Records(_, records) | Say::Large(_, records) => (0, records.len() as u8, 0),
        Say::Code(code, ttl) => (*code, 0, u8::from(ttl.is_some())),
    };
    let mut out = question.to_vec();
    let cut = matches!(say, Say::Large(..)) && !whole;
    out[2..12].copy_from_slice(&[
        if cut { 0x83 } else { 0x81 },
        0x80 | code,
        0,
        1,
        0,
        answers,
        0,
        authorities,
        0,
        0,
    ]);
    match say {
        Say::Records(ttl, records) | Say::Large(ttl, records) if !cut => {
            for record in records {
                let (kind, data) = data(record);
                write(&mut out, kind, *ttl, &data);
            }
        }
        Say::Code(_, Some(ttl)) => {
            // Primary, mailbox, then serial, refresh, retry, expire, minimum.
            let mut soa = vec![0, 0];
            for number in [1, 60, 60, 60, *ttl] {
                soa.extend(number.to_be_bytes());
            }
            write(&mut out, 6, *ttl, &soa);
        }
        _ => {}
    }
    Some(out)
}

fn data(record: &Record) -> (u16, Vec<u8>) {
    match record {
        Record::Address(IpAddr::V4(address)) => (A, address.octets().to_vec()),
        Record::Address(IpAddr::V6(address)) => (AAAA, address.octets().to_vec()),
        Record::Service { priority, weight, port, target } => {
            let mut data: Vec<u8> =
                [*priority, *weight, *port].into_iter().flat_map(u16::to_be_bytes).collect();
            for label in target.split('.').filter(|label| !label.is_empty()) {
                data.push(label.len() as u8);
                data.extend(label.bytes());
            }
            data.push(0);
            (SRV, data)
        }
    }
}

fn write(out: &mut Vec<u8>, kind: u16, ttl: u32, data: &[u8]) {
    out.extend([0xc0, 12]);
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    out.extend(ttl.to_be_bytes());
    out.extend((data.len() as u16).to_be_bytes());
    out.extend(data);
}

pub(crate) type News = mpsc::UnboundedReceiver<Result<Vec<Found>, String>>;

/// A sink and what it is news.
pub(crate) fn sink() -> (Sink, News) {
    let (sender, news) = mpsc::unbounded_channel();
    (Arc::new(move |news| drop(sender.send(news))), news)
}

/// What is news next; a test that waits for ever fails.
async fn next(news: &mut News) -> Result<Vec<Found>, String> {
    let news = tokio::time::timeout(PATIENCE, news.recv()).await;
    news.expect("something is news in time").expect("the source is followed")
}

/// The next set, failures passed over.
pub(crate) async fn next_set(news: &mut News) -> Vec<String> {
    let set = async {
        loop {
            if let Ok(set) = next(news).await {
                return shown(&set);
            }
        }
    };
    tokio::time::timeout(PATIENCE, set).await.expect("a set comes in time")
}

/// The next failure, sets passed over.
pub(crate) async fn next_failure(news: &mut News) -> String {
    loop {
        if let Err(why) = next(news).await {
            return why;
        }
    }
}

/// A set as text: `address*weight`.
fn shown(set: &[Found]) -> Vec<String> {
    let mut all: Vec<String> =
        set.iter().map(|found| format!("{}*{}", found.address, found.weight)).collect();
    all.sort();
    all
}
