"""YAML without surprises: no duplicate keys, no ``no`` that means false, no ``007`` that means 7, no dates."""

import math
import re
from dataclasses import dataclass
from typing import Any

import yaml

from taskgraft.errors import shorten
from taskgraft.files.json_text import MAX_DEPTH

MAX_SIZE = 1_000_000
"""Characters and values of a document when its aliases are written out: nine aliases of nine … make 9⁹ values of 400 bytes."""

_DIGITS = 4_300
"""Digits of a number, as of Python's own limit: conversion takes time that grows with their square."""

_BOOLEAN, _INTEGER, _FLOAT, _DATE = (f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "timestamp"))


@dataclass
class InvalidDocument(Exception):
    """What is wrong in a text, and where: line and column from 1."""

    problem: str
    line: int | None = None
    column: int | None = None


class TooLarge(InvalidDocument):
    """A document that may be valid, but is beyond a limit."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads 1e-4 as a number, as YAML 1.2 does."""


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same, ten times as fast where libyaml is there, but with other messages."""


for _loader in (_Loader, _FastLoader):
    _loader.add_implicit_resolver(_FLOAT, re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+"), list("-+0123456789"))


def read_yaml(text: str) -> Any:
    """Parse a document.

    Raises:
        InvalidDocument: for invalid YAML, for values that YAML 1.1 reads differently from what they look like, for more than
            :data:`MAX_SIZE` characters and values, and for nesting deeper than ``MAX_DEPTH`` levels.
    """
    try:
        try:
            return _read(text, _FastLoader)
        except yaml.YAMLError:
            return _read(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (None, None) if mark is None else (mark.line + 1, mark.column + 1)
        problem = ", ".join(text for text in (error.context, error.problem) if text)
        raise InvalidDocument(f"{problem}.", *place) from None
    except yaml.YAMLError as error:
        raise InvalidDocument(f"{' '.join(str(error).split())}.") from None


def _read(text: str, kind: type[Any]) -> Any:
    depth = 0
    for event in yaml.parse(text, kind):  # composing is recursive, parsing is not
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _too_deep(event)
    loader = kind(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        measured: dict[int, tuple[yaml.Node, int, int]] = {}
        _measure(root, measured)
        for node, _, _ in measured.values():
            _check(node)
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _measure(node: yaml.Node, measured: dict[int, tuple[yaml.Node, int, int]]) -> tuple[int, int]:
    """Return the size of a node with its aliases written out, and its levels; store them, and those of all nodes below it."""
    if id(node) in measured:
        _, size, levels = measured[id(node)]
        if not size:
            raise _problem(node, "an alias leads back to its own anchor.")
        return size, levels
    measured[id(node)] = node, 0, 0
    if isinstance(node, yaml.ScalarNode):
        size, levels = len(node.value), 0
    else:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ((child,) for child in node.value)
        sizes = [_measure(child, measured) for pair in pairs for child in pair]
        size, levels = sum(size for size, _ in sizes), 1 + max((levels for _, levels in sizes), default=0)
    if levels > MAX_DEPTH:
        raise _too_deep(node)
    if size + 1 > MAX_SIZE:
        raise _problem(node, f"with its aliases written out it has more than {MAX_SIZE:,} characters and values.")
    measured[id(node)] = node, size + 1, levels
    return size + 1, levels


def _check(node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else repr(key.value)
            if name in names:
                raise _problem(key, f"the key '{name}' is used twice in one mapping.")
            names.add(name)
    elif isinstance(node, yaml.ScalarNode):
        if half := re.search("[\ud800-\udfff]", node.value):
            raise _problem(node, f"the text has a lone surrogate (\\u{ord(half[0]):04x}), which is not a character.")
        if not node.style and (surprise := _surprise(node)):
            meaning, clear = surprise
            alternative = f"{clear}, or " if clear else ""
            raise _problem(node, f'YAML reads {node.value} as {meaning}; write {alternative}"{node.value}".')


def _surprise(node: yaml.ScalarNode) -> tuple[str, str] | None:
    """Return what YAML 1.1 reads a plain text as, if it looks like something else, and how to write that clearly."""
    tag, text = node.tag, node.value
    if tag == _DATE:
        return "a date", ""
    if tag not in (_BOOLEAN, _INTEGER, _FLOAT):
        return None
    if len(text) > _DIGITS:
        raise _problem(node, f"a number has more than {_DIGITS:,} digits.")
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node)
    except (KeyError, ValueError):  # a tag that does not fit
        raise _problem(node, f"{shorten(text, 40)} is not of the type {tag.rpartition(':')[2]}.") from None
    if tag == _BOOLEAN and text.lower() not in ("true", "false"):
        clear = str(value).lower()
        return clear, clear
    if tag == _FLOAT and math.isinf(value) and "inf" not in text.lower():
        raise _problem(node, f"the number {shorten(text, 40)} is too large.")
    if (tag == _INTEGER and text.lstrip("+") != str(value)) or (tag == _FLOAT and ":" in text):
        return f"the number {value}", str(value)
    return None


def _problem(node: yaml.Node | yaml.Event, problem: str) -> InvalidDocument:
    return InvalidDocument(problem, node.start_mark.line + 1, node.start_mark.column + 1)


def _too_deep(node: yaml.Node | yaml.Event) -> InvalidDocument:
    return TooLarge(
        f"it is nested deeper than {MAX_DEPTH} levels.", node.start_mark.line + 1, node.start_mark.column + 1
    )
