//! Reads one head from the bytes at hand: the line, the header lines, and what they say of the body.

use std::ops::Range;

use http::{Method, StatusCode, Version};

use super::fields::{self, Facts, Writer};
use super::line;
use super::{Framing, HeadError, HeadLimits, upgrade};
use crate::exchange::authority::{self, without_empty_port};
use crate::exchange::{HeaderId, Headers};

/// A request head whose grammar and framing have been judged (RFC 9112 sections 3 and 6).
#[derive(Debug)]
pub struct RequestHead {
    /// The method; any token of at most 32 bytes.
    pub method: Method,
    /// Where in the bytes the target stands; visible ASCII without `#`, its form not judged yet.
    pub target: Range<usize>,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The lines that travel: none about framing, the connection or an expectation, none that Connection names. `te` stands
    /// among them where the client takes trailers, as `trailers`, and `trailer` where the body is chunked.
    /// HTTP/1.1 has exactly one valid Host, HTTP/1.0 at most one; an empty port has been taken off it. `upgrade` stands
    /// among them where the client offers protocols that may pass, one line with those ([`super::upgrade`]).
    pub headers: Headers,
    /// How the body ends; never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the client will send another request on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub expect_continue: bool,
    /// The bytes of the head with its blank line.
    pub len: usize,
}

/// A response head whose grammar and framing have been judged (RFC 9112 sections 4 and 6).
#[derive(Debug)]
pub struct ResponseHead {
    /// The status; 1xx are not the final answer, another head follows them.
    pub status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The lines that travel; with Content-Length where there is no body to measure (an answer to HEAD, 304), Trailer
    /// where the body is chunked, and Upgrade where it says what is required (426, RFC 9110 section 15.5.22) or what the
    /// connection has become (101, RFC 9110 section 15.2.2).
    pub headers: Headers,
    /// How the body ends.
    pub framing: Framing,
    /// Whether the connection can carry another request after the body.
    pub keep_alive: bool,
    /// The bytes of the head with its blank line.
    pub len: usize,
}

/// Reads a request head from the start of `buf`; `None` where more bytes are needed. One CRLF before it is skipped
/// (RFC 9112 section 2.2). `headers` is cleared and filled: hand in an old one to reuse its memory.
///
/// # Errors
/// [`HeadError`]; the connection can only be closed then.
pub fn parse_request(
    buf: &[u8],
    limits: &HeadLimits,
    headers: Headers,
) -> Result<Option<RequestHead>, HeadError> {
    let skipped = match buf {
        [] | [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    };
    let head = &buf[skipped..];
    // Whoever speaks another protocol here is told at the first byte.
    if head.first().is_some_and(|byte| !crate::exchange::headers::is_token(*byte)) {
        return Err(HeadError::Malformed("bad request line"));
    }
    let window = &head[..head.len().min(limits.head)];
    let Some(line) = line::request_line(window, limits.target)? else { return unfinished(head, limits) };
    let mut headers = headers;
    let lines = &window[line.len..];
    let Some((facts, section)) = fields::read(lines, limits.headers, Writer::Client, &mut headers)? else {
        return unfinished(head, limits);
    };
    let len = line.len + section;
    judge_host(&facts, line.version)?;
    // An empty port is none: what reads the line later need not know of the two spellings.
    if facts.host.last() == Some(&b':') {
        headers.remove_id(HeaderId::Host);
        headers.push_id(HeaderId::Host, without_empty_port(facts.host));
    }
    let framing = framing(&facts, line.version)?.unwrap_or(Framing::None);
    let modern = line.version == Version::HTTP_11;
    if modern && facts.expects_other {
        return Err(HeadError::ExpectationFailed);
    }
    // An offer, which a server may ignore (RFC 9110 section 7.8): with content it is, for the service could not switch
    // before it has read all of that.
    if facts.protocol && facts.upgrade && modern && matches!(framing, Framing::None | Framing::Length(0)) {
        upgrade::offer(&lines[..section], &line.method, &mut headers);
    }
    if facts.takes_trailers || facts.trailer {
        trailing(&facts, &lines[..section], framing, &mut headers);
    }
    Ok(Some(RequestHead {
        method: line.method,
        target: skipped + line.target.start..skipped + line.target.end,
        version: line.version,
        framing,
        keep_alive: keep_alive(&facts, line.version),
        expect_continue: modern && facts.expects && !matches!(framing, Framing::None | Framing::Length(0)),
        headers,
        len: skipped + len,
    }))
}

/// Reads a response head from the start of `buf`; `None` where more bytes are needed. Interim heads (1xx) come out
/// like any other, without a body. `request_was_head` tells that the answer has no body whatever its lines say.
///
/// # Errors
/// [`HeadError`]; the connection can only be closed then. [`HeadError::TargetTooLong`] and
/// [`HeadError::ExpectationFailed`] never come.
pub fn parse_response(
    buf: &[u8],
    limits: &HeadLimits,
    headers: Headers,
    request_was_head: bool,
) -> Result<Option<ResponseHead>, HeadError> {
    let window = &buf[..buf.len().min(limits.head)];
    let Some((version, status, start)) = line::status_line(window)? else { return unfinished(buf, limits) };
    let mut headers = headers;
    let lines = &window[start..];
    let Some((facts, len)) = fields::read(lines, limits.headers, Writer::Service, &mut headers)? else {
        return unfinished(buf, limits);
    };
    if facts.protocol && matches!(status, StatusCode::UPGRADE_REQUIRED | StatusCode::SWITCHING_PROTOCOLS) {
        fields::keep(&lines[..len], HeaderId::Upgrade, &mut headers);
    }
    let said = framing(&facts, version)?;
    let unmeasured = request_was_head || status == StatusCode::NOT_MODIFIED;
    let bodiless = unmeasured || status.is_informational() || status == StatusCode::NO_CONTENT;
    if unmeasured && let Some(length) = facts.length {
        headers.push_id(HeaderId::ContentLength, itoa::Buffer::new().format(length).as_bytes());
    }
    // A 204 that announces a body may be followed by one: the next answer could not be told from it.
    let muddled = bodiless && !unmeasured && !matches!(said, None | Some(Framing::Length(0)));
    let framing = if bodiless { Framing::None } else { said.unwrap_or(Framing::UntilClose) };
    if facts.trailer && framing == Framing::Chunked {
        fields::keep(&lines[..len], HeaderId::Trailer, &mut headers);
    }
    Ok(Some(ResponseHead {
        status,
        version,
        headers,
        framing,
        keep_alive: keep_alive(&facts, version) && framing != Framing::UntilClose && !muddled,
        len: start + len,
    }))
}

/// What a request says of trailers, for those who pass them on: that its client takes those of the answer, and which it
/// sends itself.
#[cold]
fn trailing(facts: &Facts<'_>, section: &[u8], framing: Framing, headers: &mut Headers) {
    if facts.takes_trailers {
        headers.push_id(HeaderId::Te, b"trailers");
    }
    if facts.trailer && framing == Framing::Chunked {
        fields::keep(section, HeaderId::Trailer, headers);
    }
}

fn unfinished<T>(head: &[u8], limits: &HeadLimits) -> Result<Option<T>, HeadError> {
    if head.len() > limits.head { Err(HeadError::TooLarge) } else { Ok(None) }
}

/// RFC 9112 section 3.2.
fn judge_host(facts: &Facts<'_>, version: Version) -> Result<(), HeadError> {
    match facts.hosts {
        0 if version == Version::HTTP_10 => Ok(()),
        0 => Err(HeadError::Malformed("no host")),
        1 if authority::valid(facts.host) => Ok(()),
        1 => Err(HeadError::Malformed("bad host")),
        _ => Err(HeadError::Malformed("more than one host")),
    }
}

/// What the lines say of the body's end; `None` where they say nothing (RFC 9112 section 6.3).
fn framing(facts: &Facts<'_>, version: Version) -> Result<Option<Framing>, HeadError> {
    match (facts.chunked, facts.length) {
        // A server of that version would read the chunks as content (RFC 9112 section 6.1).
        (true, _) if version == Version::HTTP_10 => {
            Err(HeadError::Malformed("transfer-encoding in HTTP/1.0"))
        }
        (true, _) => Ok(Some(Framing::Chunked)),
        (false, Some(length)) => Ok(Some(Framing::Length(length))),
        (false, None) => Ok(None),
    }
}

/// RFC 9112 section 9.3.
fn keep_alive(facts: &Facts<'_>, version: Version) -> bool {
    !facts.close && (version == Version::HTTP_11 || facts.keep_alive)
}

#[cfg(test)]
mod tests;
