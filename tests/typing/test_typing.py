"""Types are tested like behaviour: right code passes, and wrong code is refused line by line, by two checkers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def mypy(file: Path) -> set[int]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file", "pyproject.toml"]
    done = subprocess.run([*command, str(file)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return {int(line) for line in re.findall(rf"{file.name}:(\d+): error", done.stdout)}


def pyright(file: Path) -> set[int]:
    command = [sys.executable, "-m", "basedpyright", "--level", "error", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run([*command, str(file)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    told = json.loads(done.stdout)["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1 for each in told if each["severity"] == "error"}


def marked(file: Path) -> set[int]:
    return {n for n, line in enumerate(file.read_text().splitlines(), 1) if "# wrong:" in line}


@pytest.mark.parametrize("file", ["api.py", "user.py"])
@pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])
def test_right_code_passes(checker: Callable[[Path], set[int]], file: str) -> None:
    assert checker(HERE / file) == set()


@pytest.mark.parametrize("file", ["wrong.py", "wrong_user.py"])
@pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])
def test_wrong_code_is_refused_line_by_line(checker: Callable[[Path], set[int]], file: str) -> None:
    assert checker(HERE / file) == marked(HERE / file)
