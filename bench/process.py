"""Starting, watching and ending the processes that are measured, by their ids."""
import http.client
import os
import signal
import socket
import ssl
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")
_given = set()


def free_port():
    """A port of the system's choice on 127.0.0.1 that was not given out before."""
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def ask(port, path, headers=None, method="GET", body=None, timeout=5, tls=False):
    """Sends one request on a connection of its own, with TLS where `tls` says so: (status, body)."""
    if tls:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout, context=unverified())
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body or None, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def unverified():
    """TLS that takes every certificate, for servers of this machine."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class NotStarted(Exception):
    """A process that ended, or never answered as it should; the text says which."""


class Process:
    """A server in a session of its own, its output in a log file."""

    def __init__(self, name, command, directory, environment=None):
        self.name = name
        self.log = os.path.join(directory, f"{name}-{len(os.listdir(directory))}.log")
        with open(self.log, "wb") as log:
            self.started = time.monotonic()
            self.child = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log, start_new_session=True,
                                          env={**os.environ, **(environment or {})})
        self.pid = self.child.pid

    def wait_for(self, port, path, headers=None, status=200, within=20, pause=0.02, tls=False):
        """Returns the milliseconds from start until `path` was answered with `status`."""
        last = "no connection"
        while time.monotonic() - self.started < within:
            if self.child.poll() is not None:
                raise NotStarted(f"{self.name} ended with code {self.child.returncode}: {self.tail()}")
            try:
                got, _ = ask(port, path, headers, timeout=2, tls=tls)
                if got == status:
                    return (time.monotonic() - self.started) * 1e3
                last = f"it answers {got}"
            except (OSError, http.client.HTTPException) as error:
                last = str(error) or type(error).__name__
            time.sleep(pause)
        raise NotStarted(f"{self.name} did not answer {status} within {within} s ({last}): {self.tail()}")

    def wait_port(self, port, within=20):
        """Returns once something listens there."""
        while time.monotonic() - self.started < within and self.child.poll() is None:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise NotStarted(f"{self.name} does not listen: {self.tail()}")

    def tail(self):
        """The end of its log, on one line."""
        with open(self.log, errors="replace") as log:
            text = log.read()[-500:].strip()
        return " / ".join(text.splitlines()) or "it wrote nothing"

    def stop(self):
        """Asks it to end, then ends its session; only ever the session made here."""
        for sign, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 3)):
            if self.child.poll() is not None:
                return
            try:
                os.killpg(self.pid, sign)
                self.child.wait(patience)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass

    def tree(self):
        """The ids of the process and of all that descend from it."""
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (fields := _stat(entry)):
                children.setdefault(int(fields[1]), []).append(int(entry))
        found, todo = [], [self.pid]
        while todo:
            found.append(todo.pop())
            todo += children.get(found[-1], [])
        return found

    def cpu(self):
        """Seconds of utime and stime, fields 14 and 15 of /proc/PID/stat, of the tree."""
        ticks = 0
        for pid in self.tree():
            if fields := _stat(pid):
                ticks += int(fields[11]) + int(fields[12])
        return ticks / TICK

    def forget_peak(self):
        """Lets the peak of resident memory begin anew (a 5 in /proc/PID/clear_refs)."""
        for pid in self.tree():
            try:
                with open(f"/proc/{pid}/clear_refs", "w") as file:
                    file.write("5")
            except OSError:
                pass  # the peak then counts from the start of the process

    def peak(self):
        """MiB: the sum of the tree's peaks of resident memory (VmHWM)."""
        return sum(_kib(f"/proc/{pid}/status", "VmHWM") for pid in self.tree()) / 1024

    def resident(self):
        """MiB of the tree: (Rss, Pss). Pss counts a shared page once among its sharers."""
        rss = sum(_kib(f"/proc/{pid}/smaps_rollup", "Rss") for pid in self.tree())
        pss = sum(_kib(f"/proc/{pid}/smaps_rollup", "Pss") for pid in self.tree())
        return rss / 1024, pss / 1024


def _stat(pid):
    """The fields of /proc/PID/stat after the name, which may hold spaces and brackets."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            text = file.read()
    except OSError:
        return None
    return text[text.rindex(")") + 2:].split()


def _kib(path, key):
    try:
        with open(path) as file:
            for line in file:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def machine_busy():
    """Seconds that all cores together have spent in processes since boot.

    Interrupts are left out: those of the load on loopback are charged to no process.
    """
    with open("/proc/stat") as file:
        user, nice, system, _idle, _wait, _irq, _soft, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + steal) / TICK
