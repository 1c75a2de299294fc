//! Headers of frames (RFC 9113 section 4.1), and where they stand in the bytes of a connection.

/// What a client's connection begins with (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How many bytes the header of a frame has.
pub(super) const HEADER: usize = 9;

/// The largest payload that we take: the protocol's own default, as no other is announced (RFC 9113 section 6.5.2).
pub(super) const MAX_FRAME: usize = 16_384;

/// A setting of a SETTINGS frame: two bytes of a name, four of a value.
pub(super) const SETTING: usize = 6;

/// The types of frames (RFC 9113 section 6).
pub(super) mod kind {
    pub(in crate::listener::http2) const DATA: u8 = 0;
    pub(in crate::listener::http2) const HEADERS: u8 = 1;
    pub(in crate::listener::http2) const PRIORITY: u8 = 2;
    pub(in crate::listener::http2) const RST_STREAM: u8 = 3;
    pub(in crate::listener::http2) const SETTINGS: u8 = 4;
    pub(in crate::listener::http2) const PUSH_PROMISE: u8 = 5;
    pub(in crate::listener::http2) const PING: u8 = 6;
    pub(in crate::listener::http2) const GOAWAY: u8 = 7;
    pub(in crate::listener::http2) const WINDOW_UPDATE: u8 = 8;
    pub(in crate::listener::http2) const CONTINUATION: u8 = 9;
}

/// Flags of frames; `ACK` and `END_STREAM` share a bit.
pub(super) mod flag {
    pub(in crate::listener::http2) const ACK: u8 = 0x1;
    pub(in crate::listener::http2) const END_STREAM: u8 = 0x1;
    pub(in crate::listener::http2) const END_HEADERS: u8 = 0x4;
    pub(in crate::listener::http2) const PADDED: u8 = 0x8;
    pub(in crate::listener::http2) const PRIORITY: u8 = 0x20;
}

/// The header of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// Bytes of the payload.
    pub(super) length: usize,
    /// The type.
    pub(super) kind: u8,
    /// The flags.
    pub(super) flags: u8,
    /// The stream, `0` for the connection.
    pub(super) stream: u32,
}

impl Header {
    /// Reads a header.
    pub(super) fn read(bytes: &[u8; HEADER]) -> Header {
        let [a, b, c, kind, flags, w, x, y, z] = *bytes;
        Header {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([w & 0x7f, x, y, z]),
        }
    }

    /// Whether the flag is set.
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The least that a payload of this type and these flags holds, if it has a fixed part.
    pub(super) fn least(&self) -> usize {
        let padding = usize::from(self.has(flag::PADDED));
        match self.kind {
            kind::DATA => padding,
            kind::HEADERS => padding + if self.has(flag::PRIORITY) { 5 } else { 0 },
            _ => 0,
        }
    }
}

/// How many bytes a GOAWAY without debug data has.
pub(super) const GOAWAY: usize = HEADER + 8;

/// A GOAWAY frame without debug data (RFC 9113 section 6.8).
pub(super) fn goaway(last: u32, code: u32) -> [u8; GOAWAY] {
    let mut frame = [0; GOAWAY];
    frame[2] = 8;
    frame[3] = kind::GOAWAY;
    frame[HEADER..HEADER + 4].copy_from_slice(&last.to_be_bytes());
    frame[HEADER + 4..].copy_from_slice(&code.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_without_the_reserved_bit() {
        let header = Header::read(&[0, 1, 2, kind::HEADERS, 0x2c, 0xff, 0, 0, 3]);
        assert_eq!(header, Header { length: 258, kind: 1, flags: 0x2c, stream: 0x7f00_0003 });
        assert!(header.has(flag::PADDED) && header.has(flag::END_HEADERS) && !header.has(flag::END_STREAM));
        assert_eq!(header.least(), 6);
    }

    #[test]
    fn a_goaway_says_the_last_stream_and_the_code() {
        assert_eq!(goaway(7, 11), [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 11]);
    }
}
