//! HTTP/1 as clients and services of the simulation speak it, apart from the codec of the gateway.

use std::time::{Duration, Instant};

use portcullis::runtime::{clock, time};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::network::End;

/// A connection ended where it should not, or what came is no HTTP.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) String);

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Broken {
        Broken(error.kind().to_string())
    }
}

/// One end with what was read ahead.
pub(crate) struct Wire {
    pub(crate) end: End,
    buffer: Vec<u8>,
    /// How long it waits for a piece to come or to be taken.
    pub(crate) patience: Option<Duration>,
}

/// A head of either kind.
#[derive(Debug)]
pub(crate) struct Head {
    /// The method and the target, or nothing.
    pub(crate) line: (String, String),
    /// The status, or 0.
    pub(crate) status: u16,
    lines: Vec<(String, String)>,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Head {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The number of the request that it belongs to.
    pub(crate) fn token(&self) -> Option<u64> {
        self.get("x-sim")?.parse().ok()
    }

    pub(crate) fn framing(&self, of_response: bool) -> Framing {
        if self.get("transfer-encoding").is_some() {
            return Framing::Chunked;
        }
        match self.get("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => Framing::Length(length),
            None if of_response && ![204, 304].contains(&self.status) => Framing::UntilClose,
            None => Framing::Length(0),
        }
    }
}

impl Wire {
    pub(crate) fn new(end: End) -> Wire {
        Wire { end, buffer: Vec::new(), patience: None }
    }

    /// What was read ahead.
    pub(crate) fn ahead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    async fn more(&mut self) -> Result<bool, Broken> {
        let mut room = [0; 4096];
        let read = self.end.read(&mut room);
        let read = match self.patience {
            Some(patience) => {
                let late = |_| Broken("nothing came for a while".to_owned());
                time::timeout(patience, read).await.map_err(late)??
            }
            None => read.await?,
        };
        self.buffer.extend_from_slice(&room[..read]);
        Ok(read > 0)
    }

    /// Waits for the first byte of what comes next, or the end.
    pub(crate) async fn wait(&mut self) -> Result<(), Broken> {
        if self.buffer.is_empty() {
            self.more().await?;
        }
        Ok(())
    }

    /// The head of a request; nothing where the connection ends before it.
    pub(crate) async fn request(&mut self) -> Result<Option<Head>, Broken> {
        loop {
            let mut lines = [httparse::EMPTY_HEADER; 64];
            let mut parsed = httparse::Request::new(&mut lines);
            if let httparse::Status::Complete(length) =
                parsed.parse(&self.buffer).map_err(|error| Broken(error.to_string()))?
            {
                let line = (
                    parsed.method.unwrap_or_default().to_owned(),
                    parsed.path.unwrap_or_default().to_owned(),
                );
                let lines = owned(parsed.headers);
                self.buffer.drain(..length);
                return Ok(Some(Head { line, status: 0, lines }));
            }
            let begun = !self.buffer.is_empty();
            if !self.more().await? {
                return if begun { Err(Broken("the head ends early".to_owned())) } else { Ok(None) };
            }
        }
    }

    /// The head of the final response, or a 101.
    pub(crate) async fn response(&mut self) -> Result<Head, Broken> {
        loop {
            let mut lines = [httparse::EMPTY_HEADER; 64];
            let mut parsed = httparse::Response::new(&mut lines);
            if let httparse::Status::Complete(length) =
                parsed.parse(&self.buffer).map_err(|error| Broken(error.to_string()))?
            {
                let status = parsed.code.unwrap_or_default();
                let lines = owned(parsed.headers);
                self.buffer.drain(..length);
                if status >= 200 || status == 101 {
                    return Ok(Head { line: Default::default(), status, lines });
                }
                continue;
            }
            if !self.more().await? {
                return Err(Broken("closed before a head".to_owned()));
            }
        }
    }

    /// A body.
    pub(crate) async fn body(&mut self, framing: Framing) -> Result<Vec<u8>, Broken> {
        let mut body = Vec::new();
        match framing {
            Framing::Length(length) => {
                while self.buffer.len() < length {
                    if !self.more().await? {
                        return Err(Broken("the body ends early".to_owned()));
                    }
                }
                body.extend(self.buffer.drain(..length));
            }
            Framing::UntilClose => {
                while self.more().await? {}
                body.append(&mut self.buffer);
            }
            Framing::Chunked => loop {
                let size = self.line().await?;
                let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
                    .map_err(|_| Broken("a chunk without a size".to_owned()))?;
                if size == 0 {
                    while !self.line().await?.is_empty() {}
                    break;
                }
                while self.buffer.len() < size + 2 {
                    if !self.more().await? {
                        return Err(Broken("the body ends early".to_owned()));
                    }
                }
                body.extend(self.buffer.drain(..size));
                self.buffer.drain(..2);
            },
        }
        Ok(body)
    }

    async fn line(&mut self) -> Result<String, Broken> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                self.buffer.drain(..at + 2);
                return Ok(line);
            }
            if !self.more().await? {
                return Err(Broken("the body ends early".to_owned()));
            }
        }
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Broken> {
        let Some(patience) = self.patience else { return Ok(self.end.write_all(bytes.as_ref()).await?) };
        let mut left = bytes.as_ref();
        while !left.is_empty() {
            let late = |_| Broken("nothing was taken for a while".to_owned());
            let wrote = time::timeout(patience, self.end.write(left)).await.map_err(late)??;
            left = &left[wrote..];
        }
        Ok(())
    }

    /// Everything until the other end has ended the connection, and how long after that moment its first byte came.
    pub(crate) async fn rest(&mut self, since: Instant) -> (Vec<u8>, Option<Duration>) {
        let mut first = None;
        while let Ok(true) = self.more().await {
            first.get_or_insert_with(|| clock::now().saturating_duration_since(since));
        }
        (std::mem::take(&mut self.buffer), first)
    }

    /// Reads what comes until the other end has ended the connection.
    pub(crate) async fn until_closed(&mut self) {
        while let Ok(true) = self.more().await {
            self.buffer.clear();
        }
    }
}

fn owned(lines: &[httparse::Header<'_>]) -> Vec<(String, String)> {
    lines
        .iter()
        .map(|line| (line.name.to_owned(), String::from_utf8_lossy(line.value).into_owned()))
        .collect()
}

/// The body of request number `token`, from byte `at` on: no two requests have the same.
pub(crate) fn pattern(token: u64, at: usize, length: usize) -> Vec<u8> {
    let letter =
        |index: usize| b'a' + ((token as usize * 11 + index * 7 + index / 26 * token as usize) % 26) as u8;
    // No round length, so that a piece in the wrong place shows.
    let block: Vec<u8> = (at..at + length.min(1021)).map(letter).collect();
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        bytes.extend_from_slice(&block[..block.len().min(length - bytes.len())]);
    }
    bytes
}
