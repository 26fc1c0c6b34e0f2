"""Metrics that are worked out when somebody scrapes, from numbers that were recorded once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from vital_engine.flow import broken_observers

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
        yield HistogramMetricFamily(self._name, self._documentation, labels=tuple(self._labels))

    def collect(self) -> Iterator[Metric]:
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
        yield CounterMetricFamily(self.name, self.documentation)

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(self.name, self.documentation, value=sum(broken_observers.values()))
