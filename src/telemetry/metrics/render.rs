//! The numbers in the Prometheus text format 0.0.4: one family after the other, each with HELP and TYPE.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::aggregates::SOURCE_OUTCOMES;
use super::cells::{BOUND_LABELS, CLASSES, OUTCOMES, REFUSALS, RouteSum, VERDICTS};
use super::exposition::{family, label};
use super::tls::HANDSHAKES;
use super::{Metrics, lock};
use crate::exchange::{ErrorKind, Name, grpc};

/// One route's labels, escaped once, and its numbers.
struct Row {
    labels: String,
    sum: RouteSum,
}

impl Metrics {
    /// Everything in the Prometheus text format 0.0.4 (`text/plain; version=0.0.4`). What was never used has no lines.
    ///
    /// Nobody waits for it: counting takes no lock, and those of the maps of names, which a reload and a new listener
    /// need, are held for no more than the numbers are found or summed.
    pub fn render(&self) -> String {
        let mut page = Page(String::with_capacity(16 * 1024));
        page.family("portcullis_build_info", "gauge", "The version that runs.");
        page.sample("portcullis_build_info", &["version=\"", env!("CARGO_PKG_VERSION"), "\""], 1);
        routes(&mut page, &rows(self));
        errors(&mut page, self);
        grpc_calls(&mut page, self);
        listeners(&mut page, self);
        tls(&mut page, self);
        upstreams(&mut page, self);
        limits(&mut page, self);
        aggregates(&mut page, self);
        process(&mut page, self);
        page.0
    }
}

fn rows(metrics: &Metrics) -> Vec<Row> {
    let known: Vec<_> = {
        let listeners = lock(&metrics.routes);
        let of = |(listener, routes): (&Name, &BTreeMap<Name, _>)| {
            let listener = Name::clone(listener);
            let routes = routes.iter().map(|(route, numbers)| (Name::clone(route), Arc::clone(numbers)));
            (listener, routes.collect::<Vec<_>>())
        };
        listeners.iter().map(of).collect()
    };
    let mut rows = Vec::new();
    for (listener, routes) in known {
        for (route, numbers) in routes {
            let Some(sum) = numbers.sum() else { continue };
            let labels = format!("{},{}", label("listener", &listener), label("route", &route));
            rows.push(Row { labels, sum });
        }
    }
    rows
}

/// What a map holds, so that its lock need not be held. Not for the maps whose `retain` counts who holds a number.
fn held<T>(map: &Mutex<BTreeMap<Name, Arc<T>>>) -> Vec<(Name, Arc<T>)> {
    lock(map).iter().map(|(name, numbers)| (Name::clone(name), Arc::clone(numbers))).collect()
}

fn routes(page: &mut Page, rows: &[Row]) {
    let name = "portcullis_requests_total";
    page.family(name, "counter", "Requests that have ended, by the class of their status.");
    for Row { labels, sum } in rows {
        for (class, count) in CLASSES.iter().zip(sum.classes) {
            // The rare classes have a series only once they occur: fewer lines for every route.
            if count > 0 || matches!(*class, "2xx" | "4xx" | "5xx") {
                page.sample(name, &[labels, ",class=\"", class, "\""], count);
            }
        }
    }
    let name = "portcullis_requests_in_flight";
    page.family(name, "gauge", "Requests that have begun and not ended.");
    for Row { labels, sum } in rows {
        page.sample(name, &[labels], gauge(sum.in_flight));
    }
    let name = "portcullis_request_duration_seconds";
    page.family(name, "histogram", "From the first byte of a request to the last of its answer.");
    let [bucket, total, number] = ["bucket", "sum", "count"].map(|part| format!("{name}_{part}"));
    for Row { labels, sum } in rows {
        let mut below = 0;
        for (bound, count) in BOUND_LABELS.iter().zip(sum.buckets) {
            below += count;
            page.sample(&bucket, &[labels, ",le=\"", bound, "\""], below);
        }
        let seconds = format_args!("{}.{:09}", sum.nanos / 1_000_000_000, sum.nanos % 1_000_000_000);
        page.sample(&total, &[labels], seconds);
        page.sample(&number, &[labels], below);
    }
    let name = "portcullis_request_bytes_total";
    page.family(name, "counter", "Bytes of request bodies that were read.");
    for Row { labels, sum } in rows {
        page.sample(name, &[labels], sum.bytes_in);
    }
    let name = "portcullis_response_bytes_total";
    page.family(name, "counter", "Bytes of answer bodies that were sent.");
    for Row { labels, sum } in rows {
        page.sample(name, &[labels], sum.bytes_out);
    }
    // Most routes have none: no lines for those.
    let tunnelled = || rows.iter().filter(|row| row.sum.tunnels > 0);
    let name = "portcullis_tunnels_total";
    page.family(name, "counter", "Requests that became a tunnel: a WebSocket or another upgrade.");
    for Row { labels, sum } in tunnelled() {
        page.sample(name, &[labels], sum.tunnels);
    }
    let name = "portcullis_tunnels_open";
    page.family(name, "gauge", "Tunnels that are open.");
    for Row { labels, sum } in tunnelled() {
        page.sample(name, &[labels], gauge(sum.tunnels_open));
    }
}

fn errors(page: &mut Page, metrics: &Metrics) {
    let name = "portcullis_errors_total";
    page.family(name, "counter", "Errors that the gate itself made, by kind.");
    for kind in ErrorKind::ALL {
        let count: u64 = metrics.errors.used().map(|cells| cells.0[kind.index()].read()).sum();
        page.sample(name, &[&label("error", kind.name())], count);
    }
}

fn grpc_calls(page: &mut Page, metrics: &Metrics) {
    let name = "portcullis_grpc_calls_total";
    page.family(
        name,
        "counter",
        "Calls of gRPC that have ended, by their status; those without one are left out.",
    );
    for (number, status) in grpc::NAMES.iter().enumerate() {
        let count: u64 = metrics.grpc.used().map(|cells| cells.0[number].read()).sum();
        if count > 0 {
            page.sample(name, &[&label("status", status)], count);
        }
    }
}

fn listeners(page: &mut Page, metrics: &Metrics) {
    let sums: Vec<_> = held(&metrics.listeners)
        .iter()
        .map(|(listener, numbers)| (label("listener", listener), numbers.sum(), numbers.refusals()))
        .collect();
    let name = "portcullis_connections_accepted_total";
    page.family(name, "counter", "Connections that were accepted.");
    for (labels, (accepted, _), _) in &sums {
        page.sample(name, &[labels], accepted);
    }
    let name = "portcullis_connections_open";
    page.family(name, "gauge", "Connections that are open.");
    for (labels, (_, open), _) in &sums {
        page.sample(name, &[labels], gauge(*open));
    }
    let name = "portcullis_connections_refused_total";
    page.family(name, "counter", "Connections that were closed at once, by the bound that was reached.");
    for (labels, _, refusals) in &sums {
        for (reason, count) in REFUSALS.iter().zip(refusals) {
            page.sample(name, &[labels, ",reason=\"", reason, "\""], count);
        }
    }
}

fn tls(page: &mut Page, metrics: &Metrics) {
    let name = "portcullis_tls_handshakes_total";
    page.family(name, "counter", "TLS handshakes of clients, by how they ended.");
    for (listener, numbers) in &held(&metrics.handshakes) {
        let Some(sums) = numbers.sum() else { continue };
        for (outcome, count) in HANDSHAKES.iter().zip(sums) {
            page.sample(name, &[&label("listener", listener), ",outcome=\"", outcome, "\""], count);
        }
    }
    let name = "portcullis_tls_certificate_expiry_timestamp_seconds";
    page.family(
        name,
        "gauge",
        "Until when a certificate holds that clients are shown, in seconds since 1970.",
    );
    for expiry in &*lock(&metrics.certificates) {
        let labels =
            format!("{},{}", label("listener", &expiry.listener), label("certificate", &expiry.certificate));
        page.sample(name, &[&labels], expiry.not_after);
    }
}

fn upstreams(page: &mut Page, metrics: &Metrics) {
    let name = "portcullis_upstream_attempts_total";
    page.family(name, "counter", "Attempts at upstreams, by how they ended.");
    for (upstream, numbers) in &held(&metrics.upstreams) {
        let Some(sums) = numbers.sum() else { continue };
        for (outcome, count) in OUTCOMES.iter().zip(sums) {
            page.sample(name, &[&label("upstream", upstream), ",outcome=\"", outcome, "\""], count);
        }
    }
}

fn aggregates(page: &mut Page, metrics: &Metrics) {
    let labels =
        |listener: &str, route: &str| format!("{},{}", label("listener", listener), label("route", route));
    let name = "portcullis_aggregate_sources_total";
    page.family(name, "counter", "Sources of aggregates, by what they came to.");
    let sums: Vec<_> = lock(&metrics.aggregates.sources)
        .iter()
        .map(|(place, numbers)| (place.clone(), numbers.sum()))
        .collect();
    for (((listener, route), source), sums) in &sums {
        let labels = format!("{},{}", labels(listener, route), label("source", source));
        for (outcome, count) in SOURCE_OUTCOMES.iter().zip(sums) {
            if *count > 0 {
                page.sample(name, &[&labels, ",outcome=\"", outcome, "\""], count);
            }
        }
    }
    let name = "portcullis_aggregate_clashes_total";
    page.family(name, "counter", "Members of merged sources that were dropped, for their names were taken.");
    let sums: Vec<_> = lock(&metrics.aggregates.routes)
        .iter()
        .map(|(place, numbers)| (place.clone(), numbers.sum()))
        .collect();
    for ((listener, route), count) in &sums {
        if *count > 0 {
            page.sample(name, &[&labels(listener, route)], count);
        }
    }
}

fn limits(page: &mut Page, metrics: &Metrics) {
    let name = "portcullis_rate_limit_decisions_total";
    page.family(name, "counter", "What rate limits said of requests, by outcome.");
    let sums: Vec<_> = lock(&metrics.limits)
        .iter()
        .filter_map(|(limit, numbers)| Some((Name::clone(limit), numbers.sum()?)))
        .collect();
    for (limit, sums) in &sums {
        for (outcome, count) in VERDICTS.iter().zip(sums) {
            page.sample(name, &[&label("limit", limit), ",outcome=\"", outcome, "\""], count);
        }
    }
}

fn process(page: &mut Page, metrics: &Metrics) {
    let name = "portcullis_access_log_dropped_lines_total";
    page.family(name, "counter", "Access log lines that could not be written.");
    page.sample(name, &[], metrics.access_log_dropped.load(Ordering::Relaxed));

    let reloads = &metrics.reloads;
    let name = "portcullis_config_reloads_total";
    page.family(name, "counter", "Reloads of the configuration, by result.");
    page.sample(name, &["result=\"ok\""], reloads.succeeded.load(Ordering::Relaxed));
    page.sample(name, &["result=\"failed\""], reloads.failed.load(Ordering::Relaxed));
    let name = "portcullis_config_last_reload_successful";
    page.family(name, "gauge", "Whether the last configuration that was offered is the one that runs.");
    page.sample(name, &[], u8::from(!reloads.last_failed.load(Ordering::Relaxed)));
    let name = "portcullis_config_last_reload_success_timestamp_seconds";
    page.family(name, "gauge", "When the configuration that runs was loaded, in seconds since 1970.");
    page.sample(name, &[], reloads.loaded_at.load(Ordering::Relaxed));
    let name = "portcullis_config_version";
    page.family(name, "gauge", "The number of the configuration that runs.");
    page.sample(name, &[], reloads.version.load(Ordering::Relaxed));
}

/// Cores are read one after the other, so a sum may be below zero for a moment.
fn gauge(sum: u64) -> i64 {
    sum.cast_signed().max(0)
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        family(&mut self.0, name, kind, help);
    }

    /// One line; the labels come in pieces, for there are many lines and most of their text is shared.
    fn sample(&mut self, name: &str, labels: &[&str], value: impl Display) {
        self.0.push_str(name);
        if !labels.is_empty() {
            self.0.push('{');
            labels.iter().for_each(|piece| self.0.push_str(piece));
            self.0.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into a String does not fail.
        let _ = self.0.write_fmt(text);
        self.0.push('\n');
    }
}
