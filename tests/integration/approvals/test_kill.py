"""kill -9 at every commit of a paused and resumed turn, and inside its tool: asserted on calls, not only on effects."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vital_engine.nouns import Effect
from vital_engine.store.embedded import EmbeddedServer
from vital_engine.store.migrate import OWNER

DYING = Path(__file__).with_name("dying.py")


@pytest.mark.slow
@pytest.mark.timeout(1200)  # some thirty processes, one after another, each waiting for a dead one's lease
@pytest.mark.parametrize("mode", ["1", "3"])
@pytest.mark.parametrize("effect", [Effect.KEYED_WRITE, Effect.EFFECT])
def test_whenever_the_process_is_killed_the_turn_is_answered_and_kept_once(
    effect: Effect, mode: str, database_server: EmbeddedServer, database: str, tmp_path: Path
) -> None:
    urls = [database_server.url(database=database), database_server.url(role=OWNER, database=database)]
    command = [sys.executable, str(DYING), *urls, effect.value, mode, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(runs) > 20  # a paused and resumed turn has that many points
    assert [run["died"] for run in runs] == [True] * (len(runs) - 1) + [False]
    for run in runs:
        _check(run, effect)
    calls = [run["log"].count(f"call {effect.value}-{mode}-{run['n']}-1") for run in runs]
    if effect is Effect.KEYED_WRITE:
        # Called again, by its one key, only where it was cut between the call and the commit of its result.
        assert set(calls) == {1, 2}
        assert calls.count(2) <= 4
    else:
        assert set(calls) == {0, 1}
        unknown = [run for run in runs if run["approval"] == "outcome_unknown"]
        assert 2 <= len(unknown) <= 8


def _check(run: dict[str, Any], effect: Effect) -> None:
    assert run["status"] == "complete", run
    assert run["kept"] == ["complete", 1], run  # one answer, one bill
    calls = [line for line in run["log"] if line.startswith("call")]
    assert len(set(calls)) <= 1, run  # one key
    searches = run["log"].count("search")
    assert searches == 1 or (searches == 2 and not run["found"]), run  # twice only if there was no pause to be found
    if run["approval"] == "outcome_unknown":
        assert effect is Effect.EFFECT
        assert run["tool_results"] == ["outcome_unknown"], run
    else:
        assert (run["approval"], run["tool_results"], len(calls) >= 1) == ("done", ["done"], True), run
    if effect is Effect.EFFECT:
        assert len(calls) <= 1, run
