#!/usr/bin/env python3
"""Measures Portcullis beside nginx, HAProxy and, where it composes, Node: the same work, upstream and load, in turns.

The number to read first is CPU time a request: utime and stime of a gateway's whole process tree over a run,
divided by the requests done in it. Load generator, upstream and gateway share this machine's cores, so requests/s
and latency depend on each other's cost; CPU time does so far less. Figures are medians over the rounds, with
(min..max), and `x` the ratio to the base of the row: the median of the ratios of each round, with quartiles. Two CPU
figures less than 1 microsecond apart are a tie.

Rows: plain64, plain8, few, large, upload, edge, aggregate, h2, tls13, handshake, websocket, grpc, limit, limit-one, redis, compose, compose-node,
compose-partial, shape (under load); compose-latency (at half load); memory, start, reload.
Exit code: 0 good; 1 a run had errors or a gateway did not start; 2 wrong usage, or something is not installed.
"""
import sys

sys.dont_write_bytecode = True  # leaves no folders in the source tree

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile

from latency import Latency
from load import LONGEST
from peers import ROOT, SMALL, Bench
from process import NotStarted
from standing import Standing, raise_limit
from traffic import ROWS, Traffic

PEERS = ("portcullis", "nginx", "haproxy", "node")
NAMES = tuple(row.name for row in ROWS) + (Latency.ROW,) + Standing.ROWS


def stop(text):
    """Ends with 2 and a plain word on what is missing."""
    print(f"bench: {text}", file=sys.stderr)
    sys.exit(2)


def chosen(text, among, what):
    """The members of a comma list, each of which must be known."""
    picked = [name for name in text.split(",") if name]
    for name in picked:
        if name not in among:
            stop(f"unknown {what} `{name}`; known are {', '.join(among)}")
    return picked


def arguments():
    """The command line."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rounds", type=int, default=9, help="rounds, each with gateways started anew (9)")
    ask.add_argument("--secs", type=int, default=4, help=f"seconds of one run, at most {LONGEST} (4)")
    ask.add_argument("--only", "--rows", dest="rows", default=",".join(NAMES), metavar="ROWS", help="comma list of rows")
    ask.add_argument("--peers", default=",".join(PEERS), help="comma list of gateways")
    ask.add_argument("--json", metavar="OUT", help="write every single measurement to this file")
    ask.add_argument("--binary", default=os.path.join(ROOT, "target", "release", "portcullis"), metavar="PATH",
                     help="the Portcullis to measure (target/release/portcullis)")
    ask.add_argument("--before", metavar="PATH", help="another Portcullis, measured in turn with it in the plain rows and in edge")
    given = ask.parse_args()
    given.before = given.before and os.path.abspath(given.before)
    given.rows = chosen(given.rows, NAMES, "row")
    given.peers = chosen(given.peers, PEERS, "peer")
    given.binary = os.path.abspath(given.binary)
    given.rounds = max(1, given.rounds)
    given.secs = min(LONGEST, max(1, given.secs))
    return given


def installed(given):
    """What is asked for and here; without wrk or nginx, which is also the upstream, nothing can be measured."""
    if not os.path.isdir("/proc/self"):
        stop("needs Linux: CPU time and memory are read from /proc")
    if not shutil.which("wrk"):
        stop("wrk, the load generator, is not installed (Debian: apt-get install wrk)")
    if not shutil.which("nginx"):
        stop("nginx is not installed (Debian: apt-get install nginx); it is the upstream of every row and the base of the ratios")
    for row in ("h2", "grpc"):
        if row in given.rows and not shutil.which("h2load"):
            print(f"bench: h2load is not installed, the row {row} is left out (Debian: apt-get install nghttp2-client)", file=sys.stderr)
            given.rows.remove(row)
    for row in ("tls13", "handshake"):
        if row in given.rows and not shutil.which("openssl"):
            print(f"bench: openssl is not installed, the row {row} is left out (Debian: apt-get install openssl)", file=sys.stderr)
            given.rows.remove(row)
    clients = os.path.join(os.path.dirname(given.binary), "clients")
    for row in ("handshake", "websocket"):
        if row in given.rows and not os.access(clients, os.X_OK):
            stop(f"{clients} is not there; `./dev bench` builds it, from bench/clients")
    for row in ("tls13", "handshake"):
        if row in given.rows and not shutil.which("openssl"):
            print(f"bench: openssl is not installed, the row {row} is left out (Debian: apt-get install openssl)", file=sys.stderr)
            given.rows.remove(row)
    clients = os.path.join(os.path.dirname(given.binary), "clients")
    for row in ("handshake", "websocket"):
        if row in given.rows and not os.access(clients, os.X_OK):
            stop(f"{clients} is not there; `./dev bench` builds it, from bench/clients")
    if "redis" in given.rows and not shutil.which("redis-server"):
        print("bench: redis-server is not installed, the row redis is left out (Debian: apt-get install redis-server)", file=sys.stderr)
        given.rows.remove("redis")
    if "node" in given.peers and not shutil.which("node"):
        print("bench: node is not installed, its lines are left out (Debian: apt-get install nodejs)", file=sys.stderr)
        given.peers.remove("node")
    if "haproxy" in given.peers and not shutil.which("haproxy"):
        print("bench: haproxy is not installed, its lines are left out (Debian: apt-get install haproxy)", file=sys.stderr)
        given.peers.remove("haproxy")
    if "portcullis" in given.peers and not os.access(given.binary, os.X_OK):
        stop(f"{given.binary} is not there; `./dev bench` builds it, `--binary PATH` names another")
    if given.before and not os.access(given.before, os.X_OK):
        stop(f"{given.before} is not there")
    return given.peers


def version(command):
    """The first thing that looks like a version in what a program says of itself."""
    run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=10)
    found = re.search(r"\d+\.\d+\.\d+\S*", run.stdout + run.stderr)
    return found[0] if found else "unknown"


def surroundings(given):
    """Where the figures come from."""
    ask = {"nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"], "node": ["node", "--version"], "portcullis": [given.binary, "--version"]}
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*:\s*(.*)", file.read())
    return {
        "versions": {**{peer: version(ask[peer]) for peer in given.peers}, "wrk": version(["wrk", "-v"])},
        "machine": f"{os.cpu_count()} cores, {model[1] if model else platform.machine()}, Linux {platform.release()}",
        "rounds": given.rounds,
        "secs": given.secs,
    }


def measure(given, directory):
    """All rows; returns what was measured and whether all of it went well."""
    bench = Bench(directory, given.binary, given.before)
    try:
        try:
            bench.upstream.wait_for(bench.upstream_port, SMALL)
        except NotStarted as error:
            print(f"bench: nothing was measured: {error}", file=sys.stderr)
            return {}, False
        traffic = Traffic(bench, [row for row in ROWS if row.name in given.rows], given.peers, given.secs)
        for number in range(given.rounds if traffic.rows else 0):
            traffic.round(number)
        traffic.report()
        latency = Latency(bench, given.peers, given.rounds, given.secs)
        if Latency.ROW in given.rows:
            latency.run()
        standing = Standing(bench, given.rows, given.peers, given.rounds, given.secs)
        standing.run()
    finally:
        bench.stop()
    if (noise := traffic.noise()) and noise > 0.1:
        print(f"\nOther work kept {noise:.1f} cores of this machine busy during the runs: trust ratios more than figures.")
    for problem in dict.fromkeys([*traffic.dead.values(), *latency.problems, *standing.problems]):
        print(f"\nNOT MEASURED: {problem}")
    runs = [run for runs in traffic.runs.values() for run in runs]
    return {"runs": runs, "latency": latency.runs, "figures": standing.figures}, not (
        traffic.failed() or latency.problems or standing.problems)


def main():
    """Runs the bench; returns its exit code."""
    given = arguments()
    installed(given)
    raise_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` ends what was started
    about = surroundings(given)
    print(f"machine: {about['machine']}")
    print("versions: " + ", ".join(f"{name} {text}" for name, text in about["versions"].items()))
    print(f"rounds: {given.rounds} of {given.secs} s", flush=True)
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as directory:
        found, good = measure(given, directory)
    if given.json:
        with open(given.json, "w") as file:
            json.dump({**about, **found}, file, indent=1)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
