"""Kills instances behind sticky proxies. `faults.sh` prepares the programs and calls this."""

import argparse
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import harness
from harness import Bench, Failure

PROXIES = ["haproxy", "caddy", "homing"]
CONNECTIONS = 128
RATE = 3000

COLUMNS = {
    "failed_gets": "Failed GETs",
    "failed_posts": "Failed POSTs",
    "repeated_posts": "POSTs run twice",
    "bereft": "Sessions of the dead",
    "moved_once": "moved once",
    "moved_again": "moved again",
    "strayed": "Moved from the living",
    "longest_ms": "Longest wait, ms",
}


def kill(name: str, sessions: int, kills: int) -> dict:
    """One run: the proxy on a core of its own, the driver and the instances on the other."""
    with Bench() as bench:
        proxy = harness.PROXIES[name]
        [port] = harness.free_ports(1)
        config = bench.render(f"faults/{proxy.config}", port)
        command = [
            harness.TARGET / "dist/examples/faults", "kills", "--front", f"127.0.0.1:{port}",
            "--sessions", sessions, "--connections", CONNECTIONS, "--rate", RATE, "--times", kills,
        ]
        for upstream in bench.upstreams:
            command += ["--instance", f"127.0.0.1:{upstream}"]
        environment = [f"{key}={value}" for key, value in proxy.environment.items()]
        command += ["--", "env", f"HOME={bench.run}", *environment, "taskset", "-c", harness.PROXY_CORE]
        command += [proxy.find(), *proxy.arguments(config)]
        log = bench.run / f"{name}.log"
        with log.open("w") as output:
            run = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output,
                text=True, start_new_session=True,
            )
            bench.callback(harness.stop, run)
            said, _ = run.communicate()
        if run.returncode != 0:
            raise Failure(f"the driver failed in front of {name}:\n{log.read_text()[-3000:]}")
        return json.loads(said.splitlines()[-1])


def table(proxies: dict[str, dict]) -> str:
    lines = ["| Proxy | Visits | " + " | ".join(COLUMNS.values()) + " |", "|---|" + "--:|" * (len(COLUMNS) + 1)]
    for name, result in proxies.items():
        figures = [f"{result['median'][key]:,.0f}" for key in ["visits", *COLUMNS]]
        lines.append(f"| {name} {result['version']} | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def compare() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("proxies", nargs="+")
    args = parser.parse_args()
    if min(args.rounds, args.sessions, args.kills) < 1:
        raise Failure("ROUNDS, SESSIONS and KILLS are at least 1")
    if unknown := set(args.proxies) - set(PROXIES):
        raise Failure(f"no such proxy: {', '.join(sorted(unknown))} (there are {', '.join(PROXIES)})")
    names = harness.select(args.proxies)

    rounds: dict[str, list[dict]] = {name: [] for name in names}
    for number in range(args.rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seen = kill(name, args.sessions, args.kills)
            if seen["wrong"]:
                print(f"{name}: {seen['wrong']} answers looked whole and were not: {seen['examples']}", file=sys.stderr)
            rounds[name].append(seen)

    proxies = {
        name: {
            "version": harness.version(name),
            "rounds": seen,
            "median": {key: statistics.median(run[key] for run in seen) for key in ["visits", *COLUMNS]},
        }
        for name, seen in rounds.items()
    }
    report = {
        "kernel": platform.release(), "sessions": args.sessions, "kills": args.kills, "rate": RATE,
        "connections": CONNECTIONS, "proxies": proxies,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(report, indent=2) + "\n")
    print(table(proxies))


if __name__ == "__main__":
    harness.main(compare)
