"""What became of a step: four kinds, and one surface for all of them."""

from __future__ import annotations

import asyncio
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from vital_engine.errors import StepAbandoned, WrongType
from vital_engine.flow import KINDS, REASONS, BaseOutcome, Degraded, Done, Failed, Outcome, Skipped, reason_of, shift

from .things import A

BROKE = ValueError("no a today")

#: outcome, kind, made, broke, value, error, reason, code
SURFACE: list[tuple[Outcome[Any], str, bool, bool, object, object, str, str]] = [
    (Done(A()), "done", True, False, A(), None, "", ""),
    (Done(None), "done", True, False, None, None, "", ""),
    (Degraded(A("none"), BROKE, "error"), "degraded", True, True, A("none"), BROKE, "error", "ValueError"),
    (Degraded(A(), deaf := StepAbandoned(), "abandoned"), "degraded", True, True, A(), deaf, "abandoned", deaf.code),
    (Failed(BROKE, "error"), "failed", False, True, None, BROKE, "error", "ValueError"),
    (Failed(left := StepAbandoned(), "abandoned"), "failed", False, True, None, left, "abandoned", StepAbandoned.code),
    (Skipped("known", A("known"), known=True), "skipped", True, False, A("known"), None, "", ""),
    (Skipped("'b', which it needs, made nothing"), "skipped", False, False, None, None, "", ""),
]


@pytest.mark.parametrize(("outcome", "kind", "made", "broke", "value", "error", "reason", "code"), SURFACE)
def test_all_four_answer_the_same_questions(
    outcome: Outcome[Any],
    kind: str,
    made: bool,
    broke: bool,
    value: object,
    error: object,
    reason: str,
    code: str,
) -> None:
    assert isinstance(outcome, BaseOutcome)
    assert (outcome.kind, outcome.made, outcome.broke) == (kind, made, broke)
    assert (outcome.value, outcome.error, outcome.reason, outcome.code) == (value, error, reason, code)
    assert (outcome.seconds, outcome.began, outcome.ended) == (0.0, 0.0, 0.0)
    with pytest.raises(FrozenInstanceError):
        outcome.seconds = 1.0  # type: ignore[misc]


def test_the_kinds_are_the_four_and_every_reason_is_in_the_set() -> None:
    assert {outcome.kind for outcome, *_ in SURFACE} == set(KINDS) and len(KINDS) == 4
    errors = [TimeoutError(), BROKE, asyncio.CancelledError(), WrongType(), StepAbandoned()]
    assert {reason_of(error) for error in errors} < set(REASONS)


@pytest.mark.parametrize("outcome", [outcome for outcome, *_ in SURFACE])
def test_an_outcome_of_a_run_that_began_later(outcome: Outcome[Any]) -> None:
    later = shift(shift(outcome, 1.5), 0.1)
    assert type(later) is type(outcome) and later.value == outcome.value and later.error is outcome.error
    assert (later.began, later.ended, later.seconds) == (1.6, 1.6, outcome.seconds)
