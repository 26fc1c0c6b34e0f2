"""The three profiles give the same answer, whatever is slow, and whatever fails."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vital_bench.durations import Durations
from vital_bench.oracle import bound
from vital_engine.flow import run_virtual
from vital_engine.modes import PROFILES, Mode2AutomaticWorkflow, Profile
from vital_engine.nouns import Question
from vital_engine.testing import scripted

QUESTION = Question(text="x", tenant="t", user="u", run_id="r")
STEPS = ("retrieve", "suggest", "recall", "invoke", "cite", "assess", "tally")
seconds = st.integers(0, 1500).map(lambda ms: ms / 1000)
broken = st.one_of(
    st.just("hang"),
    st.builds(ValueError),
    st.tuples(seconds, st.builds(RuntimeError)),
    st.tuples(seconds, st.just(42)),
)
scripts = st.fixed_dictionaries(
    {"reply": seconds}, optional={step: st.one_of(seconds, seconds, broken) for step in STEPS}
)
texts = st.lists(
    st.sampled_from(
        ["It fell by 1.2 points [1].", "Nausea was mild [2, 3].", "See [99].", "e.g. this", "\n", "[1]-[3]"]
    ),
    min_size=1,
    max_size=8,
).map(" ".join)


def told(answer: Any) -> tuple[Any, ...]:
    """What must not depend on the profile."""
    outcomes = {name: type(outcome) for name, outcome in answer.outcomes.items()}
    return (
        answer.text,
        answer.status,
        answer.citations,
        answer.support,
        answer.cost,
        answer.quality,
        answer.degraded,
        answer.warnings,
        outcomes,
    )


@settings(max_examples=60)
@given(scripts)
def test_the_profiles_differ_in_time_alone(script: dict[str, Any]) -> None:
    answers = {}
    for profile in PROFILES:
        workflow = Mode2AutomaticWorkflow(scripted(**script, tokens=24, sentences=3), profile=profile, watchers=())
        answers[profile] = run_virtual(workflow.execute(QUESTION))
    assert told(answers["dataflow"]) == told(answers["tiers"]) == told(answers["sequential"])
    slack = 1e-6
    assert answers["dataflow"].timing.total <= answers["tiers"].timing.total + slack
    assert answers["tiers"].timing.total <= answers["sequential"].timing.total + slack


@settings(max_examples=60)
@given(texts, seconds)
def test_the_review_of_a_stream_is_the_review_of_the_whole(text: str, reply: float) -> None:
    def review(profile: Profile) -> Any:
        workflow = Mode2AutomaticWorkflow(scripted(reply=(reply, text)), profile=profile, watchers=())
        return run_virtual(workflow.execute(QUESTION))

    assert told(review("dataflow")) == told(review("sequential"))


@settings(max_examples=60)
@given(*[seconds] * 6, st.integers(1, 12), st.integers(0, 500))
def test_a_turn_takes_what_the_arithmetic_says(
    retrieve: float,
    suggest: float,
    recall: float,
    cite: float,
    assess: float,
    tally: float,
    sentences: int,
    prefill: int,
) -> None:
    d = Durations(
        retrieve, suggest, recall, 1.5, cite, assess, tally, prefill=prefill / 1000, tokens=60, sentences=sentences
    )
    for profile in ("sequential", "tiers"):
        workflow = Mode2AutomaticWorkflow(
            scripted(
                retrieve=d.retrieve, suggest=d.suggest, recall=d.recall, reply=d.reply, cite=d.cite, assess=d.assess,
                tally=d.tally, prefill=d.prefill, tokens=d.tokens, sentences=d.sentences,
            ),
            profile=profile,
            watchers=(),
        )  # fmt: skip
        answer = run_virtual(workflow.execute(QUESTION))
        assert abs(answer.timing.total - bound(d, profile).total) < 1e-6
