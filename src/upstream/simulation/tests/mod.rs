//! Simulations of a whole fleet in made-up time, without sockets: what the machines of this room do together with a
//! million requests. Every run is the same (fixed seeds). The tables are shown with `--nocapture`.

use std::time::{Duration, Instant};

mod breaker;
mod budget;
mod hedge;
mod outliers;

/// Requests in each run.
const REQUESTS: u64 = 1_000_000;

/// Requests a second.
const RATE: u64 = 10_000;

const ENDPOINTS: usize = 1_000;

const CORES: usize = 16;

/// Made-up time: `nanos` after the start of the run.
#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn new() -> Clock {
        Clock(Instant::now())
    }

    fn at(self, after: Duration) -> Instant {
        self.0 + after
    }
}

/// When a request arrives, in a steady stream.
fn arrival(request: u64) -> Duration {
    Duration::from_nanos(request * (1_000_000_000 / RATE))
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

/// Shows a table as Markdown.
fn show(title: &str, head: &[&str], rows: &[Vec<String>]) {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut table = line(head.to_vec()) + &line(vec!["---"; head.len()]);
    for row in rows {
        table += &line(row.iter().map(String::as_str).collect());
    }
    println!("\n{title}\n\n{table}");
}
