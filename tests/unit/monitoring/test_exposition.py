"""What a scraper reads: the six fixed names, their types, labels and buckets; and that the docs name every metric."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

import vital_engine.monitoring as monitoring
from vital_engine.monitoring import (
    registry,
    render,
    track_parallel_execution,
    track_parallel_task_duration,
    track_parallel_task_failure,
    track_parallel_timeout,
)
from vital_engine.monitoring.metrics import STEP_SECONDS, TURN_SECONDS

DOCS = Path(__file__).parents[3] / "docs" / "monitoring.md"

SIX = {
    "parallel_execution_duration_ms": ("histogram", {"tier", "mode"}),
    "parallel_task_failures": ("counter", {"task_name", "failure_type", "mode"}),
    "parallel_speedup_ratio": ("gauge", {"tier", "mode"}),
    "parallel_task_duration_ms": ("histogram", {"task_name", "mode"}),
    "parallel_execution_timeouts": ("counter", {"tier", "mode"}),
    "parallel_execution_success_rate": ("gauge", {"tier", "mode"}),
}


@pytest.fixture
def families() -> dict[str, Metric]:
    track_parallel_execution("tier1", 2, seconds=0.1, speedup=2.0, succeeded=True)
    track_parallel_task_failure("retrieve", "timeout", 2)
    track_parallel_task_duration("retrieve", 2, 0.1)
    track_parallel_timeout("tier1", 2)
    return {f.name: f for f in text_string_to_metric_families(render()[0].decode())}


@pytest.mark.parametrize("name", SIX)
def test_the_six(families: dict[str, Metric], name: str) -> None:
    family = families[name]
    kind, labels = SIX[name]
    assert family.type == kind
    assert family.samples
    suffix = {"counter": {"_total"}, "gauge": {""}, "histogram": {"_bucket", "_count", "_sum"}}[kind]
    assert {s.name.removeprefix(name) for s in family.samples} == suffix
    for sample in family.samples:
        assert set(sample.labels) - {"le"} == labels


@pytest.mark.parametrize("name", ["parallel_execution_duration_ms", "parallel_task_duration_ms"])
def test_buckets_in_milliseconds_cover_10_ms_to_10_s(families: dict[str, Metric], name: str) -> None:
    bounds = {float(s.labels["le"]) for s in families[name].samples if "le" in s.labels}
    assert bounds == {round(b * 1000, 6) for b in STEP_SECONDS} | {float("inf")}
    assert {10.0, 10_000.0} <= bounds


def test_a_gauge_of_a_tier_that_never_ran_is_not_shown_as_nought(families: dict[str, Metric]) -> None:
    shown = {tuple(s.labels.values()) for s in families["parallel_speedup_ratio"].samples}
    durations = families["parallel_execution_duration_ms"].samples
    ran = {tuple(s.labels.values()) for s in durations if s.name.endswith("_count") and s.value}
    assert shown <= ran


def test_counters_that_rules_watch_begin_at_nought(families: dict[str, Metric]) -> None:
    assert len(families["parallel_execution_timeouts"].samples) == 8


def test_nothing_but_metrics_is_shown() -> None:
    text, content_type = render()
    assert content_type.startswith("text/plain")
    assert b"_created" not in text


def test_openmetrics_on_request() -> None:
    text, content_type = render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text") and text.endswith(b"# EOF\n")


def test_no_label_can_hold_a_person_or_a_run() -> None:
    names = {label for f in registry.collect() for s in f.samples for label in s.labels}
    assert not names & {"tenant", "user", "question", "query", "run_id", "conversation"}


def test_every_metric_is_in_the_docs() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for family in registry.collect():
        shown = {"counter": "_total", "info": "_info"}.get(family.type, "")
        assert f"`{family.name}{shown}`" in text, f"{family.name}{shown} is not in docs/monitoring.md"


def test_the_buckets_are_in_the_docs() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for buckets in (STEP_SECONDS, TURN_SECONDS):
        assert ", ".join(f"{b:g}" for b in buckets) in text


def test_the_door() -> None:
    assert all(getattr(monitoring, name) is not None for name in monitoring.__all__)
    with pytest.raises(AttributeError):
        _ = monitoring.nothing_of_that_name
    assert {
        "registry",
        "render",
        "prometheus",
        "track_parallel_execution",
        "track_parallel_task_duration",
        "track_parallel_task_failure",
        "track_parallel_timeout",
        "track_turn",
    } <= set(monitoring.__all__)
