"""Settings of a deployment: defaults, then ``vital.toml``, then the environment (``VITAL_...``), then the command line.

An unknown name is refused, and the message names the nearest known one: a misspelt setting must not be a setting that
is silently not made.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, get_args, get_origin, get_type_hints

from platformdirs import user_data_path

from .errors import ConfigError

PREFIX: Final = "VITAL_"
FILE: Final = "vital.toml"
PLAIN: Final[Mapping[str, str]] = {"database_url": "DATABASE_URL", "model_key": "OPENAI_API_KEY"}
"""Settings that also have a name that everybody knows."""
TRUTHS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
"""How yes and no are written in the environment."""
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "fallback": ("none", "extractive"),
    "model_prefill": ("off", "vllm", "llama.cpp"),
    "tool_suggester": ("auto", "matcher", "model"),
    "log_format": ("console", "json"),
    "log_level": ("debug", "info", "warning", "error"),
}
SIZES: Final = ("answer_cache", "retrieval_cache", "embedding_cache", "suggestion_cache")
"""Entries that are kept in memory; 0: none."""
DATABASES: Final = ("postgresql://", "postgres://")
WEB_TOOLS: Final = ("pubmed", "openfda")
"""Sources outside of the house that tools can ask."""
SECRETS: Final = frozenset({"database_url", "model_key", "suggest_key", "pubmed_key", "openfda_key"})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of a deployment. The settings of a turn (``profile``, limits, switches) are in ``turn``."""

    home: Path = field(
        default_factory=lambda: user_data_path("vital-engine", appauthor=False),
        metadata={"help": "where the embedded database, converted models and the log of runs live"},
    )
    database_url: str | None = field(default=None, metadata={"help": "a PostgreSQL of your own; else the embedded one"})
    pool_size: int = field(default=8, metadata={"help": "database connections at most"})
    model: str | None = field(
        default=None,
        metadata={
            "help": "who answers: a model's name on model_url, a .gguf file, 'smollm2', or 'extractive' (default)"
        },
    )
    model_url: str | None = field(default=None, metadata={"help": "base URL of an OpenAI-compatible server"})
    model_key: str | None = field(default=None, metadata={"help": "its API key"})
    model_prefill: str = field(
        default="off",
        metadata={"help": "how the server at model_url reads a prompt's beginning ahead: 'vllm', 'llama.cpp' or 'off'"},
    )
    model_replica_url: str | None = field(
        default=None,
        metadata={"help": "base URL of a second server with the same model, for calls that are late (hedging)"},
    )
    tool_suggester: str = field(
        default="auto",
        metadata={
            "help": "who suggests tool calls: 'matcher' (by rule), 'model' (function calling, a paid call in each turn), or "
            "'auto': the model if suggest_model names one"
        },
    )
    suggest_model: str | None = field(
        default=None,
        metadata={"help": "the model that suggests tool calls; default, with 'model': the one that answers"},
    )
    suggest_url: str | None = field(
        default=None, metadata={"help": "base URL of the server of suggest_model; default: model_url"}
    )
    suggest_key: str | None = field(default=None, metadata={"help": "the API key of suggest_url"})
    web_tools: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "sources outside of the house that tools may ask, each call with a person's consent: pubmed, openfda"
        },
    )
    pubmed_email: str | None = field(default=None, metadata={"help": "whom NCBI writes to about our requests"})
    pubmed_key: str | None = field(default=None, metadata={"help": "NCBI's API key: 10 requests per second, not 3"})
    openfda_key: str | None = field(
        default=None, metadata={"help": "openFDA's API key: 120,000 requests a day, not 1,000"}
    )
    answer_cache: int = field(
        default=0,
        metadata={"help": "answers that are given again for the same prompt, tenant and index, at no cost; 0: none"},
    )
    retrieval_cache: int = field(
        default=512, metadata={"help": "searches whose passages are kept until the index changes; 0: none"}
    )
    embedding_cache: int = field(default=2048, metadata={"help": "questions whose vectors are kept; 0: none"})
    suggestion_cache: int = field(default=2048, metadata={"help": "questions whose tool calls are kept; 0: none"})
    fallback: str = field(
        default="none",
        metadata={"help": "who answers when the model fails before its first word: 'extractive', or 'none'"},
    )
    embedder: str | None = field(
        default=None,
        metadata={"help": "a folder with MiniLM weights; default: the packaged ones; 'none': search by words only"},
    )
    sentence_vectors: bool = field(
        default=True,
        metadata={"help": "keep sentences' vectors at ingest: answers come sooner, an ingest takes longer"},
    )
    tenant: str = field(default="local", metadata={"help": "whose documents and turns the command line works on"})
    user: str = field(default="local", metadata={"help": "who asks on the command line"})
    expert: str | None = field(default=None, metadata={"help": "the expert who answers if a question names none"})
    host: str = field(default="127.0.0.1", metadata={"help": "where vital serve listens"})
    port: int = field(default=8700, metadata={"help": "on which port; 0: any that is free"})
    log_format: str = field(default="console", metadata={"help": "console or json"})
    log_level: str = field(default="info", metadata={"help": "debug, info, warning or error"})
    prices: Mapping[str, Mapping[str, str]] = field(
        default_factory=dict,
        metadata={"help": "your own prices: model -> {input, output, ...} in USD per token, as text"},
    )
    turn: Mapping[str, Any] = field(default_factory=dict, metadata={"help": "settings of a turn, see there"})
    file: Path | None = field(default=None, metadata={"help": "the file that these came from"})

    def __post_init__(self) -> None:
        """:raises ConfigError: a value that no deployment can have."""
        for name, possible in CHOICES.items():
            if (value := getattr(self, name)) not in possible:
                raise ConfigError(f"{name} must be one of {', '.join(possible)}, not {value!r}")
        for name in SIZES:
            if (size := getattr(self, name)) < 0:
                raise ConfigError(f"{name} must be 0 or more, not {size}")
        if self.model_replica_url and not self.model_url:
            raise ConfigError("model_replica_url is for a second server beside the one at model_url, and there is none")
        if self.model_prefill != "off" and not self.model_url:
            raise ConfigError(
                "model_prefill is for the server at model_url, and there is none: a local model reads ahead"
            )
        if unknown := [source for source in self.web_tools if source not in WEB_TOOLS]:
            raise ConfigError(f"web_tools may name {' and '.join(WEB_TOOLS)}, not {', '.join(map(repr, unknown))}")
        self._check_suggester()
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"port must be between 0 and 65535, not {self.port}")
        if self.pool_size < 1:
            raise ConfigError(f"pool_size must be 1 or more, not {self.pool_size}")
        if self.database_url is not None and not self.database_url.startswith(DATABASES):
            raise ConfigError(f"database_url must begin with {' or '.join(DATABASES)}")  # not shown: it is a secret

    def _check_suggester(self) -> None:
        if self.suggests_by_model and not (self.suggest_url or self.model_url):
            raise ConfigError(
                "a model that suggests tool calls needs a server that can call functions: set suggest_url, or model_url"
            )
        if self.suggests_by_model and not (self.suggest_model or (self.model and not self.suggest_url)):
            raise ConfigError("which model suggests tool calls? Set suggest_model")
        if self.suggest_url and not self.suggest_model:
            raise ConfigError("suggest_url is the server of suggest_model, and there is none")
        if self.suggest_key and not self.suggest_url:
            raise ConfigError(
                "suggest_key is for the server at suggest_url, and there is none: model_url has model_key"
            )

    @property
    def suggests_by_model(self) -> bool:
        """Whether a model is asked for tool calls in each turn, which costs money: only where a setting says so."""
        return self.tool_suggester == "model" or (self.tool_suggester == "auto" and self.suggest_model is not None)

    def changed(self) -> float:
        """When the file of settings was last changed.

        :returns: seconds since the epoch; 0.0 if there is no file.
        """
        try:
            return self.file.stat().st_mtime if self.file is not None else 0.0
        except OSError:
            return 0.0

    def shown(self) -> dict[str, object]:
        """The settings as plain values, with secrets hidden."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: "(set)" if name in SECRETS and value else str(value) if isinstance(value, Path) else value
            for name, value in values.items()
        }

    def replace(self, changes: Mapping[str, Any]) -> Settings:
        """These settings with *changes*.

        :param changes: name -> value; None: not changed.
        :raises ConfigError: an unknown name or an impossible value.
        """
        said = {k: v for k, v in changes.items() if v is not None}
        return replace(self, **_known(said, turn_keys=())) if said else self


KEYS: Final = tuple(f.name for f in fields(Settings) if f.name != "file")


def load(
    *, environ: Mapping[str, str] | None = None, file: Path | None = None, turn_keys: tuple[str, ...] = ()
) -> Settings:
    """Read the settings of the deployment.

    :param environ: default: the process's environment.
    :param file: default: ``VITAL_CONFIG``, or ``vital.toml`` in the working folder if there is one.
    :param turn_keys: names of the settings of a turn, which may stand beside the others.
    :raises ConfigError: an unknown name, a wrong type, a file that cannot be read.
    """
    environ = os.environ if environ is None else environ
    path = file or (Path(environ["VITAL_CONFIG"]) if environ.get("VITAL_CONFIG") else None)
    if path is None and Path(FILE).is_file():
        path = Path(FILE)
    found: dict[str, Any] = _read(path) if path is not None else {}
    turn = dict(found.pop("turn", {}))
    for name, plain in PLAIN.items():
        if environ.get(plain):
            found[name] = environ[plain]
    for variable, text in environ.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or name in {"config", "data"} or not text:
            continue
        (turn if name in turn_keys else found)[name] = text
    for name in [name for name in found if name in turn_keys]:
        turn[name] = found.pop(name)
    return Settings(**_known({**found, "turn": turn}, turn_keys=turn_keys), file=path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the settings in {path} cannot be read: {error}") from error


def _known(values: Mapping[str, Any], *, turn_keys: tuple[str, ...]) -> dict[str, Any]:
    hints = get_type_hints(Settings)
    result = {}
    for name, value in values.items():
        if name not in KEYS:
            near = difflib.get_close_matches(name, (*KEYS, *turn_keys), n=1, cutoff=0.0)[0]
            raise ConfigError(f"unknown setting {name!r}; did you mean {near!r}?")
        result[name] = _fit(name, value, hints[name])
    return result


def _fit(name: str, value: Any, hint: Any) -> Any:
    """*value* as *hint* wants it; text (of the environment) is read."""
    kinds = [k for k in get_args(hint) if k is not type(None)] if get_origin(hint) is not Mapping else []
    kind = kinds[0] if kinds and not isinstance(hint, type) and len(kinds) == 1 else hint
    if name == "web_tools":
        listed = value.split(",") if isinstance(value, str) else value
        if isinstance(listed, list | tuple) and all(isinstance(each, str) for each in listed):
            return tuple(each.strip() for each in listed if each.strip())
        raise ConfigError(f"{name} must be a list of names, not {value!r}")
    if kind is Path and isinstance(value, str | Path):
        return Path(value).expanduser()
    if kind is int and not isinstance(value, bool):
        try:
            return int(value)
        except (TypeError, ValueError):
            raise ConfigError(f"{name} must be a whole number, not {value!r}") from None
    if kind is bool:
        read = TRUTHS.get(value.strip().lower()) if isinstance(value, str) else value
        if isinstance(read, bool):
            return read
        raise ConfigError(f"{name} must be true or false, not {value!r}")
    if kind is str and isinstance(value, str):
        return value
    if name in {"turn", "prices"} and isinstance(value, Mapping):
        return dict(value)
    wanted = "a table" if get_origin(hint) is Mapping else "text" if kind is str else "a path"
    raise ConfigError(f"{name} must be {wanted}" + ("" if name in SECRETS else f", not {value!r}"))


def typed(key: str, text: Any) -> Any:
    """Read a setting of a turn from its text in the environment.

    :param key: its name.
    :param text: its value; anything but text is returned as it is.
    :raises ConfigError: the text is no value of such a setting.
    """
    if not isinstance(text, str):
        return text
    if (key.startswith("enable_") or key == "hedging") and (read := TRUTHS.get(text.strip().lower())) is not None:
        return read
    if key.endswith(("_ms", "_seconds")):
        try:
            return float(text)
        except ValueError:
            unit = "milliseconds" if key.endswith("_ms") else "seconds"
            raise ConfigError(f"{key} must be a number of {unit}, not {text!r}") from None
    if key == "never_automatic":
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text
