"""What stands around the figures: what was run and where, what is assumed, what is simulated, how to run it oneself."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vital_engine import __version__
from vital_engine.bench.durations import LATE_SHARES, Durations
from vital_engine.bench.measure import LIMITS
from vital_engine.bench.oracle import SOURCE
from vital_engine.bench.repeats import CHANGE, QUESTIONS, SKEW, TOUCHED, VERSION_SECONDS
from vital_engine.bench.report import Report
from vital_engine.bench.workloads import SIGMA

from .markdown import ms, share, table

PACKAGES = ("numpy", "langgraph", "uvloop", "matplotlib")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where and when a report was made. ``load``: the machine's load of one minute when it began; nan: unknown."""

    date: str
    cpu: str
    cores: int
    platform: str
    python: str
    load: float
    versions: Mapping[str, str]

    @classmethod
    def here(cls, date: str) -> Surroundings:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        system = f"{platform.system()} {platform.machine()}"
        return cls(date, _cpu(), os.cpu_count() or 1, system, platform.python_version(), load, _versions())


def _cpu() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> Mapping[str, str]:
    known = {"vital-engine": __version__}
    for name in PACKAGES:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            known[name] = "not installed"
    return known


def run_section(report: Report, around: Surroundings) -> Iterator[str]:
    turns: dict[str, int] = {}
    for figure in report.figures:
        if figure.name == "turns":
            family = figure.workload.split()[0]
            turns[family] = max(turns.get(family, 0), int(figure.value))
    counted = ", ".join(f"{family} {many:,}" for family, many in turns.items())
    yield "## What was run"
    yield table(("", ""), [
        ("date", around.date),
        ("machine", f"{around.cpu}, {around.cores} cores, {around.platform}; load {around.load:.1f} when it began"),
        ("versions", ", ".join([f"Python {around.python}", *(f"{name} {which}" for name, which in around.versions.items())])),
        ("seed", str(report.seed)),
        ("turns of each variant", counted),
    ], left=2)  # fmt: skip
    yield (
        "*lossless*: every word is made of what the turn found. *cached*: something was known from an earlier turn. "
        "A turn's time begins when the question is asked."
    )


def assumptions_section() -> Iterator[str]:
    d = Durations()
    late = ", ".join(f"{share(part, 0)} {name}" for name, part in LATE_SHARES.items())
    spread = ", ".join(f"{step} {sigma:g}" for step, sigma in SIGMA.items())
    waits = ", ".join(f"{segment} for {step}" for segment, step in SOURCE.items())
    yield "## What is assumed"
    yield "\n".join((
        f"- The seed profile: retrieve {ms(d.retrieve, 0)}, suggest {ms(d.suggest, 0)}, recall {ms(d.recall, 0)}; model {ms(d.reply, 0)}; cite {ms(d.cite, 0)}, assess {ms(d.assess, 0)}, tally {ms(d.tally, 0)} ms; {d.tokens} evenly spaced tokens in {d.sentences} sentences. A review costs its time evenly over the sentences.",
        f"- Where durations are drawn: lognormal around these medians; sigma: {spread}.",
        f"- The model's server reads a prompt segment by segment, and not again what it has read; the segments wait: {waits}. The part that is not known when a turn begins is {late}. Two requests that read the same at the same time both pay; reading ahead takes no slot.",
        f"- An input that has not come after {LIMITS['retrieve']:g} s is done without: the engine's own default.",
        "- Every second turn proposes a tool that writes.",
        f"- W7: {QUESTIONS:,} questions by Zipf's law, exponent {SKEW:g}; the documents change before {share(CHANGE, 0)} of the turns, and each time the passages of {share(TOUCHED, 0)} of the questions; asking for their version takes {ms(VERSION_SECONDS, 0)} ms.",
    ))  # fmt: skip


def honesty_section() -> Iterator[str]:
    yield "## What is simulated, and what is real"
    yield (
        "Simulated: the services (retrieval, tools, memory, model, reviews) of W1, W1b, W2, W3, W6 and W7, in "
        "virtual time, from draws that are a function of (seed, turn, step, attempt): every engine meets the same luck, and the "
        "figures are the same to the digit on every machine. They cannot show CPU time, networks, or a real server's habits.\n\n"
        "Real: the engine itself, all of it, in every row that is not called asyncio; its cost; the other engines; the check "
        "against a real clock; and, where the section is there, the real stack. These depend on the machine and on what else it does."
    )


def how_section() -> Iterator[str]:
    yield "## Run it yourself"
    yield "```console\nmake bench     # all of this page, from an environment that it sets up\n```"
    yield (
        "Parts of it: `vital bench --report DIR --turns 2000 --seed 7`, `python -m bench.peers --json FILE`, "
        "`python -m bench.real_stack --data DIR --json FILE`. Every figure of the simulation stands in `figures.json` beside this "
        "page; `vital bench --workload W2 --rows FILE` writes every turn. How it is measured: [the benchmark](../benchmark.md)."
    )
