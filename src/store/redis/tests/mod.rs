//! The link and its scripts against real servers.

mod link;
mod model;
mod scripts;
mod server;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::config::{Redis, Vocabulary, load_text};
use crate::store::{Algorithm, Limit};

use super::link::{Link, Observer, State};
use super::{Grant, Remote, Trip};
use server::{PATIENCE, until};

/// The `redis` section of a configuration.
fn settings(redis: &str) -> Redis {
    let text =
        format!("listen: 127.0.0.1:0\nredis: {redis}\nroutes: {{ /x: {{ respond: {{ status: 204 }} }} }}\n");
    let vocabulary = Vocabulary { policies: &[], later: &[] };
    let loaded = load_text("gate.yaml".as_ref(), &text, &|_| None, vocabulary);
    let found = loaded.diagnostics.render(false);
    loaded.config.and_then(|config| config.redis).unwrap_or_else(|| panic!("{found}"))
}

/// Remembers what the link told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn down(&self, why: &str) {
        self.0.lock().unwrap().push(format!("down: {why}"));
    }

    fn up(&self, _: Duration) {
        self.0.lock().unwrap().push("up".to_owned());
    }
}

impl Told {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn linked(redis: &str) -> (Link, Arc<Told>) {
    let told = Arc::new(Told::default());
    (Link::start(&settings(redis), Arc::clone(&told) as _), told)
}

/// A link that has found its server; slow machines are given time.
fn up(url: &str) -> Link {
    let (link, _) = linked(&format!("{{ url: \"{url}\", timeout: 5s }}"));
    wait_for(&link, State::Up);
    link
}

#[track_caller]
fn wait_for(link: &Link, state: State) {
    until(state.as_str(), || link.statistics().state == state);
}

fn limit(algorithm: Algorithm, limit: u64, window_ms: u64) -> Limit {
    Limit { algorithm, limit, window_us: window_ms * 1000, burst: limit, slowest: limit }
}

fn trip(key: &str, limit: Limit, cost: u64) -> Trip {
    Trip { key: key.as_bytes().into(), limit, cost, want: cost, hold_us: 0, owed: 0 }
}

fn send(link: &Link, trip: Trip) -> Receiver<Result<Grant, String>> {
    let (tell, told): (Sender<Result<Grant, String>>, _) = channel();
    link.trip(trip, Box::new(move |outcome| drop(tell.send(outcome))));
    told
}

fn ask(link: &Link, trip: Trip) -> Result<Grant, String> {
    send(link, trip).recv_timeout(PATIENCE).expect("every trip comes to an end")
}

#[track_caller]
fn taken(link: &Link, trip: Trip) -> Grant {
    ask(link, trip).unwrap_or_else(|why| panic!("{why}"))
}
