//! The certificates that clients are shown: how long they hold, in the metrics and, in good time, in the log.

use std::sync::Arc;
use std::time::Duration;

use crate::runtime::hash::HashMap;
use crate::runtime::{clock, time};
use crate::snapshot::{Live, Snapshot};
use crate::telemetry::OperatorLog;
use crate::telemetry::metrics::{Expiry, Metrics};

/// How often it is looked how long they hold.
const LOOK: Duration = Duration::from_secs(60);

const DAY: i64 = 24 * 60 * 60;

/// A certificate is warned of when so little of its time is left, in seconds: a month, a week, a day, nothing.
const WARNINGS: [i64; 4] = [30 * DAY, 7 * DAY, DAY, 0];

/// Takes note of the certificates of a snapshot.
pub(super) fn note(snapshot: &Snapshot, metrics: &Metrics) {
    metrics.set_certificates(expiries(snapshot));
}

/// Warns of certificates that will not hold for long, until the gateway ends.
pub(super) async fn watch(live: Arc<Live>, log: Arc<OperatorLog>) {
    let mut beat = time::interval(LOOK);
    let mut warned = Warned::default();
    loop {
        beat.tick().await;
        let now = clock::since_epoch().as_secs().cast_signed();
        for warning in warned.look(&expiries(&live.get()), now) {
            log.warn(warning);
        }
    }
}

fn expiries(snapshot: &Snapshot) -> Vec<Expiry> {
    let shown = snapshot.listeners.iter().filter_map(|plan| Some((plan, plan.tls.as_ref()?)));
    let expiries = shown.flat_map(|(plan, tls)| {
        tls.shown.iter().map(|shown| Expiry::new(&plan.name, &shown.certificate, shown.pair.not_after))
    });
    expiries.collect()
}

/// What has been warned of: of each file until when it holds, and how many of [`WARNINGS`] it has met.
#[derive(Default)]
struct Warned(HashMap<String, (i64, usize)>);

impl Warned {
    /// What there is to be said now: one line for each certificate that has met another of [`WARNINGS`].
    fn look(&mut self, expiries: &[Expiry], now: i64) -> Vec<String> {
        self.0.retain(|file, _| expiries.iter().any(|expiry| expiry.certificate == *file));
        let mut lines = Vec::new();
        for Expiry { certificate, not_after, .. } in expiries {
            let left = not_after - now;
            let met = WARNINGS.iter().filter(|warning| left <= **warning).count();
            let known = self.0.get(certificate).filter(|(known, _)| known == not_after).map(|(_, met)| *met);
            // Of one that had expired when it was read, the one who has read it has warned.
            let new = known.map_or(left > 0 && met > 0, |known| met > known);
            self.0.insert(certificate.clone(), (*not_after, met));
            if !new {
                continue;
            }
            lines.push(match left {
                ..=0 => format!("the certificate {certificate} has expired: clients refuse it"),
                left if left < DAY => {
                    format!("the certificate {certificate} expires in {} hours", left / 3600)
                }
                left => format!("the certificate {certificate} expires in {} days", left / DAY),
            });
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_warned_of_once_for_each_certificate() {
        let mut warned = Warned::default();
        let shown =
            |not_after| [Expiry { listener: "web".into(), certificate: "a.pem".to_owned(), not_after }];
        let end = 100 * DAY;
        let mut said = |now: i64| warned.look(&shown(end), now).len();
        assert_eq!([0, 69 * DAY, 70 * DAY, 71 * DAY, 92 * DAY].map(&mut said), [0, 0, 1, 0, 0]);
        assert_eq!(
            [94 * DAY, 95 * DAY, end - 3600, end - 1, end, end + DAY].map(&mut said),
            [1, 0, 1, 0, 1, 0]
        );
        // The file has been renewed: everything begins anew.
        assert_eq!(warned.look(&shown(2 * end), end + DAY).len(), 0);
        assert_eq!(warned.look(&shown(2 * end), 2 * end - 8 * DAY).len(), 1);
        // One that had expired as it was read has been spoken of.
        assert!(Warned::default().look(&shown(end), end + 1).is_empty());
        assert_eq!(
            Warned::default().look(&shown(end), end - 60),
            ["the certificate a.pem expires in 0 hours"]
        );
    }
}
