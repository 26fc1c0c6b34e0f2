"""A word has two ends: each field of a noun, setting, flag, error and reason is written somewhere in src, and read.

Read from the syntax trees, with as much of the types as the annotations tell: ``answer.consent`` is no reader of
``Tool.consent``. Where the type stays unknown, a name counts for every class that has it. Not readers: passing a value
on under its own name (``tainted=call.tainted``, ``"tainted": call.tainted``), and checking it in ``__post_init__``.
Not writers: a default, and reading JSON back.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest

from vital_engine import errors, nouns, settings

SOURCE = Path(__file__).parents[2] / "src" / "vital_engine"
SEQUENCES = {
    *("tuple", "list", "set", "frozenset", "Sequence", "Iterable", "Iterator", "Collection"),
    *("AsyncIterator", "AsyncIterable", "AsyncGenerator", "Stream"),
}
MAPPINGS = {"dict", "Mapping", "MutableMapping"}
Kind: TypeAlias = "str | tuple[str, Kind] | None"
"""What is known of a value: its class, ("of", what it holds), or None."""
Sources: TypeAlias = Mapping[str, str]
Word: TypeAlias = tuple[str, str]


@dataclass
class Class:
    """A class of src: its fields in their order, and what its attributes and methods return."""

    name: str
    path: str
    bases: list[str]
    fields: list[str] = field(default_factory=list)
    members: dict[str, ast.expr | None] = field(default_factory=dict)
    checks: set[str] = field(default_factory=set)
    """Methods that check it when it is made."""


@dataclass
class Known:
    """What src declares."""

    classes: dict[str, Class] = field(default_factory=dict)
    """By name; of two of one name, the noun, and the other by "path:name"."""
    functions: dict[str, tuple[ast.expr | None, str] | None] = field(default_factory=dict)
    """What a function returns, and in which module it stands; None: there are several of the name."""
    lists: dict[str, list[str]] = field(default_factory=dict)
    """Closed lists of words, by name."""

    def owner(self, name: str | None, attribute: str) -> str | None:
        """The class, among *name* and its bases, that has the field."""
        while name in self.classes:
            if attribute in self.classes[name].fields:
                return name
            name = next((b for b in self.classes[name].bases if b in self.classes), None)
        return None

    def order(self, name: str) -> list[str]:
        """The fields of *name*, its bases' first."""
        known = self.classes[name]
        return [f for base in known.bases if base in self.classes for f in self.order(base)] + known.fields

    def resolve(self, name: str, path: str) -> str:
        """The class that *name* is in the module at *path*."""
        return own if (own := f"{path}:{name}") in self.classes else name

    def kind(self, note: ast.expr | None, path: str = "") -> Kind:
        """What an annotation says in the module at *path*."""
        match note:
            case ast.Constant(value=str(text)):
                return self.kind(ast.parse(text, mode="eval").body, path)
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return self.resolve(name, path)
            case ast.BinOp(left=left, right=right):
                sides = [side for side in (left, right) if not (isinstance(side, ast.Constant) and side.value is None)]
                return self.kind(sides[0], path) if len(sides) == 1 else None
            case ast.Subscript(value=value, slice=inner):
                outer = self.kind(value, path)
                parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                if outer == "Annotated":
                    return self.kind(parts[0], path)
                if outer in SEQUENCES:
                    return "of", self.kind(parts[0], path)
                if outer in MAPPINGS:
                    return "of", self.kind(parts[-1], path)
                return outer
        return None


@dataclass
class Found:
    """What a module does with words: (class, or "" where it is not known, and name)."""

    written: set[Word] = field(default_factory=set)
    read: set[Word] = field(default_factory=set)
    passed: set[tuple[Word, Word]] = field(default_factory=set)
    """A field that goes on as the field of another class, under its own name: it is read if that one is."""
    unused: set[Word] = field(default_factory=set)
    """Function of the command line, and a parameter that it does not read."""
    said: set[str] = field(default_factory=set)
    """Text that is neither compared nor part of a list's definition."""
    heard: set[str] = field(default_factory=set)
    """Text that something is compared with, or looked up by."""
    made: set[str] = field(default_factory=set)
    """What is called or raised."""
    caught: set[str] = field(default_factory=set)
    """Classes in except, isinstance and case, and as the key of a table."""


def _name(node: ast.AST | None) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _mentions(node: ast.AST, name: str) -> bool:
    return any(isinstance(found, ast.Name) and found.id == name for found in ast.walk(node))


def _constants(node: ast.AST) -> set[str]:
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def _literal(node: ast.expr) -> list[str]:
    return [
        text
        for found in ast.walk(node)
        if isinstance(found, ast.Subscript) and _name(found.value) == "Literal"
        for text in sorted(_constants(found.slice))
    ]


class Declared(ast.NodeVisitor):
    """First reading: which classes, functions and lists of words there are."""

    def __init__(self, src: Known, path: str) -> None:
        self.src, self.path = src, path

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        known = Class(node.name, self.path, [name for base in node.bases if (name := _name(base)) != node.name])
        for item in node.body:
            match item:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=note):
                    known.members[name] = note
                    if not _mentions(note, "ClassVar"):
                        known.fields.append(name)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    known.members[name] = item.returns
                    if name == "__post_init__":
                        known.checks = {name, *(n.attr for n in ast.walk(item) if isinstance(n, ast.Attribute))}
                    for given in ast.walk(item) if name == "__init__" else ():
                        if isinstance(given, ast.Attribute) and isinstance(given.ctx, ast.Store):
                            known.members.setdefault(given.attr, None)
        taken = node.name in self.src.classes
        self.src.classes[f"{self.path}:{node.name}" if taken else node.name] = known
        if "StrEnum" in known.bases:
            words = [
                i.value.value for i in node.body if isinstance(i, ast.Assign) and isinstance(i.value, ast.Constant)
            ]
            self.src.lists[known.name] = [str(word) for word in words]
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        known = self.src.functions
        known[node.name] = None if node.name in known else (node.returns, self.path)
        self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if len(words := _literal(node.value)) > 1:
            self.src.lists[_name(node.targets[0])] = words

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if (
            _mentions(node.annotation, "TypeAlias")
            and node.value is not None
            and len(words := _literal(node.value)) > 1
        ):
            self.src.lists[_name(node.target)] = words


class Used(ast.NodeVisitor):
    """Second reading: what is written, read, said and heard."""

    def __init__(self, src: Known, path: str) -> None:
        self.src, self.path, self.found = src, path, Found()
        self.known: dict[str, Kind] = {}
        self.inside: str | None = None

    def kind(self, node: ast.AST | None) -> Kind:
        """What is known of the value of an expression."""
        match node:
            case ast.Name(id=name):
                return self.known.get(name)
            case ast.Await(value=value) | ast.NamedExpr(value=value) | ast.Starred(value=value):
                return self.kind(value)
            case ast.Attribute(value=value, attr=attribute):
                return self._member(self.kind(value), attribute)
            case ast.Subscript(value=value, slice=part):
                outer = self.kind(value)
                return outer if isinstance(part, ast.Slice) else self._held(value)
            case ast.IfExp(body=one, orelse=other):
                return self.kind(one) or self.kind(other)
            case ast.BoolOp(values=values):
                return next((found for found in map(self.kind, values) if found is not None), None)
            case ast.Call(func=ast.Attribute(value=value, attr="values")):
                return self.kind(value)
            case ast.Call(func=ast.Attribute(value=value, attr="get" | "pop")) if isinstance(self.kind(value), tuple):
                return self._held(value)
            case ast.Call(func=called, args=args):
                name = _name(called)
                if name in {"sorted", "list", "tuple", "reversed", "set", "iter", "replace"} and args:
                    return self.kind(args[0])
                if name in {"next", "min", "max"} and args:
                    return self._held(args[0])
                if isinstance(called, ast.Attribute):
                    return self._member(self.kind(called.value), name)
                if name == "cls":
                    return self.inside
                if (found := self.src.resolve(name, self.path)) in self.src.classes:
                    return found
                return self.src.kind(*(self.src.functions.get(name) or (None, "")))
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                before = dict(self.known)
                self._bind_all(node.generators)
                inner: Kind = "of", self.kind(node.elt)
                self.known = before
                return inner
        return None

    def _held(self, node: ast.AST) -> Kind:
        outer = self.kind(node)
        return outer[1] if isinstance(outer, tuple) else None

    def _member(self, outer: Kind, attribute: str) -> Kind:
        while isinstance(outer, str) and outer in self.src.classes:
            known = self.src.classes[outer]
            if attribute in known.members:
                return self.src.kind(known.members[attribute], known.path)
            outer = next((base for base in known.bases if base in self.src.classes), None)
        return None

    def _bind(self, target: ast.AST, kind: Kind) -> None:
        if isinstance(target, ast.Name):
            self.known[target.id] = kind
        else:
            for name in ast.walk(target):
                if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                    self.known[name.id] = None

    def _bind_all(self, generators: list[ast.comprehension]) -> None:
        for each in generators:
            self._bind(each.target, self._held(each.iter))

    def _write(self, outer: Kind, name: str) -> None:
        owner = self.src.owner(outer if isinstance(outer, str) else None, name)
        if owner is not None or outer not in self.src.classes:
            self.found.written.add((owner or "", name))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        before, self.inside = self.inside, self.src.resolve(node.name, self.path)
        self.generic_visit(node)
        self.inside = before

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if self.inside and node.name in self.src.classes[self.inside].checks and node.name.startswith("_"):
            return
        before, self.known = self.known, dict(self.known)
        args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        for arg in args:
            self.known[arg.arg] = self.src.kind(arg.annotation, self.path)
        if self.inside and args and args[0].arg == "self":
            self.known["self"] = self.inside
        if self.path.startswith("cli/"):
            used = {n.id for line in node.body for n in ast.walk(line) if isinstance(n, ast.Name)}
            self.found.unused |= {(node.name, arg.arg) for arg in args if arg.arg not in {"self", *used}}
        self.generic_visit(node)
        self.known = before

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        before, self.known = self.known, {**self.known, **{arg.arg: None for arg in node.args.args}}
        self.generic_visit(node)
        self.known = before

    def visit_Assign(self, node: ast.Assign) -> None:
        if len(node.targets) == 1 and _name(node.targets[0]) in self.src.lists and _literal(node.value):
            return
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)
            self._bind(target, self.kind(node.value))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if _mentions(node.annotation, "TypeAlias"):
            return
        if node.value is not None:
            self.visit(node.value)
        self.visit(node.target)
        self._bind(node.target, self.src.kind(node.annotation, self.path))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target, self.kind(node.value))

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self._bind(node.target, self._held(node.iter))
        for line in [*node.body, *node.orelse]:
            self.visit(line)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self.visit_For(node)

    def visit_withitem(self, node: ast.withitem) -> None:
        self.visit(node.context_expr)
        if node.optional_vars is not None:
            self._bind(node.optional_vars, self.kind(node.context_expr))

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        before, self.known = self.known, dict(self.known)
        for each in node.generators:
            self.visit(each.iter)
            self._bind(each.target, self._held(each.iter))
            for condition in each.ifs:
                self.visit(condition)
        for part in [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]:
            self.visit(part)
        self.known = before

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node)

    def _pass_on(self, name: str, value: ast.AST, to: Kind) -> None:
        """A value that only goes on under its own name has not been read."""
        if not (isinstance(value, ast.Attribute) and value.attr == name):
            return self.visit(value)
        of = self.kind(value.value)
        owner = self.src.owner(of if isinstance(of, str) else None, name) or ""
        self.found.passed.add(((owner, name), (to if isinstance(to, str) else "", name)))
        return self.visit(value.value)

    def visit_Call(self, node: ast.Call) -> None:
        called = _name(node.func)
        name = self.inside or "" if called == "cls" else self.src.resolve(called, self.path)
        self.found.made.add(name)
        self.visit(node.func)
        if called in {"isinstance", "issubclass"}:
            self.found.caught |= {_name(n) for n in ast.walk(node.args[1])}
        if called == "getattr" and isinstance(node.args[1], ast.Constant):
            self.found.read.add(("", str(node.args[1].value)))
        if called in {"get", "pop", "startswith", "endswith", "count"} and node.args:
            self.found.heard |= _constants(node.args[0])
        order = self.src.order(name) if name in self.src.classes else []
        for place, arg in enumerate(node.args):
            if isinstance(arg, ast.Starred):
                order = []
            if place < len(order):
                self._write(name, order[place])
            self.visit(arg)
        for keyword in node.keywords:
            if keyword.arg is None:
                self.visit(keyword.value)
                continue
            if order or name in self.src.classes:
                self._write(name, keyword.arg)
            elif name in {"replace", "partial"}:
                self._write(self.kind(node.args[0]), keyword.arg)
            if (owner := self.src.owner(name, keyword.arg)) is not None:
                self._pass_on(keyword.arg, keyword.value, owner)
            elif name in {"replace", "dict"}:
                self._pass_on(keyword.arg, keyword.value, None)
            else:
                self.visit(keyword.value)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None:
                self.found.heard |= _constants(key)
                self.found.caught.add(_name(key))
                self.visit(key)
            self._pass_on(str(key.value) if isinstance(key, ast.Constant) else "", value, None)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        outer = self.kind(node.value)
        if not isinstance(node.ctx, ast.Load):
            self._write(outer, node.attr)
        elif (owner := self.src.owner(outer if isinstance(outer, str) else None, node.attr)) is not None:
            self.found.read.add((owner, node.attr))
        else:
            known = self.src.classes.get(outer) if isinstance(outer, str) else None
            self.found.read.add((str(outer) if known and node.attr in known.members else "", node.attr))
        self.generic_visit(node)

    def visit_MatchClass(self, node: ast.MatchClass) -> None:
        name = self.src.resolve(_name(node.cls), self.path)
        self.found.caught.add(name)
        taken = [*node.kwd_attrs, *self.src.order(name)[: len(node.patterns)]] if name in self.src.classes else []
        self.found.read |= {(self.src.owner(name, each) or "", each) for each in taken}
        self.generic_visit(node)

    def visit_MatchValue(self, node: ast.MatchValue) -> None:
        self.found.heard |= _constants(node.value)

    def visit_Compare(self, node: ast.Compare) -> None:
        for side in (node.left, *node.comparators):
            if isinstance(side, ast.Constant | ast.Tuple | ast.Set | ast.List):
                self.found.heard |= _constants(side)
                if not isinstance(side, ast.Constant):
                    self.generic_visit(side)
            else:
                self.visit(side)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if _name(node.value) == "Literal":
            return
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            self.found.heard.add(node.slice.value)
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.found.made.add(_name(node.exc))
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self.found.caught |= {_name(n) for n in ast.walk(node.type)}
        before, self.known = self.known, dict(self.known)
        if node.name:
            self.known[node.name] = self.src.kind(node.type, self.path)
        self.generic_visit(node)
        self.known = before

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.found.said.add(node.value)


@cache
def texts() -> Sources:
    """The modules of src; those first whose classes keep their plain names."""
    paths = sorted(
        SOURCE.rglob("*.py"), key=lambda p: (p.parent.name != "nouns", p.stem not in {"settings", "errors"}, p)
    )
    return {str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8") for path in paths}


@cache
def known() -> Known:
    src = Known()
    for path, text in texts().items():
        Declared(src, path).visit(tree(text))
    src.lists.pop("Behaviour")  # what a test tells its fake to do
    return src


@cache
def tree(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def uses(path: str, text: str) -> Found:
    """What the module at *path* does with words; its declarations are those of src."""
    visitor = Used(known(), path)
    visitor.visit(tree(text))
    return visitor.found


def found(changed: Sources | None = None) -> Found:
    """What all of src does with words, with *changed* in the place of some modules."""
    whole = Found()
    for path, text in {**texts(), **(changed or {})}.items():
        if path.startswith("testing/"):
            continue  # a fake is no end
        for name, words in vars(uses(path, text)).items():
            getattr(whole, name).update(words)
    while more := {word for word, further in whole.passed if further in whole.read} - whole.read:
        whole.read |= more
    return whole


NOUNS = [name for name in nouns.__all__ if is_dataclass(getattr(nouns, name))]
READ_OUTSIDE = {
    "Answer.profile": "in the receipt, for people and programs that compare turns: docs/modes.md, tests/unit/approvals",
    "Tool.egress": "checking it is its end: only an effect, which no policy approves, may have it: tests/unit/tools",
    "Decision.by": "in the receipt, for people: docs/approvals.md, tests/integration/approvals",
}
"""Fields without a reader in src, each with the reason."""
WRITTEN_OUTSIDE = {"Settings", "TurnSettings", "Tool"}
"""By a deployment, in its file, its environment, at the command line; by the keywords of ``@tool``."""


def one_ended(at: Found) -> list[str]:
    """The fields of nouns, and the settings, that are not written or not read."""
    words = [(name, each) for name in (*NOUNS, *sorted(WRITTEN_OUTSIDE)) for each in known().classes[name].fields]
    return [
        f"{name}.{each} is never {end}"
        for name, each in words
        for end, places in (("written", at.written), ("read", at.read))
        if not {(name, each), ("", each)} & places
        and not (end == "written" and name in WRITTEN_OUTSIDE)
        and not (end == "read" and f"{name}.{each}" in READ_OUTSIDE)
    ]


def test_a_field_of_a_noun_and_a_setting_have_two_ends() -> None:
    assert one_ended(found()) == []


REMOVALS = {
    "ToolCall.needs_consent is never read": {
        "modes/approval.py": [("if tool_call.needs_consent:", "if False:")],
        "cli/render.py": [("(CONSENT, call.needs_consent)", "(CONSENT, False)")],
        "services/tools/toolbox.py": [
            ("tool_call.needs_consent or each.consent", "each.consent"),
            (
                "(tool_call.effect, tool_call.cost_usd, tool_call.needs_consent)",
                "(tool_call.effect, tool_call.cost_usd, consent)",
            ),
        ],
    },
    "Tool.consent is never read": {
        "services/tools/toolbox.py": [
            ("or each.consent", "or False"),
            ("needs_consent=each.consent,", "needs_consent=False,"),
        ],
    },
    "ToolCall.tainted is never written": {
        "nouns/provenance.py": [
            ("tainted=tool_call.tainted and left, ", ""),
            ("replace(tool_call, tainted=True)", "tool_call"),
        ],
    },
}


@pytest.mark.parametrize("word", REMOVALS)
def test_a_word_that_loses_an_end_is_named(word: str) -> None:
    changed = {}
    for path, lines in REMOVALS[word].items():
        changed[path] = texts()[path]
        for line, instead in lines:
            assert changed[path].count(line) == 1, f"{path}: {line}"
            changed[path] = changed[path].replace(line, instead)
    assert one_ended(found(changed)) == [word]


def test_a_flag_is_read() -> None:
    assert sorted(found().unused) == []


def test_an_error_is_raised_and_someone_tells_it_from_others() -> None:
    at = found()
    tree_of = {name: each for name in errors.__all__ if isinstance(each := getattr(errors, name), type)}
    below = {name: {n for n, other in tree_of.items() if issubclass(other, each)} for name, each in tree_of.items()}
    above = {
        name: {n for n in tree_of if name in below[n]} - {"VitalError"} for name in tree_of if name != "VitalError"
    }
    assert [name for name in tree_of if not below[name] & at.made] == []
    assert [name for name, those in above.items() if not those & at.caught] == []


def test_what_an_error_carries_is_read() -> None:
    carried = {name: each for name, each in known().classes.items() if each.path == "errors.py"}
    read = {name for owner, name in found().read if owner in {"", *carried}}
    assert [
        f"{n}.{m}" for n, each in carried.items() for m in each.members if m not in read and not m.startswith("_")
    ] == []


SAID_OUTSIDE = {
    "Profile": "a setting of a turn",
    "OnContention": "a setting of a turn",
    "Prefill": "a setting of a turn",
    "OnDisconnect": "of a request",
    "DecisionGiven": "of a caller's approver",
    "Sex": "an argument of a tool",
    "Section": "an argument of a tool",
}
"""Lists whose words a person or a program outside says."""
HEARD_OUTSIDE = {
    "HedgeOutcome": "a label of a metric: docs/monitoring.md",
    "Outcome": "a label of a metric, of what a cache said: docs/monitoring.md",
    "Counted": "a label of a metric, of what the model suggested: docs/monitoring.md",
    "Section": "the name of a field of openFDA's labels",
    "Effect": "the column of a table of docs/design.md, which a test compares",
}
"""Lists whose words nothing in src tells apart."""


def test_a_word_of_a_list_is_said_and_heard() -> None:
    """Of the words of a list, one may be what remains when the others were asked for."""
    at, lists = found(), known().lists
    assert [
        f"{name}: {w}" for name, words in lists.items() if name not in SAID_OUTSIDE for w in words if w not in at.said
    ] == []
    deaf = {name: [w for w in words if w not in at.heard] for name, words in lists.items() if name not in HEARD_OUTSIDE}
    assert {name: words for name, words in deaf.items() if len(words) > 1} == {}
    assert set(lists) >= {*SAID_OUTSIDE, *HEARD_OUTSIDE}


def test_a_table_of_settings_names_settings() -> None:
    tables = [*settings.PLAIN, *settings.CHOICES, *settings.SIZES, *settings.SECRETS]
    assert [name for name in tables if name not in settings.KEYS] == []
