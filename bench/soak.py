#!/usr/bin/env python3
"""Many mixed requests against one gateway, and whether its memory and its descriptors stay as they are.

In rounds, all of these at the same time: requests of HTTP/1.1 and HTTP/2, plain and over TLS, full TLS handshakes, messages of
WebSockets, aggregates, answers of 100 KiB, uploads, errors of the gateway and of services, and clients that break off in the
middle of what they send or are sent. After each round the load rests, until the gateway has closed the connections of clients;
then its resident memory, its descriptors and its threads are read.

The first rounds fill pools, caches and the allocator's reserves. After them memory must not grow: the median of the last third
of the rounds is at most 10 % and 2 MiB above that of the first third, since what the allocator keeps for mixed loads goes up and
down by so much. A minute after the last round, when the gateway has closed its idle connections to services too, descriptors
and threads have to be as many as at the start. With `--only` one load is sent alone: its memory is flat to a tenth of a MiB.

Exit code: 0 good; 1 something grew, or a load that has to be answered was not; 2 something is not installed.
"""
import sys

sys.dont_write_bytecode = True

import argparse
import os
import random
import shutil
import signal
import socket
import statistics
import struct
import tempfile
import threading
import time

import peers
from load import Failed, H2load, Handshakes, WebSockets, Wrk
from process import NotStarted, free_port

WARM_UP = 4  # rounds
RESTS = 3  # seconds after a round: longer than a client's idle connection is kept
LAST_REST = 65  # seconds after the last round: longer than an idle connection to a service is kept
IDLE = "1s"
GROWTH, SLACK = 1.10, 2.0  # at most so many times as much, and so many MiB on top

LOADS = ("http1", "http1-tls", "http2", "http2-tls", "large", "uploads", "kept", "aggregates", "handshakes", "websockets", "dead",
         "misses", "broken")

CONFIG = """
listeners:
  plain: {{ listen: 127.0.0.1:PORT, limits: {{ idle: {idle} }} }}
  secure:
    listen: 127.0.0.1:{tls}
    limits: {{ idle: {idle} }}
    tls: {{ certificates: [{{ certificate: {pem}, key: {key} }}] }}
telemetry: {{ access_log: {{ file: {log}, format: json }} }}
rate_limits: {{ all: {{ limit: 2000000000, window: 60s, key: 'request.headers["x-key"]', max_keys: 1000 }} }}
cache: {{ max_size: 8MiB }}
upstreams:
  up:   {{ url: "http://127.0.0.1:{up}", timeouts: {{ idle: {idle} }} }}
  echo: {{ url: "http://127.0.0.1:{echo}" }}
  dead: {{ url: "http://127.0.0.1:{dead}" }}
routes:
  /*: {{ upstream: up, host: client, policies: {{ rate_limit: all }} }}
  /kept/*: {{ upstream: up, rewrite: /api, policies: {{ cache: {{ ttl: 1s }} }} }}
  /socket: {{ upstream: echo, host: client }}
  /dead: {{ upstream: dead }}
  GET /api/dashboard/{{userId}}:
    aggregate:
      mode: all
      sources:
        user:            {{ upstream: up, path: "/users/{{userId}}" }}
        orders:          {{ upstream: up, path: "/orders/by-user/{{userId}}" }}
        recommendations: {{ upstream: up, path: "/recommend/{{userId}}" }}
"""


class Breaking(threading.Thread):
    """Clients that break off: in a head, in a body, in the handshake of TLS, in front of an answer, or in it."""

    def __init__(self, port, tls, seconds):
        super().__init__()
        self.port, self.tls, self.end, self.done = port, tls, time.monotonic() + seconds, 0
        self.start()

    def result(self):
        """As that of the other loads."""
        self.join()
        return {"requests": self.done, "errors": {}}

    def stop(self):
        """Waits for the end."""
        self.join()

    def run(self):
        head = f"GET {peers.LARGE} HTTP/1.1\r\nHost: x\r\n".encode()
        upload = f"POST {peers.UPLOAD} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode()
        opened = f"GET {peers.SOCKET} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".encode()
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
        parts = (head, head + b"\r\n", upload + b"u" * 5000, opened, preface, preface + bytes((0, 0, 9, 1, 4)), b"")
        while time.monotonic() < self.end:
            secure = random.random() < 0.3
            with socket.socket() as s:
                s.settimeout(2)
                try:
                    s.connect(("127.0.0.1", self.tls if secure else self.port))
                    # A handshake that never goes on, as far as the first message says.
                    s.sendall(bytes((22, 3, 1, 2, 0, 1, 0)) if secure else random.choice(parts))
                    if random.random() < 0.5:
                        s.settimeout(0.02)
                        s.recv(1000)
                except OSError:
                    pass
                if random.random() < 0.5:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.done += 1


class Soak:
    def __init__(self, bench, seconds, only=None):
        self.only = only
        self.bench, self.seconds, self.samples, self.wrong, self.counts = bench, seconds, [], [], {}
        pem, key = bench.certificate()
        self.tls = free_port()
        self.peer = bench.portcullis(CONFIG.format(
            tls=self.tls, pem=pem, key=key, log=os.path.join(bench.directory, "access.log"), up=bench.upstream_port,
            echo=bench.echo_port(), dead=free_port(), idle=IDLE))
        self.peer.process.wait_for(self.peer.port, peers.SMALL)
        time.sleep(RESTS)
        self.start = self._sample()

    def _sample(self):
        pid = self.peer.process.pid
        return (self.peer.process.resident()[0], len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task")))

    def round(self):
        """One round; returns how many requests were done in it."""
        port, tls, seconds = self.peer.port, self.tls, self.seconds
        clients = self.bench.clients
        starts = {
            "http1": lambda: Wrk(port, peers.SMALL, 16, seconds, keys=5000),
            "http1-tls": lambda: Wrk(tls, peers.SMALL, 16, seconds, tls=True),
            "http2": lambda: H2load(port, peers.SMALL, 4, seconds, streams=8),
            "http2-tls": lambda: H2load(tls, peers.SMALL, 4, seconds, streams=8, tls=True),
            "large": lambda: Wrk(tls, peers.LARGE, 4, seconds, tls=True),
            "uploads": lambda: Wrk(port, peers.UPLOAD, 2, seconds, upload=100_000),
            "kept": lambda: Wrk(port, "/kept" + peers.SMALL[4:], 4, seconds),
            "aggregates": lambda: Wrk(port, peers.DASHBOARD, 8, seconds),
            "handshakes": lambda: Handshakes(clients, tls, "x25519mlkem768", 2, seconds),
            "websockets": lambda: WebSockets(clients, port, peers.SOCKET, 16, seconds, 1024),
            "dead": lambda: Wrk(port, "/dead", 4, seconds),
            "misses": lambda: Wrk(tls, "/api/dashboard/a/b", 2, seconds, tls=True),
            "broken": lambda: Breaking(port, tls, seconds),
        }
        loads = {name: start() for name, start in starts.items() if self.only in (None, name)}
        done = 0
        try:
            for name, load in loads.items():
                run = load.result()
                done += run["requests"]
                self.counts[name] = self.counts.get(name, 0) + run["requests"]
                # These two are to be answered with an error.
                errors = {kind: count for kind, count in run["errors"].items() if kind != "status" or name not in ("dead", "misses")}
                if errors:
                    self.wrong.append(f"{name}: {errors}")
        finally:
            for load in loads.values():
                load.stop()
        time.sleep(RESTS)
        self.samples.append(self._sample())
        return done

    def rest(self):
        """Waits until nothing is open that the load has opened."""
        time.sleep(LAST_REST)
        self.end = self._sample()
        print(f"end: {self.end[0]:.1f} MiB, {self.end[1]} descriptors, {self.end[2]} threads", flush=True)

    def judge(self):
        """What has grown, in words."""
        rounds = self.samples[WARM_UP:]
        if len(rounds) < 6:
            return [f"only {len(rounds)} rounds after the warm-up: too few to judge by"]
        third = len(rounds) // 3
        before, last = ([sample[0] for sample in part] for part in (rounds[:third], rounds[-third:]))
        before, last = statistics.median(before), statistics.median(last)
        grown = []
        if last > before * GROWTH + SLACK:
            grown.append(f"memory grows: {before:.1f} MiB, then {last:.1f} MiB")
        for what, at in (("descriptors", 1), ("threads", 2)):
            if self.end[at] > self.start[at]:
                grown.append(f"{what} grow: {self.start[at]} at the start, {self.end[at]} at the end")
        return grown


def main():
    """Runs it; returns its exit code."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--requests", type=int, default=1_000_000, help="so many at least (1,000,000)")
    ask.add_argument("--minutes", type=float, default=30, help="ends after so many in any case (30)")
    ask.add_argument("--secs", type=int, default=8, help="seconds of one round's load, at most 10 (8)")
    ask.add_argument("--only", choices=LOADS, metavar="LOAD", help=f"one load alone: {', '.join(LOADS)}")
    ask.add_argument("--binary", default=os.path.join(peers.ROOT, "target", "release", "portcullis"), metavar="PATH")
    given = ask.parse_args()
    given.binary = os.path.abspath(given.binary)
    for tool in ("wrk", "h2load", "nginx", "openssl", given.binary):
        if not shutil.which(tool):
            print(f"soak: {tool} is not there", file=sys.stderr)
            return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="portcullis-soak-") as directory:
        bench = peers.Bench(directory, given.binary)
        soak = None
        try:
            bench.upstream.wait_for(bench.upstream_port, peers.SMALL)
            soak = Soak(bench, given.secs, given.only)
            print(f"start: {soak.start[0]:.1f} MiB, {soak.start[1]} descriptors, {soak.start[2]} threads", flush=True)
            total, end = 0, time.monotonic() + given.minutes * 60
            while (total < given.requests or len(soak.samples) < WARM_UP + 6) and time.monotonic() < end:
                total += soak.round()
                memory, descriptors, threads = soak.samples[-1]
                print(f"{total:>10,} requests: {memory:.1f} MiB, {descriptors} descriptors, {threads} threads", flush=True)
                # The log of the gateway is of no interest, and the disk is not without end.
                os.truncate(os.path.join(directory, "access.log"), 0)
            soak.rest()
            wrong = soak.wrong + soak.judge()
        except (NotStarted, Failed, OSError) as error:
            wrong = [str(error)]
        finally:
            if soak:
                soak.peer.process.stop()
            bench.stop()
    if soak:
        print(", ".join(f"{name} {count:,}" for name, count in soak.counts.items()))
    for text in dict.fromkeys(wrong):
        print(f"soak: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
