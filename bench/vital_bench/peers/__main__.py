"""Measure all that is installed: ``python -m vital_bench.peers [--json FILE] [--only KEY,...] [--quick]``.

The JSON: ``machine`` (``cpu``, ``cores``, ``python``, ``platform``, ``load_before`` and ``load_after``: of one minute),
``engines`` (a list in the order of the tables, whose fields :mod:`.measure` explains), ``left_out`` (``key``, ``name``,
``package`` of what is not installed) and ``failed`` (key -> the end of what it wrote to standard error). ``quick``: whether
fewer turns were run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vital_bench.meter import cpu_name, load

from .registry import BY_KEY, Entry

QUICK = ("turns=50", "round_ms=1", "bursts=1", "patience=1")


def measured_apart(entry: Entry, options: Sequence[str] = ()) -> tuple[dict[str, Any] | None, str]:
    """The figures of one engine out of a process of its own; None and what it complained of, if it failed."""
    command = [sys.executable, "-m", f"{__package__}.measure", entry.key, *options]
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env={**os.environ, **path}, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        return None, done.stderr[-2000:]
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures, ""


def report(entries: Sequence[Entry], *, quick: bool = False) -> dict[str, Any]:
    """Measure those of *entries* that are installed, one after another."""
    machine = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "load_before": load(),
    }
    engines, failed = [], {}
    for entry in entries:
        if not entry.installed:
            continue
        print(f"measuring {entry.name} ...", file=sys.stderr, flush=True)
        facts, complaint = measured_apart(entry, QUICK if quick else ())
        if facts is None:
            failed[entry.key] = complaint
        else:
            engines.append(facts)
    return {
        "machine": {**machine, "load_after": load()},
        "quick": quick,
        "engines": engines,
        "left_out": [{"key": e.key, "name": e.name, "package": e.package} for e in entries if not e.installed],
        "failed": failed,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m vital_bench.peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--only", default=",".join(BY_KEY), help="keys, with commas: " + ", ".join(BY_KEY))
    parser.add_argument("--quick", action="store_true", help="few turns: whether it runs, not how fast")
    options = parser.parse_args()
    found = report([BY_KEY[key] for key in options.only.split(",")], quick=options.quick)
    from vital_bench.page import peers_page  # not before the engines are measured: it loads ours

    print(peers_page(found))
    for key, complaint in found["failed"].items():
        print(f"\n{key} failed:\n{complaint}", file=sys.stderr)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
