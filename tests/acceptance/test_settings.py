"""A setting that cannot be is refused before anything starts, by its name."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vital_engine.cli import cli
from vital_engine.errors import ConfigError

WRONG = {
    "VITAL_NOPE": "1",
    "VITAL_PORT": "99999",
    "VITAL_LOG_LEVEL": "loud",
    "VITAL_LOG_FORMAT": "xml",
    "VITAL_FALLBACK": "gpt",
    "VITAL_POOL_SIZE": "0",
    "VITAL_MODEL": "gpt-9",  # and no server to find it at
    "VITAL_PROFILE": "fast",
    "VITAL_PARALLEL_TIMEOUT_MS": "soon",
    "DATABASE_URL": "mysql://user:secret-word@host/db",
}


@pytest.mark.parametrize("name", WRONG)
def test_config_check_finds_what_is_impossible(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITAL_HOME", str(tmp_path))
    monkeypatch.setenv(name, WRONG[name])
    result = CliRunner().invoke(cli, ["config", "check"])
    assert isinstance(result.exception, ConfigError)
    assert name.removeprefix("VITAL_").lower() in str(result.exception).lower()
    assert "secret-word" not in str(result.exception)


def test_the_defaults_are_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in WRONG:
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(cli, ["config", "check"])
    assert (result.exit_code, result.output) == (0, "ok\n")
