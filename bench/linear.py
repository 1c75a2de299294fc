#!/usr/bin/env python3
"""What hostile but valid requests cost in comparison with plain ones of as many bytes: CPU of the gateway for each, and its ratio.

Each pair is asked in turns over one connection. `--instructions` counts user-space instructions under callgrind instead,
which no other work on the machine disturbs. Exit code: 0 within the budget, 1 above it.
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

from process import Process, free_port

# The most that a hostile request may cost, as a multiple of the plain one.
BUDGET = 1.2

CONFIG = """
listen: 127.0.0.1:{port}
telemetry: {{ access_log: none }}
routes: {{ /*: {{ upstream: "http://127.0.0.1:{service}" }} }}
"""

SERVICE = """
{user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}/b;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{service}; location / {{ return 200 ok; }} }}
}}
"""


def post(body, framing):
    return f"POST /x HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode() + body


def get(*lines):
    return "\r\n".join(["GET /x HTTP/1.1", "Host: a", *lines, "", ""]).encode()


def pairs():
    """Name, hostile and plain request; both have the same number of bytes."""
    chunks = b"1\r\nx\r\n" * 16_000 + b"0\r\n\r\n"
    body = b"x" * (len(chunks) + 5)  # what the other line of framing is longer
    yield "16,000 chunks of one byte", post(chunks, "Transfer-Encoding: chunked"), post(body, f"Content-Length: {len(body)}")
    # The most members that are read, of one length, and lines of that length that they do not name.
    names = [f"x-name-{n:04}" for n in range(90)]
    lines = [f"{name}: value" for name in names]
    listed = ", ".join(f"x-nome-{n:04}" for n in range(32))
    yield "32 members of Connection, 90 lines", get(f"Connection: {listed}", *lines), get(f"Konnection: {listed}", *lines)
    many = ",".join(["keep-alive"] * 1_000)
    yield "1,000 members that are known", get(f"Connection: {many}"), get(f"Konnection: {many}")
    empty = "," * 14_000
    yield "14,000 empty members (refused)", get(f"Connection: {empty}"), get(f"Konnection: {empty}")


class Client:
    """One connection, opened again where the gateway has closed it."""

    def __init__(self, port):
        self.port, self.socket = port, None

    def ask(self, request):
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.piece()
        head, body = data.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
        while len(body) < length:
            body += self.piece()
        if b"connection: close" in head:
            self.socket.close()
            self.socket = None
        return int(head[9:12])

    def piece(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise OSError("the connection ended")
        return piece


def by_time(process, client, hostile, plain, seconds):
    """Microseconds of CPU for each request of the two kinds: medians over rounds in turn."""
    found = {hostile: [], plain: []}
    for request in found:
        for _ in range(50):
            client.ask(request)
    for _ in range(5):
        for request, costs in found.items():
            began, before, count = time.monotonic(), process.cpu(), 0
            while time.monotonic() - began < seconds:
                client.ask(request)
                count += 1
            costs.append((process.cpu() - before) / count * 1e6)
    return [sorted(costs)[2] for costs in found.values()]


def by_instructions(process, client, requests, counts):
    """Instructions for each request of the two kinds."""
    def control(flag):
        subprocess.run(["callgrind_control", flag, str(process.pid)], stdin=subprocess.DEVNULL, capture_output=True, check=True)

    found = []
    for request in requests:
        for _ in range(20):
            client.ask(request)
        for path in glob.glob(f"{counts}.*"):
            os.remove(path)
        control("-z")
        for _ in range(50):
            client.ask(request)
        control("--dump")
        for _ in range(200):
            client.ask(get())
            if glob.glob(f"{counts}.*"):
                break
            time.sleep(0.05)
        sums = []
        for path in glob.glob(f"{counts}.*"):
            with open(path) as file:
                sums += [int(sum[1]) for sum in re.finditer(r"^(?:summary|totals): (\d+)", file.read(), re.M)]
        found.append(max(sums) / 50)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/portcullis")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round; five rounds for each kind")
    parser.add_argument("--instructions", action="store_true")
    options = parser.parse_args()
    above = 0
    with tempfile.TemporaryDirectory() as folder:
        words = {"folder": folder, "port": free_port(), "service": free_port(), "user": "user root;" if os.getuid() == 0 else ""}
        files = [os.path.join(folder, name) for name in ("nginx.conf", "portcullis.yaml")]
        for file, text in zip(files, (SERVICE, CONFIG)):
            with open(file, "w") as out:
                out.write(text.format(**words))
        counts = os.path.join(folder, "counts")
        command = ["taskset", "-c", "0", os.path.abspath(options.binary), "run", "-c", files[1]]
        if options.instructions:
            command[3:3] = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}"]
        service = Process("nginx", [shutil.which("nginx"), "-c", files[0]], folder)
        gateway = Process("portcullis", command, folder)
        try:
            service.wait_port(words["service"])
            gateway.wait_for(words["port"], "/x", within=120)
            client = Client(words["port"])
            for name, hostile, plain in pairs():
                assert len(hostile) == len(plain), (name, len(hostile), len(plain))
                statuses = [client.ask(hostile), client.ask(plain)]
                if options.instructions:
                    costs = by_instructions(gateway, client, (hostile, plain), counts)
                else:
                    costs = by_time(gateway, client, hostile, plain, options.seconds)
                ratio = costs[0] / costs[1]
                above += ratio > BUDGET
                unit = "instructions" if options.instructions else "us"
                print(f"{name:36} {statuses[0]} {costs[0]:10.1f}  plain {statuses[1]} {costs[1]:10.1f} {unit}  x{ratio:.2f}", flush=True)
        finally:
            gateway.stop()
            service.stop()
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
