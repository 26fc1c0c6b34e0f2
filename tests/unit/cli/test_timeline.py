"""What a terminal shows of a turn's time: bars, what the end waited for, and what became of all that was done early."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from seed_profile import SEED, TIERS_TOTAL
from vital_engine import Mode2AutomaticWorkflow, Question
from vital_engine.cli.timeline import BAR, time_line
from vital_engine.flow import Done
from vital_engine.nouns import Discarded, Usage
from vital_engine.nouns.answer import Answer
from vital_engine.ports import Services
from vital_engine.testing import run_virtual, scripted

READING = {"instructions": 0.15, "evidence": 0.15}


def asked(services: Services, **settings: Any) -> Answer:
    workflow = Mode2AutomaticWorkflow(services, watchers=(), **settings)
    return run_virtual(workflow.execute(Question("Why?", tenant="t1", user="u1")))


def shown(answer: Answer) -> Mapping[str, str]:
    """Step -> its line."""
    lines = [line for line in time_line(answer).splitlines() if re.match(r"\w+ .*\d s( |$)", line)]
    return {line.split()[0]: line for line in lines}


def bar(line: str) -> str:
    return re.sub(r"^\w+ +| +\d+\.\d{3} s.*$", "", line)


def test_bars_begin_and_end_where_the_steps_did() -> None:
    answer = asked(scripted(**SEED), profile="tiers")
    lines = shown(answer)
    at = lines["retrieve"].index("#")
    assert bar(lines["retrieve"]) == "#" * round(BAR * 0.5 / TIERS_TOTAL)
    assert bar(lines["recall"]) == "=" * round(BAR * 0.2 / TIERS_TOTAL)
    assert lines["reply"].index("#") - at == int(BAR * 0.5 / TIERS_TOTAL)
    assert len({len(line.split(" s")[0]) for line in lines.values()}) == 1, "the columns stand below each other"


def test_what_ran_beside_what_the_end_waited_for_is_told() -> None:
    text = time_line(asked(scripted(**SEED), profile="tiers"))
    assert "beside retrieve: recall, suggest\n" in text and "beside cite: tally, assess" in text
    assert "beside recall" not in text, "the end did not wait for that"
    assert "beside reply" not in text, "nothing runs beside the model where there are barriers"
    along = time_line(asked(scripted(**SEED)))
    assert re.search(r"beside reply: .*tally.*assess.*cite", along)
    assert "critical path: brief > retrieve > reply > cite" in along


def test_the_model_reads_before_it_speaks_and_what_was_read_ahead_is_told() -> None:
    answer = asked(scripted(prefill=READING, **SEED))
    lines = shown(answer)
    assert re.fullmatch(r"-{2,}#+", bar(lines["reply"]))
    assert re.search(r"read ahead: \d+ tokens", lines["read_instructions"])
    assert answer.prefilled.computed > 0


def test_what_was_sent_twice_paid_for_in_vain_or_known_before_is_told() -> None:
    plain = asked(scripted(**SEED))
    assert not re.search("twice|thrown|cached|ahead", time_line(plain))
    lost = (Discarded("copy", Usage(output=43)), Discarded("fallback"))
    retrieved = plain.outcomes["retrieve"]
    assert isinstance(retrieved, Done)
    known = replace(retrieved, value=replace(plain.evidence, cached=True))
    answer = replace(
        plain,
        outcomes={**plain.outcomes, "retrieve": known},
        hedges={"retrieve": {"sent": 0.21, "won": True}, "reply": {"sent": 1.5, "won": False}},
        draft=replace(plain.draft, discarded=lost),
    )
    lines = shown(answer)
    assert lines["retrieve"].endswith("cached, sent twice, at 0.210 s: the second was used")
    assert "at 1.500 s: the first was used" in lines["reply"]
    assert "thrown away (copy): 43 tokens, thrown away (fallback): unknown tokens" in lines["reply"]


def test_a_turn_that_took_no_step_has_no_time_line() -> None:
    assert time_line(replace(asked(scripted()), outcomes={})) == ""
