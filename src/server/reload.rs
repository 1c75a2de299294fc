//! A new configuration takes over from the old one, whole or not at all.
//!
//! It is compiled and its new addresses are bound on threads that may block, and only then it is put in force; listeners
//! that it has no more are closed last. The last step that may fail is [`background::begin`], done whole or not at all.
//! What can be seen of a reload that fails there: its new sockets listen by then, so that a connection that the system
//! completed in that moment is reset. Nothing of the configuration in force has changed.

use crate::runtime::hash::{HashMap, HashSet};
use crate::runtime::{clock, task, time};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::config::{Changes, Config, Severity};
use crate::exchange::Name;
use crate::snapshot::{ListenerPlan, Snapshot};
use crate::telemetry::metrics::Names;

use super::background;
use super::boot::wanted;
use super::certificates;
use super::control::{Control, Inner};
use super::cores::BREATH;
use super::files;
use super::report::{Cause, Failure, Report, Request, tell};
use super::retired::{self, Retired};
use super::sockets::{self, Opened};
use super::source::Compiled;
use super::watch::{Before, Seen};

/// Reloads whenever it is asked for. Requests that come while a reload is at work are answered together by the next
/// one: what they want to be read may have changed since.
pub(super) async fn serve(control: Control, mut requests: mpsc::UnboundedReceiver<Request>) {
    let mut retired = Retired::default();
    // What is read at the start alone is in force until the end, whatever files have said since.
    let started = Arc::clone(&control.inner().live.get().sources.config);
    loop {
        let first = tokio::select! {
            first = requests.recv() => first,
            () = time::sleep(retired::LOOK), if !retired.is_empty() => {
                retired.release();
                continue;
            }
        };
        let Some(first) = first else { return };
        let cause = first.cause;
        let mut asking = vec![first];
        while let Ok(more) = requests.try_recv() {
            asking.push(more);
        }
        let report = Arc::new(reload(&control, cause, &started, &mut retired).await);
        *control.inner().last.borrow_mut() = Some(Arc::clone(&report));
        for request in asking {
            if let Some(answer) = request.answer {
                let _ = answer.send(Arc::clone(&report));
            }
        }
    }
}

async fn reload(
    control: &Control,
    cause: Cause,
    started: &Config,
    retired: &mut Retired<Snapshot>,
) -> Report {
    let inner = control.inner();
    let begun = clock::read();
    let previous = inner.live.get();
    let compiled = {
        let (source, environment) = (Arc::clone(&inner.source), Arc::clone(&inner.environment));
        let (previous, watched) = (Arc::clone(&previous), inner.watched.borrow().clone());
        let compile = move || {
            let before = Before::of(&watched);
            (before, source.compile(Some(&previous), &environment))
        };
        task::spawn_blocking(compile).await
    };
    let mut diagnostics = json!({ "errors": 0, "warnings": 0, "diagnostics": [] });
    let (mut restart, mut changes) = (Vec::new(), Changes::default());
    let outcome = match compiled {
        Ok((before, compiled)) => {
            diagnostics = judge(inner, &compiled, before);
            match compiled.snapshot {
                Some(snapshot) => {
                    let config = &snapshot.sources.config;
                    restart = needs_restart(started, config);
                    changes = config.outline.changes_since(&previous.sources.config.outline);
                    apply(inner, snapshot).await
                }
                None if compiled.unreadable => Err(Failure::Environment("it cannot be read".to_owned())),
                None => Err(Failure::Configuration),
            }
        }
        Err(error) => Err(Failure::Environment(format!("compiling the configuration broke down: {error}"))),
    };
    let took = clock::read().saturating_duration_since(begun);
    let version = inner.live.get().version;
    let failure = match outcome {
        Ok(Closing { numbers, overlap }) => {
            retired.keep(previous);
            inner.log.info(format_args!(
                "reloaded: version {version} ({}, {took:.0?}): {changes}",
                cause.as_str()
            ));
            for key in &restart {
                inner
                    .log
                    .warn(format_args!("a change of `{key}` takes a restart; everything else is in force"));
            }
            if overlap {
                // Another socket has the address now: connections that the old one is completing are accepted first.
                time::sleep(BREATH).await;
            }
            inner.cores.close(&numbers).await;
            inner.listening.borrow_mut().closed(&numbers);
            None
        }
        Err(failure) => {
            // The numbers of what only the failed configuration has go with it.
            inner.environment.metrics.retain(&names(&previous));
            inner.environment.metrics.reload_failed();
            inner.log.error(format_args!(
                "reload failed ({}): {}; version {version} stays in force",
                cause.as_str(),
                failure.as_str()
            ));
            Some(failure)
        }
    };
    Report { version, at: clock::wall(), cause, took, failure, diagnostics, restart, changes }
}

/// Tells what was found, and has the files watched that the configuration is made of now.
fn judge(inner: &Inner, compiled: &Compiled, before: Before) -> Value {
    tell(&inner.log, &compiled.diagnostics);
    if let Some(watch) = &inner.watch {
        let failed = compiled.diagnostics.count(Severity::Error) > 0;
        let mut watched = inner.watched.borrow_mut();
        if !failed {
            watched.clear();
        }
        watched.extend(compiled.watch.iter().cloned());
        watched.sort();
        watched.dedup();
        let _ = watch.send(Seen { paths: compiled.watch.clone(), begun: compiled.begun, before, failed });
    }
    compiled.diagnostics.to_json()
}

/// The sockets that are to be closed.
#[derive(Debug)]
struct Closing {
    numbers: Vec<usize>,
    /// Whether new ones have some of their connections from now on.
    overlap: bool,
}

/// Binds, swaps, opens.
async fn apply(inner: &Inner, snapshot: Snapshot) -> Result<Closing, Failure> {
    let bound = inner.listening.borrow().bound.clone();
    let mut changes = sockets::changes(&bound, &wanted(&snapshot));
    let (wanted, cores) = (std::mem::take(&mut changes.opened), inner.cores.count());
    let reserved = task::spawn_blocking(move || sockets::reserve(&wanted, cores, &bound)).await;
    let reserved = reserved.unwrap_or_else(|error| Err(format!("binding addresses broke down: {error}")));
    let first = inner.next_number.get();
    let opened = reserved.and_then(|reserved| reserved.open(first)).map_err(Failure::Environment)?;
    let before = inner.live.get();
    let snapshot = Arc::new(snapshot);
    background::begin(inner.environment.tools.as_ref(), Some(&before), &snapshot)
        .map_err(Failure::Environment)?;
    // From here on nothing fails.
    inner.next_number.set(first + opened.len());

    let (version, made, names) = (snapshot.version, snapshot.made, names(&snapshot));
    let known = |plan: &ListenerPlan| {
        before.sharers().any(|sharer| sharer.name == plan.name && sharer.address == plan.address)
    };
    for new in snapshot.sharers().filter(|plan| !known(plan)) {
        inner.log.info(format_args!("listener {} on {} by its hosts", new.name, new.address));
    }
    inner.environment.cache.resize(snapshot.sources.config.cache);
    files::check_max_connections(&snapshot.sources.config.overload, &inner.connections, &inner.log);
    certificates::note(&snapshot, &inner.environment.metrics);
    inner.live.swap(snapshot);
    inner.environment.metrics.reloaded(version, made);
    inner.environment.metrics.retain(&names);

    let mut listening = inner.listening.borrow_mut();
    let ports = |number: usize| listening.bound.iter().filter(move |bound| bound.number == number);
    let mut leaving = changes.closed.iter().flat_map(|number| ports(*number));
    let overlap = leaving.any(|old| opened.iter().any(|new| new.bound.local.port() == old.local.port()));
    for left in changes.closed.iter().flat_map(|number| ports(*number)) {
        inner.log.info(format_args!("listener {} leaves {}", left.name, left.local));
    }
    listening.give_up(&changes.closed);
    let bound = &mut listening.bound;
    for (number, name, asked) in &changes.renamed {
        let Some(bound) = bound.iter_mut().find(|bound| bound.number == *number) else { continue };
        bound.asked = *asked;
        if bound.name != *name {
            inner.log.info(format_args!("listener {name} on {} (was {})", bound.local, bound.name));
            bound.name = Name::clone(name);
            inner.cores.rename(*number, name);
        }
    }
    for Opened { bound: new, sockets } in opened {
        inner.log.info(format_args!("listener {} on {}", new.name, new.local));
        inner.cores.open(new.number, &new.name, sockets);
        bound.push(new);
    }
    Ok(Closing { numbers: changes.closed, overlap })
}

/// The names whose numbers are kept.
fn names(snapshot: &Snapshot) -> Names {
    let routes: HashMap<Name, HashSet<Name>> = snapshot
        .listeners
        .iter()
        .map(|listener| {
            let rules = listener.rules.iter().map(|rule| Name::clone(&rule.name)).collect();
            (Name::clone(&listener.name), rules)
        })
        .collect();
    let upstreams =
        snapshot.upstreams.iter().map(|upstream| Name::clone(&upstream.settings().name)).collect();
    Names { routes, upstreams }
}

/// The keys that are read at the start alone, where they do not say any more what is in force.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let admin = |config: &Config| config.admin.as_ref().map(|admin| admin.value);
    let mut keys = Vec::new();
    if admin(old) != admin(new) {
        keys.push("admin");
    }
    if old.access_log != new.access_log {
        keys.push("telemetry.access_log");
    }
    keys
}

#[cfg(test)]
mod tests;
