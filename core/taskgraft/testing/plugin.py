"""Laws of a plugin: its module is found without heavy imports, and its specs say what they build."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from taskgraft.contract.config import Config, ConfigError, parse_config
from taskgraft.contract.hooks import ENTRY_POINT_GROUP
from taskgraft.contract.specs import BackboneSpec, Example, HeadSpec, Spec
from taskgraft.discovery.catalog import BLOCK_VARIABLE
from taskgraft.discovery.distributions import iter_entry_points
from taskgraft.discovery.loader import HEAVY_LIBRARIES, SPEC_TYPES
from taskgraft.errors import join_words
from taskgraft.testing.check import Check

UNDER_TEST = "plugin-under-test"
"""What the distribution is called under which a module is tried, installed or not."""

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz", ".h5", ".msgpack", ".onnx", ".gguf")
"""Endings of files that hold weights."""

_SCRIPT = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from taskgraft.discovery.catalog import load_catalog
from taskgraft.discovery.loader import HEAVY_LIBRARIES
known = load_catalog()
mine = lambda found: [one for one in found if one.source.distribution == sys.argv[2]]
print(json.dumps({
    "names": [f"{one.spec.axis} {one.spec.name}" for one in mine(known.entries)],
    "failures": [one.reason for one in mine(known.failures)],
    "remarks": [one.text for one in mine(known.remarks)],
    "heavy": [name for name in HEAVY_LIBRARIES if name in sys.modules],
}))
"""


def check_module_is_found(module: str) -> None:
    """In a fresh process, the catalog takes the module, without remarks, and imports no heavy library.

    Args:
        module: what the entry point names.
    """
    law = Check(module, "a plugin is found without work", "Mend the module that the entry point names.")
    with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
        about = Path(folder) / f"{UNDER_TEST.replace('-', '_')}-0.dist-info"
        about.mkdir()
        about.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {UNDER_TEST}\nVersion: 0\n")
        about.joinpath("entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nmain = {module}\n")
        others = ",".join({source.distribution for source, _ in iter_entry_points(ENTRY_POINT_GROUP)})
        answer = subprocess.run(
            [sys.executable, "-c", _SCRIPT, json.dumps([folder, *sys.path]), UNDER_TEST],
            env={**os.environ, BLOCK_VARIABLE: others},
            capture_output=True,
            text=True,
            check=False,
        )
    if answer.returncode:
        raise law.broken(f"discovery ends the process: {answer.stderr.strip()[-300:]}")
    found = json.loads(answer.stdout.splitlines()[-1])
    for problem in (*found["failures"], *found["remarks"]):
        raise law.broken(f"the catalog says: {problem}")
    if found["heavy"]:
        raise law.broken(
            f"it imports {join_words(found['heavy'])}", f"Import {join_words(HEAVY_LIBRARIES)} inside build functions."
        )


def check_specs_are_valid(module: str, configs: Mapping[str, Config]) -> None:
    """Each spec has a summary of one line, a config that is frozen, strict, and JSON, and an example that can be used.

    Args:
        configs: name of a spec → settings to try it with. A spec with an example, or defaults for all, needs none.
    """
    for spec in specs(module):
        law = Check(
            f"{spec.axis} '{spec.name}' of {module}", "a spec is plain and its settings are JSON", "Mend the spec."
        )
        if not spec.summary.strip() or "\n" in spec.summary:
            raise law.broken(f"its summary is {spec.summary!r}", "Write one line for taskgraft list.")
        for setting, needed in (("frozen", True), ("extra", "forbid")):
            if spec.config.model_config.get(setting) != needed:
                raise law.broken(f"{spec.config.__name__} has {setting}={spec.config.model_config.get(setting)!r}")
        argument = spec.config.positional
        if argument is not None and argument not in spec.config.model_fields:
            raise law.broken(
                f"the argument of {spec.config.__name__} is '{argument}', which is not one of its settings"
            )
        _check_example(law, spec)
        if (config := config_of(spec, configs)) is not None:
            _check_json(law, config)


def check_descriptions_read_no_weights(module: str, configs: Mapping[str, Config]) -> None:
    """``describe`` makes no parameter that holds numbers and opens no file of weights, and answers the same twice."""
    for spec in specs(module):
        config = config_of(spec, configs)
        if not isinstance(spec, BackboneSpec | HeadSpec) or config is None:
            continue
        law = Check(
            f"{spec.axis} '{spec.name}' of {module}",
            "describe reads no weights",
            "Read the checkpoint's configuration, or build on the device 'meta'.",
        )
        with _watching() as seen, law.runs("describe"):
            first: object = spec.describe(config)
        if seen:
            raise law.broken(f"describe {seen[0]}")
        if first != spec.describe(config):
            raise law.broken("two calls of describe differ", "Describe from settings alone.")


def check_descriptions_match_what_is_built(module: str, configs: Mapping[str, Config]) -> None:
    """What ``describe`` answers equals the description of what ``build`` makes of the same settings."""
    from taskgraft.testing.backbone import check_spec_describes_the_backbone
    from taskgraft.testing.head import check_spec_describes_the_head

    for spec in specs(module):
        if (config := config_of(spec, configs)) is None:
            continue
        law = Check(
            f"{spec.axis} '{spec.name}' of {module}",
            "build makes what the spec says",
            "Build from the settings alone, and leave them as they are.",
        )
        if isinstance(spec, BackboneSpec):
            with law.runs("build"):
                backbone = spec.build(config)
            check_spec_describes_the_backbone(backbone, spec, config)
        if isinstance(spec, HeadSpec):
            with law.runs("build"):
                head = spec.build(config)
            check_spec_describes_the_head(head, spec, config)


def specs(module: str) -> list[Spec]:
    """Give all specs of a plugin.

    Args:
        module: what its entry point names.
    """
    plugin = EntryPoint("main", module, ENTRY_POINT_GROUP).load()
    hooks: list[Callable[[], Any]] = [getattr(plugin, name) for name in SPEC_TYPES if hasattr(plugin, name)]
    return [spec for hook in hooks for spec in hook()]


def config_of(spec: Spec, configs: Mapping[str, Config]) -> Config | None:
    """Choose settings to try a spec with: given ones, its example's, its defaults. None when something has no default.

    Args:
        configs: by the name of a spec, or by axis and name ("metric cost") where several have the name.
    """
    for key in (f"{spec.axis} {spec.name}", spec.name):
        if key in configs:
            return configs[key]
    try:
        return spec.config.model_validate({} if spec.example is None else dict(spec.example.settings))
    except ValidationError:
        return None


def _check_example(law: Check, spec: Spec) -> None:
    """An example is one, its settings are taken, and its rows are of one number."""
    if spec.example is None:
        return
    if not isinstance(spec.example, Example):
        raise law.broken(f"its example is {spec.example!r:.80}, not an Example", "Give Example(settings, rows).")
    if spec.example.settings:  # without, only rows are given: what has no default is for the user to decide
        try:
            parse_config(spec.config, spec.example.settings, "its example")
        except ConfigError as error:
            raise law.broken(str(error).rstrip("."), "Give settings that its config takes.") from None
    counts = {name: len(values) for name, values in (spec.example.rows or {}).items()}
    if len(set(counts.values())) > 1 or (counts and min(counts.values()) < 4):
        raise law.broken(f"the columns of its example have {counts} rows", "Give four rows or more in each.")


def _check_json(law: Check, config: Config) -> None:
    kind = type(config).__name__
    with law.runs(f"writing {kind} as JSON"):
        text = json.dumps(config.model_dump(mode="json"), allow_nan=False)
    try:
        read = type(config).model_validate(json.loads(text))
    except ValidationError as error:
        raise law.broken(
            f"{kind} written as JSON cannot be read: {error.errors(include_url=False)[0]['msg']}"
        ) from None
    if read != config:
        raise law.broken(f"{config!r:.150} written as JSON is read as {read!r:.150}")


@contextmanager
def _watching() -> Iterator[list[str]]:
    """Note parameters that hold numbers and files of weights, as long as the context lasts."""
    seen: list[str] = []

    def note(module: nn.Module, name: str, parameter: Tensor | None) -> None:
        if parameter is not None and parameter.device.type != "meta" and parameter.numel():
            seen.append(f"makes weights: '{name}' of {type(module).__name__}")

    handle = register_module_parameter_registration_hook(note)
    _watch.start(seen.append)
    try:
        yield seen
    finally:
        _watch.stop()
        handle.remove()


class _Watch:
    """An audit hook cannot be removed, so there is one, which is told when to look."""

    def __init__(self) -> None:
        self._hooked = False
        self._tell: Callable[[str], None] | None = None

    def start(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        if not self._hooked:
            self._hooked = True
            sys.addaudithook(self._hear)

    def stop(self) -> None:
        self._tell = None

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._tell is not None and event == "open" and str(arguments[0]).endswith(WEIGHTS):
            self._tell(f"opens {Path(str(arguments[0])).name}")


_watch = _Watch()
