//! The frames of WebSocket as far as a gateway has to know them: where they end, and which says goodbye (RFC 6455 section 5.2).
//!
//! Payloads are skipped, never unmasked. A stream that breaks the standard is followed as long as it has lengths.

/// The most bytes of a frame before its payload.
const HEAD: usize = 14;

/// The opcode of a Close frame.
const CLOSE: u8 = 0x8;

/// The status code of an endpoint that goes away (RFC 6455 section 7.4.1).
const GOING_AWAY: [u8; 2] = 1001u16.to_be_bytes();

/// One direction of a connection, followed frame by frame.
#[derive(Default, Debug)]
pub struct Frames {
    /// The head of the frame that has begun, as far as it has come.
    head: [u8; HEAD],
    have: usize,
    /// Bytes of the payload that are still to come.
    left: u64,
    /// Whether the frame is the last that this side may send.
    closes: bool,
    /// Whether a length beyond the standard has come: nobody knows where frames end any more.
    lost: bool,
}

impl Frames {
    /// Whether the next byte begins a frame.
    pub fn is_between(&self) -> bool {
        !self.lost && self.have == 0 && self.left == 0
    }

    /// Whether a Close frame has begun: nothing may be sent behind it.
    pub fn is_closing(&self) -> bool {
        self.closes
    }

    /// Whether a Close frame has come to its end.
    pub fn is_closed(&self) -> bool {
        self.closes && self.is_between()
    }

    /// Follows these bytes. Gives how many there are before the end of the first frame that ends in them, and follows only
    /// those, where `stop` asks for it; else all are followed.
    pub fn follow(&mut self, bytes: &[u8], stop: bool) -> usize {
        let mut at = 0;
        while at < bytes.len() && !self.lost {
            if self.left > 0 {
                let skipped = self.left.min((bytes.len() - at) as u64);
                self.left -= skipped;
                at += skipped as usize;
            } else {
                at += self.begin(&bytes[at..]);
            }
            if stop && self.is_between() {
                return at;
            }
        }
        bytes.len()
    }

    /// Takes what there is of a frame's head; gives how many bytes of it.
    fn begin(&mut self, bytes: &[u8]) -> usize {
        let before = self.have;
        loop {
            let whole = length(&self.head[..self.have]);
            if self.have == whole {
                break;
            }
            let taken = self.have - before;
            let more = (whole - self.have).min(bytes.len() - taken);
            if more == 0 {
                return taken;
            }
            self.head[self.have..self.have + more].copy_from_slice(&bytes[taken..taken + more]);
            self.have += more;
        }
        let taken = self.have - before;
        self.left = match self.head[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes([self.head[2], self.head[3]])),
            127 => {
                let [_, _, a, b, c, d, e, f, g, h, ..] = self.head;
                u64::from_be_bytes([a, b, c, d, e, f, g, h])
            }
            short => u64::from(short),
        };
        self.lost = self.left > u64::MAX >> 1;
        self.closes |= self.head[0] & 0x0f == CLOSE;
        self.have = 0;
        taken
    }
}

/// How long the head of a frame is that begins so, as far as that is known.
fn length(head: &[u8]) -> usize {
    let [_, second, ..] = head else { return 2 };
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + extended + if second & 0x80 == 0 { 0 } else { 4 }
}

/// A Close frame of a server that goes away.
pub fn goodbye_of_server() -> Vec<u8> {
    let [one, other] = GOING_AWAY;
    vec![0x80 | CLOSE, 2, one, other]
}

/// The same of a client, which masks what it sends (RFC 6455 section 5.3).
pub fn goodbye_of_client(mask: [u8; 4]) -> Vec<u8> {
    let [one, other] = GOING_AWAY;
    let mut frame = vec![0x80 | CLOSE, 0x80 | 2];
    frame.extend_from_slice(&mask);
    frame.extend_from_slice(&[one ^ mask[0], other ^ mask[1]]);
    frame
}

#[cfg(test)]
mod tests;
