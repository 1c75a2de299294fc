"""Who is measured: how each gateway is configured and started."""
import base64
import hashlib
import hmac
import json
import os
import subprocess
import time

import bodies
from process import NotStarted, Process, ask, free_port

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SMALL = "/api/v1/svc7/items/42"
LARGE = "/api/v1/svc7/large"
UPLOAD = "/api/v1/svc7/upload"
DASHBOARD = "/api/dashboard/u-42"
ONE_SOURCE, HOME, PART, LATE = (f"/compose/{name}/42" for name in ("user", "home", "part", "late"))
LATE_SOURCE = "/compose/orders/42"
SOCKET = "/socket"
GRPC = "/bench.Echo/Say"
GRPC_SENT, GRPC_ANSWER = (b"\0" + len(text).to_bytes(4, "big") + text for text in (b"\x0a\x05hello", b"\x0a\x0bhello there"))
SHAPED = {name: f"/shape/{name}" for name in ("none", "little", "most")}
LARGE_BYTES = 100 * 1024
UPLOAD_BYTES = 1024 * 1024
SECRET = "a-secret-that-only-the-bench-knows-0123"
HOT = "limit: 10000000, algorithm: fixed_window"
ANSWER = json.dumps({
    "id": 42, "title": "Brass door knocker", "sku": "DK-0042", "price": {"cents": 4590, "currency": "EUR"},
    "stock": {"here": 12, "ordered": 30}, "labels": ["door", "brass", "polished"], "changed": "2026-01-31T08:15:00Z",
}, separators=(",", ":"))


def bearer():
    """The headers of a client with a token (RFC 7515, HS256) that is good for a day."""
    def part(raw):
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    claims = {"sub": "u-42", "iss": "bench", "scope": "read", "exp": int(time.time()) + 86400}
    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    mark = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    return {"Authorization": "Bearer " + (signed + b"." + part(mark)).decode()}


def fill(name, directory, **values):
    """Writes the configuration `name` with its `<<...>>` filled in, and returns its path."""
    with open(os.path.join(HERE, "configs", name)) as file:
        text = file.read()
    for key, value in {**values, "dir": directory}.items():
        text = text.replace(f"<<{key}>>", str(value))
    return write(directory, f"{values.get('port', values['upstream'])}-{name}", text)


def write(directory, name, text):
    """Writes `text` whole or not at all, so that who watches the file never reads half."""
    path = os.path.join(directory, name)
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)
    return path


class Peer:
    """A running gateway, its port, and where it has one the port of its admin listener."""

    def __init__(self, process, port, admin=None, config=None):
        self.process, self.port, self.admin, self.config = process, port, admin, config
        self.redis = None  # the server that it counts in

    def trips(self):
        """How often it has asked Redis so far."""
        _, page = ask(self.admin, "/metrics")
        lines = (line for line in page.decode().splitlines() if line.startswith("portcullis_redis_trips_total"))
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


class Bench:
    """The scratch folder, the upstream in it, and how to start each gateway before it."""

    def __init__(self, directory, binary, before=None):
        self.directory, self.binary, self.other = directory, binary, before
        os.chmod(directory, 0o755)  # nginx's workers leave root for another user
        with open(os.path.join(directory, "large.bin"), "wb") as file:
            file.write(os.urandom(LARGE_BYTES))
        write(directory, "large.json", bodies.large())
        sources = {name: bodies.dumps(body) for name, body in bodies.SOURCES.items()}
        write(directory, "orders.json", sources["orders"])
        self.message = os.path.join(directory, "message")
        for name, message in (("message", GRPC_SENT), ("answer", GRPC_ANSWER)):
            with open(os.path.join(directory, name), "wb") as file:
                file.write(message)
        self.upstream_port, self.grpc_port = free_port(), free_port()
        config = fill("upstream.conf", directory, upstream=self.upstream_port, grpc=self.grpc_port, small=ANSWER, **sources)
        self.upstream = Process("upstream", ["nginx", "-p", directory, "-c", config], directory)
        self.redis = None
        self.clients = os.path.join(os.path.dirname(binary), "clients")
        self.echo = None

    def stop(self):
        """Ends what all gateways share."""
        for process in filter(None, (self.upstream, self.redis, self.echo)):
            process.stop()

    def certificate(self):
        """The files of a certificate (ECDSA P-256) and its key, made once."""
        pem, key = (os.path.join(self.directory, f"bench.{end}") for end in ("pem", "key"))
        if not os.path.exists(pem):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-days", "2", "-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test,IP:127.0.0.1",
                            "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", pem],
                           stdin=subprocess.DEVNULL, capture_output=True, check=True)
        return pem, key

    def echo_port(self):
        """The port of the service that sends back the messages of WebSockets, started once."""
        if self.echo is None:
            self.echo_listens = free_port()
            self.echo = Process("echo", [self.clients, "echo", str(self.echo_listens)], self.directory)
            self.echo.wait_port(self.echo_listens)
        return self.echo_listens

    def wrap(self, command):
        """The command line that runs a gateway: its own."""
        return command

    def nginx(self, connections=4096, routes=0, workers=2, listen="", more=""):
        """nginx with one location, or with `routes` of them; with one worker it is one process."""
        port = free_port()
        prefixes = [f"/api/v1/svc{n}/" for n in range(routes)] or ["/"]
        locations = "\n".join(f"        location {p} {{ proxy_pass http://up; }}" for p in prefixes)
        config = fill("nginx.conf", self.directory, port=port, upstream=self.upstream_port,
                      connections=connections, locations=locations, workers=workers, listen=listen, more=more,
                      grpc=self.grpc_port)
        command = ["nginx", "-p", self.directory, "-c", config]
        if workers == 1:
            command += ["-g", "master_process off;"]
        return Peer(Process("nginx", self.wrap(command), self.directory), port)

    def nginx_tls(self):
        """nginx with TLS 1.3, which Debian's does not speak unless it is written."""
        pem, key = self.certificate()
        lines = ("ssl_protocols TLSv1.3;", "ssl_ecdh_curve X25519;", f"ssl_certificate {pem};", f"ssl_certificate_key {key};")
        return self.nginx(listen=" ssl", more="\n".join(" " * 8 + line for line in lines))

    def nginx_socket(self):
        """nginx in front of the service that echoes the messages of WebSockets."""
        lines = (f"location = {SOCKET} {{", f"    proxy_pass http://127.0.0.1:{self.echo_port()};",
                 "    proxy_set_header Upgrade $http_upgrade;", '    proxy_set_header Connection "upgrade";',
                 "    proxy_read_timeout 600s;", "}")
        return self.nginx(more="\n".join(" " * 8 + line for line in lines))

    def nginx_grpc(self):
        """nginx in front of the service that speaks gRPC, HTTP/2 on both sides."""
        lines = (f"location = {GRPC} {{", "    grpc_pass grpc://grpc;", "}")
        return self.nginx(listen=" http2", more="\n".join(" " * 8 + line for line in lines))

    def haproxy(self):
        """HAProxy with one backend."""
        port = free_port()
        config = fill("haproxy.cfg", self.directory, port=port, upstream=self.upstream_port)
        return Peer(Process("haproxy", ["haproxy", "-db", "-q", "-f", config], self.directory), port)

    def portcullis(self, text, name="portcullis", environment=None):
        """Portcullis on a configuration in which PORT and ADMIN stand for its ports."""
        port, admin = free_port(), free_port()
        text = text.replace("PORT", str(port)).replace("ADMIN", str(admin))
        config = write(self.directory, f"{port}.yaml", text)
        process = Process(name, self.wrap([self.binary, "run", "-c", config]), self.directory, environment)
        return Peer(process, port, admin, config)

    def _upstream(self):
        return f'upstreams:\n  up: {{ url: "http://127.0.0.1:{self.upstream_port}" }}\n'

    def plain(self):
        """The same work as the plain peers: one route, no policy, no log."""
        return self.portcullis(
            "listen: 127.0.0.1:PORT\n" + self._upstream() + "telemetry: { access_log: none }\n"
            "routes:\n  /*: { upstream: up, host: client }\n")

    def tls(self):
        """The plain proxy behind TLS 1.3."""
        pem, key = self.certificate()
        return self.portcullis(
            "listeners:\n  web:\n    listen: 127.0.0.1:PORT\n"
            f"    tls: {{ min: tls1.3, certificates: [{{ certificate: {pem}, key: {key} }}] }}\n" + self._upstream() +
            "telemetry: { access_log: none }\nroutes:\n  /*: { upstream: up, host: client }\n", "portcullis-tls")

    def socket(self):
        """One route to the service that echoes the messages of WebSockets."""
        return self.portcullis(
            "listen: 127.0.0.1:PORT\n" + self._upstream() + f'  echo: {{ url: "http://127.0.0.1:{self.echo_port()}" }}\n'
            "telemetry: { access_log: none }\nroutes:\n  /*: { upstream: up, host: client }\n"
            f"  {SOCKET}: {{ upstream: echo, host: client }}\n", "portcullis-socket")

    def grpc(self):
        """One route to the service that speaks gRPC, HTTP/2 on both sides."""
        return self.portcullis(
            f'listen: 127.0.0.1:PORT\nupstreams:\n  up: {{ url: "http://127.0.0.1:{self.grpc_port}", protocol: http2 }}\n'
            "telemetry: { access_log: none }\nroutes:\n  /*: { upstream: up, host: client }\n", "portcullis-grpc")

    def edge(self):
        """What a gateway is for: 1,000 routes, JWT, rate limit, metrics, access log."""
        routes = "".join(f"  /api/v1/svc{n}/*: {{ upstream: up }}\n" for n in range(1000))
        log = os.path.join(self.directory, f"access-{self.binary == self.other}.log")
        if os.path.exists(log):
            os.remove(log)  # an earlier round's; it is hundreds of megabytes
        return self.portcullis(
            "listen: 127.0.0.1:PORT\nadmin: { listen: 127.0.0.1:ADMIN }\n" + self._upstream() +
            f'auth:\n  user:\n    jwt: {{ secret: "{SECRET}", algorithms: [HS256] }}\n'
            "    identity: { x-user-id: sub }\n"
            "rate_limits:\n  all: { limit: 2000000000, window: 60s, key: client.ip, algorithm: fixed_window, headers: [draft-7] }\n"
            "policies:\n  rate_limit: all\n  auth: user\n"
            f'telemetry:\n  access_log: {{ file: "{log}", format: json }}\n'
            "routes:\n" + routes, "portcullis-edge")

    def before(self):
        """The plain proxy, as the other binary."""
        return self._as_other(self.plain)

    def tls_before(self):
        """The plain proxy behind TLS, as the other binary."""
        return self._as_other(self.tls)

    def socket_before(self):
        """The route of WebSockets, as the other binary."""
        return self._as_other(self.socket)

    def edge_before(self):
        """The full edge, as the other binary."""
        return self._as_other(self.edge)

    def _as_other(self, start):
        own, self.binary = self.binary, self.other
        try:
            return start()
        finally:
            self.binary = own

    def _limited(self, limit, name, more=""):
        """The plain proxy with one limit, by the header that the load chooses its keys in."""
        return self.portcullis(
            "listen: 127.0.0.1:PORT\nadmin: { listen: 127.0.0.1:ADMIN }\n" + self._upstream() + more +
            "telemetry: { access_log: none }\n"
            f"rate_limits:\n  all: {{ {limit}, window: 60s, key: 'request.headers[\"x-key\"]' }}\n"
            "policies: { rate_limit: all }\nroutes:\n  /*: { upstream: up, host: client }\n", name)

    def limited(self):
        """A limit as it is by default, out of reach."""
        return self._limited("limit: 2000000000, max_keys: 200000", "portcullis-limited")

    def silent(self):
        """The same limit, of which the client is not told."""
        return self._limited("limit: 2000000000, max_keys: 200000, headers: []", "portcullis-silent")

    def memory(self):
        """A limit in memory that counts as those in Redis do."""
        return self._limited(HOT, "portcullis-memory")

    def strict(self):
        """A limit in Redis, which is asked for each request."""
        return self._shared("lease: none", "portcullis-strict")

    def leased(self):
        """A limit in Redis as it is by default: hot keys are leased."""
        return self._shared("lease: 5%", "portcullis-leased")

    def _shared(self, lease, name):
        if self.redis is None:
            self.redis_port = free_port()
            self.redis = Process("redis", ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1",
                                           "--save", "", "--appendonly", "no"], self.directory)
            self.redis.wait_port(self.redis_port)
        peer = self._limited(f"{HOT}, store: redis, {lease}", name,
                             f'redis: {{ url: "redis://127.0.0.1:{self.redis_port}", namespace: {name} }}\n')
        peer.redis = self.redis
        return peer

    def aggregate(self):
        """Three calls to the upstream, one composed answer; no policy, no log."""
        return self.portcullis(
            "listen: 127.0.0.1:PORT\n" + self._upstream() + "telemetry: { access_log: none }\n"
            "routes:\n  GET /api/dashboard/{userId}:\n    aggregate:\n      mode: all\n      sources:\n"
            '        user:            { upstream: up, path: "/users/{userId}" }\n'
            '        orders:          { upstream: up, path: "/orders/by-user/{userId}" }\n'
            '        recommendations: { upstream: up, path: "/recommend/{userId}" }\n', "portcullis-aggregate")

    def compose(self, slow_port=None):
        """One source proxied, and three composed: in mode `all`; in mode `partial` with one that fails; and with one
        of them at the port of a slow source."""
        slow = slow_port or self.upstream_port
        source = '{ upstream: %s, path: "/compose/%s/{userId}"%s }'
        user, orders = source % ("up", "user", ""), source % ("up", "orders", "")
        tips, broken = source % ("up", "tips", ""), source % ("up", "broken", ", fallback: []")

        def route(name, mode, *sources):
            listed = "".join(f"        {n}: {s}\n" for n, s in zip(bodies.SOURCES, sources))
            return f"  GET /compose/{name}/{{userId}}:\n    aggregate:\n      mode: {mode}\n      sources:\n{listed}"

        return self.portcullis(
            "listen: 127.0.0.1:PORT\n" + self._upstream() + f'  slow: {{ url: "http://127.0.0.1:{slow}" }}\n'
            "telemetry: { access_log: none }\nroutes:\n  /compose/user/*: { upstream: up, host: client }\n" +
            route("home", "all", user, orders, tips) + route("part", "partial", user, orders, broken) +
            route("late", "all", user, source % ("slow", "orders", ""), tips), "portcullis-compose")

    def shape(self):
        """The same document proxied as it is, and with a shape that keeps little or most of it."""
        return self.portcullis(
            "listen: 127.0.0.1:PORT\n" + self._upstream() + "telemetry: { access_log: none }\nroutes:\n"
            "  /shape/none: { upstream: up, host: client }\n" + "".join(
                f"  /shape/{name}: {{ upstream: up, host: client, policies: {{ shape: {{ keep: {json.dumps(keep)} }} }} }}\n"
                for name, keep in (("little", bodies.KEPT_LITTLE), ("most", bodies.KEPT_MOST))), "portcullis-shape")

    def node(self, slow_port=None, manner="request"):
        """Node composing by hand, its calls by node:http."""
        port = free_port()
        command = ["node", os.path.join(HERE, "compose.mjs"), str(port), str(self.upstream_port),
                   str(slow_port or self.upstream_port), manner]
        return Peer(Process(f"node-{manner}", command, self.directory), port)

    def node_fetch(self):
        """The same, its calls by fetch."""
        return self.node(manner="fetch")

    def paced(self):
        """Builds the load at a given rate, which is also the slow source; returns its path."""
        program = os.path.join(self.directory, "paced")
        if not os.path.exists(program):
            built = subprocess.run(["rustc", "--edition", "2024", "-O", "-o", program, os.path.join(HERE, "paced.rs")],
                                   capture_output=True, text=True, stdin=subprocess.DEVNULL)
            if built.returncode:
                raise NotStarted(f"paced.rs could not be built: {built.stderr[-500:]}")
        return program

    def slow(self, milliseconds):
        """A source that answers after a fixed time: (process, port)."""
        port = free_port()
        command = [self.paced(), "source", str(port), str(milliseconds), os.path.join(self.directory, "orders.json")]
        process = Process("slow", command, self.directory)
        process.wait_port(port)
        return process, port

    def example(self):
        """The edge example as it ships, on ports of ours, its limit out of reach."""
        with open(os.path.join(ROOT, "examples", "edge.yaml")) as file:
            text = file.read()
        for service in (3001, 3002, 3003):
            text = text.replace(f"127.0.0.1:{service}", f"127.0.0.1:{self.upstream_port}")
        text = text.replace("127.0.0.1:8080", "127.0.0.1:PORT").replace("127.0.0.1:9901", "127.0.0.1:ADMIN")
        text = text.replace("limit: 100,", "limit: 2000000000,")
        return self.portcullis(text, "portcullis-example", {"JWT_SECRET": SECRET})

    def many(self, routes):
        """`routes` routes and no policy."""
        return self.portcullis(self.many_text(routes, "first"), "portcullis-many")

    def many_text(self, routes, mark, port="PORT", admin="ADMIN"):
        """A configuration of `routes` routes, and one at /mark/ that tells it from others."""
        return (f"listen: 127.0.0.1:{port}\nadmin: {{ listen: 127.0.0.1:{admin} }}\n" + self._upstream() +
                "telemetry: { access_log: none }\nroutes:\n" +
                "".join(f"  /api/v1/svc{n}/*: {{ upstream: up }}\n" for n in range(routes)) +
                f"  /mark/{mark}: {{ upstream: up }}\n")
