"""HTML and Markdown to the text that a reader would see."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from selectolax.lexbor import LexborHTMLParser, LexborNode

from vital_engine.errors import UnreadableDocument

__all__ = ["declared_encoding", "from_html", "from_markdown"]

_UNSEEN = frozenset(
    ["script", "style", "noscript", "template", "nav", "aside", "footer", "form", "iframe", "object", "svg", "canvas"]
) | {"button", "select", "dialog", "head", "audio", "video"}
_PARAGRAPHS = frozenset(
    ["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "pre", "figure", "section"]
) | {"article", "header", "main", "hr", "details", "fieldset"}
_LINES = frozenset(
    ["div", "li", "tr", "dt", "dd", "br", "caption", "figcaption", "address", "summary", "thead", "tbody"]
)
_HIDDEN_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|opacity\s*:\s*0(?![.\d])"
)
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{2,40})", re.IGNORECASE)
_RAISED = str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ")
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*)")
_CLOSE_THEMSELVES = frozenset(
    ["p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "option", "optgroup", "colgroup", "rt", "rp"]
) | {"br", "hr", "img", "input", "meta", "link", "col", "wbr", "area", "base", "embed", "source", "track", "param"}
_DEEPEST = 3000
_SPACES = re.compile(r"\s+")


def declared_encoding(data: bytes) -> str:
    """The encoding that an HTML page names for itself in its first kilobyte, or ""."""
    match = _CHARSET.search(data[:1024])
    return match.group(1).decode("ascii") if match else ""


def from_html(page: str) -> tuple[str, str]:
    """Title and text of *page*. What a browser would not show, and navigation, is left out.

    :raises UnreadableDocument: it nests deeper than any page that a person made.
    """
    if _nests_deeper(page, _DEEPEST):
        raise UnreadableDocument(f"the page nests deeper than {_DEEPEST} elements", service="reading")
    tree = LexborHTMLParser(page)
    title = tree.css_first("title") or tree.css_first("h1")
    body = tree.body
    text = "".join(_seen(body)) if body is not None else ""
    return (title.text(deep=True).strip() if title is not None else ""), text


def _nests_deeper(page: str, deepest: int) -> bool:
    """Whether more than *deepest* elements are open at once. The parser's time grows with the square of that."""
    depth = 0
    for match in _TAG.finditer(page):
        if match.group(2).lower() not in _CLOSE_THEMSELVES:
            depth = max(0, depth - 1) if match.group(1) else depth + 1
            if depth > deepest:
                return True
    return False


def _seen(root: LexborNode) -> Iterator[str]:
    """The visible text below *root*, in order. A walk without recursion: pages nest as deep as they like."""
    node: LexborNode | None = root
    while node is not None:
        entered = node.is_text_node or not (node.is_comment_node or _unseen(node))
        if node.is_text_node:
            content = node.text_content or ""
            yield content if _preformatted(node) else _SPACES.sub(" ", content)
        elif entered:
            yield _opening(node)
            if node.tag == "sup" and (raised := raise_digits(node.text(deep=True))) is not None:
                yield raised
                entered = False
            elif node.child is not None:
                node = node.child
                continue
        # up to the next that has a sibling
        while node is not None:
            if entered and not node.is_text_node:
                yield _closing(node)
            if node.mem_id == root.mem_id:
                return
            if node.next is not None:
                node = node.next
                break
            node, entered = node.parent, True


def _unseen(node: LexborNode) -> bool:
    if node.tag in _UNSEEN:
        return True
    attributes = node.attributes
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return True
    style = attributes.get("style")
    return bool(style and _HIDDEN_STYLE.search(style.lower()))


def _preformatted(node: LexborNode) -> bool:
    parent = node.parent
    return parent is not None and (parent.tag == "pre" or (parent.parent is not None and parent.parent.tag == "pre"))


def _opening(node: LexborNode) -> str:
    if node.tag in _PARAGRAPHS:
        return "\n\n"
    if node.tag == "li":
        return "\n- "
    if node.tag in ("td", "th"):
        return " | " if _follows_a_cell(node) else ""
    return "\n" if node.tag in _LINES and node.tag != "tr" else ""


def _follows_a_cell(node: LexborNode) -> bool:
    before = node.prev
    while before is not None and before.tag not in ("td", "th"):
        before = before.prev
    return before is not None


def _closing(node: LexborNode) -> str:
    if node.tag in _PARAGRAPHS:
        return "\n\n"
    return "\n" if node.tag in _LINES and node.tag not in ("br", "li") else ""


def raise_digits(text: str) -> str | None:
    """*text* in superscript characters, so that 10 to the 5th does not read as 105; None if there are none for it."""
    text = text.strip()
    return text.translate(_RAISED) if re.fullmatch(r"[+\-−]?[\dn]{1,4}", text) else None


Written: TypeAlias = "str | list[Written] | dict[str, Written]"
"""A value of a front matter: nothing in it is read as a date or a number."""
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.{0,20000}?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)


def from_markdown(source: str) -> tuple[str, str, dict[str, Written]]:
    """Title, text and front matter of *source* (CommonMark with tables). A first heading of level 1 is the title,
    and is then not part of the text.
    The front matter's scalars stay strings."""
    front, source = _front_matter(source)
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(source)
    title = str(front.pop("title", "") or "")
    if not title and len(tokens) > 2 and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        title, tokens = "".join(_inline(tokens[1].children or ())), tokens[3:]
    return title, "".join(_blocks(tokens)), front


def _front_matter(source: str) -> tuple[dict[str, Written], str]:
    match = _FRONT_MATTER.match(source)
    if match is None:
        return {}, source
    try:
        # aliases can grow without end
        aliased = any(isinstance(token, yaml.AliasToken) for token in yaml.scan(match.group(1)))
        # every scalar stays the string that stands there: no dates, no 012 read as ten
        loaded = None if aliased else yaml.load(match.group(1), Loader=yaml.BaseLoader)  # noqa: S506 - it builds only str, list, dict
    except yaml.YAMLError:
        return {}, source
    return (loaded, source[match.end() :]) if isinstance(loaded, dict) else ({}, source)


def _blocks(tokens: Sequence[Token]) -> Iterator[str]:
    for before, token in zip(["", *(token.type for token in tokens)], tokens, strict=False):
        if token.type == "inline":
            yield from _inline(token.children or ())
        elif token.type in ("fence", "code_block"):
            yield f"\n\n{token.content}\n\n"
        elif token.type == "html_block":
            yield f"\n\n{from_html(token.content)[1]}\n\n"
        elif token.type == "list_item_open":
            yield f"\n{token.info}. " if token.info else "\n- "
        elif token.type == "tr_close":
            yield "\n"
        elif token.type in ("td_open", "th_open"):
            yield "" if before == "tr_open" else " | "
        elif token.type in ("paragraph_open", "paragraph_close") and token.hidden:
            continue
        elif token.block and token.nesting != 0 and token.type not in _WITHIN and token.level == 0:
            yield "\n\n"
        elif token.type == "paragraph_close":
            yield "\n"


_WITHIN = frozenset(["list_item_close", "tr_open", "tbody_open", "tbody_close", "thead_open", "thead_close"])


def _inline(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type in ("text", "code_inline", "image"):
            yield token.content
        elif token.type == "softbreak":
            yield " "
        elif token.type == "hardbreak" or (token.type == "html_inline" and token.content.lower().startswith("<br")):
            yield "\n"
