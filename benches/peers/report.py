#!/usr/bin/env python3
"""Turns what criterion measured into Markdown: times, and ratios of each peer to what Homing has for the same task.

Run it after `cargo bench`, in any directory: `./report.py [target directory]`.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

# What stands beside a peer: the policy alone beside a data structure, a whole pick beside a whole selection.
BESIDE = {
    "pingora-load-balancing, ketama": "homing ketama",
    "pingora-load-balancing, FNV": "homing hash",
    "pingora-load-balancing, round robin": "homing round_robin",
    "pingora-load-balancing, random": "homing random",
    "tower, p2c": "homing p2c",
    "pingora-ketama": "homing ketama, policy alone",
    "hashring": "homing ketama, policy alone",
    "conhash": "homing ketama, policy alone",
    "maglev": "homing maglev, policy alone",
    "anchorhash": "homing rendezvous, policy alone",
    "fliphash": "homing rendezvous, policy alone",
    "hrw-hash": "homing rendezvous, policy alone",
}

Times = dict[str, dict[int, float]]


def measured(criterion: Path) -> dict[str, Times]:
    """Medians in nanoseconds by task, name and number of upstreams."""
    tasks: dict[str, Times] = defaultdict(lambda: defaultdict(dict))
    for path in criterion.glob("*/*/new/benchmark.json"):
        benchmark = json.loads(path.read_text())
        estimates = json.loads(path.with_name("estimates.json").read_text())
        task, _, size = benchmark["group_id"].partition("/")
        tasks[task][benchmark["function_id"]][int(size)] = estimates["median"]["point_estimate"]
    return tasks


def duration(ns: float | None) -> str:
    if ns is None:
        return "–"
    for unit, scale in (("ns", 1), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)):
        if ns < 999.5 * scale or unit == "s":
            value = ns / scale
            return f"{value:.0f} {unit}" if value >= 99.5 else f"{value:.1f} {unit}"
    raise AssertionError("seconds take all that is left")


def ratio(theirs: float | None, own: float | None) -> str:
    if theirs is None or own is None:
        return "–"
    times = theirs / own
    return f"{times:.1f}" if times >= 0.95 else f"{times:.2f}" if times >= 0.005 else "<0.01"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def times(names: Times, sizes: list[int]) -> str:
    order = sorted(names, key=lambda name: (not name.startswith("homing"), name))
    return table(
        ["median", *(f"N={size}" for size in sizes)],
        [[name, *(duration(names[name].get(size)) for size in sizes)] for name in order],
    )


def ratios(names: Times, sizes: list[int]) -> str:
    """How many times as long each peer takes; below 1 it is the faster."""
    rows = []
    for peer, ours in BESIDE.items():
        # Alone a policy is never updated: that is the balancer's to do, and includes its cluster.
        ours = ours if ours in names else ours.removesuffix(", policy alone")
        if peer in names and ours in names:
            both = [(names[peer].get(size), names[ours].get(size)) for size in sizes]
            rows.append([peer, ours, *(ratio(theirs, own) for theirs, own in both)])
    return table(["peer", "beside", *(f"N={size}" for size in sizes)], rows)


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "target"
    tasks = measured(target / "criterion")
    if not tasks:
        sys.exit(f"nothing was measured below {target}: run `cargo bench` first")
    for task, title in (("select", "A key's upstream"), ("update", "One upstream out and in again")):
        names = tasks.get(task, {})
        sizes = sorted({size for by_size in names.values() for size in by_size})
        print(f"### {title}\n\n{times(names, sizes)}\n\nTimes as long as Homing:\n\n{ratios(names, sizes)}\n")


if __name__ == "__main__":
    main()
