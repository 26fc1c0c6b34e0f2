"""Draws a terminal picture of a command from what it really prints: ``python docs/images/terminal.py out.svg COMMAND ...``."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 112


def main() -> None:
    out, command = Path(sys.argv[1]), sys.argv[2:]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text(f"$ {shlex.join([Path(command[0]).name, *command[1:]])}", style="bold"))
    console.print(Text(done.stdout.rstrip()))
    svg = console.export_svg(title=Path(command[0]).name)
    # The picture must not fetch fonts from elsewhere.
    lines = [line for line in svg.splitlines() if "url(" not in line or "clip" in line]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
