#!/usr/bin/env python3
"""User-space instructions for each proxied request, of Portcullis and of nginx, and whether they are within the budget.

Each gateway runs under callgrind on one core and is asked over 16 connections in rounds. The counts are exact and
repeat within half a percent, whatever else the machine does; the budget is a ratio to nginx, so that it holds for other
processors and libraries too. Everything runs on 127.0.0.1 and ends by itself. Exit code: 0 within the budget; 1 above
it; 2 something is not installed or does not start.
"""
import sys

sys.dont_write_bytecode = True

import argparse
import glob
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

import peers
from process import NotStarted

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)

# The most instructions for a request, as a multiple of nginx's for its plain proxy.
BUDGET = {"plain": 0.86, "edge": 1.24}

CONNECTIONS = 16
WARM_UP = 60
ROUNDS = 200


class Counted(peers.Bench):
    """Starts gateways under callgrind."""

    def wrap(self, command):
        self.counts = os.path.join(self.directory, f"counts-{len(os.listdir(self.directory))}")
        return ["taskset", "-c", "0", "valgrind", "--tool=callgrind", f"--callgrind-out-file={self.counts}", *command]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.path.join(ROOT, "target", "release", "portcullis"))
    parser.add_argument("--only", choices=sorted(BUDGET), help="one of the two loads")
    return parser.parse_args()


def control(flag, pid):
    """Has callgrind zero its counts or write them out."""
    subprocess.run(["callgrind_control", flag, str(pid)], stdin=subprocess.DEVNULL, capture_output=True, check=True)


def answer(connection):
    """Reads one answer with a Content-Length to its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise NotStarted(f"the connection ended: {data[:200]!r}")
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 200"):
        raise NotStarted(f"it answers {head[:200]!r}")
    length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
    while len(body) < length:
        body += connection.recv(65536)


def count(bench, peer, headers):
    """Instructions for each request."""
    peer.process.wait_for(peer.port, peers.SMALL, headers, within=120)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET {peers.SMALL} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: count\r\nAccept: */*\r\n{lines}\r\n".encode()
    connections = [socket.create_connection(("127.0.0.1", peer.port)) for _ in range(CONNECTIONS)]

    def rounds(number):
        for _ in range(number):
            for connection in connections:
                connection.sendall(request)
            for connection in connections:
                answer(connection)

    try:
        rounds(WARM_UP)
        control("-z", peer.process.pid)
        rounds(ROUNDS)
        control("--dump", peer.process.pid)
        written = f"{bench.counts}.*"
        for _ in range(100):
            # A process takes note of the request for a dump only while it works.
            rounds(1)
            if glob.glob(written):
                break
            time.sleep(0.05)
    finally:
        for connection in connections:
            connection.close()
        peer.process.stop()
    sums = []
    for path in glob.glob(written):
        with open(path) as file:
            sums += [int(found[1]) for found in re.finditer(r"^(?:summary|totals): (\d+)", file.read(), re.M)]
    if not sums:
        raise NotStarted("callgrind wrote no counts")
    return round(max(sums) / (ROUNDS * CONNECTIONS))


def main():
    options = arguments()
    options.binary = os.path.abspath(options.binary)
    missing = [tool for tool in ("valgrind", "callgrind_control", "nginx", "taskset") if not shutil.which(tool)]
    if missing or not os.path.exists(options.binary):
        print(f"not found: {', '.join(missing) or options.binary}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        bench = Counted(directory, options.binary)
        try:
            nginx = count(bench, bench.nginx(workers=1), {})
            print(f"nginx {nginx}", flush=True)
            above = []
            for name in [options.only] if options.only else sorted(BUDGET, reverse=True):
                peer, headers = (bench.edge(), peers.bearer()) if name == "edge" else (bench.plain(), {})
                own = count(bench, peer, headers)
                ratio, most = own / nginx, BUDGET[name]
                print(f"{name} {own}, x{ratio:.3f} of nginx, budget x{most}", flush=True)
                if ratio > most:
                    above.append(name)
        except (NotStarted, subprocess.CalledProcessError) as error:
            print(error, file=sys.stderr)
            return 2
        finally:
            bench.stop()
    if above:
        print(f"above the budget: {', '.join(above)}", file=sys.stderr)
    return 1 if above else 0


sys.exit(main())
