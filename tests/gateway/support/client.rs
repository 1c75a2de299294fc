//! A client that sends exactly the bytes it is told to, and reads answers by their framing.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::PATIENCE;
use super::message::{Cut, Headers, Source};

/// One connection to the gateway.
pub(crate) struct Client<S = TcpStream> {
    source: Source<S>,
}

/// One final answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
    /// False if the connection ended before the body's declared end.
    pub(crate) complete: bool,
    /// The interim answers (1xx) that came before.
    pub(crate) interim: Vec<u16>,
}

impl Answer {
    /// The value of the only header line of that name; two lines fail the test.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.one(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {:?}", self.text()))
    }

    /// Asserts that this is an error of the gateway's own, in its one form, and gives its phrase.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{:?} {}", self.headers, self.text());
        assert!(self.complete, "the whole body came");
        let kind = self.header("content-type").unwrap_or_default();
        assert_eq!(kind.split(';').next(), Some("application/problem+json"));
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("{name} in {body}")).to_owned();
        assert_eq!(body["status"], status);
        assert_eq!(Some(text("request_id").as_str()), self.header("x-request-id"));
        assert!(!text("title").is_empty() && !text("request_id").is_empty());
        let phrase = text("error");
        assert_eq!(text("type"), format!("urn:portcullis:error:{}", phrase.replace(' ', "_")));
        assert!(!self.headers.has("etag") && !self.headers.has("x-powered-by"), "H27: {:?}", self.headers);
        phrase
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { source: Source::new(stream) }
    }

    /// Says that nothing more will be sent (FIN), while answers can still be read.
    pub(crate) fn finish_sending(&self) {
        let _ = self.source.stream.shutdown(Shutdown::Write);
    }

    /// Whether bytes have come, or come within `wait`, that nobody has read yet.
    pub(crate) fn has_bytes(&mut self, wait: Duration) -> bool {
        self.source.stream.set_read_timeout(Some(wait)).unwrap();
        let came = !self.source.buffer.is_empty() || self.source.more().is_ok();
        self.source.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        came
    }
}

impl<S: Read + Write> Client<S> {
    /// One on a connection that is there already.
    pub(crate) fn over(stream: S) -> Self {
        Self { source: Source::new(stream) }
    }

    /// The connection itself, without what was read ahead.
    pub(crate) fn into_stream(self) -> S {
        self.source.stream
    }

    /// The connection itself, for what has no word here.
    pub(crate) fn stream(&self) -> &S {
        &self.source.stream
    }

    /// Sends all bytes; fails the test if the gateway does not take them.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).unwrap();
        self
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.source.stream.write_all(bytes.as_ref())
    }

    /// Sends one request and reads its answer. `Host: gw.test` is added, and a length if there is a body.
    #[track_caller]
    pub(crate) fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("Host: gw.test\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        // A refusal may close the connection before the whole body is taken: the answer is what counts.
        let _ = self.try_send(bytes);
        self.read_for(method)
    }

    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.request("GET", target, &[], b"")
    }

    /// Reads the next final answer (not to a HEAD).
    #[track_caller]
    pub(crate) fn read(&mut self) -> Answer {
        self.read_for("GET")
    }

    /// Reads the next final answer to a request of that method.
    #[track_caller]
    pub(crate) fn read_for(&mut self, method: &str) -> Answer {
        match self.try_read_for(method) {
            Ok(answer) => answer,
            Err(cut) => panic!("no answer: {cut:?}, unread {:?}", self.unread()),
        }
    }

    /// Reads one head, interim or final: its status and headers.
    #[track_caller]
    pub(crate) fn read_head(&mut self) -> (u16, Headers) {
        let (line, headers) = self.source.head().unwrap();
        (line[9..12].parse().unwrap(), headers)
    }

    /// Like [`Client::read_for`]; the error says why there is no answer.
    pub(crate) fn try_read_for(&mut self, method: &str) -> Result<Answer, Cut> {
        let mut answer = Answer::default();
        loop {
            let (line, headers) = self.source.head()?;
            let mut parts = line.splitn(3, ' ');
            answer.version = parts.next().unwrap_or_default().to_owned();
            answer.status = parts.next().and_then(|s| s.parse().ok()).ok_or(Cut::Malformed(line.clone()))?;
            answer.headers = headers;
            if !(100..200).contains(&answer.status) || answer.status == 101 {
                break;
            }
            answer.interim.push(answer.status);
        }
        answer.complete = true;
        if method == "HEAD" || matches!(answer.status, 101 | 204 | 304) {
            return Ok(answer);
        }
        let ended = if let Some(coding) = answer.headers.one("transfer-encoding") {
            assert_eq!(coding, "chunked");
            assert!(!answer.headers.has("content-length"), "one framing only");
            self.source.chunked(&mut answer.body).map(|trailers| answer.trailers = trailers)
        } else if let Some(length) = answer.headers.one("content-length") {
            self.source.take(length.parse().unwrap(), &mut answer.body)
        } else {
            self.source.rest(&mut answer.body)
        };
        match ended {
            Ok(()) => Ok(answer),
            Err(Cut::Closed) => {
                answer.complete = false;
                Ok(answer)
            }
            Err(cut) => Err(cut),
        }
    }

    /// Whether the gateway has closed the connection, with nothing more to read. Waits for it, within the bound.
    pub(crate) fn closed(&mut self) -> bool {
        self.source.buffer.is_empty() && matches!(self.source.more(), Err(Cut::Closed))
    }

    /// Everything that still comes until the connection ends.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        self.source.rest(&mut all).unwrap();
        all
    }

    /// Takes up to `length` more bytes of what comes, as they are.
    pub(crate) fn read_bytes(&mut self, length: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.source.take(length, &mut bytes);
        bytes
    }

    fn unread(&self) -> String {
        String::from_utf8_lossy(&self.source.buffer).into_owned()
    }
}
