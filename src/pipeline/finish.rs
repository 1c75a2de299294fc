//! The end of a walk: its record goes to the counters and to the log, once, when the last byte is out.

use crate::exchange::{Ended, EndedBy, Error, ErrorKind, Headers, grpc};
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

    /// Notes what follows the content of the answer: it says how a call of gRPC has ended.
    pub fn trailed(&mut self, trailers: &Headers) {
        if self.exchange.grpc
            && let Some(status) = grpc::status(trailers)
        {
            self.exchange.record.grpc = Some(status);
        }
    }

    /// The trailers by which an answer that has broken off ends all the same, where its client understands them: that of
    /// a call of gRPC, whose status is no other than that it has failed.
    pub fn ending(&mut self, error: &Error) -> Option<Headers> {
        let exchange = &mut self.exchange;
        if !exchange.grpc {
            return None;
        }
        let kind = error.kind();
        exchange.record.grpc = Some(kind.grpc());
        Some(grpc::ending(kind.grpc(), &kind.phrase()))
    }

    /// The answer is out, whole.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    /// The service has switched protocols, and what follows the 101 is a tunnel: as a request it has ended. It is one under way no more, and its time
    /// is that of its head.
    pub fn switched(&mut self) {
        self.switched = true;
        self.place = None;
        let (core, record) = (self.exchange.core, &self.exchange.record);
        let duration = clock::now().saturating_duration_since(record.started);
        if let Some(rule) = self.rule() {
            rule.metrics.tunnel_opened(core, record.status, duration);
        }
    }

    /// Notes how many bytes have passed in a tunnel, to the service and to the client.
    pub fn tunnelled(&mut self, (to_service, to_client): (u64, u64)) {
        self.exchange.record.bytes_in = to_service;
        self.exchange.record.bytes_out = to_client;
    }

    /// The tunnel has ended.
    pub fn tunnel_ended(&mut self, ended: Ended) {
        self.exchange.record.tunnel = Some(ended);
        self.complete = true;
    }

    /// What an answer that is not whole is recorded as: the client left, unless it is the gate that ends.
    fn record_cut(&mut self) {
        let (kind, reason) = match self.core.cut_off_reason() {
            Some(reason) => (ErrorKind::ShuttingDown, reason),
            None => (ErrorKind::ClientClosed, ""),
        };
        let switched = self.switched;
        let record = &mut self.exchange.record;
        if switched && record.tunnel.is_none() {
            record.tunnel = Some(Ended { by: EndedBy::Gateway, how: reason });
        }
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
        if let Some(status) = record.grpc {
            self.core.metrics.grpc(exchange.core, status);
        }
        if let Some(rule) = self.rule() {
            if self.switched {
                rule.metrics.tunnel_closed(exchange.core, record.bytes_in, record.bytes_out);
            } else {
                let (bytes_in, bytes_out) = (record.bytes_in, record.bytes_out);
                rule.metrics.finished(exchange.core, record.status, duration, bytes_in, bytes_out);
            }
        }
        let Some(log) = &self.core.log else { return };
        log.line(&Entry::of(exchange, clock::wall(), duration));
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        // What is still held here no answer has settled.
        if !self.exchange.permits.is_empty()
            && let Some(rule) = self.exchange.rule.and_then(|rule| self.pinned.rule(rule))
        {
            rule.policies.abandoned(&mut self.exchange);
        }
        self.record();
    }
}
