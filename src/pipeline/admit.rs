//! Judges a head before anything else sees it: target, client, id, and what a client may not say.
//!
//! Rules of the edge, "One path" and "One speaker". A codec has judged the framing before.

use std::rc::Rc;
use std::time::Instant;

use http::{Method, Version};
use smallvec::SmallVec;

use crate::exchange::authority::without_empty_port;
use crate::exchange::grpc;
use crate::exchange::headers::same_folded;
use crate::exchange::target::TargetError;
use crate::exchange::via::MOST_PASSES;
use crate::exchange::{
    Body, Client, Error, ErrorKind, Exchange, HeaderId, Headers, Interims, Record, Request, RequestId,
    Target, Term,
};
use crate::net::Facts;
use crate::snapshot::forwarded::{Reported, direct};
use crate::snapshot::{ListenerPlan, Pinned, Snapshot, Trust};

use super::{Core, Walk};

/// A request as a codec gives it.
pub struct Arrived<'a> {
    /// The connection that it came on.
    pub connection: &'a Facts,
    /// When the head's first byte was seen.
    pub started: Instant,
    /// The method.
    pub method: Method,
    /// The target as sent.
    pub target: &'a [u8],
    /// The version.
    pub version: Version,
    /// The lines, without framing and hop-by-hop lines.
    pub headers: Headers,
    /// The content.
    pub body: Body,
    /// Takes interim answers to the client, where it may get any.
    pub interims: Option<Rc<dyn Interims>>,
}

impl Walk {
    /// Admits a request, or takes note of why not; either way it is answered by [`Walk::serve`].
    pub fn admit(core: Rc<Core>, pinned: Rc<Pinned>, arrived: Arrived<'_>) -> Walk {
        let plan = &pinned.plan;
        let mut headers = arrived.headers;
        let mut client = direct(arrived.connection);
        let mut believed =
            plan.trust.trusts(client.ip).then(|| believe(plan, arrived.connection, &mut headers));
        if let Some(believed) = &believed {
            client = believed.reported.client;
        }
        let given = believed.as_mut().and_then(|believed| believed.id.take());
        let id = given.unwrap_or_else(|| core.request_id());
        let trust = client.trusted.then_some(&plan.trust);
        let passes = strip(&mut headers, trust, &pinned.snapshot);

        let (target, refused) = match Target::parse(arrived.target, plan.path_rules) {
            Ok(parsed) if parsed.target.is_asterisk() && arrived.method != Method::OPTIONS => {
                (parsed.target, Some(TargetError::Form.into()))
            }
            Ok(parsed) => {
                if let Some(authority) = parsed.authority {
                    // It takes the place of Host (RFC 9112 section 3.2.2). It was judged, so it can be set.
                    headers.remove_id(HeaderId::Host);
                    headers.push_id(HeaderId::Host, without_empty_port(authority.as_bytes()));
                }
                (parsed.target, None)
            }
            // The target of a tunnel is no path (RFC 9112 section 3.2.3).
            Err(_) if arrived.method == Method::CONNECT => {
                let error = Error::new(ErrorKind::MethodNotAllowed).header("allow", plan.table.allow("*"));
                (Target::default(), Some(error))
            }
            Err(error) => (Target::default(), Some(error.into())),
        };
        let mut refused = refused;
        if refused.is_none() {
            if is_misdirected(plan, arrived.connection) {
                refused = Some(ErrorKind::Misdirected.into());
            } else if arrived.body.length().is_some_and(|length| length > plan.limits.body) {
                refused = Some(Error::new(ErrorKind::BodyTooLarge).closing());
            } else if headers.has_id(HeaderId::Expect) {
                // `100-continue` has been taken out by the codec; any other expectation cannot be met here.
                refused = Some(Error::new(ErrorKind::ExpectationFailed));
            } else if passes > MOST_PASSES {
                refused = Some(Error::new(ErrorKind::LoopDetected).reason("via"));
            }
        }
        if let Some(believed) = believed {
            // From here on every station sees the public host. It was judged, so it can be set.
            if let Some(host) =
                believed.reported.authority(headers.get_id(HeaderId::Host).unwrap_or_default())
            {
                headers.remove_id(HeaderId::Host);
                headers.push_id(HeaderId::Host, &host);
            }
            refused = believed.refused.or(refused);
        }
        let request =
            Request { method: arrived.method, target, version: arrived.version, headers, body: arrived.body };
        Walk::new(core, pinned, client, (id, arrived.interims), request, arrived.started, refused)
    }

    /// A walk for a head that could not be read: nothing is known but who sent it.
    pub fn refuse(
        core: Rc<Core>,
        pinned: Rc<Pinned>,
        connection: &Facts,
        started: Instant,
        error: Error,
    ) -> Walk {
        // No line was read, so there is none that could be unbelievable.
        let client = match pinned.plan.trust.reported(connection, &Headers::new()) {
            Ok(reported) => reported.client,
            Err(_) => Reported::direct(connection).client,
        };
        let id = core.request_id();
        Walk::new(core, pinned, client, (id, None), nothing(), started, Some(error))
    }

    fn new(
        core: Rc<Core>,
        pinned: Rc<Pinned>,
        client: Client,
        (id, interims): (RequestId, Option<Rc<dyn Interims>>),
        request: Request,
        started: Instant,
        refused: Option<Error>,
    ) -> Walk {
        let (place, refused) = match core.shed.take(&pinned.snapshot.sources.config.overload) {
            Ok(place) => (place, refused),
            Err(error) => (None, Some(refused.unwrap_or(error))),
        };
        let exchange = begun(&core, &pinned, client, (id, interims), request, started);
        Walk { exchange, core, pinned, refused, complete: false, switched: false, taken: false, place }
    }

    /// Takes the walk from where it was made, which is the future of its request: a tunnel needs none of that. What
    /// stays there is empty and writes no record.
    #[cold]
    pub fn take(&mut self) -> Box<Walk> {
        let (core, pinned) = (Rc::clone(&self.core), Rc::clone(&self.pinned));
        let Exchange { id, client, record, .. } = &self.exchange;
        let exchange = begun(&core, &pinned, *client, (id.clone(), None), nothing(), record.started);
        let empty = Walk {
            exchange,
            core,
            pinned,
            refused: None,
            complete: true,
            switched: false,
            taken: true,
            place: None,
        };
        Box::new(std::mem::replace(self, empty))
    }
}

/// What is known of a request that could not be read.
fn nothing() -> Request {
    Request {
        method: Method::from_bytes(b"-").unwrap_or_default(),
        target: Target::default(),
        version: Version::HTTP_11,
        headers: Headers::new(),
        body: Body::Empty,
    }
}

/// An exchange before its walk.
// In place: an exchange is too large to be moved.
#[inline(always)]
fn begun(
    core: &Core,
    pinned: &Rc<Pinned>,
    client: Client,
    (id, interims): (RequestId, Option<Rc<dyn Interims>>),
    request: Request,
    started: Instant,
) -> Exchange {
    Exchange {
        id,
        core: core.id,
        client,
        deadline: started,
        rest: request.target.path().len() as u32,
        grpc: grpc::is_call(&request.method, &request.headers),
        term: Term::Head,
        interims,
        request,
        identity: None,
        params: SmallVec::new(),
        rule: None,
        place: Rc::clone(pinned) as Rc<dyn crate::exchange::Place>,
        quotas: SmallVec::new(),
        permits: Vec::new(),
        cached: None,
        record: Record::new(started),
    }
}

/// Whether the connection was made for a host with other terms.
fn is_misdirected(plan: &ListenerPlan, connection: &Facts) -> bool {
    let (Some(mine), Some(theirs)) = (&plan.tls, &connection.tls) else { return false };
    !mine.takes(theirs)
}

/// What a trusted proxy has said of a request.
struct Believed {
    reported: Reported,
    id: Option<RequestId>,
    /// Why it cannot be believed.
    refused: Option<Error>,
}

/// A request of a trusted proxy. Boxed, so that all others carry none of it.
#[inline(never)]
fn believe(plan: &ListenerPlan, connection: &Facts, headers: &mut Headers) -> Box<Believed> {
    Box::new(match plan.trust.reported(connection, headers) {
        Ok(reported) => Believed { reported, id: given_id(headers), refused: None },
        Err(error) => {
            Believed { reported: Reported::direct(connection), id: None, refused: Some(error.into()) }
        }
    })
}

/// The id that a trusted proxy has given, if it has given exactly one that may be taken over; else none is left.
fn given_id(headers: &mut Headers) -> Option<RequestId> {
    let given = {
        let mut lines = headers.all_id(HeaderId::XRequestId);
        let first = lines.next();
        first.filter(|_| lines.next().is_none()).and_then(RequestId::given)
    };
    if given.is_none() {
        headers.remove_id(HeaderId::XRequestId);
    }
    given
}

/// Takes out what only the gate may say, in every spelling that an upstream could fold into it. Gives how often the request
/// has passed this process before.
fn strip(headers: &mut Headers, trust: Option<&Trust>, snapshot: &Snapshot) -> usize {
    let (identity, mut passes) = (&snapshot.identity_headers, 0);
    headers.retain(|id, name, value| {
        let folded = if id == HeaderId::Other { HeaderId::folded(name) } else { id };
        if folded.judged() {
            match id {
                HeaderId::Via => passes += snapshot.pseudonym.passes(value),
                // The codec leaves it where the request cannot go on without: an action that does not grant it refuses.
                HeaderId::Upgrade => {}
                _ if !(folded == id && trust.is_some_and(|trust| trust.keeps(id, value))) => return false,
                _ => {}
            }
        }
        // A second spelling of a name that the gate reads is never passed on beside the first.
        if id == HeaderId::Other && folded != HeaderId::Other {
            return false;
        }
        !identity.iter().any(|header| same_folded(header.as_bytes(), name))
    });
    passes
}
