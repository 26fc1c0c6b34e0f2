"""An engine that is put together from its settings, and obeys them while it runs."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from model_server import ModelServer, Reply
from vital_engine.engine import Engine, turn_settings
from vital_engine.errors import ConfigError
from vital_engine.flow import shutdown
from vital_engine.modes.settings import KEYS
from vital_engine.nouns import Question
from vital_engine.settings import SIZES, load
from vital_engine.testing import HashedEmbedder


@pytest.fixture
def file(server_folder: Path) -> Path:
    path = server_folder / "vital.toml"
    path.write_text(
        f'home = "{server_folder}/home"\nembedder = "none"\n[turn]\nprofile = "dataflow"\n', encoding="utf-8"
    )
    return path


@pytest.fixture
async def app(file: Path) -> AsyncIterator[Engine]:
    async with Engine(load(environ={}, file=file, turn_keys=KEYS), watchers=()) as app:
        yield app


def change(file: Path, turn: str) -> None:
    head = file.read_text(encoding="utf-8").split("[turn]")[0]
    file.write_text(f"{head}[turn]\n{turn}\n", encoding="utf-8")
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime + 10))


async def test_a_changed_setting_counts_from_the_next_turn_on(app: Engine, file: Path) -> None:
    assert app.workflow(2).settings.profile == "dataflow"
    change(file, 'profile = "sequential"\nparallel_timeout_ms = 700')
    assert app.workflow(2).settings.profile == "sequential"
    assert app.workflow(2).settings.parallel_timeout_ms == 700


async def test_a_file_that_cannot_be_obeyed_changes_nothing_and_is_told(
    app: Engine, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        change(file, 'profil = "tiers"')
        assert app.workflow(2).settings.profile == "dataflow"
    assert "did you mean 'profile'" in caplog.text


@pytest.mark.parametrize(("text", "kept"), [("", True), ("false", False), ("on", True), ("0", False)])
def test_whether_sentences_are_kept_is_read_from_the_environment(text: str, kept: bool) -> None:
    assert load(environ={"VITAL_SENTENCE_VECTORS": text}).sentence_vectors is kept


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("model_key = 4711", "model_key must be text"),
        ("tenant = 4711", "tenant must be text, not 4711"),
        ("home = 4711", "home must be a path, not 4711"),
        ('prices = "4711"', "prices must be a table, not '4711'"),
    ],
)
def test_a_setting_of_a_wrong_type_is_told_and_a_secret_is_not_shown(tmp_path: Path, line: str, said: str) -> None:
    (file := tmp_path / "vital.toml").write_text(line, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(environ={}, file=file)
    assert str(caught.value) == said


async def test_sentences_are_kept_unless_the_deployment_says_no(file: Path) -> None:
    with pytest.raises(ConfigError, match="sentence_vectors must be true or false, not 'perhaps'"):
        load(environ={"VITAL_SENTENCE_VECTORS": "perhaps"})
    for said in (True, False):
        settings = load(environ={}, file=file, turn_keys=KEYS).replace({"sentence_vectors": said})
        async with Engine(settings, watchers=()) as app:
            assert app.knowledge.sentence_vectors is said


async def test_it_says_what_it_has_to_do_without(app: Engine) -> None:
    assert app.embedder is None
    assert "by words only" in app.notes[0]
    await app.warm()


async def test_a_mode_that_does_not_exist_is_refused(app: Engine) -> None:
    with pytest.raises(ConfigError, match="there is no mode 9"):
        app.workflow(9)


async def test_a_call_that_is_late_is_answered_by_the_second_server(file: Path) -> None:
    with ModelServer() as first, ModelServer() as second:
        first.say(Reply("never", first=30.0))
        second.say(Reply("Said by the second."))
        wanted = {"model": "tiny", "model_url": first.base_url, "model_replica_url": second.base_url}
        settings = load(environ={}, file=file, turn_keys=KEYS).replace(wanted)
        async with Engine(settings, watchers=()) as app:
            workflow = app.workflow(2)
            hedge = workflow.runner.segments.hedges.of["reply"]
            hedge.after, hedge._tokens = 0.05, 4.0
            answer = await workflow.execute(Question("Who speaks?", tenant="local", user="local"))
            assert answer.text == "Said by the second." and answer.receipt()["hedges"]["reply"]["won"] is True
        assert first.wait_for_disconnect(first.requests[0])  # nobody pays for thirty seconds that nobody hears


def test_a_replica_without_a_first_server_is_refused() -> None:
    with pytest.raises(ConfigError, match="model_replica_url"):
        load(environ={"VITAL_MODEL_REPLICA_URL": "http://127.0.0.1:1/v1"})


@pytest.mark.parametrize(("text", "on"), [("off", False), ("true", True)])
def test_whether_to_hedge_is_read_from_the_environment(text: str, on: bool) -> None:
    settings = load(environ={"VITAL_HEDGING": text}, turn_keys=KEYS)
    assert turn_settings(settings).hedging is on


async def test_what_is_cached_by_default_is_said_in_the_receipt_and_another_turn_gets_its_own_calls(
    app: Engine,
) -> None:
    question = Question("What is 2 + 3?", tenant="local", user="local")
    first, again = [await app.workflow(2).execute(question) for _ in range(2)]
    assert (first.cached, again.cached) == ((), ("suggest",))
    assert again.receipt()["cached"] == ["suggest"]
    ids = {answer.tool_results.results[0].tool_call.id for answer in (first, again)}
    assert len(ids) == 2


async def test_a_size_of_none_switches_a_cache_off(file: Path) -> None:
    sizes = dict.fromkeys(("retrieval_cache", "embedding_cache", "suggestion_cache"), 0)
    settings = load(environ={}, file=file, turn_keys=KEYS).replace(sizes)
    async with Engine(settings, watchers=()) as app:
        assert app.services.retriever is app.library
        assert app.services.tool_suggester is app.toolbox
        assert app.services.turns is app.turns


@pytest.mark.parametrize("name", SIZES)
def test_a_cache_has_no_negative_size(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be 0 or more, not -1"):
        load(environ={f"VITAL_{name.upper()}": "-1"})


async def test_an_early_turn_of_a_long_conversation_is_recalled_by_its_meaning(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vital_engine.engine._embedder", lambda _: (HashedEmbedder(), ()))  # the real one takes seconds
    async with Engine(load(environ={}, file=file, turn_keys=KEYS), watchers=()) as app:
        text = "Metformin: which dose, how often, with which meal, for an adult, a child, a kidney, a liver?"
        asked = Question(text, app.settings.tenant, app.settings.user, conversation="c1")
        for n in range(12):
            await app.workflow(4).execute(replace(asked, text=f"Number {n}?" if n else text, run_id=f"r{n}"))
        assert await shutdown(within=60) == 0  # what nobody waits for
        memory = await app.conversations.recall(replace(asked, run_id="now"))
        assert [turn.run_id for turn in memory.turns] == ["r0", *(f"r{n}" for n in range(2, 12))]
        await app.conversations.delete("c1", app.scope())
        async with app.store.transaction(asked.tenant) as conn:
            assert await (await conn.execute("select count(*) from turn_vectors")).fetchone() == (0,)
