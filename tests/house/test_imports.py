"""No module needs one that needs it, at run time or in types, and none reaches for what another keeps to itself."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
ROOT = "vital_engine"

OFFERED = {
    ("flow.clock", "_get_running_loop"): "asyncio offers it to those that write an event loop",
    ("flow.clock", "_set_running_loop"): "asyncio offers it to those that write an event loop",
    ("flow.clock", "_scheduled"): "a timer says by it whether it is in the loop's heap; the loop has to set it",
    ("flow.clock", "_log_destroy_pending"): "the only way to leave a task behind without a warning",
    ("monitoring.watchdog", "_current_frames"): "documented by sys",
    ("services.retrieval.reading.child", "_p"): "python-docx has no other way to the order of paragraphs",
    ("services.retrieval.reading.child", "_tc"): "python-docx has no other way to a merged cell",
}
"""(module, name) -> why: what a library offers under the name of something private."""


@dataclass(frozen=True)
class Module:
    name: str
    package: str
    """In which its relative imports begin."""
    tree: ast.Module


def read(source: Path, root: str) -> dict[str, Module]:
    """The modules of package *root* in *source*, by their names."""
    modules = {}
    for path in sorted((source / root).rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        door = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if door else parts)
        package = name if door else name.rpartition(".")[0]
        modules[name] = Module(name, package, ast.parse(path.read_text(encoding="utf-8")))
    return modules


def imports(module: Module, modules: Mapping[str, Module]) -> Iterator[tuple[str, str | None]]:
    """(module, name) of all that *module* imports of *modules*, wherever it does: under a condition, in a function, for its
    types alone."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            above = module.package.split(".")
            above = above[: len(above) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                if (whole := f"{origin}.{alias.name}") in modules:
                    yield whole, None
                elif origin in modules:
                    yield origin, alias.name


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The strongly connected parts of *graph* that are more than one thing (Tarjan, 1972)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(one: str) -> None:
        number[one] = lowest[one] = len(number)
        path.append(one)
        for other in sorted(graph.get(one, ())):
            if other not in number:
                visit(other)
                lowest[one] = min(lowest[one], lowest[other])
            elif other in path:
                lowest[one] = min(lowest[one], number[other])
        if lowest[one] == number[one]:
            at = path.index(one)
            if len(path) - at > 1:
                found.append(sorted(path[at:]))
            del path[at:]

    for one in sorted(graph):
        if one not in number:
            visit(one)
    return found


def inside(graph: Mapping[str, set[str]], package: str) -> dict[str, set[str]]:
    """*graph* between the things that stand directly in *package*, each with all that is in it, and its door."""

    def thing(name: str) -> str | None:
        if name == package:
            return package
        if not name.startswith(f"{package}."):
            return None
        return f"{package}.{name.removeprefix(f'{package}.').split('.')[0]}"

    between: dict[str, set[str]] = {}
    for one, others in graph.items():
        if (mine := thing(one)) is not None:
            found = {of for other in others if (of := thing(other)) is not None and of != mine}
            between.setdefault(mine, set()).update(found)
    return between


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def of_its_own(tree: ast.AST) -> set[str]:
    """The private names that a module gives to something itself: to what it defines, or to what its objects carry."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _of_self(node):
            names.add(node.attr)
        elif isinstance(node, ast.Assign) and any(ast.unparse(target) == "__slots__" for target in node.targets):
            names |= set(_texts(ast.walk(node.value)))
    return {name for name in names if private(name)}


def borrowed(module: Module, modules: Mapping[str, Module]) -> set[str]:
    """The private names of others that *module* uses: that it imports, or that it reads of an object.

    An object's private name is its own where the module defines it, so that a class may know its other instances, and where
    the object is ``self``, ``cls`` or ``super()``, so that a class may know what it inherits. Fields of named tuples
    (``_replace`` and the like) are private in their spelling alone.
    """
    used = {name or other.rpartition(".")[2] for other, name in imports(module, modules)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and not _of_self(node):
            used.add(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"getattr", "setattr", "delattr", "hasattr"}:
            used |= set(_texts(node.args[1:2]))
    return {name for name in used if private(name)} - of_its_own(module.tree) - {*_NAMED_TUPLE}


_NAMED_TUPLE = ("_asdict", "_fields", "_make", "_replace")


def _texts(nodes: Iterable[ast.AST]) -> Iterator[str]:
    return (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _of_self(node: ast.Attribute) -> bool:
    return ast.unparse(node.value) in {"self", "cls", "super()"}


MODULES = read(SOURCE, ROOT)
GRAPH = {name: {other for other, _ in imports(module, MODULES)} - {name} for name, module in MODULES.items()}
PACKAGES = [name for name, module in MODULES.items() if module.package == name]


def test_no_module_needs_one_that_needs_it() -> None:
    assert circles(GRAPH) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_things_in_a_package_need_each_other(package: str) -> None:
    assert circles(inside(GRAPH, package)) == []


def test_nothing_reaches_for_what_another_module_keeps_to_itself() -> None:
    found = {(name, one) for name, module in MODULES.items() for one in borrowed(module, MODULES)}
    offered = {(f"{ROOT}.{name}", one) for name, one in OFFERED}
    assert found - offered == set()
    assert offered - found == set()  # the list has no more in it than is used


# -- that they would be found
@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A package with one of each kind of trouble."""
    files = {
        "__init__.py": "",
        "one.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .two import Two\n_mine = 1\n",
        "two.py": "def late():\n    from house import three\nclass Two:\n    __slots__ = ('_slot',)\n",
        "three.py": "from house.one import _mine\nimport house.one as o\no._mine\nx._slot\nx._own\n_own = 1\nself._any\n",
        "low/__init__.py": "",
        "low/a.py": "from ..high.a import x\ngetattr(x, '_hidden')\nx._replace()\n",
        "high/__init__.py": "",
        "high/a.py": "",
        "high/b.py": "import house.low.b\n",
        "low/b.py": "",
    }
    for name, text in files.items():
        (tmp_path / "house" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "house" / name).write_text(text)
    return tmp_path


def test_a_circle_is_found_also_in_types_and_in_functions_and_between_packages(house: Path) -> None:
    modules = read(house, "house")
    graph = {name: {other for other, _ in imports(module, modules)} for name, module in modules.items()}
    assert circles(graph) == [["house.one", "house.three", "house.two"]]
    assert circles(inside(graph, "house")) == [
        ["house.high", "house.low"],
        ["house.one", "house.three", "house.two"],
    ]
    assert circles(inside(graph, "house.low")) == []


def test_a_private_name_of_another_is_found(house: Path) -> None:
    modules = read(house, "house")
    found = {name: borrowed(module, modules) for name, module in modules.items()}
    assert {name: names for name, names in found.items() if names} == {
        "house.three": {"_mine", "_slot"},
        "house.low.a": {"_hidden"},
    }
