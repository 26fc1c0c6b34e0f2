"""No fault in the policy, in taint, in approvals or in limits goes unseen, and the table of faults fits the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_no_fault_survives() -> None:
    command = [sys.executable, str(HERE / "mutants.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parents[1])
    assert done.returncode == 0, done.stdout + done.stderr[-4_000:]
    seen, _, all_of_them, *_ = done.stdout.split()
    assert seen == all_of_them and int(seen) >= 25


TABLE = """
import sys; sys.path.insert(0, {folder!r})
from dataclasses import replace
import mutants
first = next(each for each in mutants.MUTANTS if each.name == "policy: never automatic")
wrong = {{
    "gone": replace(first, line="no such line"),
    "same": replace(first, instead=first.line),
    "unseen": replace(first, tests=("tests/unit/modes/test_policy.py::test_an_expert_without_a_list",)),
}}
mutants.MUTANTS = (replace(wrong[{name!r}], name={name!r}),)
raise SystemExit(mutants.main([]))
"""


@pytest.mark.parametrize(
    ("name", "said"), [("gone", "stands 0 times"), ("same", "changes nothing"), ("unseen", "unseen: survived")]
)
def test_one_that_does_not_fit_or_is_not_seen_is_named(name: str, said: str) -> None:
    command = [sys.executable, "-c", TABLE.format(folder=str(HERE), name=name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parents[1])
    assert done.returncode == 1, done.stderr
    assert f"{name}: " in done.stdout and said in done.stdout + done.stderr
    assert "0 of 1 faults were seen" in done.stdout
