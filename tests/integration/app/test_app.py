"""An engine that is put together from its settings, and obeys them while it runs."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from vital_engine.app import App, open_app
from vital_engine.errors import ConfigError
from vital_engine.modes.settings import KEYS
from vital_engine.settings import load


@pytest.fixture
def file(server_folder: Path) -> Path:
    path = server_folder / "vital.toml"
    path.write_text(
        f'home = "{server_folder}/home"\nembedder = "none"\n[turn]\nprofile = "dataflow"\n', encoding="utf-8"
    )
    return path


@pytest.fixture
async def app(file: Path) -> AsyncIterator[App]:
    async with open_app(load(environ={}, file=file, turn_keys=KEYS), watchers=()) as app:
        yield app


def change(file: Path, turn: str) -> None:
    head = file.read_text(encoding="utf-8").split("[turn]")[0]
    file.write_text(f"{head}[turn]\n{turn}\n", encoding="utf-8")
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime + 10))


async def test_a_changed_setting_counts_from_the_next_turn_on(app: App, file: Path) -> None:
    assert app.workflow(2).settings.profile == "dataflow"
    change(file, 'profile = "sequential"\nparallel_timeout_ms = 700')
    assert app.workflow(2).settings.profile == "sequential"
    assert app.workflow(2).settings.parallel_timeout_ms == 700


async def test_a_file_that_cannot_be_obeyed_changes_nothing_and_is_told(
    app: App, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        change(file, 'profil = "tiers"')
        assert app.workflow(2).settings.profile == "dataflow"
    assert "did you mean 'profile'" in caplog.text


@pytest.mark.parametrize(("text", "kept"), [("", True), ("false", False), ("on", True), ("0", False)])
def test_whether_sentences_are_kept_is_read_from_the_environment(text: str, kept: bool) -> None:
    assert load(environ={"VITAL_SENTENCE_VECTORS": text}).sentence_vectors is kept


async def test_sentences_are_kept_unless_the_deployment_says_no(file: Path) -> None:
    with pytest.raises(ConfigError, match="sentence_vectors must be true or false, not 'perhaps'"):
        load(environ={"VITAL_SENTENCE_VECTORS": "perhaps"})
    for said in (True, False):
        settings = load(environ={}, file=file, turn_keys=KEYS).but({"sentence_vectors": said})
        async with open_app(settings, watchers=()) as app:
            assert app.knowledge.sentence_vectors is said


async def test_it_says_what_it_has_to_do_without(app: App) -> None:
    assert app.embedder is None
    assert "by words only" in app.notes[0]
    await app.warm()


async def test_a_mode_that_does_not_exist_is_refused(app: App) -> None:
    with pytest.raises(ConfigError, match="there is no mode 9"):
        app.workflow(9)
