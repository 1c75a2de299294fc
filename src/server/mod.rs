//! The process: starts the gate, keeps it in step with its configuration, and ends it without cutting anybody off.
//!
//! Start with [`run`]: the whole life of the process is that one function. `boot.rs` comes first; then the cores
//! serve (`cores.rs`, one thread and one runtime each) while the control runtime, on the thread that called, waits
//! for signals (`signals.rs`), changes of files (`watch.rs`) and requests to reload (`reload.rs`, `sockets.rs`), and a
//! thread of their own follows and checks the services (`background.rs`); `drain.rs` is the end. `control.rs` is what others (the admin listener) may ask of a running gate.

mod access;
mod background;
mod boot;
mod certificates;
mod control;
mod cores;
mod drain;
mod fault;
mod files;
mod helpers;
mod options;
mod reload;
mod report;
mod retired;
mod signals;
mod sockets;
mod source;
mod watch;

use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::sync::mpsc;

use background::Background;
use control::LAST_WORDS;

use crate::runtime::{task, time};
use crate::upstream::Tools;

pub use control::Control;
pub use fault::Fault;
pub use options::{Admin, Options, Ready, Stdout};
pub use report::{Cause, Failure, Report};
pub use source::{Compiled, Source};

/// Runs a gate until a signal ends it.
///
/// # Errors
/// The gate could not start, or broke down; see [`Fault`].
pub fn run(options: Options) -> Result<(), Fault> {
    let runtime = Builder::new_current_thread()
        .thread_name("control-work")
        .enable_all()
        .build_local(Default::default())
        .map_err(|error| Fault::environment("the control runtime could not be started", &error))?;
    let log = Arc::clone(&options.log);
    let background = Background::start(helpers::resolver(&log), &log).map_err(|error| {
        Fault::environment("the thread that checks services could not be started", &error)
    })?;
    let outcome = runtime.block_on(life(options, background.tools()));
    // A compile that is still at work, or a page that is still written, is nobody's concern any more.
    runtime.shutdown_background();
    drop(background);
    log.shutdown(LAST_WORDS);
    outcome
}

/// Serves until a signal asks for the end; gives the number of the core that broke down before.
async fn serve(
    control: &Control,
    signals: &mut signals::Signals,
    crashed: &mut mpsc::UnboundedReceiver<usize>,
) -> Option<usize> {
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                signals::Signal::End => return None,
                signals::Signal::Reload => {
                    control.reopen_log();
                    control.ask_reload(Cause::Signal);
                }
            },
            Some(core) = crashed.recv() => return Some(core),
        }
    }
}

async fn life(options: Options, tools: Tools) -> Result<(), Fault> {
    // First of all: a signal that comes during the start is not lost, and does not end the process half-way.
    let mut signals = signals::Signals::new()?;
    let (delay, grace) = (options.drain_delay, options.grace);
    let boot::Gate { control, mut crashed, reloads, opening } = boot::boot(options, tools)?;
    let opening = task::spawn_local(opening.finish(control.clone()));
    let reloading = task::spawn_local(reload::serve(control.clone(), reloads));
    let mut broken = serve(&control, &mut signals, &mut crashed).await;
    if broken.is_none() && !delay.is_zero() {
        control.begin_drain();
        control.log().info(format_args!("not ready any more: everything is still served for {delay:?}"));
        broken = tokio::select! {
            broken = serve(&control, &mut signals, &mut crashed) => {
                if broken.is_none() {
                    control.log().info("a second signal: the delay ends early");
                }
                broken
            }
            () = time::sleep(delay) => None,
        };
    }
    // No reload may open a listener from here on.
    reloading.abort();
    opening.abort();
    if let Some(core) = broken {
        control.stop("core");
        return Err(Fault::Environment(format!(
            "core {core} broke down: the gate ends rather than serve in part"
        )));
    }
    let reason = drain::drain(&control, grace, &mut signals).await;
    control.stop(reason);
    Ok(())
}
