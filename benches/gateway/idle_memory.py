#!/usr/bin/env python3
"""What an idle client costs a proxy in memory: keep-alive connections, and WebSockets."""

import argparse
import contextlib
import json
import resource
import socket
import sys
import time
from pathlib import Path
from typing import Callable

import harness
from harness import Bench, Failure
from idle_upstream import accept

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
)
PING = b"\x89\x84\x01\x02\x03\x04hold"

SETTLE_SECONDS = 0.5


def exchange(client: socket.socket, sent: bytes, complete: Callable[[bytes], bool]) -> bytes:
    client.sendall(sent)
    got = b""
    while not complete(got):
        data = client.recv(4096)
        if not data:
            raise Failure(f"the proxy closed a connection after {got!r}")
        got += data
    return got


def keep_alive(client: socket.socket) -> None:
    answer = exchange(client, GET, lambda got: got.endswith(b"\r\n\r\nok\n"))
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise Failure(f"a request was answered {answer!r}")


def upgrade(client: socket.socket) -> None:
    answer = exchange(client, UPGRADE, lambda got: got.endswith(b"\r\n\r\n"))
    if not answer.startswith(b"HTTP/1.1 101 ") or accept(KEY) not in answer:
        raise Failure(f"an upgrade was answered {answer!r}")


def echo(client: socket.socket) -> None:
    if exchange(client, PING, lambda got: len(got) >= len(PING)) != PING:
        raise Failure("a WebSocket carries other bytes than were sent")


# How a client of each kind opens, and how it shows later that it was open all the time.
KINDS = {"keep-alive": (keep_alive, keep_alive), "WebSocket": (upgrade, echo)}


def settled(pid: int) -> dict[str, int]:
    """The memory of a proxy once it no longer changes."""
    before, now = None, harness.memory(pid)
    while now != before:
        time.sleep(SETTLE_SECONDS)
        before, now = now, harness.memory(pid)
    return now


def hold(name: str, kind: str, count: int) -> dict:
    """Bytes a client of one kind costs one proxy, in a run of its own."""
    opens, proves = KINDS[kind]
    with Bench() as bench:
        command = [sys.executable, str(harness.HERE / "idle_upstream.py"), *map(str, bench.upstreams)]
        bench.start("upstreams", command, bench.upstreams, harness.LOAD_CORE)
        process, port = bench.start_proxy(name)
        with contextlib.ExitStack() as clients:
            before = settled(process.pid)
            held = []
            for _ in range(count):
                client = clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
                try:
                    opens(client)
                except OSError as error:
                    raise Failure(f"{name}: client {len(held) + 1} of {count}: {error}") from error
                held.append(client)
            after = settled(process.pid)
            for client in held:
                proves(client)
    return {
        "before": before,
        "after": after,
        "each": {key: (after[key] - before[key]) / count for key in after},
    }


def measure() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="clients of each kind (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=harness.TARGET / "idle-memory.json")
    parser.add_argument("proxies", nargs="*", default=["nginx", "haproxy", "homing"])
    args = parser.parse_args()
    # The proxy needs two files for a WebSocket: one for the client and one for the upstream.
    needed = 2 * args.count + 1000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < needed:
        raise Failure(f"{args.count} clients need a hard limit of {needed} open files (ulimit -Hn)")

    report = {}
    print("| Proxy | Idle client | RSS bytes each | PSS bytes each | RSS MiB before | RSS MiB after |")
    print("|---|---|--:|--:|--:|--:|")
    for name in harness.select(args.proxies):
        report[name] = {"version": harness.version(name)}
        for kind in KINDS:
            seen = report[name][kind] = hold(name, kind, args.count)
            print(
                f"| {name} {report[name]['version']} | {kind} | {seen['each']['rss']:,.0f} | {seen['each']['pss']:,.0f} "
                f"| {seen['before']['rss'] / 2**20:.1f} | {seen['after']['rss'] / 2**20:.1f} |", flush=True,
            )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"clients": args.count, "proxies": report}, indent=2) + "\n")


if __name__ == "__main__":
    harness.main(measure)
