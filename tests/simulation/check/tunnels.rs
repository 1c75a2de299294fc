//! Tunnels carry the bytes of their own exchange, whole or up to their end, are recorded as what they were, and end.

use std::time::Duration;

use crate::config::IDLE;
use crate::plan::{Parts, Request, Tunnel};
use crate::tunnel::{Heard, Side};

use super::World;

/// What the gateway may take until both sides have seen the end of a tunnel: it waits for those that it has said goodbye to.
const PARTING: Duration = Duration::from_secs(2);

/// What the network, little room and the other side may add.
const SLACK: Duration = Duration::from_secs(4);

pub(super) fn check(world: &World<'_>, faults: &mut Vec<String>) {
    for (token, request) in &world.requests {
        let Some(tunnel) = &request.tunnel else { continue };
        for side in [Side::Client, Side::Service] {
            if let Some((Heard { fault: Some(fault), .. }, _)) = world.seen.tunnels.get(&(*token, side)) {
                faults.push(format!("in tunnel {token} the {side:?} finds: {fault}"));
            }
        }
        if world.visits(*token).len() > 1 {
            faults.push(format!("tunnel {token} was asked for more than once"));
        }
        recorded(world, request, tunnel, faults);
    }
}

fn recorded(world: &World<'_>, request: &Request, tunnel: &Tunnel, faults: &mut Vec<String>) {
    let token = request.token;
    let Some(line) = world.lines.get(&token).filter(|line| line.value["status"] == 101) else { return };
    let (by, how) = (line.value["ended_by"].as_str(), line.value["ended"].as_str());
    let drained = how == Some("drain") && world.plan.drains.is_some();
    let expected = match tunnel.parts {
        Parts::Client => by == Some("client"),
        Parts::Service => by == Some("service"),
        // Who breaks off may do so in the moment in which the other side is taken for the one that did: a write to it fails.
        Parts::ClientBreaks => by == Some("client"),
        Parts::ServiceBreaks => by == Some("service"),
        Parts::Nobody => by == Some("gateway") && how == Some("idle"),
        Parts::Refused => false,
    };
    if !expected && !drained {
        faults.push(format!("tunnel {token} of {:?} is recorded as {}", tunnel.parts, line.value));
    }
    let heard = |side| world.seen.tunnels.get(&(token, side));
    let (Some((client, one)), Some((service, other))) = (heard(Side::Client), heard(Side::Service)) else {
        return;
    };
    let last = *one.max(other);
    let (up, down) = (line.value["bytes_in"].as_u64(), line.value["bytes_out"].as_u64());
    // What one side did not read to its end may be more than what it has seen of it.
    for (side, heard, counted) in [("service", service, up), ("client", client, down)] {
        let counted = counted.unwrap_or_default();
        if counted < heard.raw as u64 || heard.ended && counted != heard.raw as u64 {
            faults.push(format!("the {side} of tunnel {token} got {} bytes: {}", heard.raw, line.value));
        }
    }
    if tunnel.parts.is_orderly() && !drained && !(client.ended && service.ended) {
        faults.push(format!("tunnel {token} did not end in order: {client:?} {service:?}"));
    }
    let end = line.at + PARTING + SLACK;
    if last > end {
        faults.push(format!("tunnel {token} ended at {:?}, and at {last:?} for its sides", line.at));
    }
    if tunnel.parts == Parts::Nobody && line.at > last + Duration::from_millis(IDLE) + PARTING + SLACK {
        faults.push(format!("idle tunnel {token} was kept until {:?}", line.at));
    }
}
