"""A check of the kit and its law, the error that reports a violation, and the error for examples that cannot show one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from inspect import signature
from typing import Concatenate, ParamSpec

from taskgraft.contract.specs import Spec
from taskgraft.errors import TaskgraftError

Arguments = ParamSpec("Arguments")


@dataclass(eq=False)
class ContractViolation(TaskgraftError):
    """An implementation breaks a promise of its contract.

    Attributes:
        who: the class or name of the implementation.
        law: the promise, as a sentence without a full stop.
        found: what was observed, as a sentence without a full stop.
        advice: what to do.
    """

    who: str
    law: str
    found: str
    advice: str

    def __str__(self) -> str:
        return f"{self.who} breaks the law '{self.law}':\n{self.found}.\n{self.advice}"


@dataclass(eq=False)
class InsufficientExamples(TaskgraftError):
    """Examples of a test with which a check could not find anything."""

    who: str
    problem: str

    def __str__(self) -> str:
        return f"The examples given for {self.who} prove nothing: {self.problem}."


@dataclass(frozen=True)
class Law:
    """One promise of one implementation."""

    who: str
    sentence: str
    advice: str

    def violation(self, found: str, advice: str | None = None) -> ContractViolation:
        """Create the error that reports a violation.

        Args:
            advice: replaces the advice of the law.
        """
        return ContractViolation(self.who, self.sentence, found, advice or self.advice)

    def about(self, spec: Spec, module: str) -> "Law":
        """Return the law for one spec of a plugin."""
        return replace(self, who=f"{_name_of(spec)} of {module}")

    @contextmanager
    def must_succeed(self, action: str) -> Iterator[None]:
        """Report any exception that an implementation raises as a violation.

        Args:
            action: what is tried ("a batch of one row").
        """
        try:
            yield
        except (TaskgraftError, AssertionError):
            raise
        except Exception as error:
            text = " ".join(str(error).partition("For further information visit")[0].split())[:300].rstrip(".")
            raise self.violation(f"{action} raises {type(error).__name__}: {text}") from error


def law_check(
    advice: str,
) -> Callable[[Callable[Concatenate[Law, Arguments], str | None]], Callable[Arguments, str | None]]:
    """Make a check of a function ``check_…``, whose name in words is the law.

    The function gets the law as its first argument, for the implementation that is the first argument of the check. It returns
    why the law does not apply to an implementation, as a sentence, or None if it was checked.

    Args:
        advice: what to do about a violation, unless that has an advice of its own.
    """

    def decorate(function: Callable[Concatenate[Law, Arguments], str | None]) -> Callable[Arguments, str | None]:
        parameters = list(signature(function).parameters.values())[1:]

        @wraps(function)
        def check(*args: Arguments.args, **kwargs: Arguments.kwargs) -> str | None:
            implementation = next(iter([*args, *kwargs.values()]))
            return function(Law(_name_of(implementation), title_of(check), advice), *args, **kwargs)

        check.__signature__ = signature(function).replace(parameters=parameters)  # type: ignore[attr-defined]
        return check

    return decorate


def title_of(check: Callable[..., object]) -> str:
    """Return the name of a check in words: "eval is deterministic"."""
    return check.__name__.removeprefix("check_").replace("_", " ").replace("json", "JSON")


def describe_error(error: Exception) -> str:
    """Return the message of an error of taskgraft; for any other exception, also its class."""
    if isinstance(error, TaskgraftError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _name_of(implementation: object) -> str:
    """Name a spec by its axis and name, a module as it is, and anything else by its class."""
    if isinstance(implementation, Spec):
        return f"{implementation.axis} '{implementation.name}'"
    return implementation if isinstance(implementation, str) else type(implementation).__name__
