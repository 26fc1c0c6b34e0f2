"""The site of the documentation: the guides of this folder, and a reference made from the docstrings.

``python docs/site.py`` writes the pages to ``build/docs`` and builds ``build/site`` from them; it needs no network. Everything
that the code already says (settings, routes, commands, metrics, errors, steps) is read from the code, so that it stands once.
"""

from __future__ import annotations

import inspect
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "docs"
SITE = ROOT / "build" / "site"
PACKAGE = "vital_engine"

DOORS: Mapping[str, str] = {
    "modes": "Modes and events",
    "nouns": "Nouns",
    "flow": "Flow",
    "turn": "Steps of a turn",
    "testing": "Testing",
    "monitoring": "Monitoring",
    "store": "Store",
}
"""Packages whose public names are their ``__all__``, with the titles of their pages."""
ROOMS: Mapping[str, tuple[str, str]] = {
    "services": ("Services", "What the engine comes with for each port."),
    "langgraph": ("LangGraph", "A turn as a `StateGraph`, for a graph of your own."),
    "text": ("Text", "Sentences, tokens and words."),
}
"""Packages that are used module by module."""


# -- what the reference holds
def pages() -> dict[str, str]:
    """The pages of the reference: file name -> Markdown."""
    made = {
        "index.md": _front(),
        "engine.md": _page(
            "Engine",
            "The front door. See [getting started](../getting-started.md).",
            [_object(f"{PACKAGE}.engine", ("Engine", "Chat"))],
        ),
        "ports.md": _page(
            "Ports",
            "See also [how to add one](../contributing.md#how-to-add).",
            [_object(f"{PACKAGE}.ports", _own(f"{PACKAGE}.ports"))],
        ),
        "errors.md": _errors(),
        "settings.md": _settings(),
        "http.md": _http(),
        "cli.md": _cli(),
        "metrics.md": _metrics(),
    }
    for name, title in DOORS.items():
        module = import_module(f"{PACKAGE}.{name}")
        above = _steps() if name == "turn" else ""
        made[f"{name}.md"] = _page(title, above, [_object(module.__name__, module.__all__)])
    for name, (title, said) in ROOMS.items():
        modules = [name for name in _modules(f"{PACKAGE}.{name}") if _own(name)]
        made[f"{name}.md"] = _page(title, said, [_object(module, _own(module), heading=True) for module in modules])
    return made


def _page(title: str, said: str, parts: Iterable[str]) -> str:
    return "\n\n".join([f"# {title}", said, *parts]) + "\n"


def _object(module: str, members: Iterable[str], *, heading: bool = False) -> str:
    """The directives that mkdocstrings replaces by the docstrings of *members*."""
    hidden = [name for name in members if _file(f"{module}.{name}").is_file()]  # by a module of the same name
    listed = "".join(f"\n        - {name}" for name in members if name not in hidden and name != "__version__")
    title = f"## `{module}`\n\n" if heading else ""
    whole = f"{title}::: {module}\n    options:\n      show_root_heading: false\n      members:{listed or ' []'}"
    return "\n\n".join([whole, *(f"::: {module}.{name}.{name}" for name in hidden)])


def _modules(package: str) -> Iterator[str]:
    """*package* and all modules below it, by name; packages are imported, modules are not."""
    yield package
    for found in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        if not found.name.rpartition(".")[2].startswith("_"):
            yield found.name


def _own(module: str) -> list[str]:
    """Public classes, functions and described constants that are defined in *module*, in the order of the file."""
    import ast

    file = _file(module) if _file(module).is_file() else _file(f"{module}.__init__")
    body = ast.parse(file.read_text(encoding="utf-8")).body
    names = []
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign) and _is_text(after):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            names += [target.id] if isinstance(target, ast.Name) else []
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def _file(module: str) -> Path:
    return (ROOT / "src" / Path(*module.split("."))).with_suffix(".py")


def _is_text(node: Any) -> bool:
    return isinstance(getattr(getattr(node, "value", None), "value", None), str)


def _front() -> str:
    import vital_engine

    homes = {name: home.lstrip(".") for name, home in vital_engine._HOMES.items()}
    rows = [f"| `{name}` | [{home}]({home.split('.')[0]}.md) |" for name, home in sorted(homes.items())]
    return _page(
        "Reference",
        "Made from the docstrings of this version. These names can be imported from `vital_engine` itself:",
        ["\n".join(["| name | page |", "|---|---|", *rows])],
    )


def _errors() -> str:
    from vital_engine import errors
    from vital_engine.api.problems import STATUS

    def status(error: type) -> Any:
        return next((STATUS[c] for c in error.__mro__ if c in STATUS), "")

    classes = [getattr(errors, name) for name in errors.__all__]
    rows = [
        f"| `{c.code}` | `{c.__name__}` | {status(c)} | {c.public} |" for c in sorted(classes, key=lambda c: c.code)
    ]
    table = "\n".join(["| code | class | HTTP | what a user reads |", "|---|---|---|---|", *rows])
    said = "Every error of the engine is a `VitalError` with a stable `code`. See [Errors](../errors.md)."
    return _page("Errors", said, [table, _object(errors.__name__, errors.__all__)])


def _settings() -> str:
    from vital_engine.modes.settings import TurnSettings
    from vital_engine.settings import Settings

    def table(of: Any) -> str:
        rows = [
            f"| `{p.name}` | `{_kind(p.annotation)}` | {_default(p)} |"
            for p in inspect.signature(of).parameters.values()
            if p.name != "file"
        ]
        return "\n".join(["| setting | type | default |", "|---|---|---|", *rows])

    said = "What each one means, and how it is set: [Configuration](../configuration.md)."
    parts = [
        "## Of a deployment", table(Settings), _object(f"{PACKAGE}.settings", ("Settings", "load")),
        "## Of a turn", table(TurnSettings),
    ]  # fmt: skip
    return _page("Settings", said, parts)


def _kind(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _default(parameter: inspect.Parameter) -> str:
    value = parameter.default
    if value is inspect.Parameter.empty or "object" in str(value) or "factory" in str(value):
        return ""
    return f"`{str(value) if not isinstance(value, str) else repr(value)}`"


def _http() -> str:
    from vital_engine.api import Backend, create_app
    from vital_engine.modes import Mode2AutomaticWorkflow
    from vital_engine.testing import scripted

    document = create_app(Backend.around(Mode2AutomaticWorkflow(scripted()))).openapi()
    said = "From `GET /openapi.json`. Examples and behaviour: [HTTP](../http.md)."
    parts = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += [f"## `{method.upper()} {path}`", operation.get("description") or operation.get("summary", "")]
            rows = [
                f"| `{p['name']}` | {p['in']} | {'yes' if p.get('required') else 'no'} | {_cell(p.get('description', ''))} |"
                for p in operation.get("parameters", [])
            ]
            if rows:
                parts.append("\n".join(["| parameter | in | required | meaning |", "|---|---|---|---|", *rows]))
            if body := operation.get("requestBody"):
                parts.append(f"Body: {_schemas(body['content'])}.")
            rows = [
                f"| {status} | {_schemas(response.get('content', {}))} | {_cell(response.get('description', ''))} |"
                for status, response in sorted(operation["responses"].items())
            ]
            parts.append("\n".join(["| status | body | meaning |", "|---|---|---|", *rows]))
    parts.append("## Schemas")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += [f"### `{name}`", schema.get("description", "")]
        rows = [
            f"| `{field}` | {_linked(_type(told))} | {'yes' if field in schema.get('required', []) else 'no'} | {_cell(told.get('description', ''))} |"
            for field, told in schema.get("properties", {}).items()
        ]
        parts += ["\n".join(["| field | type | required | meaning |", "|---|---|---|---|", *rows])] if rows else []
    return _page("HTTP routes", said, [_from_rst(part) for part in parts if part])


def _schemas(content: Mapping[str, Any]) -> str:
    return ", ".join(f"`{kind}` {_linked(_type(part.get('schema', {})))}" for kind, part in content.items()) or "none"


def _linked(names: str) -> str:
    return " or ".join(
        f"[`{name}`](#{name.lower()})" if re.fullmatch(r"[A-Z]\w+", name) else f"`{name}`"
        for name in names.split(" or ")
    )


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(_type(part) for part in schema[several])
    if "enum" in schema or "const" in schema:
        return " or ".join(repr(value) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _cli() -> str:
    import typer.main

    from vital_engine.cli import cli

    def walk(command: Any, names: tuple[str, ...]) -> Iterator[str]:
        yield f"{'#' * min(3, len(names) + 1)} `{' '.join(names)}`" if len(names) > 1 else ""
        yield inspect.cleandoc(command.help or "")
        rows = [
            f"| {', '.join(f'`{o}`' for o in (*p.opts, *p.secondary_opts)) if p.param_type_name == 'option' else f'`{p.name.upper()}`'} | {_cell(getattr(p, 'help', None) or '')} |"
            for p in command.params
            if "--help" not in p.opts
        ]
        if rows:
            yield "\n".join(["| argument or option | meaning |", "|---|---|", *rows])
        for name, below in getattr(command, "commands", {}).items():
            yield from walk(below, (*names, name))

    said = "Every command also says this itself: `vital COMMAND --help`."
    return _page("Command line", said, [part for part in walk(typer.main.get_command(cli), ("vital",)) if part])


def _metrics() -> str:
    from vital_engine.monitoring import registry

    rows = []
    for family in sorted(registry.collect(), key=lambda family: family.name):
        shown = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        rows.append(f"| `{shown}` | {family.type} | {_cell(family.documentation)} |")
    table = "\n".join(["| metric | type | meaning |", "|---|---|---|", *rows])
    return _page("Metrics", "Labels, buckets and how to read them: [Monitoring](../monitoring.md).", [table])


def _steps() -> str:
    from vital_engine.turn.plan import table

    return f"## The table of steps\n\n{table()}\n\n## The functions"


def _from_rst(text: str) -> str:
    """Descriptions are written for ``help()``; what is not Markdown in them is made so."""
    return re.sub(r":\w+:`~?\.?([^`]+)`", r"`\1`", text)


# -- pages and site
def write() -> None:
    """All pages, guides and reference, as they are built: in ``build/docs``."""
    shutil.rmtree(PAGES, ignore_errors=True)
    PAGES.mkdir(parents=True)
    guides = {"index.md": ROOT / "README.md", "contributing.md": ROOT / "CONTRIBUTING.md"}
    guides |= {page.name: page for page in sorted((ROOT / "docs").glob("*.md"))}
    for name, source in guides.items():
        (PAGES / name).write_text(_inside(source), encoding="utf-8")
    for folder in ("images", "benchmarks"):
        shutil.copytree(ROOT / "docs" / folder, PAGES / folder, ignore=shutil.ignore_patterns("*.py", "*.json"))
    reference = PAGES / "reference"
    reference.mkdir()
    for name, text in pages().items():
        (reference / name).write_text(text, encoding="utf-8")


def _inside(source: Path) -> str:
    """The text of *source*; links to pages lead to them in the site, links to code become the name of the file."""

    def moved(match: re.Match[str]) -> str:
        label, target, anchor = match[1], match[2], match[3] or ""
        path = (source.parent / target).resolve()
        if path == ROOT / "README.md":
            return f"[{label}](index.md{anchor})"
        if path == ROOT / "CONTRIBUTING.md":
            return f"[{label}](contributing.md{anchor})"
        if (ROOT / "docs") in path.parents:
            return f"[{label}]({path.relative_to(ROOT / 'docs').as_posix()}{anchor})"
        return f"{label} (`{path.relative_to(ROOT).as_posix()}`)" if f"`{target}`" != label else label

    return re.sub(r"\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)]*)?\)", moved, source.read_text(encoding="utf-8"))


def build() -> int:
    """Build the site from the pages; a warning, also of a docstring that cannot be read, is an error."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "docs")])}
    command = [
        sys.executable,
        "-m",
        "zensical",
        "build",
        "--strict",
        "--clean",
        "--config-file",
        str(ROOT / "mkdocs.yml"),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(done.stdout)
    return done.returncode or int("griffe:" in done.stdout)


if __name__ == "__main__":
    write()
    sys.exit(build())
