"""The load: one wrk with one thread, driven for a whole number of seconds."""
import json
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
LONGEST = 10  # seconds a run may last


class Failed(Exception):
    """wrk could not do its work, for example because nobody listens any more."""


class Wrk:
    """One run of wrk that has been started; `result` waits for its end."""

    def __init__(self, port, path, connections, seconds, headers=None, upload=None):
        self.seconds = min(LONGEST, max(1, round(seconds)))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{self.seconds}s", "--timeout", "5s",
                   "-s", os.path.join(HERE, "load.lua")]
        for name, value in (headers or {}).items():
            command += ["-H", f"{name}: {value}"]
        command.append(f"http://127.0.0.1:{port}{path}")
        if upload:
            command += ["--", str(upload)]
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True)

    def running(self):
        """Whether the load still runs."""
        return self.child.poll() is None

    def result(self):
        """Requests done, requests/s, latency in ms, and errors by kind."""
        try:
            output, _ = self.child.communicate(timeout=self.seconds + LONGEST)
        finally:
            self.stop()
        line = next((l for l in output.splitlines() if l.startswith("RESULT ")), None)
        if line is None:
            raise Failed("wrk gave no result: " + " / ".join(output.split("\n")[-4:]))
        raw = json.loads(line[len("RESULT "):])
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

    def stop(self):
        """Ends a run that was not waited for."""
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
