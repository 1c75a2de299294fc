#!/usr/bin/env python3
"""Counts how often real clients read why their upload was refused, directly and behind front proxies.

Each client sends a whole body before it reads, as it does for its users, and prints the status that it read or the error
that it met. Run on a build of the gateway: `bench/refusals.py --binary target/debug/portcullis --tries 50`.
"""
import sys

sys.dont_write_bytecode = True

import argparse
import http.server
import itertools
import os
import shutil
import subprocess
import tempfile
import threading

import fronts
from process import Process, free_port

SECRET = "a secret that is long enough for HS256"
SIZE = 9 * 1024 * 1024

# Path and status; `large` is refused for its size alone.
REFUSALS = {"/private": 401, "/none": 404, "/large": 413, "/limited": 429}

CONFIG = """
listeners:
  open: {{ listen: "127.0.0.1:{open}" }}
  small: {{ listen: "127.0.0.1:{small}", limits: {{ body: 1MiB }} }}
auth: {{ user: {{ jwt: {{ secret: "{secret}", algorithms: [HS256] }} }} }}
rate_limits: {{ spent: {{ limit: 1, window: 1h }} }}
telemetry: {{ access_log: none }}
routes:
  /private: {{ respond: {{ body: x }}, policies: {{ auth: user }} }}
  /limited: {{ respond: {{ body: x }}, policies: {{ rate_limit: spent }} }}
  /large: {{ respond: {{ body: x }} }}
"""

# The same refusals by nginx, which answers at once and reads on.
REFERENCE = """
{user} daemon off; pid {folder}/reference.pid; error_log {folder}/reference-error.log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/reference-bodies;
  proxy_temp_path {folder}/rp; fastcgi_temp_path {folder}/rf; uwsgi_temp_path {folder}/ru; scgi_temp_path {folder}/rs;
  server {{
    listen 127.0.0.1:{open}; client_max_body_size 100m;
    location /private {{ return 401; }}
    location /limited {{ if ($request_method = GET) {{ return 200; }} return 429; }}
    location / {{ return 404; }}
  }}
  server {{ listen 127.0.0.1:{small}; client_max_body_size 1m; location / {{ return 200; }} }}
}}
"""

JAVA = """
import java.io.OutputStream;
import java.net.*;
import java.net.http.*;
public class Refusals {
    public static void main(String[] a) throws Exception {
        int tries = Integer.parseInt(a[2]);
        byte[] body = new byte[Integer.parseInt(a[3])];
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        for (int i = 0; i < tries; i++) {
            try {
                if (a[0].equals("connection")) {
                    HttpURLConnection c = (HttpURLConnection) new URL(a[1]).openConnection();
                    c.setRequestMethod("POST");
                    c.setDoOutput(true);
                    c.setFixedLengthStreamingMode(body.length);
                    OutputStream out = c.getOutputStream();
                    out.write(body);
                    out.close();
                    System.out.println(c.getResponseCode());
                } else {
                    HttpRequest r = HttpRequest.newBuilder(URI.create(a[1]))
                        .POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
                    System.out.println(client.send(r, HttpResponse.BodyHandlers.discarding()).statusCode());
                }
            } catch (Exception e) {
                System.out.println(e.getClass().getSimpleName() + ": " + e.getMessage());
            }
        }
    }
}
"""

NODE = """
const http = require('http');
const [url, tries, size] = [process.argv[1], +process.argv[2], +process.argv[3]];
const body = Buffer.alloc(size, 'x');
const once = () => new Promise((done) => {
  const request = http.request(url, { method: 'POST', headers: { 'content-length': size }, agent: false }, (answer) => {
    answer.resume();
    done(answer.statusCode);
  });
  request.on('error', (error) => done(error.code || error.message));
  request.end(body);
});
(async () => { for (let i = 0; i < tries; i++) console.log(await once()); process.exit(0); })();
"""

PYTHON = """
import sys
kind, url, tries, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
body = b"x" * size
def plain():
    import http.client, urllib.parse
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    connection.request("POST", parts.path, body)
    return connection.getresponse().status
def requests():
    import requests
    return requests.post(url, data=body, timeout=60).status_code
def urllib3():
    import urllib3
    return urllib3.PoolManager(retries=False).request("POST", url, body=body).status
for _ in range(tries):
    try:
        print({"plain": plain, "requests": requests, "urllib3": urllib3}[kind]())
    except Exception as error:
        print(type(error).__name__, str(error)[:80].replace("\\n", " "))
"""


def clients(folder):
    """Name and command of each client that is there; the command is given URL, tries and size."""
    found = {"http.client": [sys.executable, "-c", PYTHON, "plain"]}
    for module in ("requests", "urllib3"):
        if subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode == 0:
            found[module] = [sys.executable, "-c", PYTHON, module]
    if shutil.which("node"):
        found["node"] = ["node", "-e", NODE]
    if shutil.which("java") and shutil.which("javac"):
        source = os.path.join(folder, "Refusals.java")
        with open(source, "w") as file:
            file.write(JAVA)
        subprocess.run(["javac", "-d", folder, source], check=True, capture_output=True)
        found["java URLConnection"] = ["java", "-cp", folder, "Refusals", "connection"]
        found["java HttpClient"] = ["java", "-cp", folder, "Refusals", "client"]
    body = os.path.join(folder, "body")
    with open(body, "wb") as file:
        file.write(b"x" * SIZE)
    if shutil.which("curl"):
        script = ('for i in $(seq "$2"); do curl -sS -o /dev/null -w "%{http_code}\\n" -H "Expect:" -X POST '
                  f'--data-binary @{body} "$1" 2>/dev/null || echo " (curl: $?)"; done')
        found["curl"] = ["bash", "-c", script, "curl"]
    if shutil.which("hey"):
        # Tries that fail are no lines of its table.
        script = (f'hey -n "$2" -c 1 -t 60 -m POST -D {body} -disable-keepalive -o csv "$1" | tail -n +2 | cut -d, -f7')
        found["hey"] = ["bash", "-c", script, "hey"]
    return found


class Reads(http.server.BaseHTTPRequestHandler):
    """A server that reads a body to its end before it answers."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length", 0))
            while left and (piece := self.rfile.read(min(left, 1 << 16))):
                left -= len(piece)
        self.answer(REFUSALS.get(self.path, 404))

    def do_GET(self):
        self.answer(200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Says nothing of connections that break."""

    def handle_error(self, *_):
        pass


def server(arguments, folder, ports):
    """The server that refuses: the gateway, or one to compare it with."""
    user = "user root;" if os.getuid() == 0 else ""
    if arguments.server == "reads":
        for port in ports.values():
            listening = Server(("127.0.0.1", port), Reads)
            threading.Thread(target=listening.serve_forever, daemon=True).start()
        return None
    gateway = arguments.server == "gateway"
    file = os.path.join(folder, "server.conf" if not gateway else "portcullis.yaml")
    with open(file, "w") as out:
        text = CONFIG if gateway else REFERENCE
        out.write(text.format(secret=SECRET, folder=folder, user=user, **ports))
    binary = os.path.abspath(arguments.binary)
    command = [binary, "run", "-c", file] if gateway else [shutil.which("nginx"), "-c", file]
    process = Process(arguments.server, command, folder)
    process.wait_for(ports["open"], "/limited", status=200)
    return process


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--binary", default="target/release/portcullis")
    arguments.add_argument("--tries", type=int, default=50)
    arguments.add_argument("--size", type=int, default=SIZE)
    arguments.add_argument("--client", action="append", help="only these clients")
    arguments.add_argument("--front", action="append", help="only these front proxies; `direct` is none")
    arguments.add_argument("--server", choices=("gateway", "nginx", "reads"), default="gateway",
                           help="who refuses: nginx answers at once, `reads` reads every body to its end first")
    arguments = arguments.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        ports = {"open": free_port(), "small": free_port()}
        processes = []
        try:
            processes += filter(None, [server(arguments, folder, ports)])
            found = {name: command for name, command in clients(folder).items()
                     if not arguments.client or name in arguments.client}
            direct = [("direct", None, None)] if not arguments.front or "direct" in arguments.front else []
            for front, port, process in itertools.chain(direct, fronts.start(folder, ports, arguments.front)):
                if process:
                    processes.append(process)
                for name, command in found.items():
                    failed += row(arguments, ports, front, port, name, command)
        finally:
            for process in processes:
                process.stop()
    return 1 if failed else 0


def row(arguments, ports, front, port, name, command):
    """Prints what one client read behind one front proxy, and counts the statuses that not all tries read."""
    cells, failed = [], 0
    for path, status in REFUSALS.items():
        where = port or (ports["small"] if path == "/large" else ports["open"])
        run = subprocess.run([*command, f"http://127.0.0.1:{where}{path}", str(arguments.tries), str(arguments.size)],
                             capture_output=True, text=True)
        lines = [line.strip() for line in run.stdout.splitlines()]
        good = lines.count(str(status))
        others = sorted(set(lines) - {str(status)})
        cells.append(f"{status}: {good}/{arguments.tries}" + (f" {others[:2]}" if others else ""))
        failed += good != arguments.tries
        if not lines:
            cells.append(run.stderr[-300:])
    print(f"{front:16} {name:18} {'  '.join(cells)}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
