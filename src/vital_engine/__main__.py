"""``python -m vital_engine``: the same as ``vital``."""

from vital_engine.cli import main

main()
