"""The command ``vital``, also as ``python -m vital_engine``."""

import sys


def main() -> None:
    """Loads the commands, which takes a moment: who interrupts that shall see no traceback either."""
    try:
        from vital_engine.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
