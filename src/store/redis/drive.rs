//! The thread of a link: connects, carries commands, beats, and connects anew.
//!
//! It never waits for one thing alone: while it connects, or while an answer stays away, commands are taken from the
//! queue and answered.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::runtime::time::{sleep, sleep_until, timeout};
use crate::runtime::{clock, task};
use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio::sync::mpsc;

use super::connect::{Wire, connect, words};
use super::heartbeat::{Beat, EVERY, Heart, PROBE};
use super::script::{Scripts, grant, is_unknown};
use super::shared::{Command, Pending, Shared, count};
use super::{Return, Trip};

/// After so many probes in a row without an answer the connection itself is given up.
const SILENT_PROBES: u32 = 4;
/// How long the first heartbeat of a connection may take: the server reads the scripts then.
const FIRST: Duration = Duration::from_secs(1);

/// Who carries commands: shared by all that are on their way.
struct Carrier {
    shared: Arc<Shared>,
    scripts: Scripts,
    heart: Heart,
    /// Tells that a connection is broken, and why.
    lost: mpsc::UnboundedSender<(u64, String)>,
}

/// Runs until nobody holds the link.
pub(super) async fn drive(shared: Arc<Shared>, mut queue: mpsc::UnboundedReceiver<Command>) {
    let (lost, mut losses) = mpsc::unbounded_channel();
    let heart = Heart::new(&shared.settings.namespace);
    let carrier = Arc::new(Carrier { shared, scripts: Scripts::new(), heart, lost });
    let mut number = 0;
    loop {
        number += 1;
        let Some(outcome) = connecting(&carrier, &mut queue, number).await else { return };
        let why = match outcome {
            Ok(wire) => {
                let Some(why) = connected(&carrier, &mut queue, &mut losses, wire, number).await else {
                    return;
                };
                carrier.shared.down(&why);
                // What broke may be back at once: a restart, a failover.
                continue;
            }
            Err(why) => why,
        };
        carrier.shared.down(&why);
        let pause = sleep(PROBE);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                command = queue.recv() => if refuse(command, &why).is_none() { return },
            }
        }
    }
}

/// Answers a command that nobody can carry; `None` at the end of the queue.
fn refuse(command: Option<Command>, why: &str) -> Option<()> {
    if let Command::Trip { pending, .. } = command? {
        count(&pending.shared().numbers.broken);
        pending.done(Err(why.to_owned()));
    }
    Some(())
}

/// Connects. Commands that come meanwhile wait, unless the server is known to be away. `None`: the link has ended.
async fn connecting(
    carrier: &Arc<Carrier>,
    queue: &mut mpsc::UnboundedReceiver<Command>,
    number: u64,
) -> Option<Result<Wire, String>> {
    let shared = &carrier.shared;
    let attempt = async {
        let mut wire = connect(&shared.settings).await?;
        for load in carrier.scripts.load() {
            // Where it is not allowed, the first trip brings the text along.
            let _ = timeout(FIRST, wire.ask(&load)).await;
        }
        match carrier.heart.beat(wire.clone(), &carrier.scripts, FIRST).await {
            Beat::Answered(replicas, _) => {
                shared.replicas.store(replicas, Ordering::Relaxed);
                Ok(wire)
            }
            Beat::Silent => Err("it does not answer".to_owned()),
            Beat::Failed(error) => Err(words(&error)),
            Beat::Nonsense => Err("its answer is not Redis's".to_owned()),
        }
    };
    tokio::pin!(attempt);
    let mut waiting = Vec::new();
    let outcome = loop {
        tokio::select! {
            outcome = &mut attempt => break outcome,
            () = shared.wake.notified() => {
                shared.down("it is not connected yet");
                waiting.drain(..).for_each(|command| { refuse(Some(command), "not connected yet"); });
            }
            command = queue.recv() => {
                let command = command?;
                if is_away(shared) { refuse(Some(command), "not connected"); } else { waiting.push(command); }
            }
        }
    };
    match &outcome {
        Ok(wire) => {
            shared.up();
            for command in waiting {
                let stale = matches!(&command, Command::Trip { begun, .. } if clock::since(*begun) > shared.settings.timeout);
                if stale {
                    refuse(Some(command), "connecting took too long");
                } else {
                    carrier.carry(command, wire, number);
                }
            }
        }
        Err(why) => waiting.into_iter().for_each(|command| {
            refuse(Some(command), why);
        }),
    }
    Some(outcome)
}

fn is_away(shared: &Shared) -> bool {
    shared.breaker.state() == super::breaker::State::Away
}

/// Carries commands and beats until the connection is of no use any more: why. `None`: the link has ended.
async fn connected(
    carrier: &Arc<Carrier>,
    queue: &mut mpsc::UnboundedReceiver<Command>,
    losses: &mut mpsc::UnboundedReceiver<(u64, String)>,
    wire: Wire,
    number: u64,
) -> Option<String> {
    let shared = &carrier.shared;
    let (told, mut beats) = mpsc::unbounded_channel();
    let mut silent = 0;
    let mut next = clock::now() + EVERY;
    loop {
        tokio::select! {
            command = queue.recv() => match command? {
                Command::Trip { pending, .. } if is_away(shared) => {
                    count(&shared.numbers.broken);
                    pending.done(Err("it does not answer".to_owned()));
                }
                command => carrier.carry(command, &wire, number),
            },
            Some((of, why)) = losses.recv() => if of == number { return Some(why) },
            () = shared.wake.notified() => {
                if is_away(shared) {
                    shared.down("several requests in a row had no answer in time");
                }
                next = next.min(clock::now() + PROBE);
            }
            () = sleep_until(next) => {
                let (carrier, wire, told) = (Arc::clone(carrier), wire.clone(), told.clone());
                let patience = shared.settings.timeout.max(PROBE);
                next += EVERY + patience;
                task::spawn(async move {
                    let beat = carrier.heart.beat(wire, &carrier.scripts, patience).await;
                    let _ = told.send(beat);
                });
            }
            Some(beat) = beats.recv() => {
                let good = match judge(carrier, &beat, wire.is_cluster()) {
                    Ok(good) => good,
                    Err(why) => return Some(why),
                };
                silent = if good { 0 } else { silent + 1 };
                if silent >= SILENT_PROBES && is_away(shared) {
                    return Some("it does not answer".to_owned());
                }
                next = clock::now() + if good { EVERY } else { PROBE };
            }
        }
    }
}

/// What a heartbeat means: whether the server is well, or why the connection is of no use any more.
fn judge(carrier: &Carrier, beat: &Beat, cluster: bool) -> Result<bool, String> {
    let shared = &carrier.shared;
    let why = match beat {
        Beat::Answered(replicas, took) => {
            shared.replicas.store(*replicas, Ordering::Relaxed);
            if *took <= shared.settings.timeout {
                shared.up();
                return Ok(true);
            }
            "it answers too slowly".to_owned()
        }
        Beat::Silent => "it does not answer".to_owned(),
        Beat::Nonsense => "its answer is not Redis's".to_owned(),
        Beat::Failed(error) if is_fatal(error) && !cluster => return Err(words(error)),
        Beat::Failed(error) => words(error),
    };
    shared.wrong(&why);
    if shared.breaker.in_vain() {
        shared.down(&why);
    }
    Ok(false)
}

/// Whether another connection, or another server, has to be looked for.
fn is_fatal(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, MasterDown, ReadOnly};
    match error.kind() {
        ErrorKind::Server(kind) => {
            matches!(kind, BusyLoading | MasterDown | ReadOnly) || error.code() == Some("NOAUTH")
        }
        ErrorKind::Io => !error.is_timeout(),
        _ => error.is_unrecoverable_error(),
    }
}

impl Carrier {
    /// Sends a command on its way.
    fn carry(self: &Arc<Self>, command: Command, wire: &Wire, number: u64) {
        let (carrier, wire) = (Arc::clone(self), wire.clone());
        match command {
            Command::Trip { trip, pending, .. } => {
                task::spawn(async move { carrier.trip(wire, &trip, pending, number).await });
            }
            Command::GiveBack(back) => {
                task::spawn(async move { carrier.give_back(wire, &back).await });
            }
        }
    }

    async fn trip(&self, mut wire: Wire, trip: &Trip, pending: Pending, number: u64) {
        let begun = clock::now();
        let answer = match wire.ask(&self.scripts.take(trip, false)).await {
            Err(error) if is_unknown(&error) => wire.ask(&self.scripts.take(trip, true)).await,
            other => other,
        };
        let why = match answer.as_ref().map(grant) {
            Ok(Some(grant)) => {
                if clock::since(begun) <= self.shared.settings.timeout {
                    self.shared.breaker.answered();
                }
                return pending.done(Ok(grant));
            }
            Ok(None) => "an answer that is none".to_owned(),
            Err(error) => words(error),
        };
        match answer {
            // Who waited has counted it already.
            Err(error) if error.is_timeout() => {}
            Err(error) if is_fatal(&error) && !wire.is_cluster() => {
                count(&self.shared.numbers.broken);
                self.shared.down(&why);
                let _ = self.lost.send((number, why.clone()));
            }
            _ => {
                count(&self.shared.numbers.errors);
                self.shared.wrong(&why);
                if self.shared.breaker.in_vain() {
                    self.shared.down(&why);
                    self.shared.wake.notify_one();
                }
            }
        }
        pending.done(Err(why));
    }

    /// What fails here comes back by itself when its time is over.
    async fn give_back(&self, mut wire: Wire, back: &Return) {
        if let Err(error) = wire.ask(&self.scripts.give_back(back, false)).await
            && is_unknown(&error)
        {
            let _ = wire.ask(&self.scripts.give_back(back, true)).await;
        }
    }
}
