"""YAML without surprises: no duplicate keys, no ``no`` that means false, no ``007`` that means 7, no dates."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

_BOOLEAN, _INTEGER, _FLOAT, _DATE = (f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "timestamp"))


@dataclass
class InvalidDocument(Exception):
    """What is wrong in a text, and where: line and column from 1."""

    problem: str
    line: int | None = None
    column: int | None = None


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads 1e-4 as a number, as YAML 1.2 does."""


_Loader.add_implicit_resolver(_FLOAT, re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+"), list("-+0123456789"))


def read_yaml(text: str) -> Any:
    """Parse a document.

    Raises:
        InvalidDocument: for invalid YAML, and for values that YAML 1.1 reads differently from what they look like.
    """
    try:
        root = yaml.compose(text, _Loader)
        for node in _nodes(root, set()) if root is not None else ():
            _check(node)
        return yaml.load(text, _Loader)  # noqa: S506, a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (None, None) if mark is None else (mark.line + 1, mark.column + 1)
        problem = ", ".join(text for text in (error.context, error.problem) if text)
        raise InvalidDocument(f"{problem}.", *place) from None
    except yaml.YAMLError as error:
        raise InvalidDocument(f"{' '.join(str(error).split())}.") from None
    except ValueError as error:  # a number that cannot be constructed
        raise InvalidDocument(f"{error}.") from None


def _nodes(node: yaml.Node, seen: set[int]) -> Iterator[yaml.Node]:
    """Yield a node and all below it, once each: an alias may lead back."""
    if id(node) in seen:
        return
    seen.add(id(node))
    yield node
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _nodes(child, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _nodes(key, seen)
            yield from _nodes(value, seen)


def _check(node: yaml.Node) -> None:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else repr(key.value)
            if name in names:
                mark = key.start_mark
                raise InvalidDocument(f"the key '{name}' is used twice in one mapping.", mark.line + 1, mark.column + 1)
            names.add(name)
    elif isinstance(node, yaml.ScalarNode) and node.style is None and (surprise := _surprise(node.tag, node.value)):
        meaning, clear = surprise
        alternative = f"{clear}, or " if clear else ""
        raise InvalidDocument(f'YAML reads {node.value} as {meaning}; write {alternative}"{node.value}".', line, column)


def _surprise(tag: str, text: str) -> tuple[str, str] | None:
    """Return what YAML 1.1 reads a plain text as, if it looks like something else, and how to write that clearly."""
    value = yaml.safe_load(text)
    if tag == _BOOLEAN and text.lower() not in ("true", "false"):
        clear = str(value).lower()
        return clear, clear
    if (tag == _INTEGER and text.lstrip("+") != str(value)) or (tag == _FLOAT and ":" in text):
        return f"the number {value}", str(value)
    return ("a date", "") if tag == _DATE else None
