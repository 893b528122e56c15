"""Consent: settings of an artifact, such as running remote code, that only a person may switch on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taskgraft.contract.specs import Spec
from taskgraft.storage.manifest import InvalidArtifact


def check_consent(folder: Path, spec: Spec, settings: Mapping[str, Any], granted: Mapping[str, Any]) -> None:
    """Reject an artifact that switches on a setting for which the user's consent is needed.

    Args:
        folder: of the artifact, for the message.
        settings: stated by the artifact.
        granted: stated by the user.

    Raises:
        InvalidArtifact: naming the setting.
    """
    for key in sorted(spec.config.needs_consent):
        if settings.get(key) and not granted.get(key):
            advice = f'pass {spec.axis}={{"name": "{spec.name}", "{key}": True, …}} if you trust it'
            raise InvalidArtifact(str(folder), f"it asks for '{key}', which only you can grant: {advice}")
