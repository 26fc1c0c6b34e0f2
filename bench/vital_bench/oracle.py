"""The oracle: what a turn takes at least, by arithmetic alone, if the engine itself took no time.

Symbols: the prompt's segments k arrive at R_k and take p_k to read; then the model speaks for d. Reading one segment at a
time, in the order of the prompt, ends at::

    F_0 = p_0;  F_k = max(F_{k-1}, R_k) + p_k

and in no order can it end before::

    F >= max over r of ( r + sum of p_k with R_k >= r )

since whatever arrives at r or later is still to be read then (one machine with release dates). A review that reads along
has done sentence i at ``done_i = max(done_{i-1}, said_i) + c_i``. Everything here is a pure function of the durations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from .durations import INPUTS, REVIEWS, SEGMENTS, Durations

POLICIES = ("sequential", "tiers", "stream", "prefix", "segments", "any order")
"""What the arithmetic is asked to allow, each what the one before does and more. ``stream``: tier 2 reads along;
``prefix``: what is known when the turn begins is read meanwhile; ``segments``: each segment as it arrives, in the
prompt's order; ``any order``: in whichever order they come, the bound of all that loses nothing."""
SOURCE: Mapping[str, str] = {"conversation": "recall", "tools": "suggest", "evidence": "retrieve"}
"""Segment -> the step that it waits for."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Seconds until the first token, the last token, and all that is known of the answer."""

    first_token: float
    last_token: float
    total: float


def bound(d: Durations, policy: str = "any order") -> Bound:
    """The least that *policy* allows for these durations. :raises KeyError: it is none of :data:`POLICIES`."""
    asked = sum(d.inputs) if policy == "sequential" else max(d.inputs)
    read = max(_READ[policy](d, asked), asked + d.held.get("reply", 0.0))
    return _spoken(d, read, policy if policy in {"sequential", "tiers"} else "stream")


def sent_twice(
    first: Durations,
    second: Durations,
    sent: Mapping[str, float],
    again: Mapping[tuple[str, int], tuple[float, float]] = MappingProxyType({}),
    *,
    copy_spoke: bool = False,
) -> Durations:
    """The durations of a turn whose calls *sent* (step -> seconds after the first attempt) were made a second time.

    That they were sent, when, and which of two models was listened to is taken as given; of two inputs the faster counts.
    The second model has read nothing ahead.

    :param again: the same of reviews: (step, sentence) -> seconds after the first attempt, and that the second took.
    """
    inputs = {
        step: min(getattr(first, step), delay + getattr(second, step)) for step, delay in sent.items() if step in INPUTS
    }
    checks = {key: min(first.check(*key), delay + seconds) for key, (delay, seconds) in again.items()}
    both = replace(first, **inputs, checks=checks)
    if not copy_spoke:
        return both
    # It has read all of its prompt when it speaks: nothing is left to read, and nothing is said before.
    spoke = sent["reply"] + max(second.reading, second.held.get("reply", 0.0))
    held = {step: seconds for step, seconds in first.held.items() if step != "reply"} | {"reply": spoke}
    return replace(both, reply=second.speech, prefill=0.0, held=held)


def cut_off(d: Durations, limits: Mapping[str, float], lost: Iterable[str] = ()) -> Durations:
    """The durations of a turn in which an input waits no longer than its limit, and of which some steps were *lost*:
    what a lost input would have brought is not read, and a lost review is not waited for."""
    gone = set(lost)
    seconds = {step: min(getattr(d, step), limits.get(step, math.inf)) for step in INPUTS}
    seconds |= dict.fromkeys(gone.intersection(REVIEWS), 0.0)
    held = {step: at for step, at in d.held.items() if step not in gone}
    checks = {key: at for key, at in d.checks.items() if key[0] not in gone}
    missing = (*d.missing, *(segment for segment, step in SOURCE.items() if step in gone))
    return replace(d, **seconds, held=held, missing=missing, checks=checks)


def last_read(arrivals: Sequence[tuple[float, float]]) -> float:
    """When one machine can have read all of *arrivals*, (seconds, seconds to read), at the earliest, in any order."""
    return max((r + sum(p for other, p in arrivals if other >= r) for r, _ in arrivals), default=0.0)


def read_in_order(arrivals: Sequence[tuple[float, float]]) -> float:
    """When it has read them one after another, as they stand."""
    done = 0.0
    for arrived, seconds in arrivals:
        done = max(done, arrived) + seconds
    return done


def _arrivals(d: Durations) -> list[tuple[float, float]]:
    """The segments as they stand in the prompt, as (arrives, takes)."""
    seconds = d.segments
    return [(getattr(d, SOURCE[k]) if k in SOURCE else 0.0, seconds[k]) for k in SEGMENTS]


def _any_order(d: Durations, asked: float) -> float:
    return max(last_read([each for each in _arrivals(d) if each[1] > 0]), asked)


_READ = {
    "sequential": lambda d, asked: asked + d.reading,
    "tiers": lambda d, asked: asked + d.reading,
    "stream": lambda d, asked: asked + d.reading,
    "prefix": lambda d, asked: max(d.segments["instructions"], asked) + d.reading - d.segments["instructions"],
    "segments": lambda d, asked: max(read_in_order(_arrivals(d)), asked),
    "any order": _any_order,
}


def _spoken(d: Durations, read: float, reviews: str) -> Bound:
    """A model that has read its prompt at *read* speaks, and its answer is reviewed."""
    last = read + d.speech
    match reviews:
        case "sequential":
            total = last + sum(d.result(step) for step in REVIEWS)
        case "tiers":
            total = last + max(d.result(step) for step in REVIEWS)
        case _:
            said = [read + d.speech * (i + 1) / d.sentences for i in range(d.sentences)]
            total = max(_reviewed(d, step, said) for step in REVIEWS)
    return Bound(round(read + d.token, 9), round(last, 9), round(max(total, last), 9))


def _reviewed(d: Durations, step: str, said: Sequence[float]) -> float:
    done = 0.0
    for i, at in enumerate(said):
        done = max(done, at) + d.check(step, i)
    return done
