#!/usr/bin/env bash
# cel 0.15.0 (crates.io, feature chrono): `getHours()` of a timestamp with an offset gives the hours of that offset.
#
# The language definition of CEL says of the accessors of timestamps that they are in UTC unless a time zone is given as their
# argument. `timestamp('2024-02-29T12:00:00+05:30')` is 06:30 in UTC, so `getHours()` is 6 and `getMinutes()` 30, as cel-cpp
# has it (PyPI cel-expr-python 0.1.3). This crate keeps the offset of the text and gives 12 and 0. The same moment written with
# `Z` gives 6 and 30, and both compare as equal: two timestamps that are equal have different hours.
#
# Needs cargo and python3 with venv. Prints what was seen, and fails where that is no longer so.
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
cel = { version = "=0.15.0", default-features = false, features = ["chrono"] }
TOML
cat >"$work/expressions" <<'TEXT'
timestamp('2024-02-29T12:00:00+05:30').getHours()
timestamp('2024-02-29T12:00:00+05:30').getMinutes()
timestamp('2024-02-29T06:30:00Z').getHours()
timestamp('2024-02-29T12:00:00+05:30') == timestamp('2024-02-29T06:30:00Z')
TEXT
cat >"$work/src/main.rs" <<'RUST'
use cel::{Context, Program, Value};

fn main() {
    for text in include_str!("../expressions").lines() {
        let value = match Program::compile(text).unwrap().execute(&Context::default()) {
            Ok(Value::Int(number)) => number.to_string(),
            Ok(Value::Bool(holds)) => holds.to_string(),
            other => format!("{other:?}"),
        };
        println!("{value}");
    }
}
RUST
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check cel-expr-python==0.1.3
cat >"$work/other.py" <<'PYTHON'
import sys
from cel_expr_python import cel

env = cel.NewEnv()
for text in open(sys.argv[1]).read().splitlines():
    value = env.compile(text).eval().value()
    print(str(value).lower())
PYTHON
ours="$(cd "$work" && CARGO_TARGET_DIR="$work/target" cargo run --quiet)"
theirs="$("$work/venv/bin/python" "$work/other.py" "$work/expressions")"
echo 'cel 0.15.0 | cel-expr-python 0.1.3 | expression'
paste -d'|' <(echo "$ours") <(echo "$theirs") "$work/expressions"
[ "$ours" = $'12\n0\n6\ntrue' ] && [ "$theirs" = $'6\n30\n6\ntrue' ] || { echo "this has changed" >&2; exit 1; }
