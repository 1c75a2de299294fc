//! How the gate names itself to services in `Via` (RFC 9110 section 7.6.3), and how it knows its own requests again.

use http::Version;

use super::HeaderId;

/// How often a request may have passed this process before: a gate may call itself on purpose, as a source of an aggregate
/// does, but not without end.
pub const MOST_PASSES: usize = 3;

/// The name of one process. It is made up, so that it says nothing of hosts or of how many gates there are, and differs
/// from that of every other process, so that gates in a row are no loop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pseudonym {
    name: Box<str>,
    /// The lines for HTTP/1.0, HTTP/1.1 and HTTP/2, as they are written.
    lines: [Box<str>; 3],
}

impl Pseudonym {
    /// The name with this number.
    pub fn new(number: u32) -> Pseudonym {
        let name = format!("portcullis-{number:08x}");
        let line = |version: &str| format!("{}{version} {name}\r\n", HeaderId::Via.opening()).into();
        Pseudonym { lines: ["1.0", "1.1", "2.0"].map(line), name: name.into() }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The line of `Via` for a request that came in this version, with its CRLF.
    #[inline]
    pub fn line(&self, version: Version) -> &[u8] {
        let at = match version {
            Version::HTTP_10 => 0,
            Version::HTTP_11 => 1,
            _ => 2,
        };
        self.lines[at].as_bytes()
    }

    /// How often a `Via` line names this process.
    pub fn passes(&self, line: &[u8]) -> usize {
        // A comment may hold a comma, and what looks like a member: then it counts, which no honest proxy writes.
        let members = line.split(|byte| *byte == b',');
        members.filter(|member| received_by(member) == Some(self.name.as_bytes())).count()
    }
}

/// The second word of a member: who received the request.
fn received_by(member: &[u8]) -> Option<&[u8]> {
    member.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()).nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_own_name_among_others() {
        let own = Pseudonym::new(0xabc);
        assert_eq!(own.line(Version::HTTP_11), b"via: 1.1 portcullis-00000abc\r\n");
        assert_eq!(own.line(Version::HTTP_10), b"via: 1.0 portcullis-00000abc\r\n");
        assert_eq!(own.line(Version::HTTP_2), b"via: 2.0 portcullis-00000abc\r\n");
        for (line, passes) in [
            ("1.1 portcullis-00000abc", 1),
            ("1.1 proxy.test, 2.0  portcullis-00000abc (x), HTTP/1.1\tportcullis-00000abc", 2),
            ("1.1 portcullis-00000abd", 0),
            ("1.1 portcullis-00000abcd", 0),
            ("portcullis-00000abc", 0),
            ("", 0),
            (",,", 0),
        ] {
            assert_eq!(own.passes(line.as_bytes()), passes, "{line:?}");
        }
    }
}
