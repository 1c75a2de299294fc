//! What an answer depends on beside its address (RFC 9110 section 12.5.5): of what its source names, that which the source was told.

use crate::exchange::{Exchange, HeaderId, Headers};
use crate::expression::Reference;

use super::outcome::{Given, Outcome};
use super::source::Source;

/// The names of `Vary`, in lower case.
fn named(headers: &Headers) -> impl Iterator<Item = Vec<u8>> {
    let names = headers.all("vary").flat_map(|line| line.split(|byte| *byte == b','));
    names.map(|name| name.trim_ascii().to_ascii_lowercase()).filter(|name| !name.is_empty())
}

/// Lines of the gate that say what address was asked: in the key of what is kept, as an address is in any cache's.
const fn tells_address(id: HeaderId) -> bool {
    matches!(id, HeaderId::XForwardedHost | HeaderId::XForwardedPort | HeaderId::XForwardedProto)
}

/// Lines that the gate says of each request anew, so that they say nothing of an answer.
pub(super) const fn is_said_anew(id: HeaderId) -> bool {
    (id.gateway_owned() && !tells_address(id)) || matches!(id, HeaderId::Via)
}

/// Whether an answer may be kept for others at all: not where it depends on what the gate says of each request anew, nor,
/// where clients share it, on who they are.
pub(super) fn can_be_told_apart(headers: &Headers, exchange: &Exchange, shared: bool) -> bool {
    named(headers).all(|name| {
        let id = HeaderId::of(&name);
        let own = is_said_anew(id) || (shared && is_identity(exchange, &name));
        name != b"*" && !own
    })
}

fn is_identity(exchange: &Exchange, name: &[u8]) -> bool {
    exchange
        .identity
        .as_ref()
        .is_some_and(|known| known.headers.iter().any(|(own, _)| own.as_bytes() == name))
}

/// The `vary` of the one answer: lines of the client's that a source was told and says that it looked at. `*` where it looked
/// at something that was made of what no line of the client's has a name for.
pub(super) fn line(
    exchange: &Exchange,
    sources: &[Source],
    outcomes: &[Option<(Outcome, u64)>],
) -> Option<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for (source, outcome) in sources.iter().zip(outcomes) {
        let Some((Outcome::Given(Given { said, .. }), _)) = outcome else { continue };
        for name in said.iter().flat_map(|said| named(&said.headers)) {
            source.looked_at(exchange, name, &mut names);
        }
    }
    if names.iter().any(|name| name == b"*") {
        return Some(b"*".to_vec());
    }
    names.sort();
    names.dedup();
    (!names.is_empty()).then(|| names.join(b", ".as_slice()))
}

impl Source {
    /// What of the client's request a line that this source looked at stands for.
    fn looked_at(&self, exchange: &Exchange, name: Vec<u8>, names: &mut Vec<Vec<u8>>) {
        if let Some((_, template)) = self.ask.headers.iter().find(|(set, _)| set.as_bytes() == name) {
            names.extend(template.references().filter_map(behind));
            return;
        }
        let id = HeaderId::of(&name);
        if name == b"*" || is_said_anew(id) {
            names.push(b"*".to_vec());
        } else if self.ask.forward_headers.iter().any(|sent| sent.as_bytes() == name)
            || is_identity(exchange, &name)
        {
            names.push(name);
        }
    }
}

/// The line of the client's request that this reads; none for what its address says, for who it is, which is kept apart
/// anyway, and for another source, which tells itself what it depends on.
fn behind(reference: &Reference) -> Option<Vec<u8>> {
    match reference {
        Reference::Header(Some(name)) => Some(name.to_ascii_lowercase().into_bytes()),
        Reference::Cookie(_) => Some(b"cookie".to_vec()),
        Reference::Header(None) | Reference::ClientIp => Some(b"*".to_vec()),
        _ => None,
    }
}
