//! The end of a walk: its record goes to the counters and to the log, once, when the last byte is out.

use crate::exchange::{Error, ErrorKind};
use crate::runtime::clock;
use crate::telemetry::Entry;

use super::Walk;

impl Walk {
    /// Counts bytes of the answer's body that were sent.
    pub fn sent(&mut self, bytes: u64) {
        self.exchange.record.bytes_out += bytes;
    }

    /// Notes how many bytes of the request's body were read.
    pub fn received(&mut self, bytes: u64) {
        self.exchange.record.bytes_in = bytes;
    }

    /// Notes that the answer broke off.
    pub fn broke(&mut self, error: &Error) {
        self.exchange.record.note(error);
    }

    /// The answer is out, whole.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    /// What an answer that is not whole is recorded as: the client left, unless it is the gate that ends.
    fn record_cut(&mut self) {
        let (kind, reason) = match self.core.cut_off_reason() {
            Some(reason) => (ErrorKind::ShuttingDown, reason),
            None => (ErrorKind::ClientClosed, ""),
        };
        let record = &mut self.exchange.record;
        if record.error.is_none() {
            record.error = Some(kind);
            record.reason = reason;
        }
        if record.status == 0 {
            record.status = kind.status().as_u16();
        }
    }

    fn record(&mut self) {
        let duration = clock::now().saturating_duration_since(self.exchange.record.started);
        if !self.complete {
            self.record_cut();
        }
        let exchange = &self.exchange;
        let record = &exchange.record;
        if let Some(error) = record.error {
            self.core.metrics.error(exchange.core, error);
        }
        if let Some(rule) = self.rule() {
            rule.metrics.finished(exchange.core, record.status, duration, record.bytes_in, record.bytes_out);
        }
        let Some(log) = &self.core.log else { return };
        log.line(&Entry::of(exchange, clock::wall(), duration));
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        // What is still held here no answer has settled.
        if !self.exchange.permits.is_empty()
            && let Some(rule) = self.exchange.rule.and_then(|rule| self.pinned.rule(rule))
        {
            rule.policies.abandoned(&mut self.exchange);
        }
        self.record();
    }
}
