"""The load: one wrk, or h2load, with one thread, driven for a whole number of seconds; or a load at a given rate."""
import ctypes
import json
import os
import re
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
LONGEST = 10  # seconds a run may last
PR_SET_TIMERSLACK = 29
WARM = 0.5  # seconds that `paced load` does not count


class Failed(Exception):
    """The load generator could not do its work, for example because nobody listens any more."""


class _Run:
    """A load generator that has been started as `child` for so many `seconds`."""

    def stop(self):
        """Ends a run that was not waited for."""
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    def _raw(self, name):
        """What the generator tells in its line of numbers, once it has ended."""
        try:
            output, _ = self.child.communicate(timeout=self.seconds + LONGEST)
        finally:
            self.stop()
        line = next((l for l in output.splitlines() if l.startswith("RESULT ")), None)
        if line is None:
            raise Failed(f"{name} gave no result: " + " / ".join(output.split("\n")[-4:]))
        return json.loads(line[len("RESULT "):])


class Wrk(_Run):
    """One run of wrk that has been started; `result` waits for its end."""

    def __init__(self, port, path, connections, seconds, headers=None, upload=None, keys=0, tls=False):
        script, argument = ("keys.lua", keys) if keys else ("load.lua", upload)
        self.seconds = min(LONGEST, max(1, round(seconds)))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{self.seconds}s", "--timeout", "5s",
                   "-s", os.path.join(HERE, script)]
        for name, value in (headers or {}).items():
            command += ["-H", f"{name}: {value}"]
        command.append(f"http{'s' if tls else ''}://127.0.0.1:{port}{path}")
        if argument:
            command += ["--", str(argument)]
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True)

    def running(self):
        """Whether the load still runs."""
        return self.child.poll() is None

    def result(self):
        """Requests done, requests/s, latency in ms, and errors by kind."""
        raw = self._raw("wrk")
        errors = {k: raw[k] for k in ("connect", "read", "write", "status", "timeout") if raw[k]}
        if not raw["requests"]:
            errors["no request done"] = 1
        return {
            "requests": raw["requests"],
            "rps": raw["requests"] / (raw["micros"] / 1e6),
            "p50": raw["p50"] / 1e3,
            "p99": raw["p99"] / 1e3,
            "errors": errors,
        }


class H2load(_Run):
    """One run of h2load that has been started: `streams` at a time on each connection, or HTTP/1.1 where that is 0."""

    def __init__(self, port, path, connections, seconds, headers=None, streams=0, data=None, tls=False):
        self.seconds = min(LONGEST, max(1, round(seconds)))
        self.times = tempfile.NamedTemporaryFile(prefix="portcullis-bench-", suffix=".h2load")
        command = ["h2load", "-t1", f"-c{connections}", f"-D{self.seconds}", f"--log-file={self.times.name}"]
        command += [f"-m{streams}"] if streams else ["--h1"]
        if data:
            command += ["-d", data, "-H", "content-type: application/grpc", "-H", "te: trailers"]
        for name, value in (headers or {}).items():
            command += ["-H", f"{name}: {value}"]
        command.append(f"http{'s' if tls else ''}://127.0.0.1:{port}{path}")
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True)

    def running(self):
        """Whether the load still runs."""
        return self.child.poll() is None

    def result(self):
        """As that of `Wrk`. What was on its way at the end counts neither as done nor as an error."""
        try:
            output, _ = self.child.communicate(timeout=self.seconds + LONGEST)
            with open(self.times.name) as file:
                rows = [line.split("\t") for line in file]
        finally:
            self.stop()
        counts = re.search(r"(\d+) done, \d+ succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
        if counts is None or not rows:
            raise Failed("h2load gave no result: " + " / ".join(output.split("\n")[-4:]))
        status = sum(row[1] != "200" for row in rows)
        errors = {kind: value for kind, value in (("status", status), ("timeout", int(counts[4]))) if value}
        took = sorted(int(row[2]) for row in rows)
        return {
            "requests": len(rows),
            "rps": len(rows) / self.seconds,
            "p50": took[len(took) // 2] / 1e3,
            "p99": took[len(took) * 99 // 100] / 1e3,
            "errors": errors,
        }

    def stop(self):
        """Ends a run that was not waited for."""
        super().stop()
        self.times.close()


class _Clients(_Run):
    """One run of `clients/main.rs` that has been started."""

    unit = None  # what its errors are called

    def start(self, program, *words):
        self.child = subprocess.Popen([program, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True)

    def running(self):
        """Whether the load still runs."""
        return self.child.poll() is None

    def result(self):
        """As that of `Wrk`."""
        raw = self._raw("clients")
        errors = {self.unit: raw["broken"]} if raw["broken"] else {}
        if not raw["requests"]:
            errors["none done"] = 1
        return {"requests": raw["requests"], "rps": raw["requests"] / (raw["micros"] / 1e6), "p50": raw["p50"] / 1e3,
                "p99": raw["p99"] / 1e3, "errors": errors}


class Handshakes(_Clients):
    """Full TLS 1.3 handshakes, each on a connection of its own, so many at a time."""

    unit = "handshakes"

    def __init__(self, program, port, group, connections, seconds):
        self.seconds = min(LONGEST, max(1, round(seconds)))
        self.start(program, "handshakes", port, self.seconds, connections, group)


class WebSockets(_Clients):
    """Messages of so many bytes that come back, one at a time on each connection."""

    unit = "connections"

    def __init__(self, program, port, path, connections, seconds, size):
        self.seconds = min(LONGEST, max(1, round(seconds)))
        self.start(program, "websockets", port, path, self.seconds, connections, size)


class Paced(_Run):
    """One run of `paced load` that has been started: `rate` requests a second, whatever the answers do."""

    def __init__(self, program, port, path, connections, seconds, rate):
        self.seconds = min(LONGEST, max(1, round(seconds)))
        command = [program, "load", port, path, f"{rate:.1f}", self.seconds, connections]
        self.child = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, preexec_fn=_sharp)

    def result(self):
        """Requests done, percentiles and the lateness of the sender in microseconds, and errors by kind."""
        raw = self._raw("paced")
        run = {key: raw[key] for key in ("requests", "p50", "p99", "late", "unsent")}
        run["rps"] = raw["requests"] / (self.seconds - WARM)
        run["errors"] = {key: raw[key] for key in ("status", "timeout", "broken") if raw[key]}
        if not raw["requests"]:
            run["errors"]["no request done"] = 1
        return run


def _sharp():
    """Sleeps end within a microsecond of what was asked, not fifty (prctl(2); what is started inherits it)."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0)
