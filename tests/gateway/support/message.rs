//! A small strict reader of HTTP/1 messages, independent of the gateway's own.

use std::io::{self, Read};

/// Header lines in the order they came, names in the case they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl Headers {
    /// The value of the only line of that name; `None` if there is none. Two lines fail the test.
    #[track_caller]
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "one line of {name} at most, got {all:?}");
        all.first().copied()
    }

    /// Values of all lines of that name, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }
}

/// Bytes come in through here; what was read ahead waits in `buffer`.
pub(crate) struct Source<R> {
    pub(crate) stream: R,
    pub(crate) buffer: Vec<u8>,
}

/// What ends a message early.
#[derive(Debug)]
pub(crate) enum Cut {
    /// The peer closed (or reset) the connection.
    Closed,
    /// Nothing came within the bound.
    TimedOut,
    /// The bytes are no HTTP.
    Malformed(String),
}

impl<R: Read> Source<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Reads more bytes into the buffer.
    pub(crate) fn more(&mut self) -> Result<(), Cut> {
        let mut chunk = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Cut::Closed),
                Ok(n) => {
                    self.buffer.extend_from_slice(&chunk[..n]);
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Err(Cut::TimedOut);
                }
                Err(_) => return Err(Cut::Closed),
            }
        }
    }

    /// The next line without its CRLF. A bare LF is refused.
    fn line(&mut self) -> Result<String, Cut> {
        let mut from = 0;
        loop {
            if let Some(at) = self.buffer[from..].iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=from + at).collect();
                let Some(line) = line.strip_suffix(b"\r\n") else {
                    return Err(Cut::Malformed(format!(
                        "bare LF after {:?}",
                        String::from_utf8_lossy(&line)
                    )));
                };
                return Ok(line.iter().map(|b| char::from(*b)).collect());
            }
            from = self.buffer.len();
            self.more()?;
        }
    }

    /// A start line and its header lines. Bytes above 127 become the same code points.
    pub(crate) fn head(&mut self) -> Result<(String, Headers), Cut> {
        let start = self.line()?;
        Ok((start, self.fields()?))
    }

    fn fields(&mut self) -> Result<Headers, Cut> {
        let mut headers = Headers::default();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(headers);
            }
            let Some((name, value)) = line.split_once(':') else {
                return Err(Cut::Malformed(format!("header line {line:?}")));
            };
            if name.is_empty() || name.bytes().any(|b| b <= b' ') {
                return Err(Cut::Malformed(format!("header name {name:?}")));
            }
            headers.0.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
    }

    /// Moves exactly `length` bytes to `sink`; on a cut, `sink` has what came.
    pub(crate) fn take(&mut self, length: u64, sink: &mut Vec<u8>) -> Result<(), Cut> {
        let mut left = length;
        loop {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            sink.extend_from_slice(&self.buffer[..now]);
            self.buffer.drain(..now);
            left -= now as u64;
            if left == 0 {
                return Ok(());
            }
            self.more()?;
        }
    }

    /// A chunked body into `sink`; gives its trailers.
    pub(crate) fn chunked(&mut self, sink: &mut Vec<u8>) -> Result<Headers, Cut> {
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default();
            let Ok(size) = u64::from_str_radix(digits, 16) else {
                return Err(Cut::Malformed(format!("chunk size {line:?}")));
            };
            if size == 0 {
                return self.fields();
            }
            self.take(size, sink)?;
            if !self.line()?.is_empty() {
                return Err(Cut::Malformed("no CRLF after a chunk".to_owned()));
            }
        }
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self, sink: &mut Vec<u8>) -> Result<(), Cut> {
        loop {
            sink.append(&mut self.buffer);
            match self.more() {
                Ok(()) => {}
                Err(Cut::Closed) => return Ok(()),
                Err(cut) => return Err(cut),
            }
        }
    }
}
