//! The scripts that run on the server, their calls and their answers.
//!
//! A script is called by its hash; where the server does not know it (it was restarted, or told to forget) the whole
//! text is sent, which makes it known.

use redis::{Cmd, ErrorKind, RedisError, Script, ServerErrorKind, Value};

use crate::store::{Algorithm, Limit};

use super::{Grant, Return, Trip};

/// One script.
pub(super) struct Code {
    text: String,
    hash: String,
}

impl Code {
    fn new(text: String) -> Code {
        let hash = Script::new(&text).get_hash().to_owned();
        Code { text, hash }
    }

    /// The beginning of a call: by hash, or with the text.
    fn call(&self, whole: bool, key: &[u8]) -> Cmd {
        let mut call = Cmd::new();
        if whole {
            call.arg("EVAL").arg(&self.text);
        } else {
            call.arg("EVALSHA").arg(&self.hash);
        }
        call.arg(1).arg(key);
        call
    }
}

/// All scripts.
pub(super) struct Scripts {
    take: Code,
    give_back: Code,
    heartbeat: Code,
}

impl Scripts {
    pub(super) fn new() -> Scripts {
        let budget = include_str!("budget.lua");
        Scripts {
            take: Code::new(format!("{budget}\n{}", include_str!("take.lua"))),
            give_back: Code::new(format!("{budget}\n{}", include_str!("give_back.lua"))),
            heartbeat: Code::new(include_str!("heartbeat.lua").to_owned()),
        }
    }

    /// What makes the scripts known beforehand, so that the first trips are no longer than the others.
    pub(super) fn load(&self) -> [Cmd; 2] {
        [&self.take, &self.give_back].map(|code| {
            let mut call = Cmd::new();
            call.arg("SCRIPT").arg("LOAD").arg(&code.text);
            call
        })
    }

    pub(super) fn take(&self, trip: &Trip, whole: bool) -> Cmd {
        let mut call = self.take.call(whole, &trip.key);
        limit(&mut call, &trip.limit);
        call.arg(trip.cost).arg(trip.want.max(trip.cost)).arg(trip.hold_us).arg(trip.owed);
        call
    }

    pub(super) fn give_back(&self, back: &Return, whole: bool) -> Cmd {
        let mut call = self.give_back.call(whole, &back.key);
        limit(&mut call, &back.limit);
        call.arg(back.permits).arg(back.at_us);
        call
    }

    /// `life` is how long a replica that is silent counts, in milliseconds.
    pub(super) fn heartbeat(&self, key: &[u8], id: &str, life: u64, whole: bool) -> Cmd {
        let mut call = self.heartbeat.call(whole, key);
        call.arg(id).arg(life);
        call
    }
}

fn limit(call: &mut Cmd, limit: &Limit) {
    let algorithm = match limit.algorithm {
        Algorithm::SlidingWindow => 0,
        Algorithm::FixedWindow => 1,
        Algorithm::TokenBucket => 2,
    };
    call.arg(algorithm).arg(limit.limit).arg(limit.window_us).arg(limit.capacity()).arg(limit.slowest);
}

/// Reads what the script `take` answers.
pub(super) fn grant(value: &Value) -> Option<Grant> {
    let Value::Array(list) = value else { return None };
    let mut numbers = [0; 5];
    if list.len() != numbers.len() {
        return None;
    }
    for (number, value) in numbers.iter_mut().zip(list) {
        let Value::Int(value) = value else { return None };
        *number = u64::try_from(*value).ok()?;
    }
    let [granted, remaining, reset_us, valid_us, at_us] = numbers;
    Some(Grant { granted, remaining, reset_us, valid_us, at_us })
}

/// Whether the server does not know the script.
pub(super) fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
