"""Every metric, registered in :data:`registry`: the six parallel ones, and the ``vital_`` ones in base units.

Names and units follow the Prometheus conventions (https://prometheus.io/docs/practices/naming/), except for the
six, whose names are fixed. A duration is recorded once, in seconds; what is shown in milliseconds is derived from
it (:class:`View`). A series exists from the first time that it is fed: no value stands for "unknown".

A label never holds a tenant, a user, a question or a run id. Labels are taken from closed sets; what stands outside of one is
either folded into ``other`` (foreign step names) or refused and counted (all else); see :mod:`.track`.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from vital_engine.flow import KINDS, abandoned, broken_observers
from vital_engine.turn.plan import BY_NAME
from vital_engine.turn.plan import TIERS as PLANNED_TIERS

TIERS: Final = tuple(PLANNED_TIERS)
MODES: Final = ("1", "2", "3", "4")
STEPS: Final = frozenset(BY_NAME)
STATUSES: Final = ("complete", "paused", "partial", "failed", "cancelled")
OUTCOMES: Final = (*KINDS, "unknown")
DECISIONS: Final = ("approved", "edited", "rejected", "expired")
DECIDERS: Final = ("person", "policy", "nobody")
DISCARDED: Final = ("copy", "fallback")
TOKEN_CLASSES: Final = ("input", "cached", "output", "reasoning", "estimated_input", "estimated_output")
PROVIDER_KINDS: Final = ("extractive", "embedded", "cache", "scripted", "api", "unknown")
SUGGESTIONS: Final = ("proposed", "unknown_tool", "invalid_arguments", "failed")
CACHES: Final = ("retrieval", "embedding", "suggestions", "answer")
CACHE_OUTCOMES: Final = ("hit", "miss", "shared")

#: Providers that run inside the engine, as their pieces name them; any other named provider is an ``api``.
_INSIDE: Final = {"vital": "extractive", "llama.cpp": "embedded", "scripted": "scripted", "cache": "cache"}


def one_of(value: object, allowed: Collection[str]) -> str:
    """*value* as a label.

    :raises ValueError: it is not one of *allowed*.
    """
    label = str(value)
    if label not in allowed:
        raise ValueError(f"{label!r} is not a known label value")
    return label


def step_label(name: str) -> str:
    """The step's own name if it is one of ours, else ``other``."""
    return name if name in STEPS else "other"


def provider_kind(provider: str) -> str:
    """Where the model ran: ``api`` is outside the engine, ``scripted`` is no model at all."""
    return _INSIDE.get(provider, "api") if provider else "unknown"


#: Buckets of steps and tiers, in seconds: 5 ms to 10 s, closer where the steps of a turn usually end.
STEP_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0)
#: Buckets of whole turns and of the first token, in seconds.
TURN_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0)
#: Buckets of the loop's blocks, in seconds; nothing below the watchdog's threshold is recorded.
BLOCK_SECONDS: Final = (0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: How many of the latest executions of a tier the success rate speaks of.
SUCCESS_WINDOW: Final = 100

MILLISECONDS: Final = 1000.0


class View:
    """A histogram shown under another name: with fewer labels, summed over the others, or in another unit.

    :param labels: label shown -> label of *source*.
    :param scale: what bucket bounds and the sum are multiplied with; :data:`MILLISECONDS` for a source in seconds.
    """

    def __init__(
        self,
        source: Histogram,
        name: str,
        documentation: str,
        *,
        labels: Mapping[str, str],
        registry: CollectorRegistry,
        scale: float = 1.0,
    ) -> None:
        self._source, self._name, self._documentation = source, name, documentation
        self._labels, self._scale = dict(labels), scale
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Implements ``Collector.describe`` of prometheus_client."""
        yield HistogramMetricFamily(self._name, self._documentation, labels=tuple(self._labels))

    def collect(self) -> Iterator[Metric]:
        """Implements ``Collector.collect`` of prometheus_client."""
        buckets: dict[tuple[str, ...], dict[float, float]] = {}
        sums: dict[tuple[str, ...], float] = {}
        for family in self._source.collect():
            for sample in family.samples:
                if not sample.name.endswith(("_bucket", "_sum")):
                    continue
                key = tuple(sample.labels[of] for of in self._labels.values())
                if sample.name.endswith("_sum"):
                    sums[key] = sums.get(key, 0.0) + sample.value
                else:
                    counts, bound = buckets.setdefault(key, {}), float(sample.labels["le"])
                    counts[bound] = counts.get(bound, 0.0) + sample.value
        shown = HistogramMetricFamily(self._name, self._documentation, labels=tuple(self._labels))
        for key, counts in buckets.items():
            rows = [(_bound(bound * self._scale), count) for bound, count in sorted(counts.items())]
            shown.add_metric(key, buckets=rows, sum_value=sums[key] * self._scale)
        yield shown


def _bound(value: float) -> str:
    """A bucket's bound as the text format writes it; rounded, so that 0.3 s are 300.0 ms and not almost."""
    return "+Inf" if value == math.inf else str(round(value, 6))


class BrokenObservers:
    """``vital_broken_observers_total``, read from where :mod:`vital_engine.flow` counts them."""

    name: Final = "vital_broken_observers"
    documentation: Final = "Times that an observer of a flow raised. It broke no turn; the log names it."

    def __init__(self, registry: CollectorRegistry) -> None:
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Implements ``Collector.describe`` of prometheus_client."""
        yield CounterMetricFamily(self.name, self.documentation)

    def collect(self) -> Iterator[Metric]:
        """Implements ``Collector.collect`` of prometheus_client."""
        yield CounterMetricFamily(self.name, self.documentation, value=sum(broken_observers.values()))


registry = CollectorRegistry()

# -- the six
tier_duration = Histogram(
    "vital_tier_duration_seconds",
    "From the start of a tier's first step until its last step settled.",
    ("tier", "mode"),
    buckets=STEP_SECONDS,
    registry=registry,
)
View(
    tier_duration,
    "parallel_execution_duration_ms",
    "From the start of a tier's first step until its last step settled, in milliseconds.",
    labels={"tier": "tier", "mode": "mode"},
    scale=MILLISECONDS,
    registry=registry,
)
step_duration = Histogram(
    "vital_step_duration_seconds",
    "Recorded once, by step, mode and outcome; shown by the two views below.",
    ("step", "mode", "outcome"),
    buckets=STEP_SECONDS,
    registry=None,
)
View(
    step_duration,
    "parallel_task_duration_ms",
    "A step's own work in milliseconds, without its wait for another step's stream. Only steps that ran.",
    labels={"task_name": "step", "mode": "mode"},
    scale=MILLISECONDS,
    registry=registry,
)
task_failures = Counter(
    "parallel_task_failures_total",
    "Steps that did not make their own product, by reason code.",
    ("task_name", "failure_type", "mode"),
    registry=registry,
)
speedup_ratio = Gauge(
    "parallel_speedup_ratio",
    "The latest execution of the tier: seconds of its steps' own work per second of its duration; 1 is one after another.",
    ("tier", "mode"),
    registry=registry,
)
execution_timeouts = Counter(
    "parallel_execution_timeouts_total",
    "Executions of a tier in which at least one step ran into a limit (timeout or abandoned).",
    ("tier", "mode"),
    registry=registry,
)
success_rate = Gauge(
    "parallel_execution_success_rate",
    f"Share (0 to 1) of the latest {SUCCESS_WINDOW} executions of the tier in which every step made its own product.",
    ("tier", "mode"),
    registry=registry,
)

# -- steps and tiers, in base units
View(
    step_duration,
    "vital_step_duration_seconds",
    "A step's own work, without its wait for another step's stream. Only steps that ran.",
    labels={"step": "step", "outcome": "outcome"},
    registry=registry,
)
tier_wait = Histogram(
    "vital_tier_wait_seconds",
    "What a turn waited for a tier: the part of its duration in which the model did not run beside it.",
    ("tier", "mode"),
    buckets=STEP_SECONDS,
    registry=registry,
)
skipped_steps = Counter(
    "vital_steps_skipped_total",
    "Steps whose product was known before, or that lost what they need and had no fallback.",
    ("step", "because"),
    registry=registry,
)
late_results = Counter(
    "vital_late_results_total",
    "Abandoned steps that ended after all; what they made was thrown away.",
    ("step",),
    registry=registry,
)
hedges = Counter(
    "vital_hedges_total",
    "Late calls of hedged steps, by what became of the copy, or why none was sent.",
    ("step", "outcome"),
    registry=registry,
)
discarded_tokens = Counter(
    "vital_discarded_tokens_total",
    "Input and output tokens of model calls whose words are not part of an answer, by why.",
    ("why",),
    registry=registry,
)
prefilled_tokens = Counter(
    "vital_prefilled_tokens_total",
    "Prompt tokens that a model's server computed while the rest of the prompt was still being gathered.",
    registry=registry,
)
abandoned_steps = Gauge(
    "vital_abandoned_steps", "Steps that ignored their cancellation and still run.", registry=registry
)
abandoned_steps.set_function(lambda: len(abandoned))

# -- turns
turns = Counter("vital_turns_total", "Turns that ended, by mode and status.", ("mode", "status"), registry=registry)
turn_duration = Histogram(
    "vital_turn_duration_seconds",
    "From the question until all of the answer, its citations and its cost were there.",
    ("mode", "status"),
    buckets=TURN_SECONDS,
    registry=registry,
)
first_token = Histogram(
    "vital_time_to_first_token_seconds",
    "From the question until the answer's first token.",
    ("mode", "provider_kind"),
    buckets=TURN_SECONDS,
    registry=registry,
)
turns_in_flight = Gauge("vital_turns_in_flight", "Turns that run now.", registry=registry)
degraded_turns = Counter(
    "vital_degraded_turns_total",
    "Turns that went on with the fallback of a step, by reason code.",
    ("step", "reason"),
    registry=registry,
)
approvals = Counter(
    "vital_approvals_total",
    "Proposed tool calls of turns that ended, by what was decided on them and by whom.",
    ("mode", "decision", "by"),
    registry=registry,
)
tokens = Counter(
    "vital_tokens_total",
    "Tokens of paid calls. The classes do not overlap; estimated ones were not reported by the model's server.",
    ("class",),
    registry=registry,
)
cost = Counter(
    "vital_cost_usd_total",
    "US dollars of all calls whose price is known; a lower bound while vital_unpriced_turns_total grows.",
    registry=registry,
)
unpriced_turns = Counter(
    "vital_unpriced_turns_total", "Turns with at least one call whose price is not known.", registry=registry
)
caches = Counter(
    "vital_cache_total",
    "Questions to a cache: known from before (hit), worked out (miss), or waited for while another did (shared).",
    ("cache", "outcome"),
    registry=registry,
)

suggestions = Counter(
    "vital_tool_suggestions_total",
    "Tool calls that a model suggested: proposed, or dropped (no such tool, invalid arguments); failed: it gave no answer.",
    ("outcome",),
    registry=registry,
)

# -- the process and the monitoring itself
loop_blocked = Histogram(
    "vital_loop_blocked_seconds",
    "Blocks of the event loop that were longer than the watchdog's threshold.",
    buckets=BLOCK_SECONDS,
    registry=registry,
)
tracking_errors = Counter(
    "vital_tracking_errors_total",
    "Calls of a tracking function whose values could not be recorded (unknown label, impossible number).",
    ("function",),
    registry=registry,
)
dropped_records = Counter(
    "vital_log_records_dropped_total", "Log records lost because the writer could not keep up.", registry=registry
)
BrokenObservers(registry)


def _version() -> str:
    try:
        return version("vital-engine")
    except PackageNotFoundError:  # run from a tree that was never installed
        return "unknown"


Info("vital_build", "The running build.", registry=registry).info(
    {"version": _version(), "python": platform.python_version()}
)
ProcessCollector(registry=registry)
PlatformCollector(registry=registry)
GCCollector(registry=registry)


class _WithoutCreated:
    """The registry without ``_created`` samples, which the plain text format would show as metrics of their own."""

    def collect(self) -> Iterator[Metric]:
        for family in registry.collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family


def render(accept: str = "") -> tuple[bytes, str]:
    """All metrics as text, and its content type. Tens of milliseconds where all series exist: call it in a thread.

    :param accept: the scraper's ``Accept`` header; it may ask for OpenMetrics.
    """
    encode, content_type = choose_encoder(accept)
    return encode(_WithoutCreated()), content_type
