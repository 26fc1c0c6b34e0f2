from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from vital_engine.errors import ConfigError, NotFound, RetrievalError, StoreError
from vital_engine.nouns import Expert, Question
from vital_engine.ports import Router as RosterPort
from vital_engine.ports import Vectors
from vital_engine.services.experts import ExpertRouter, shipped_experts
from vital_engine.testing import HashedEmbedder

QUESTIONS = yaml.safe_load((Path(__file__).parent / "questions.yaml").read_text("utf-8"))
SAFETY = "Within how many days must a fatal SUSAR be reported?"


def asked(text: str, expert: str | None = None, tenant: str = "t1") -> Question:
    return Question(text, tenant, "u1", expert=expert)


async def test_the_expert_that_was_asked_for_answers() -> None:
    router = ExpertRouter()
    assert isinstance(router, RosterPort)
    for mode in (1, 2, 3, 4):
        brief = await router.route(asked(SAFETY, "quality"), mode=mode)
        assert (brief.expert.id, brief.reason, brief.fallback) == ("quality", "Quality was asked for", False)


async def test_an_unknown_expert_and_one_that_the_mode_does_not_offer() -> None:
    limited = [dataclasses.replace(e, modes=(2, 4)) if e.id == "quality" else e for e in shipped_experts()]
    router = ExpertRouter(limited)
    with pytest.raises(NotFound, match="no expert 'astrology'"):
        await router.route(asked(SAFETY, "astrology"), mode=2)
    with pytest.raises(NotFound, match="not offered in mode 1"):
        await router.route(asked(SAFETY, "quality"), mode=1)
    assert (await router.route(asked(SAFETY, "quality"), mode=2)).expert.id == "quality"
    audits = asked("What does 21 CFR Part 11 say about audit trails?")
    assert (await router.route(audits, mode=4)).expert.id == "quality"
    only_manual = ExpertRouter([dataclasses.replace(e, modes=(1, 3)) if e.id == "quality" else e for e in limited])
    assert "quality" not in (await only_manual.route(audits, mode=4)).scores


@pytest.mark.parametrize("embedder", [None, HashedEmbedder()], ids=["words", "words and meaning"])
async def test_the_engine_picks_with_scores_and_a_reason(embedder: HashedEmbedder | None) -> None:
    brief = await ExpertRouter(embedder=embedder).route(asked(SAFETY), mode=2)
    assert brief.expert.id == "pharmacovigilance"
    assert not brief.fallback
    assert brief.reason.startswith("Pharmacovigilance fits best (")
    assert set(brief.scores) == {e.id for e in shipped_experts()}
    methods = {"lexical", "fused"} if embedder is None else {"lexical", "dense", "fused"}
    assert all(set(scores) == methods for scores in brief.scores.values())
    assert max(brief.scores, key=lambda each: brief.scores[each]["fused"]) == "pharmacovigilance"


@pytest.mark.parametrize("embedder", [None, HashedEmbedder()], ids=["words", "words and meaning"])
async def test_a_question_that_fits_nobody_goes_to_the_generalist_and_that_is_said(
    embedder: HashedEmbedder | None,
) -> None:
    for text in ("zyx wvu", ""):
        brief = await ExpertRouter(embedder=embedder).route(asked(text), mode=4)
        assert (brief.expert.id, brief.fallback) == ("research", True)
        assert brief.reason.startswith("no profile fits the question: Research answers")


async def test_in_the_manual_modes_the_user_picks_and_nobody_else() -> None:
    for mode in (1, 3):
        brief = await ExpertRouter().route(asked(SAFETY), mode=mode)
        assert (brief.expert.id, brief.fallback) == ("research", True)
        assert brief.reason == "no expert was named: Research answers"


async def test_selection_by_words_alone_over_the_questions_by_topic() -> None:
    """The floor without any model: bench/tools.py has the figures with the packaged embedder."""
    router = ExpertRouter()
    right = total = 0
    for expert, texts in QUESTIONS.items():
        for text in texts:
            right += (await router.route(asked(text), mode=2)).expert.id == expert
            total += 1
    assert total >= 60
    assert right / total >= 0.80


async def test_a_tenants_own_experts_are_its_own() -> None:
    dental = Expert("dental", "Dentistry", "Teeth, gums, crowns and implants.", "You are a dentist.")
    stricter = dataclasses.replace(shipped_experts()[5], instructions="Be strict.")

    async def more(tenant: str) -> Sequence[Expert]:
        return (dental, stricter) if tenant == "clinic" else ()

    router = ExpertRouter(more=more)
    question = "How are crowns and gums cared for?"
    assert (await router.route(asked(question, tenant="clinic"), mode=2)).expert == dental
    assert (await router.route(asked(question, tenant="other"), mode=2)).expert.id != "dental"
    assert (await router.route(asked("x", "quality", tenant="clinic"), mode=1)).expert.instructions == "Be strict."
    assert (await router.route(asked("x", "quality", tenant="other"), mode=1)).expert.instructions != "Be strict."
    with pytest.raises(NotFound):
        await router.route(asked("x", "dental", tenant="other"), mode=2)
    assert len(await router.experts("clinic")) == len(shipped_experts()) + 1


async def test_while_the_store_is_away_the_shipped_experts_answer_and_a_named_one_is_not_guessed() -> None:
    async def more(tenant: str) -> Sequence[Expert]:
        raise StoreError(f"down for {tenant}", service="store")

    router = ExpertRouter(more=more)
    brief = await router.route(asked(SAFETY), mode=2)
    assert brief.expert.id == "pharmacovigilance"
    assert brief.reason.endswith("the tenant's own experts could not be read (store)")
    with pytest.raises(StoreError):
        await router.route(asked(SAFETY, "quality"), mode=2)


async def test_an_embedder_that_fails_leaves_the_words() -> None:
    class Broken:
        model, dimensions = "broken", 4

        def embed(self, texts: Sequence[str]) -> Vectors:
            raise RetrievalError("no weights", service="embedder")

    brief = await ExpertRouter(embedder=Broken()).route(asked(SAFETY), mode=2)
    assert brief.expert.id == "pharmacovigilance"
    assert "by words alone, as the embedder failed (retrieval)" in brief.reason


def test_the_default_must_exist() -> None:
    with pytest.raises(ConfigError, match="'nobody'"):
        ExpertRouter(default="nobody")
