//! The end: nobody new is let in, whoever is in is served.

use std::time::Duration;

use super::control::Control;
use super::signals::Signals;
use crate::runtime::time;

/// Stops accepting and waits until every connection has ended, `grace` has passed, or a second signal has come. Gives
/// the reason in one word, for the log of the requests that are cut off.
pub(super) async fn drain(control: &Control, grace: Duration, signals: &mut Signals) -> &'static str {
    let log = control.log();
    control.begin_drain();
    log.info(format_args!("draining: running requests have {grace:?} to end"));
    let finished = async {
        control.close_all().await;
        control.cores().drain().await;
    };
    tokio::select! {
        () = finished => {
            log.info("drained: every connection has ended");
            "drained"
        }
        () = time::sleep(grace) => {
            log.warn(format_args!("the time to drain has passed: {}", cut_off(control.open())));
            "grace"
        }
        () = signals.end() => {
            log.warn(format_args!("another signal: {}", cut_off(control.open())));
            "signal"
        }
    }
}

fn cut_off(open: usize) -> String {
    match open {
        1 => "1 connection is cut off".to_owned(),
        open => format!("{open} connections are cut off"),
    }
}
