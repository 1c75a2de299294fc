"""A load at a rate that does not depend on the answers: `paced.py PORT PATH RATE SECONDS CONNECTIONS`.

Requests are due at even distances; each goes out on the next free connection, and its latency counts from the moment
when it was due, so that an answer that holds up the next request is told by both. The first half second is not counted.
Prints one line of JSON after `RESULT `, as load.lua does.
"""
import collections
import ctypes
import gc
import json
import re
import select
import socket
import sys
import time

WARM = 0.5  # seconds at the start whose requests are not counted
PATIENCE = 2  # seconds after the last request was due until what is still open counts as a timeout
PR_SET_TIMERSLACK = 29  # prctl(2): how much later than asked a sleep may end, in nanoseconds
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def sharpen():
    """Sleeps end within a microsecond of what was asked, not fifty; no pauses for collecting garbage."""
    gc.disable()
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0)


class Waiter:
    """Which sockets have something to read, waited for in microseconds (epoll's own timeout counts in milliseconds)."""

    def __init__(self):
        self.poll = select.epoll()

    def add(self, s):
        """Watches one more socket."""
        self.poll.register(s.fileno(), select.EPOLLIN)

    def ready(self, seconds):
        """The file numbers with something to read; none where that many seconds pass before (None: waits for ever)."""
        select.select([self.poll], [], [], seconds)
        return [number for number, _ in self.poll.poll(0)]


class Paced:
    """The connections, what is due, and what became of it."""

    def __init__(self, port, path, rate, seconds, connections):
        self.rate, self.seconds = rate, seconds
        self.request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        self.waiter, self.sockets, self.parts, self.due = Waiter(), {}, {}, {}
        for _ in range(connections):
            s = socket.create_connection(("127.0.0.1", port), timeout=5)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.setblocking(False)
            self.sockets[s.fileno()] = s
            self.waiter.add(s)
        self.free = list(self.sockets)
        self.waiting = collections.deque()  # moments of requests that no connection is free for
        self.took, self.late = [], []  # seconds: due to answered, due to sent
        self.errors = {}

    def run(self):
        """Sends all that is due, and waits for the last answers."""
        total = int(self.rate * self.seconds)
        begin = time.perf_counter() + 0.01
        self.counted_from = begin + WARM
        sent = 0
        end = begin + self.seconds + PATIENCE
        while (now := time.perf_counter()) < end:
            while sent < total and begin + sent / self.rate <= now:
                self.waiting.append(begin + sent / self.rate)
                sent += 1
            self.send()
            if sent == total and not self.waiting and not self.due:
                break
            next_one = begin + sent / self.rate if sent < total else end
            for number in self.waiter.ready(max(0.0, next_one - time.perf_counter())):
                self.read(number)
        if left := len(self.waiting) + len(self.due):
            self.errors["timeout"] = left

    def send(self):
        """Gives what waits to the connections that are free, the one that was used last first."""
        while self.waiting and self.free:
            number, due = self.free.pop(), self.waiting.popleft()
            self.due[number], self.parts[number] = due, b""
            try:
                self.sockets[number].send(self.request)
            except OSError:
                self.broken(number, "write")
                continue
            if due >= self.counted_from:
                self.late.append(time.perf_counter() - due)

    def read(self, number):
        """Takes what has come; a whole answer frees its connection."""
        if number not in self.sockets:
            return
        try:
            data = self.sockets[number].recv(65536)
        except OSError:
            data = b""
        if not data or number not in self.due:
            return self.broken(number, "read")
        data = self.parts[number] + data
        head = data.find(b"\r\n\r\n")
        if head < 0 or len(data) < head + 4 + self.length(data, head):
            self.parts[number] = data
            return
        now, due = time.perf_counter(), self.due.pop(number)
        if data[9:10] > b"3":
            self.count("status")
        if due >= self.counted_from:
            self.took.append(now - due)
        self.free.append(number)

    def length(self, data, head):
        """The bytes of the body that a head promises; without a promise the answer cannot be told from the next."""
        found = LENGTH.search(data, 0, head)
        if not found:
            self.count("no content-length")
        return int(found[1]) if found else 0

    def broken(self, number, kind):
        """A connection that cannot be used any more."""
        self.due.pop(number, None)
        self.sockets.pop(number).close()
        self.free = [n for n in self.free if n != number]
        self.count(kind)

    def count(self, kind):
        """One more error of a kind."""
        self.errors[kind] = self.errors.get(kind, 0) + 1

    def told(self):
        """What is printed; times in microseconds."""
        return {"requests": len(self.took), "p50": share(self.took, 50), "p99": share(self.took, 99),
                "late": share(self.late, 50), "errors": self.errors}


def share(times, percent):
    """A percentile in microseconds, or 0 of nothing."""
    times = sorted(times)
    return times[min(len(times) - 1, len(times) * percent // 100)] * 1e6 if times else 0


def main():
    """Runs one load."""
    port, path, rate, seconds, connections = sys.argv[1:]
    sharpen()
    load = Paced(int(port), path, float(rate), float(seconds), int(connections))
    load.run()
    print("RESULT " + json.dumps(load.told()), flush=True)


if __name__ == "__main__":
    main()
