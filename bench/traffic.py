"""The rows that drive load: what each request costs, gateway beside gateway."""
import http.client
import json
import resource
import subprocess
import sys
from dataclasses import dataclass

import bodies
import peers
import table
from load import LONGEST, Failed, H2load, Handshakes, WebSockets, Wrk
from process import NotStarted, ask, machine_busy

SOURCES = ("user", "orders", "recommendations")


@dataclass(frozen=True)
class Load:
    """What is sent, over how many connections, and what must come back."""

    path: str
    connections: int
    token: bool = False
    upload: int = 0
    keys: int = 0  # how many there are in the header x-key, one chosen for each request; 0 is no such header
    streams: int = 0  # at a time on each connection, over HTTP/2; 0 is HTTP/1.1
    driver: type = Wrk
    at_most: int = LONGEST  # seconds of a run
    tls: bool = False
    group: str = ""  # the key exchange of handshakes
    message: bool = False  # a gRPC message is sent

    def drive(self, bench, port, seconds, headers):
        """Starts a run of it."""
        if self.driver is Handshakes:
            return Handshakes(bench.clients, port, self.group, self.connections, seconds)
        if self.driver is WebSockets:
            return WebSockets(bench.clients, port, self.path, self.connections, seconds, MESSAGE)
        more = {"upload": self.upload, "keys": self.keys, "tls": self.tls}
        if self.driver is H2load:
            more = {"streams": self.streams, "data": bench.message if self.message else None}
        return self.driver(port, self.path, self.connections, seconds, headers, **more)


@dataclass(frozen=True)
class Line:
    """One line of a row: which gateway under which load."""

    label: str
    gateway: str
    load: Load


@dataclass(frozen=True)
class Row:
    """A table: its lines are compared with the first one that was measured as `base`."""

    name: str
    title: str
    base: str
    lines: tuple
    bytes: int = 0  # of the answer, where the row asks what each of them costs beyond the base


MESSAGE = 1024  # bytes of one message of a WebSocket
PLAIN64 = Load(peers.SMALL, 64)
TLS64 = Load(peers.SMALL, 64, tls=True)
HANDSHAKES = {group: Load(peers.SMALL, 4, driver=Handshakes, tls=True, group=group) for group in ("x25519", "x25519mlkem768")}
SOCKETS64 = Load(peers.SOCKET, 64, driver=WebSockets)
GRPC64 = Load(peers.GRPC, 8, streams=8, driver=H2load, message=True)
EDGE64 = Load(peers.SMALL, 64, token=True)
DASHBOARD64 = Load(peers.DASHBOARD, 64)
MANY_KEYS = Load(peers.SMALL, 64, keys=100_000)
ONE_KEY = Load(peers.SMALL, 64, keys=1)
HOT_KEYS = Load(peers.SMALL, 64, keys=1000)
HOME64 = Load(peers.HOME, 64)
PART64 = Load(peers.PART, 64)
SHAPE16 = {name: Load(path, 16) for name, path in peers.SHAPED.items()}


# Portcullis as another binary, in turn with the one that is measured.
BEFORE = ("before", "edge_before", "tls_before", "socket_before")


def _all(load):
    return tuple(Line(name, name, load) for name in ("nginx", "haproxy", "before", "portcullis"))


ROWS = (
    Row("plain64", "Plain proxy, small answer, 64 connections", "nginx", _all(PLAIN64)),
    Row("plain8", "Plain proxy, small answer, 8 connections", "nginx", _all(Load(peers.SMALL, 8))),
    Row("few", "Plain proxy, small answer, 2 connections that stay: how well two clients find two cores", "nginx",
        _all(Load(peers.SMALL, 2, at_most=2))),
    Row("large", "Answer of 100 KiB, 16 connections", "nginx", _all(Load(peers.LARGE, 16))),
    Row("upload", "Upload of 1 MiB, 8 connections", "nginx", _all(Load(peers.UPLOAD, 8, upload=peers.UPLOAD_BYTES))),
    Row("edge", "Full edge (1,000 routes, JWT, rate limit, request id, metrics, access log) beside nginx's plain proxy, "
        "64 connections", "nginx",
        (Line("nginx, plain", "nginx", PLAIN64), Line("before, edge", "edge_before", EDGE64),
         Line("portcullis, edge", "edge", EDGE64))),
    Row("aggregate", "Three sources composed, beside Portcullis's own plain proxy, 64 connections", "portcullis",
        (Line("portcullis, plain", "portcullis", PLAIN64), Line("portcullis, aggregate", "aggregate", DASHBOARD64))),
    Row("h2", "HTTP/2 from the client (8 connections of 8 streams) beside Portcullis's own HTTP/1.1 (64 connections), "
        "both by h2load", "portcullis",
        (Line("portcullis, HTTP/1.1", "portcullis", Load(peers.SMALL, 64, driver=H2load, at_most=2)),
         Line("portcullis, HTTP/2", "portcullis", Load(peers.SMALL, 8, streams=8, driver=H2load, at_most=2)))),
    Row("tls13", "Plain proxy behind TLS 1.3, small answer, 64 connections that stay (target: at most x0.90)", "nginx_tls",
        (Line("nginx", "nginx_tls", TLS64), Line("before", "tls_before", TLS64), Line("portcullis", "tls", TLS64))),
    Row("handshake", "Full TLS 1.3 handshakes, ECDSA P-256, a request is a handshake (target: at most x1.00)", "nginx_tls",
        (Line("nginx, X25519", "nginx_tls", HANDSHAKES["x25519"]), Line("before, X25519", "tls_before", HANDSHAKES["x25519"]),
         Line("portcullis, X25519", "tls", HANDSHAKES["x25519"]),
         Line("portcullis, X25519MLKEM768", "tls", HANDSHAKES["x25519mlkem768"]))),
    Row("websocket", "Messages of 1 KiB that come back over 64 WebSockets (aim: at most x0.90)", "nginx_socket",
        (Line("nginx", "nginx_socket", SOCKETS64), Line("before", "socket_before", SOCKETS64),
         Line("portcullis", "socket", SOCKETS64))),
    Row("grpc", "Unary gRPC, HTTP/2 on both sides, 8 connections of 8 streams (aim: at most x0.90)", "nginx_grpc",
        (Line("nginx", "nginx_grpc", GRPC64), Line("portcullis", "grpc", GRPC64))),
    Row("limit", "A limit in memory by a header of 100,000 values, beside none, 64 connections (target: a tie)", "portcullis",
        (Line("portcullis, no limit", "portcullis", MANY_KEYS),
         Line("portcullis, a limit without headers", "silent", MANY_KEYS),
         Line("portcullis, a limit", "limited", MANY_KEYS))),
    Row("limit-one", "The same where all requests bear one key, which all cores then count on (target: a tie)", "portcullis",
        (Line("portcullis, no limit", "portcullis", ONE_KEY), Line("portcullis, a limit", "limited", ONE_KEY))),
    Row("redis", "A limit in Redis by a header of 1,000 values, beside memory, 64 connections (target: leased at least x0.85 "
        "of memory's requests/s)", "memory",
        (Line("memory", "memory", HOT_KEYS), Line("redis, each request", "strict", HOT_KEYS),
         Line("redis, leased", "leased", HOT_KEYS))),
    Row("compose", "Three sources of 1 KiB composed, beside one of them proxied, 64 connections (target: at most x3.3 of its CPU)",
        "compose", (Line("portcullis, one proxied", "compose", Load(peers.ONE_SOURCE, 64)),
                    Line("portcullis, three composed", "compose", HOME64))),
    Row("compose-node", "The same beside Node with Promise.all, one process, 64 connections (target: Node takes at least x15 of the "
        "CPU)", "compose",
        (Line("portcullis", "compose", HOME64), Line("node, node:http and an agent", "node", HOME64),
         Line("node, fetch", "node_fetch", HOME64))),
    Row("compose-partial", "Three sources, one of which fails and has a fallback, beside three that are well, 64 connections",
        "compose", (Line("portcullis, mode all, all well", "compose", HOME64),
                    Line("portcullis, mode partial, one fails", "compose", PART64),
                    Line("node, allSettled, one fails", "node", PART64))),
    Row("shape", "A JSON answer of 100 KiB proxied, as it is and shaped, 16 connections (target: 500 MB/s, by the added CPU)",
        "shape", (Line("portcullis, as it is", "shape", SHAPE16["none"]),
                  Line("portcullis, a tenth kept", "shape", SHAPE16["little"]),
                  Line("portcullis, all but one member kept", "shape", SHAPE16["most"])), len(bodies.large())),
)
OWNERS = {"nginx": "nginx", "nginx_tls": "nginx", "nginx_socket": "nginx", "nginx_grpc": "nginx", "haproxy": "haproxy", "node": "node", "node_fetch": "node"}  # all others are Portcullis
OWNER = {line.gateway: OWNERS.get(line.gateway, "portcullis") for row in ROWS for line in row.lines}


def probe(bench, peer, load, headers):
    """What is wrong with one answer, or None: who answers fast but wrongly is not measured."""
    if load.driver is WebSockets:
        return None  # its load looks at every answer
    if load.message:
        return probe_grpc(bench, peer, load)
    try:
        status, body = ask(peer.port, load.path, headers, "POST" if load.upload else "GET", b"u" * load.upload, tls=load.tls)
    except (OSError, http.client.HTTPException) as error:
        return f"not at all: {error!r}"
    if status != 200:
        return f"with {status}: {body[:200]!r}"
    if load.path == peers.LARGE and len(body) != peers.LARGE_BYTES:
        return f"with {len(body)} bytes"
    if load.path == peers.SMALL and body.decode() != peers.ANSWER:
        return f"with a changed body: {body[:200]!r}"
    if load.path == peers.DASHBOARD and any(f'"{name}"'.encode() not in body for name in SOURCES):
        return f"without one of its sources: {body[:200]!r}"
    if load.path in COMPOSED and json.loads(body) != COMPOSED[load.path]:
        return f"with another body than it should: {body[:200]!r}"
    return None


def probe_grpc(bench, peer, load):
    """The same for a unary call: its status is in the trailers."""
    asked = subprocess.run(
        ["nghttp", "-v", "-t5", "-d", bench.message, "-H", "te: trailers", "-H", "content-type: application/grpc",
         f"http://127.0.0.1:{peer.port}{load.path}"], stdin=subprocess.DEVNULL, capture_output=True)
    if peers.GRPC_ANSWER in asked.stdout and b"grpc-status: 0" in asked.stdout:
        return None
    return f"with {asked.stdout[-500:]!r} ({asked.stderr.decode()!r})"


def _composed():
    """What must come back, by path, of what is put together or shaped."""
    well = bodies.SOURCES
    failed = {**well, "tips": [], "_errors": {"tips": {"error": "status", "status": 500}}}
    return {
        peers.ONE_SOURCE: well["user"], peers.HOME: well, peers.LATE: well, peers.PART: failed,
        peers.SHAPED["none"]: json.loads(bodies.large()), peers.SHAPED["little"]: bodies.kept(bodies.KEPT_LITTLE),
        peers.SHAPED["most"]: bodies.kept(bodies.KEPT_MOST),
    }


COMPOSED = _composed()


class Traffic:
    """Starts the gateways anew in each round and lets each carry each load in turn."""

    def __init__(self, bench, rows, owners, seconds):
        self.bench, self.seconds = bench, seconds
        self.token = peers.bearer()
        known = [gateway for gateway in OWNER if OWNER[gateway] in owners and (bench.other or gateway not in BEFORE)]
        self.rows = [(row, [line for line in row.lines if line.gateway in known]) for row in rows]
        # The base alone, without the one it is the base for, is no row.
        self.left_out = {row.name: OWNER[row.lines[-1].gateway] for row, lines in self.rows
                         if row.lines[-1] not in lines and (len([line for line in row.lines if line.gateway not in BEFORE]) == 2
                              or lines == [row.lines[0]] and row.base != "nginx")}
        self.rows = [(row, lines) for row, lines in self.rows if lines and row.name not in self.left_out]
        self.wanted = list(dict.fromkeys((l.gateway, l.load) for _, lines in self.rows for l in lines))
        self.dead = {}
        self.runs = {}

    def headers(self, load):
        """What a client of this load sends beside the defaults."""
        return self.token if load.token else {}

    def round(self, number):
        """One round; who comes first changes from round to round."""
        gateways = list(dict.fromkeys(gateway for gateway, _ in self.wanted))
        turn = number % max(1, len(gateways))
        gateways = [g for g in gateways[turn:] + gateways[:turn] if self._alive(g)]
        running = {}
        try:
            for gateway in gateways:
                self._start(gateway, running)
            for load in dict.fromkeys(load for _, load in self.wanted):
                for gateway in gateways:
                    if load in self._alive(gateway) and gateway in running:
                        self._run(number, gateway, running[gateway], load)
        finally:
            for peer in running.values():
                peer.process.stop()

    def _alive(self, gateway):
        """The loads that this gateway is to carry and has not answered wrongly."""
        return [load for g, load in self.wanted if g == gateway and (g, load) not in self.dead]

    def _start(self, gateway, running):
        start = {"portcullis": self.bench.plain}.get(gateway) or getattr(self.bench, gateway)
        peer = start()
        running[gateway] = peer
        loads = self._alive(gateway)
        first = loads[0]
        try:
            if first.message:
                peer.process.wait_port(peer.port)
            else:
                path = peers.SMALL if first.driver is WebSockets else first.path
                peer.process.wait_for(peer.port, path, self.headers(first), tls=first.tls)
        except NotStarted as error:
            self.dead.update({(gateway, load): str(error) for load in loads})
            running.pop(gateway).process.stop()
            return
        for load in loads:
            if wrong := probe(self.bench, peer, load, self.headers(load)):
                self.dead[gateway, load] = f"{peer.process.name} answers {load.path} {wrong}"
            else:
                self._warm(gateway, peer, load)

    def _warm(self, gateway, peer, load):
        """The first second of each load fills pools and caches, and is not measured."""
        try:
            load.drive(self.bench, peer.port, 1, self.headers(load)).result()
        except Failed as error:
            self.dead[gateway, load] = f"{peer.process.name} under load: {error}: {peer.process.tail()}"

    def _run(self, number, gateway, peer, load):
        peer.process.forget_peak()
        before = self._spent(peer)
        trips = peer.trips() if peer.redis else 0
        try:
            seconds = min(self.seconds, load.at_most)
            run = load.drive(self.bench, peer.port, seconds, self.headers(load)).result()
        except Failed as error:
            self.dead[gateway, load] = f"{peer.process.name} under load: {error}: {peer.process.tail()}"
            return
        spent = [b - a for a, b in zip(before, self._spent(peer))]
        if peer.redis:
            run.update(trips=(peer.trips() - trips) / max(1, run["requests"]),
                       redis_cpu=spent[3] / max(1, run["requests"]) * 1e6)
        run.update(
            round=number + 1, gateway=gateway, path=load.path, connections=load.connections, streams=load.streams,
            cpu=spent[0] / max(1, run["requests"]) * 1e6, upstream_cpu=spent[1] / max(1, run["requests"]) * 1e6,
            peak=peer.process.peak(), others=max(0.0, spent[4] - sum(spent[:4])) / seconds)
        self.runs.setdefault((gateway, load), []).append(run)
        print(f"# round {number + 1}  {gateway:11} {load.path:24} c{load.connections:<3} {run['cpu']:8.2f} us/request "
              f"{run['rps']:8.0f} requests/s  errors {table.errors([run])}", file=sys.stderr, flush=True)

    def _spent(self, peer):
        """CPU seconds so far: of the gateway, of the upstream, of the load, of Redis, and of the whole machine."""
        redis = peer.redis.cpu() if peer.redis else 0
        return peer.process.cpu(), self.bench.upstream.cpu(), own(), redis, machine_busy()

    def report(self):
        """Prints the tables."""
        for name, owner in self.left_out.items():
            print(f"\n{name}: not measured, {owner} is not installed or not among the peers")
        for row, lines in self.rows:
            base = next((line for line in lines if line.gateway == row.base), None)
            base_runs = self.runs.get((base.gateway, base.load), []) if base else []
            out = []
            for line in lines:
                runs = self.runs.get((line.gateway, line.load), [])
                if not runs or (line.gateway, line.load) in self.dead:
                    out.append([line.label, "NOT MEASURED", *[""] * 5])  # why is told below all tables
                    continue
                against = [] if line == base else base_runs
                out.append([
                    line.label,
                    cell(runs, against, "cpu", 2, table.TIE), cell(runs, against, "rps", 0), cell(runs, against, "p50"),
                    cell(runs, against, "p99"), cell(runs, against, "peak", 1), table.errors(runs)])
            heads = ["", "CPU us/request", "requests/s", "p50 ms", "p99 ms", "peak MiB", "errors"]
            if any(run for line in lines for run in self.runs.get((line.gateway, line.load), []) if "trips" in run):
                heads += ["trips/request", "Redis CPU us/request"]
                for line, cells in zip(lines, out):
                    runs = [run for run in self.runs.get((line.gateway, line.load), []) if "trips" in run]
                    cells += [cell(runs, [], "trips", 4), cell(runs, [], "redis_cpu")]
            if row.bytes and base_runs:
                heads += ["added us/request", "MB/s"]
                for line, cells in zip(lines, out):
                    cells += self._added(line, base_runs, row.bytes) if line != base else ["", ""]
            table.show(f"{row.name}: {row.title}", heads, out)

    def _added(self, line, base_runs, size):
        """What a line costs beyond the base, run by run of the same round, and how fast it goes through its bytes."""
        base = {run["round"]: run["cpu"] for run in base_runs}
        added = [run["cpu"] - base[run["round"]] for run in self.runs.get((line.gateway, line.load), []) if run["round"] in base]
        if not added:
            return ["-", "-"]
        middle = table.median(added)
        return [table.cell(added, digits=1), f"{size / middle:.0f}" if middle > 0 else "no cost seen"]

    def failed(self):
        """Whether a gateway did not start or a run had errors."""
        return bool(self.dead) or any(run["errors"] for runs in self.runs.values() for run in runs)

    def noise(self):
        """The median of cores' worth of work on the machine that was none of ours."""
        return table.median([run["others"] for runs in self.runs.values() for run in runs])


def cell(runs, base, key, digits=2, tie=None):
    """A measured column of `runs` beside that of `base`."""
    rounds = {r["round"]: r[key] for r in base}
    paired = [r[key] / rounds[r["round"]] for r in runs if rounds.get(r["round"])]
    return table.cell([r[key] for r in runs], [r[key] for r in base], digits, tie, paired)


def own():
    """CPU seconds of this process and of the load generators it has waited for."""
    mine, waited = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + waited.ru_utime + waited.ru_stime
