"""Errors of training: the family of this package, and the one of missing validation rows."""

from dataclasses import dataclass

from taskgraft.errors import TaskgraftError


class TrainingError(TaskgraftError):
    """Training that cannot start or continue with these settings and rows."""


@dataclass(eq=False)
class ValidationRequired(TaskgraftError):
    """A setting, a stage or a head that needs validation rows for some purpose, and there are none."""

    required_by: str
    purpose: str

    def __str__(self) -> str:
        return (
            f"{self.required_by} {self.purpose}, but there are no validation rows. Give data.validation or data.split."
        )
