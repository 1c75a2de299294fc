//! A real Redis of the test's own, and the few words of its protocol (RESP2) that tests say to it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use super::gateway::Folder;
use super::{PATIENCE, holds_within, until};

/// What Redis answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A status or a text; bytes above 127 become the same code points.
    Text(String),
    Error(String),
    Int(i64),
    Nil,
    List(Vec<Reply>),
}

impl Reply {
    /// The text; anything else fails the test.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        let Self::Text(text) = self else { panic!("no text: {self:?}") };
        text
    }

    #[track_caller]
    pub(crate) fn int(&self) -> i64 {
        let Self::Int(number) = self else { panic!("no number: {self:?}") };
        *number
    }

    #[track_caller]
    pub(crate) fn list(self) -> Vec<Reply> {
        let Self::List(list) = self else { panic!("no list: {self:?}") };
        list
    }
}

/// A `redis-server` on a port that the system picked; killed when dropped, whatever state it is in.
pub(crate) struct Redis {
    folder: Folder,
    arguments: Vec<String>,
    port: u16,
    child: Mutex<Child>,
}

impl Redis {
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with_args(&[])
    }

    /// With further arguments, such as `--requirepass secret`; `DIR` in them is a folder of its own.
    #[track_caller]
    pub(crate) fn with_args(arguments: &[&str]) -> Self {
        let folder = Folder::new();
        let place = folder.path().to_str().unwrap().to_owned();
        let arguments: Vec<String> = arguments.iter().map(|a| a.replace("DIR", &place)).collect();
        let mut last = String::new();
        // Somebody else may take the port before Redis does.
        for _ in 0..20 {
            let port = free_port();
            match spawn(folder.path(), port, &arguments) {
                Ok(child) => return Self { folder, arguments, port, child: Mutex::new(child) },
                Err(e) => last = e,
            }
        }
        panic!("redis-server does not start:\n{last}");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// The folder it runs in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends one command on a connection of its own and gives the answer.
    #[track_caller]
    pub(crate) fn command(&self, words: &[&str]) -> Reply {
        self.try_command(words).unwrap_or_else(|e| panic!("{words:?}: {e}"))
    }

    fn try_command(&self, words: &[&str]) -> io::Result<Reply> {
        ask(self.port, &self.arguments, words)
    }

    /// The names of all keys.
    #[track_caller]
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> =
            self.command(&["KEYS", "*"]).list().iter().map(|key| key.text().to_owned()).collect();
        keys.sort();
        keys
    }

    /// Sets a switch of a running server.
    #[track_caller]
    pub(crate) fn set(&self, name: &str, value: &str) {
        assert_eq!(self.command(&["CONFIG", "SET", name, value]).text(), "OK");
    }

    /// Has it speak TLS on another port too, with `cert.pem` and `key.pem` of that folder; gives the port.
    #[track_caller]
    pub(crate) fn tls(&self, pki: &Path) -> u16 {
        let file = |name: &str| pki.join(name).to_str().unwrap().to_owned();
        self.set("tls-cert-file", &file("cert.pem"));
        self.set("tls-key-file", &file("key.pem"));
        self.set("tls-ca-cert-file", &file("ca.pem"));
        self.set("tls-auth-clients", "no");
        let mut taken = 0;
        until("a port for TLS", || {
            taken = free_port();
            self.command(&["CONFIG", "SET", "tls-port", &taken.to_string()]) == Reply::Text("OK".to_owned())
        });
        taken
    }

    // What may happen to it.

    /// Stops it in its tracks (SIGSTOP): connections stay open, and nothing is answered.
    pub(crate) fn stop(&self) {
        self.signal("STOP");
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn cont(&self) {
        self.signal("CONT");
    }

    /// Ends it at once (SIGKILL): connections are reset, what it knew is lost.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Starts it again on the same port, knowing nothing.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.kill();
        let mut last = String::new();
        let came = holds_within(PATIENCE, || match spawn(self.folder.path(), self.port, &self.arguments) {
            Ok(child) => {
                *self.child.lock().unwrap() = child;
                true
            }
            Err(e) => {
                last = e;
                false
            }
        });
        assert!(came, "redis-server does not start again:\n{last}");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.lock().unwrap().id();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
        assert!(sent.success(), "SIG{name} to redis-server");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody has at the moment, low enough for the bus of a cluster (10,000 above it).
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < 50_000 {
            return port;
        }
    }
}

/// Starts it and waits until it answers; the error is what it said.
fn spawn(folder: &Path, port: u16, arguments: &[String]) -> Result<Child, String> {
    let log = folder.join("redis.log");
    let file = std::fs::File::create(&log).unwrap();
    let mut child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--repl-diskless-sync-delay", "0"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed (Debian: apt-get install redis-server)");
    let pid = format!("process_id:{}\r", child.id());
    let mut ended = false;
    until("redis-server answers, or ends", || {
        ended = child.try_wait().unwrap().is_some();
        // Another server on that port is not ours.
        let ours = |reply: Reply| matches!(reply, Reply::Text(text) if text.contains(&pid));
        ended || ask(port, arguments, &["INFO", "server"]).is_ok_and(ours)
    });
    if ended { Err(std::fs::read_to_string(log).unwrap_or_default()) } else { Ok(child) }
}

/// Asks the server on that port, with the password that stands in its arguments.
fn ask(port: u16, arguments: &[String], words: &[&str]) -> io::Result<Reply> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    if let Some(at) = arguments.iter().position(|a| a == "--requirepass") {
        call(&mut stream, &["AUTH", &arguments[at + 1]])?;
    }
    call(&mut stream, words)
}

fn call(stream: &mut BufReader<TcpStream>, words: &[&str]) -> io::Result<Reply> {
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.get_mut().write_all(bytes.as_bytes())?;
    reply(stream)
}

/// Reads one answer; a command is a list of texts.
pub(crate) fn reply(stream: &mut BufReader<TcpStream>) -> io::Result<Reply> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line)?;
    let line: String = line.iter().map(|b| char::from(*b)).collect();
    let strange = || io::Error::other(format!("{line:?} for an answer"));
    let text = line.strip_suffix("\r\n").ok_or_else(strange)?;
    let (kind, rest) = text.split_at_checked(1).ok_or_else(strange)?;
    let number = || rest.parse::<i64>().map_err(|_| strange());
    Ok(match kind {
        "+" => Reply::Text(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Int(number()?),
        "$" if rest == "-1" => Reply::Nil,
        "$" => {
            let mut bytes = vec![0; usize::try_from(number()?).unwrap() + 2];
            stream.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            Reply::Text(bytes.iter().map(|b| char::from(*b)).collect())
        }
        "*" => Reply::List((0..number()?).map(|_| reply(stream)).collect::<io::Result<_>>()?),
        _ => return Err(strange()),
    })
}

/// The tool itself, without a gateway.
#[test]
fn a_redis_lives_stops_and_comes_back_empty() {
    let redis = Redis::with_args(&["--requirepass", "secret"]);
    assert_eq!(redis.command(&["SET", "a", "1"]).text(), "OK");
    assert_eq!((redis.command(&["INCR", "a"]).int(), redis.keys()), (2, vec!["a".to_owned()]));
    assert!(matches!(redis.command(&["NO"]), Reply::Error(_)));
    redis.stop();
    let mut stream = TcpStream::connect(redis.address()).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert!(stream.read(&mut [0]).is_err(), "nothing is answered");
    redis.cont();
    assert_eq!(redis.command(&["GET", "a"]).text(), "2");
    redis.restart();
    assert_eq!(redis.command(&["GET", "a"]), Reply::Nil);
    redis.kill();
    assert!(TcpStream::connect(redis.address()).is_err());
}
