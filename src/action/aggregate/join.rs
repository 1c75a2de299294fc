//! Writes the one answer: a member per source in the order written, each body's bytes as they came.

use bytes::Bytes;

use super::source::Source;

/// The object of all sources. Their names are identifiers and need no escaping.
pub(super) fn members(sources: &[Source], parts: &[Bytes]) -> Bytes {
    let size =
        sources.iter().zip(parts).map(|(source, part)| source.name.len() + part.len() + 4).sum::<usize>();
    let mut out = Vec::with_capacity(size + 2);
    out.push(b'{');
    for (at, (source, part)) in sources.iter().zip(parts).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(source.name.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(part);
    }
    out.push(b'}');
    out.into()
}
