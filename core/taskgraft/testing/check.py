"""A law of the kit, the error that reports a violation, and the error for examples that cannot show one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from taskgraft.contract.specs import Spec
from taskgraft.errors import TaskgraftError


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


def law_of(implementation: object, sentence: str, advice: str, module: str = "") -> Law:
    """State a law for an object. Messages call a spec by its name, a text as it is, and anything else by its class.

    Args:
        module: of the plugin that provides a spec.
    """
    if isinstance(implementation, Spec):
        name = f"{implementation.axis} '{implementation.name}'"
        return Law(f"{name} of {module}" if module else name, sentence, advice)
    who = implementation if isinstance(implementation, str) else type(implementation).__name__
    return Law(who, sentence, advice)


def describe_error(error: Exception) -> str:
    """Return the message of an error of taskgraft; for any other exception, also its class."""
    if isinstance(error, TaskgraftError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
