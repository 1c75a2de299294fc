"""The rows without steady load: memory at rest, the start, and reloads of a large configuration."""
import http.client
import resource
import socket
import struct
import sys
import time

import peers
import table
from load import Failed, Wrk
from process import NotStarted, ask

CONNECTIONS = 10_000
SETTLES = 3  # seconds
CHUNK = 100  # connections opened at once: fewer than any listener's queue holds
ROUTES = 10_000
LAST_ROUTE = f"/api/v1/svc{ROUTES - 1}/items/42"
TIMES = 7  # starts and reloads of one run of the bench, at most


class Standing:
    """Rows of one figure a gateway, in milliseconds or MiB."""

    ROWS = ("memory", "start", "reload")

    def __init__(self, bench, rows, owners, rounds, seconds):
        self.bench, self.rows = bench, rows
        self.owners = [o for o in ("nginx", "portcullis") if o in owners]
        self.times, self.seconds = min(rounds, TIMES), seconds
        self.figures = []  # {row, gateway, figure, values} for --json
        self.problems = []

    def run(self):
        """Measures and prints every row that was asked for."""
        for row in self.ROWS:
            if row in self.rows:
                print(f"# {row}", file=sys.stderr, flush=True)
                getattr(self, row)()

    def keep(self, row, gateway, figure, values):
        """Notes what was measured, for the table and for --json."""
        self.figures.append({"row": row, "gateway": gateway, "figure": figure, "values": values})
        return values

    def problem(self, row, gateway, text):
        """Notes what went wrong; the bench then ends with 1."""
        self.problems.append(f"{row}: {gateway}: {text}")

    def memory(self):
        """Resident memory at rest, and with many connections that wait for their next request."""
        starts = {
            "nginx": (lambda: self.bench.nginx(connections=CONNECTIONS + 1000), peers.SMALL),
            "portcullis": (self.bench.example, "/api/catalog/DK-0042"),
        }
        lines, base = [], {}
        for owner in self.owners:
            start, path = starts[owner]
            columns = self._memory_of(owner, start, path)
            lines.append([owner + (", plain" if owner == "nginx" else ", edge example")] + [
                table.cell(columns.get(name, []), base.get(name), 1) for name in columns_of_memory()])
            base = base or columns
        table.show("memory: MiB resident at rest (Rss counts a shared page for every process of the tree, Pss once)",
                   ["", *columns_of_memory()], lines)

    def _memory_of(self, owner, start, path):
        columns = {name: [] for name in columns_of_memory()}
        for _ in range(min(3, self.times)):
            peer, held = start(), []
            try:
                peer.process.wait_for(peer.port, path)
                idle = peer.process.resident()
                held = hold(peer.port, path, CONNECTIONS)
                time.sleep(SETTLES)  # a connection is idle some time after its answer
                full = peer.process.resident()
                gone = sum(not waits(s) for s in held)
                if gone:
                    raise NotStarted(f"{gone} of {CONNECTIONS} idle connections were closed")
                kib = (full[0] - idle[0]) * 1024 / CONNECTIONS
                for name, value in zip(columns, (*idle, *full, kib)):
                    columns[name].append(value)
            except (NotStarted, OSError) as error:
                self.problem("memory", owner, str(error))
                break
            finally:
                for s in held:
                    s.close()
                peer.process.stop()
        for name, values in columns.items():
            self.keep("memory", owner, name, values)
        return columns

    def start(self):
        """From the start of the process to its first answer, with many routes."""
        starts = {"nginx": lambda: self.bench.nginx(routes=ROUTES), "portcullis": lambda: self.bench.many(ROUTES)}
        taken = {owner: [] for owner in self.owners}
        for _ in range(self.times):
            for owner in list(taken):
                peer = starts[owner]()
                try:
                    taken[owner].append(peer.process.wait_for(peer.port, LAST_ROUTE, pause=0.001))
                except NotStarted as error:
                    self.problem("start", owner, str(error))
                    starts.pop(owner), taken.pop(owner)
                finally:
                    peer.process.stop()
        for owner, values in taken.items():
            self.keep("start", owner, "ms", values)
        base = taken.get("nginx", [])
        table.show(f"start: from start to the first answer with {ROUTES:,} routes", ["", "ms"],
                   [[o, table.cell(v, base if o != "nginx" else None, 0)] for o, v in taken.items()])

    def reload(self):
        """From asking for a reload until a route that only the new configuration has is served."""
        if "portcullis" not in self.owners:
            print("\nreload: not measured, portcullis is not among the peers")
            return
        peer = self.bench.many(ROUTES)
        load, under, calm = None, [], []
        try:
            peer.process.wait_for(peer.port, LAST_ROUTE)
            calm = [self._reload(peer, f"calm{n}") for n in range(self.times)]
            load = Wrk(peer.port, LAST_ROUTE, 16, max(5, self.seconds))
            while load.running() and len(under) < self.times:
                under.append(self._reload(peer, f"load{len(under)}"))
            run = load.result()
            if run["errors"]:
                self.problem("reload", "portcullis", f"requests failed under reload: {table.errors([run])}")
            table.show(f"reload: {ROUTES:,} routes, until the new ones are served",
                       ["", "calm, ms", "under load, ms", "requests under load", "errors"],
                       [["portcullis", table.cell(calm, digits=0), table.cell(under, digits=0), run["requests"],
                         table.errors([run])]])
            self.keep("reload", "portcullis", "requests", [run["requests"]])
        except (NotStarted, Failed, OSError, http.client.HTTPException) as error:
            self.problem("reload", "portcullis", str(error) or type(error).__name__)
        finally:
            if load:
                load.stop()
            peer.process.stop()
        self.keep("reload", "portcullis", "calm ms", calm)
        self.keep("reload", "portcullis", "under load ms", under)

    def _reload(self, peer, mark):
        text = self.bench.many_text(ROUTES, mark, peer.port, peer.admin)
        name = f"{peer.port}.yaml"
        begun = time.monotonic()
        peers.write(self.bench.directory, name, text)
        status, body = ask(peer.admin, "/reload", method="POST", timeout=20)
        if not 200 <= status < 300:
            raise NotStarted(f"POST /reload is answered {status}: {body[:200]!r}")
        while time.monotonic() - begun < 20:
            if ask(peer.port, f"/mark/{mark}")[0] == 200:
                return (time.monotonic() - begun) * 1e3
            time.sleep(0.001)
        raise NotStarted(f"the route /mark/{mark} was not served within 20 s of a reload")


def columns_of_memory():
    """The figures of the memory row, in order."""
    return ("idle Rss", "idle Pss", f"Rss with {CONNECTIONS:,} connections", f"Pss with {CONNECTIONS:,} connections",
            "KiB a connection")


def raise_limit():
    """Lets this process and those it starts open as many files as the system allows it."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def hold(port, path, count):
    """Opens `count` connections, each of which has had one whole answer and then rests."""
    spare = 500
    if raise_limit() < count + spare:
        raise OSError(f"{count} connections need a limit of {count + spare} open files (ulimit -n); it is {raise_limit()}")
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    held = []
    try:
        while len(held) < count:
            chunk = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(min(CHUNK, count - len(held)))]
            held += chunk
            for s in chunk:  # closed with a reset: ten thousand TIME_WAITs would use up the ports
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            for s in chunk:
                s.sendall(request)
            for s in chunk:
                head = read_answer(s)
                if b" 200 " not in head.split(b"\r\n")[0]:
                    raise OSError(f"a connection was answered {head.splitlines()[0]!r}")
    except BaseException:
        for s in held:
            s.close()
        raise
    return held


def read_answer(s):
    """Reads one answer that has a content-length, and returns its head."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += some(s)
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    left = int(fields.get(b"content-length", b"0")) - len(body)
    while left > 0:
        left -= len(some(s))
    return head


def some(s):
    """The next bytes of a connection that must not end yet."""
    data = s.recv(4096)
    if not data:
        raise OSError("a connection was closed before its answer was whole")
    return data


def waits(s):
    """Whether a resting connection is still open."""
    s.setblocking(False)
    try:
        return bool(s.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False
