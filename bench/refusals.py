#!/usr/bin/env python3
"""Counts how often real clients read why their upload was refused, directly and behind nginx and Apache.

Each client sends a whole body before it reads, as it does for its users, and prints the status that it read or the error
that it met. Run on a build of the gateway: `bench/refusals.py --binary target/debug/portcullis --tries 50`.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

from process import Process, free_port

HERE = os.path.dirname(os.path.abspath(__file__))
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

NGINX = """
{user} daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
events {{}}
http {{
  access_log off; client_max_body_size 100m; client_body_temp_path {folder}/nginx-bodies;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_http_version 1.1; proxy_pass http://127.0.0.1:{open}; }}
    location /large {{ proxy_http_version 1.1; proxy_pass http://127.0.0.1:{small}; }}
  }}
}}
"""

APACHE = """
ServerRoot {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/apache-error.log
ServerName localhost
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
ProxyPass /large http://127.0.0.1:{small}/large
ProxyPass / http://127.0.0.1:{open}/
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
    if shutil.which("curl"):
        body = os.path.join(folder, "body")
        with open(body, "wb") as file:
            file.write(b"x" * SIZE)
        script = ('for i in $(seq "$2"); do curl -sS -o /dev/null -w "%{http_code}\\n" -H "Expect:" -X POST '
                  f'--data-binary @{body} "$1" 2>/dev/null || echo " (curl: $?)"; done')
        found["curl"] = ["bash", "-c", script, "curl"]
    return found


def fronts(folder, ports):
    """Name and port of the gateway itself and of each front proxy that is there, started."""
    started = [("direct", None, None)]
    apache = shutil.which("apache2") or shutil.which("httpd")
    for name, binary, text in (("nginx", shutil.which("nginx"), NGINX), ("apache", apache, APACHE)):
        if not binary:
            continue
        port = free_port()
        file = os.path.join(folder, f"{name}.conf")
        modules = "/usr/lib/apache2/modules"
        with open(file, "w") as out:
            out.write(text.format(folder=folder, port=port, modules=modules, user="user root;" if os.getuid() == 0 else "", **ports))
        command = [binary, "-c", file] if name == "nginx" else [binary, "-f", file, "-DFOREGROUND"]
        process = Process(name, command, folder)
        process.wait_for(port, "/large", status=200)
        started.append((name, port, process))
    return started


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--binary", default="target/release/portcullis")
    arguments.add_argument("--tries", type=int, default=50)
    arguments.add_argument("--size", type=int, default=SIZE)
    arguments.add_argument("--client", action="append", help="only these clients")
    arguments = arguments.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        ports = {"open": free_port(), "small": free_port()}
        config = os.path.join(folder, "portcullis.yaml")
        with open(config, "w") as file:
            file.write(CONFIG.format(secret=SECRET, **ports))
        gateway = Process("portcullis", [os.path.abspath(arguments.binary), "run", "-c", config], folder)
        processes = [gateway]
        try:
            gateway.wait_for(ports["open"], "/limited", status=200)
            found = {name: command for name, command in clients(folder).items()
                     if not arguments.client or name in arguments.client}
            for front, port, process in fronts(folder, ports):
                if process:
                    processes.append(process)
                for name, command in found.items():
                    row = []
                    for path, status in REFUSALS.items():
                        where = port or (ports["small"] if path == "/large" else ports["open"])
                        run = subprocess.run(
                            [*command, f"http://127.0.0.1:{where}{path}", str(arguments.tries), str(arguments.size)],
                            capture_output=True, text=True)
                        lines = run.stdout.split("\n")[:-1]
                        good = sum(line.strip() == str(status) for line in lines)
                        others = sorted({line for line in lines if line.strip() != str(status)})
                        row.append(f"{status}: {good}/{arguments.tries}" + (f" {others[:2]}" if others else ""))
                        failed += good != arguments.tries
                        if not lines:
                            row.append(run.stderr[-300:])
                    print(f"{front:8} {name:18} {'  '.join(row)}", flush=True)
        finally:
            for process in processes:
                process.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
