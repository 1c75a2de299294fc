#!/usr/bin/env python3
"""What services that hang, die, restart and fail cost their own callers, and what they cost everybody else.

Everything runs on 127.0.0.1 of this machine and ends by itself in under two minutes: small services (`service.py`), one
gateway, and `wrk`. Prints a table of each fault, its figure and its target. Exit code: 0 good; 1 a target was missed;
2 something is not installed. Load, services and gateway share the cores: figures in milliseconds are this machine's.
"""
import sys

sys.dont_write_bytecode = True

import argparse
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from process import NotStarted, Process, ask, free_port

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)

CONFIG = """
listen: 127.0.0.1:{gate}
telemetry: {{ access_log: none }}
upstreams:
  calm:  {{ url: "http://127.0.0.1:{calm}" }}
  other: {{ url: "http://127.0.0.1:{other}" }}
  hangs: {{ url: "http://127.0.0.1:{hangs}", timeouts: {{ response: 1s }} }}
  three:
    endpoints: ["http://127.0.0.1:{one}", "http://127.0.0.1:{two}", "http://127.0.0.1:{three}"]
    timeouts: {{ connect: 250ms, response: 1s }}
    retry: {{ attempts: 3, retry_on: [connect, reset], budget: 20%, backoff: 5ms..50ms }}
    health: {{ path: /health, every: 200ms, timeout: 500ms, healthy: 1, unhealthy: 2 }}
    outliers: {{ consecutive: 3, eject: 1s, max_ejected: 50% }}
  brown:
    endpoints: ["http://127.0.0.1:{brown}", "http://127.0.0.1:{browner}"]
    retry: {{ attempts: 3, retry_on: [connect, reset, 503], budget: 20%, backoff: 1ms..5ms }}
    breaker: {{ consecutive: 1000000, min_requests: 1000000 }}
  lone:
    url: "http://127.0.0.1:{lone}"
    retry: {{ attempts: 1 }}
    breaker: {{ consecutive: 5, open: 500ms, probes: 1 }}
routes:
  /calm:  {{ upstream: calm }}
  /other: {{ upstream: other }}
  /hangs: {{ upstream: hangs }}
  /three: {{ upstream: three }}
  /brown: {{ upstream: brown }}
  /lone:  {{ upstream: lone }}
"""


class Chaos:
    def __init__(self, directory, binary):
        self.directory = directory
        names = ("calm", "other", "hangs", "one", "two", "three", "brown", "browner", "lone")
        self.ports = {name: free_port() for name in ("gate",) + names}
        self.services = {name: self.serve(name, 503 if name.startswith("brown") else 200) for name in names}
        for name, service in self.services.items():
            service.wait_port(self.ports[name])
        path = os.path.join(directory, "portcullis.yaml")
        with open(path, "w") as file:
            file.write(CONFIG.format(**self.ports))
        self.gate = Process("portcullis", [binary, "run", "-c", path], directory)
        self.gate.wait_for(self.ports["gate"], "/calm")
        self.rows = []

    def serve(self, name, status=200):
        command = [sys.executable, os.path.join(HERE, "service.py"), str(self.ports[name]), str(status)]
        return Process(name, command, self.directory)

    def restart(self, name):
        self.services[name] = self.serve(name)
        self.services[name].wait_port(self.ports[name])

    def load(self, path, seconds, connections=8, pause=0):
        """Load on a path; with a pause each connection rests so many milliseconds between its requests."""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s"]
        if pause:
            script = os.path.join(self.directory, f"pause{pause}.lua")
            with open(script, "w") as file:
                file.write(f"function delay() return {pause} end\n")
            command += ["-s", script]
        command.append(f"http://127.0.0.1:{self.ports['gate']}{path}")
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)

    def row(self, fault, figure, target, good):
        self.rows.append((fault, figure, target, "" if good else "missed"))

    def close(self):
        for process in [self.gate, *self.services.values()]:
            # A stopped process hears nothing but this.
            try:
                os.killpg(process.pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
            process.stop()


def told(load):
    """Requests, errors (no answer, or one that is no success) and the 99th percentile in milliseconds of a load."""
    text = load.communicate(timeout=60)[0]
    number = lambda pattern: int(match.group(1)) if (match := re.search(pattern, text)) else 0
    requests = number(r"(\d+) requests in")
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = number(r"Non-2xx or 3xx responses: (\d+)") + sum(map(int, sockets.groups() if sockets else ()))
    match = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    p99 = float(match.group(1)) * scale[match.group(2)] if match else float("nan")
    return requests, errors, p99


def hung(chaos):
    """One of three services stops answering while all are under load: what the others' callers feel."""
    def others():
        # Each load at its own pace, so that nobody gets the time that a refused call leaves over.
        loads = [chaos.load(path, 2, 16, 10) for path in ("/calm", "/other", "/hangs")]
        return max([told(load)[2] for load in loads][:2])

    calm, troubled = [], []
    for _ in range(5):
        # In turn, so that what else goes on on the machine touches both alike.
        calm.append(others())
        os.killpg(chaos.services["hangs"].pid, signal.SIGSTOP)
        troubled.append(others())
        os.killpg(chaos.services["hangs"].pid, signal.SIGCONT)
    before, during = sorted(calm)[2], sorted(troubled)[2]
    times = during / before
    chaos.row("one of three services hangs: p99 of the others", f"{before:.2f} -> {during:.2f} ms, x{times:.2f}",
              "at most x1.20", times <= 1.2)


def dead(chaos):
    """One of three endpoints dies under load."""
    load = chaos.load("/three", 3)
    time.sleep(0.5)
    chaos.services["three"].stop()
    requests, errors, _ = told(load)
    chaos.row("one of three endpoints dies: client errors while it is found out", f"{errors} of {requests}", "retries take them", errors <= requests / 1000)
    requests, errors, _ = told(chaos.load("/three", 3))
    chaos.row("the same after that", f"{errors} of {requests}", "0", errors == 0)
    chaos.restart("three")


def rolling(chaos):
    """All endpoints are restarted one after the other under load."""
    time.sleep(1.5)
    load = chaos.load("/three", 9)
    for name in ("one", "two", "three"):
        time.sleep(1)
        chaos.services[name].stop()
        time.sleep(0.5)
        chaos.restart(name)
        time.sleep(1)
    requests, errors, _ = told(load)
    chaos.row("rolling restart of three endpoints: client errors (GET)", f"{errors} of {requests}", "0", errors == 0)


def brown(chaos):
    """Every endpoint answers 503: how many attempts that makes."""
    seen = lambda: sum(int(ask(chaos.ports[name], "/count")[1]) for name in ("brown", "browner"))
    before = seen()
    requests, _, _ = told(chaos.load("/brown", 3))
    # What wrk gave up at its end was sent too: a request for each of its connections.
    attempts, allowed = seen() - before, (requests + 8) * 1.2 + 10
    chaos.row("brown-out (all answer 503, 3 attempts, budget 20 %): attempts a request", f"{attempts / requests:.3f}",
              "at most 1.2 (+10)", attempts <= allowed)


def opened(chaos):
    """A breaker is open: how quickly it says so; then the service comes back: how soon it is called again."""
    gate = chaos.ports["gate"]
    chaos.services["lone"].stop()
    while ask(gate, "/lone")[0] != 503:
        pass
    import http.client
    connection = http.client.HTTPConnection("127.0.0.1", gate, timeout=5)
    times, until = [], time.monotonic() + 0.4
    while time.monotonic() < until:
        begun = time.perf_counter()
        connection.request("GET", "/lone")
        answer = connection.getresponse()
        answer.read()
        if answer.status == 503:
            times.append((time.perf_counter() - begun) * 1e3)
    connection.close()
    times.sort()
    p99 = times[len(times) * 99 // 100]
    chaos.row("an open breaker answers in (p99, seen by a client in Python)", f"{p99:.2f} ms", "under 1 ms", p99 < 1)
    chaos.restart("lone")
    begun = time.monotonic()
    while ask(gate, "/lone")[0] != 200 and time.monotonic() - begun < 10:
        time.sleep(0.005)
    took = time.monotonic() - begun
    chaos.row("from the service's return to its first call (breaker open for 500 ms)", f"{took * 1e3:.0f} ms", "at most 600 ms", took <= 0.6)


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--binary", default=os.path.join(ROOT, "target", "release", "portcullis"), help="the gateway")
    given = parse.parse_args()
    given.binary = os.path.abspath(given.binary)
    for tool, path in (("wrk", shutil.which("wrk")), ("the gateway", shutil.which(given.binary))):
        if not path:
            print(f"chaos: {tool} is not there", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory(prefix="portcullis-chaos-") as directory:
        chaos = Chaos(directory, given.binary)
        try:
            for fault in (hung, dead, rolling, brown, opened):
                fault(chaos)
        finally:
            chaos.close()
    widths = [max(len(row[at]) for row in chaos.rows) for at in range(3)]
    for row in chaos.rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths + [0])).rstrip())
    return 1 if any(row[3] for row in chaos.rows) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NotStarted as fault:
        print(f"chaos: {fault}", file=sys.stderr)
        sys.exit(1)
