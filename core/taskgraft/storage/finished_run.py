"""The note of a finished run: which artifact it saves. Reads and writes it without torch.

It is written after the last stage and before the artifact: if the process is killed between the two, the artifact is not there,
or another one is, and the run goes on from its checkpoint.
"""

from pathlib import Path
from typing import Any

from taskgraft.contract.config import Config
from taskgraft.files.regular_file import file_digest
from taskgraft.storage.documents import read_document, write_document
from taskgraft.storage.manifest import TENSORS, InvalidArtifact, check_digest, read_manifest

FINISHED, STATE = "finished.json", "state.safetensors"
"""The note, and the checkpoint, in the folder of a run."""


class FinishedRun(Config):
    """What a run was asked for, and what it saves.

    Attributes:
        settings: of the recipe, those that decide the result.
        tensors: of the artifact: name → SHA-256, as its manifest says.
        report: what the command prints as JSON.
    """

    settings: dict[str, Any]
    seeds: int
    tensors: dict[str, str]
    report: dict[str, Any]

    def write(self, run: Path) -> None:
        """Write the note into the folder of a run. Raises OutputError."""
        write_document(run / FINISHED, self, "note that the run is finished")


def read_finished(run: Path, artifact: Path, settings: dict[str, Any], seeds: int) -> FinishedRun | None:
    """Return the note of a run with these settings whose artifact is in place, whole; None for any other run.

    Args:
        settings: as for :class:`FinishedRun`.
    """
    try:
        finished = read_document(run / FINISHED, FinishedRun)
        if finished is None or (finished.settings, finished.seeds) != (settings, seeds):
            return None
        manifest = read_manifest(artifact)
        check_digest(artifact, TENSORS, file_digest(artifact / TENSORS))
    except (OSError, ValueError, InvalidArtifact):
        return None
    saved = {name: record.sha256 for name, record in manifest.tensors.items()}
    return finished if saved == finished.tensors else None
