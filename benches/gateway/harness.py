"""Starts the programs of a measurement, reads what they cost from /proc, and ends them."""

import contextlib
import http.client
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()

PROXY_CORE = 0
LOAD_CORE = 1
UPSTREAMS = 5

READY_SECONDS = 30
STOP_SECONDS = 10
TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """The measurement can't be trusted, and why."""


@dataclass(frozen=True)
class Proxy:
    """How one proxy is found, configured and started, each with one worker."""

    config: str
    program: Path | str
    arguments: Callable[[Path], list[str]]
    version: list[str]
    sets_cookie: bool = True
    environment: dict[str, str] = field(default_factory=dict)

    def find(self) -> str | None:
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
        return shutil.which(self.program, path=path)


PROXIES = {
    "nginx": Proxy(
        config="nginx.conf",
        program="nginx",
        arguments=lambda config: ["-p", str(config.parent), "-e", "stderr", "-c", str(config)],
        version=["-v"],
        sets_cookie=False,
    ),
    "haproxy": Proxy(
        config="haproxy.cfg",
        program="haproxy",
        arguments=lambda config: ["-db", "-f", str(config)],
        version=["-v"],
    ),
    "caddy": Proxy(
        config="Caddyfile",
        program=TARGET / "compare-venv/bin/caddy",
        arguments=lambda config: ["run", "--adapter", "caddyfile", "--config", str(config)],
        version=["version"],
        environment={"GOMAXPROCS": "1"},
    ),
    "envoy": Proxy(
        config="envoy.yaml",
        program=TARGET / "compare-venv/bin/envoy",
        arguments=lambda config: [
            "--config-path", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn",
        ],
        version=["--version"],
    ),
    "homing": Proxy(
        config="homing.toml",
        program=TARGET / "dist/homing",
        arguments=lambda config: ["run", "--config", str(config), "--log", "warn"],
        version=["--version"],
    ),
}


def select(names: list[str]) -> list[str]:
    """The proxies of `names` whose programs are present; says which are not."""
    present = []
    for name in dict.fromkeys(names):
        if name not in PROXIES:
            raise Failure(f"no such proxy: {name} (there are {', '.join(PROXIES)})")
        if PROXIES[name].find():
            present.append(name)
        else:
            print(f"{name}: skipped, {PROXIES[name].program} is absent", file=sys.stderr)
    if not present:
        raise Failure("no proxy to measure")
    return present


def version(name: str) -> str:
    proxy = PROXIES[name]
    said = subprocess.run([proxy.find(), *proxy.version], capture_output=True, text=True, timeout=60)
    number = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return number[0] if number else "?"


def free_ports(count: int) -> list[int]:
    """Distinct free ports: all are bound before any is released."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            listener = held.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports.append(listener.getsockname()[1])
        return ports


class Bench(contextlib.ExitStack):
    """The scratch directory and processes of one measurement; leaving it ends them all."""

    def __enter__(self):
        super().__enter__()
        # SIGTERM and SIGHUP unwind like an exception, so that no process is left over.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: sys.exit(128 + number))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        # Reset first: an earlier measurement of this process may have narrowed it.
        os.sched_setaffinity(0, {PROXY_CORE, LOAD_CORE})
        if os.sched_getaffinity(0) != {PROXY_CORE, LOAD_CORE}:
            raise Failure(f"cores {PROXY_CORE} and {LOAD_CORE} are needed, the proxy's and the load's")
        os.sched_setaffinity(0, {LOAD_CORE})
        self.run = Path(self.enter_context(tempfile.TemporaryDirectory(prefix="homing-bench-")))
        self.upstreams = free_ports(UPSTREAMS)
        return self

    def render(self, template: str, port: int | None = None) -> Path:
        values = {"RUN": str(self.run), "PORT": str(port)}
        values |= {f"UPSTREAM_{n}": str(upstream) for n, upstream in enumerate(self.upstreams, 1)}
        text = (HERE / "configs" / template).read_text()
        config = self.run / Path(template).name
        config.write_text(re.sub(r"@([A-Z_0-9]+)@", lambda found: values[found[1]], text))
        return config

    def start(self, name: str, command: list[str], ports: list[int], core: int, **environment: str) -> subprocess.Popen:
        """Starts `command` on one core and waits until each of `ports` answers 200."""
        log = self.run / f"{name}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.run,
                env=os.environ | {"HOME": str(self.run)} | environment, start_new_session=True,
            )
        self.callback(stop, process)
        deadline = time.monotonic() + READY_SECONDS
        for port in ports:
            while not answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    state = "ended" if process.poll() is not None else "does not answer 200"
                    raise Failure(f"{name} {state}:\n{log.read_text()[-2000:]}")
                time.sleep(0.05)
        return process

    def start_proxy(self, name: str) -> tuple[subprocess.Popen, int]:
        """Starts the proxy in front of the upstreams, which must be up; its process and port."""
        proxy = PROXIES[name]
        [port] = free_ports(1)
        command = [proxy.find(), *proxy.arguments(self.render(proxy.config, port))]
        return self.start(name, command, [port], PROXY_CORE, **proxy.environment), port


def stop(process: subprocess.Popen) -> None:
    """Terminates a process; kills what is left of its session then, or after `STOP_SECONDS`."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def get(port: int, cookie: str | None = None, source: str = "127.0.0.1") -> http.client.HTTPResponse:
    """One GET on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5, source_address=(source, 0))
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={"Cookie": cookie} if cookie else {})
        response = connection.getresponse()
        response.read()
        return response


def answers(port: int) -> bool:
    try:
        return get(port).status == 200
    except (OSError, http.client.HTTPException):
        return False


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            children.setdefault(int(stat(int(entry.name))[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on: the second, in brackets, may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_us(pid: int) -> tuple[float, float]:
    """Microseconds of user and of system time that the process tree has used."""
    fields = [stat(member) for member in tree(pid)]
    return sum(int(f[11]) for f in fields) * TICK_US, sum(int(f[12]) for f in fields) * TICK_US


def busy_us(core: int) -> float:
    """Microseconds that a core was not idle, other guests of the host included."""
    line = next(line for line in open("/proc/stat") if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _iowait, *interrupts_and_steal = map(int, line.split()[1:9])
    return (user + nice + system + sum(interrupts_and_steal)) * TICK_US


def memory(pid: int) -> dict[str, int]:
    """Bytes resident in the process tree. PSS counts a page that n processes share as 1/n to each."""
    total = {"rss": 0, "pss": 0}
    for member in tree(pid):
        rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
        for key in total:
            total[key] += int(re.search(rf"^{key}:\s+(\d+) kB", rollup, re.I | re.M)[1]) * 1024
    return total


def main(measure: Callable[[], None]) -> None:
    """Runs a measurement; a failure is one message and status 1."""
    try:
        measure()
    except Failure as failure:
        sys.exit(f"{Path(sys.argv[0]).stem}: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
