"""Compares sticky proxies under load. `compare.sh` prepares the programs and calls this."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import harness
from harness import Bench, Failure

CONNECTIONS = 64
CLIENTS = 64
WARM_UP_SECONDS = 1
REFERENCE = "nginx"
NOISE = 0.05


class Subject:
    """One running proxy, the clients that know it, and what was measured of it."""

    def __init__(self, bench: Bench, name: str):
        self.name = name
        self.process, self.port = bench.start_proxy(name)
        self.clients = self.meet()
        self.cookies = bench.run / f"{name}.cookies"
        self.cookies.write_text("".join(f"{client['cookie']}\n" for client, _ in self.clients if "cookie" in client))
        self.rounds: list[dict] = []

    def meet(self) -> list[tuple[dict, str]]:
        """First requests of new clients: what tells each apart, and the upstream it got."""
        clients = []
        for n in range(CLIENTS):
            # ip_hash sees the first three bytes of an address, so they are what must differ.
            client = {} if harness.PROXIES[self.name].sets_cookie else {"source": f"127.0.{n}.1"}
            response = harness.get(self.port, **client)
            if not client:
                header = response.getheader("Set-Cookie")
                if header is None:
                    raise Failure(f"{self.name} set no cookie on a first response")
                client = {"cookie": header.partition(";")[0]}
            clients.append((client, self.upstream(response)))
        if len({upstream for _, upstream in clients}) < 2:
            raise Failure(f"{self.name} sent all of {CLIENTS} new clients to one upstream")
        return clients

    def upstream(self, response) -> str:
        upstream = response.getheader("X-Upstream")
        if response.status != 200 or upstream is None:
            raise Failure(f"{self.name} answered {response.status}, X-Upstream: {upstream}")
        return upstream

    def check_sticky(self) -> None:
        for client, pinned in self.clients:
            got = self.upstream(harness.get(self.port, **client))
            if got != pinned:
                raise Failure(f"{self.name} moved a client from upstream {pinned} to {got}: {client}")

    def load(self, seconds: int) -> dict:
        """One run of wrk: its figures, and what the proxy used meanwhile."""
        busy = harness.busy_us(harness.PROXY_CORE)
        user, system = harness.cpu_us(self.process.pid)
        wrk = subprocess.run(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(harness.HERE / "wrk.lua"),
             f"http://127.0.0.1:{self.port}/", "--", str(self.cookies)],
            capture_output=True, text=True,
        )
        user_after, system_after = harness.cpu_us(self.process.pid)
        busy = harness.busy_us(harness.PROXY_CORE) - busy
        if wrk.returncode != 0:
            raise Failure(f"wrk failed against {self.name}:\n{wrk.stdout}{wrk.stderr}")
        seen = json.loads(wrk.stdout.splitlines()[-1])
        if seen["bad_status"] or seen["socket_errors"] or not seen["requests"]:
            raise Failure(f"{self.name} failed requests under load: {seen}")
        requests, duration = seen["requests"], seen["duration_us"]
        used = user_after - user, system_after - system
        return {
            "requests_per_second": requests * 1e6 / duration,
            "cpu_us": sum(used) / requests,
            "cpu_user_us": used[0] / requests,
            "cpu_system_us": used[1] / requests,
            "core_busy": sum(used) / duration,
            "core_taken_by_others": max(0, busy - sum(used)) / duration,
            "p50_us": seen["p50_us"],
            "p99_us": seen["p99_us"],
            **harness.memory(self.process.pid),
        }


def summary(rounds: list[dict], reference: list[dict] | None) -> dict:
    """Medians over the rounds, and of each round's ratio to the reference in that round."""
    result = {"rounds": rounds, "median": {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}}
    if reference:
        result["ratio"] = {}
        for key in ("requests_per_second", "cpu_us", "p50_us", "p99_us", "rss", "pss"):
            ratios = [ours[key] / theirs[key] for ours, theirs in zip(rounds, reference, strict=True)]
            result["ratio"][key] = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
    return result


def table(proxies: dict[str, dict]) -> str:
    def ratio(result: dict, key: str) -> str:
        if "ratio" not in result:
            return "–"
        return "{median:.2f} ({min:.2f}–{max:.2f})".format(**result["ratio"][key])

    lines = [
        f"| Proxy | Requests/s | × {REFERENCE} | CPU µs a request (user + system) | × {REFERENCE} | Core busy "
        "| p50 ms | p99 ms | RSS MiB | PSS MiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, result in proxies.items():
        m = result["median"]
        lines.append(
            f"| {name} {result['version']} | {m['requests_per_second']:,.0f} | {ratio(result, 'requests_per_second')} "
            f"| {m['cpu_us']:.1f} ({m['cpu_user_us']:.1f} + {m['cpu_system_us']:.1f}) | {ratio(result, 'cpu_us')} "
            f"| {m['core_busy']:.0%} | {m['p50_us'] / 1e3:.2f} | {m['p99_us'] / 1e3:.2f} "
            f"| {m['rss'] / 2**20:.1f} | {m['pss'] / 2**20:.1f} |"
        )
    return "\n".join(lines)


def compare() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("proxies", nargs="+")
    args = parser.parse_args()
    if args.rounds < 1 or args.seconds < 1:
        raise Failure("ROUNDS and SECONDS are at least 1")
    names = harness.select(args.proxies)

    with Bench() as bench:
        upstreams = harness.PROXIES["nginx"]
        config = bench.render("upstreams.conf")
        bench.start("upstreams", [upstreams.find(), *upstreams.arguments(config)], bench.upstreams, harness.LOAD_CORE)
        subjects = [Subject(bench, name) for name in names]
        for subject in subjects:
            subject.check_sticky()
            subject.load(WARM_UP_SECONDS)
        for number in range(args.rounds):
            first = number % len(subjects)
            for subject in subjects[first:] + subjects[:first]:
                subject.rounds.append(subject.load(args.seconds))
        for subject in subjects:
            subject.check_sticky()

    reference = next((subject.rounds for subject in subjects if subject.name == REFERENCE), None)
    proxies = {s.name: {"version": harness.version(s.name), **summary(s.rounds, reference)} for s in subjects}
    report = {
        "kernel": platform.release(),
        "processor": next(
            (line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?"),
        "cores": os.cpu_count(),
        "connections": CONNECTIONS,
        "seconds": args.seconds,
        "reference": REFERENCE,
        "proxies": proxies,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(report, indent=2) + "\n")
    print(table(proxies))
    for name, result in proxies.items():
        if (others := result["median"]["core_taken_by_others"]) > NOISE:
            print(f"{name}: others took {others:.0%} of its core, repeat this on a quiet machine", file=sys.stderr)


if __name__ == "__main__":
    harness.main(compare)
