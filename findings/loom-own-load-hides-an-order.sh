#!/usr/bin/env bash
# loom 0.7.3 (crates.io): a thread's own load before its store hides an order of steps from the model checker.
#
# Two threads share one atomic that starts at 0; all operations are SeqCst. One thread stores 1, the other loads. Both 0 and
# 1 can be loaded, and `loom::model` is documented to run every order. It does so while the first thread only stores. Once
# that thread loads the atomic before it stores, the value 1 is never seen: the checker ends after the orders in which
# the other thread loads first, without an error. An assertion that fails only for 1 passes.
#
# The same model with read-modify-write operations in place of the loads sees both values, which is the way around it.
#
# Needs cargo. Prints what was seen, and fails where that is no longer so.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
loom = "=0.7.3"
TOML
cat >"$work/src/main.rs" <<'RUST'
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// The values that the reader gets in all orders which the checker runs.
fn read(write: fn(&AtomicUsize), read: fn(&AtomicUsize) -> usize) -> BTreeSet<usize> {
    let values = Arc::new(Mutex::new(BTreeSet::new()));
    let found = Arc::clone(&values);
    loom::model(move || {
        let shared = loom::sync::Arc::new(AtomicUsize::new(0));
        let theirs = loom::sync::Arc::clone(&shared);
        let writer = loom::thread::spawn(move || write(&theirs));
        found.lock().unwrap().insert(read(&shared));
        writer.join().unwrap();
    });
    let values = values.lock().unwrap().clone();
    values
}

fn main() {
    let store = read(|x| x.store(1, SeqCst), |x| x.load(SeqCst));
    let load_store = read(|x| { x.load(SeqCst); x.store(1, SeqCst) }, |x| x.load(SeqCst));
    let modify = read(|x| { x.fetch_add(0, SeqCst); x.store(1, SeqCst) }, |x| x.fetch_add(0, SeqCst));
    println!("writer stores:                      reader gets {store:?}");
    println!("writer loads, then stores:          reader gets {load_store:?}");
    println!("read-modify-write in place of load: reader gets {modify:?}");
}
RUST
output="$(cd "$work" && CARGO_TARGET_DIR="$work/target" cargo run --quiet)"
printf 'loom 0.7.3\n%s\n' "$output"
expected='writer stores:                      reader gets {0, 1}
writer loads, then stores:          reader gets {0}
read-modify-write in place of load: reader gets {0, 1}'
[ "$output" = "$expected" ] || { echo "this has changed" >&2; exit 1; }
