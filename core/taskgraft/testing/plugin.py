"""Laws of a plugin: its module is found without heavy imports, and its specs describe what they build."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, TypeVar

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
from taskgraft.files.temporary_folder import temporary_folder
from taskgraft.import_path import child_environment
from taskgraft.testing.check import Law, law_check
from taskgraft.testing.compare import require_same_description

AnyConfig = TypeVar("AnyConfig", bound=Config)

_DISTRIBUTION = "plugin-under-test"
"""The distribution under which a module is tried, whether it is installed or not."""

_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz", ".h5", ".msgpack", ".onnx", ".gguf")

_SCRIPT = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from taskgraft.discovery.catalog import load_catalog
from taskgraft.discovery.loader import HEAVY_LIBRARIES
catalog = load_catalog()
mine = lambda entries: [one for one in entries if one.source.distribution == sys.argv[2]]
print(json.dumps({
    "problems": [one.text for one in mine(catalog.failures + catalog.remarks)],
    "heavy": [name for name in HEAVY_LIBRARIES if name in sys.modules],
}))
"""


@law_check("Fix the module that the entry point names.")
def check_module_is_found(law: Law, module: str) -> None:
    """In a new process, the catalog loads the module without remarks, and imports no heavy library.

    Args:
        module: the module that the entry point names.
    """
    with temporary_folder() as folder:
        about = folder / f"{_DISTRIBUTION.replace('-', '_')}-0.dist-info"
        about.mkdir()
        about.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {_DISTRIBUTION}\nVersion: 0\n")
        about.joinpath("entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nmain = {module}\n")
        others = ",".join({source.distribution for source, _ in iter_entry_points(ENTRY_POINT_GROUP)})
        process = subprocess.run(
            [sys.executable, "-P", "-c", _SCRIPT, json.dumps([str(folder), *filter(None, sys.path)]), _DISTRIBUTION],
            env={**child_environment(), BLOCK_VARIABLE: others},
            capture_output=True,
            text=True,
            check=False,
        )
    if process.returncode:
        raise law.violation(f"discovery ends the process: {process.stderr.strip()[-300:]}")
    result = json.loads(process.stdout.splitlines()[-1])
    for problem in result["problems"]:
        raise law.violation(f"the catalog reports: {problem}")
    if result["heavy"]:
        raise law.violation(
            f"it imports {join_words(result['heavy'])}", f"Import {join_words(HEAVY_LIBRARIES)} inside build functions."
        )


@law_check("Fix the spec.")
def check_specs_are_valid(law: Law, module: str, configs: Mapping[str, Config]) -> None:
    """Each spec has a summary of one line, a config that is frozen, strict and JSON, and a usable example.

    Args:
        configs: name of a spec → settings to try it with. A spec with an example, or with defaults for all, needs none.
    """
    for spec in load_specs(module):
        law = law.about(spec, module)
        if not spec.summary.strip() or "\n" in spec.summary:
            raise law.violation(f"its summary is {spec.summary!r}", "Write one line for taskgraft list.")
        for setting, needed in (("frozen", True), ("extra", "forbid")):
            if spec.config.model_config.get(setting) != needed:
                raise law.violation(f"{spec.config.__name__} has {setting}={spec.config.model_config.get(setting)!r}")
        argument = spec.config.positional
        if argument is not None and argument not in spec.config.model_fields:
            raise law.violation(
                f"the positional argument of {spec.config.__name__} is '{argument}', which is not one of its settings"
            )
        _check_example(law, spec)
        if (config := config_to_try(spec, configs)) is not None:
            json_round_trip(law, config)


@law_check("Read the checkpoint's configuration, or build on the device 'meta'.")
def check_descriptions_read_no_weights(law: Law, module: str, configs: Mapping[str, Config]) -> None:
    """``describe`` creates no parameter with data, opens no file of weights, and returns the same twice."""
    for spec in load_specs(module):
        config = config_to_try(spec, configs)
        if not isinstance(spec, BackboneSpec | HeadSpec) or config is None:
            continue
        law = law.about(spec, module)
        with _weight_log() as log, law.must_succeed("describe"):
            first: object = spec.describe(config)
        if log:
            raise law.violation(f"describe {log[0]}")
        if first != spec.describe(config):
            raise law.violation("two calls of describe differ", "Compute the description from the settings alone.")


@law_check("Build from the settings alone, and let 'description' and the spec's 'describe' call one function.")
def check_descriptions_match_what_is_built(law: Law, module: str, configs: Mapping[str, Config]) -> None:
    """``describe`` returns the description of what ``build`` returns for the same settings."""
    for spec in load_specs(module):
        config = config_to_try(spec, configs)
        if not isinstance(spec, BackboneSpec | HeadSpec) or config is None:
            continue
        law = law.about(spec, module)
        with law.must_succeed("build"):
            built = spec.build(config)
        require_same_description(law, built, spec, config)


def load_specs(module: str) -> list[Spec]:
    """Return all specs of a plugin.

    Args:
        module: the module that its entry point names.
    """
    plugin = EntryPoint("main", module, ENTRY_POINT_GROUP).load()
    hooks: list[Callable[[], Any]] = [getattr(plugin, name) for name in SPEC_TYPES if hasattr(plugin, name)]
    return [spec for hook in hooks for spec in hook()]


def config_to_try(spec: Spec, configs: Mapping[str, Config]) -> Config | None:
    """Choose the settings to try a spec with: given ones, its example's, its defaults. None when something has no default.

    Args:
        configs: by the name of a spec, or by axis and name ("metric cost") when several specs share the name; of those, a
            config by the name alone counts for specs of its class.
    """
    if (key := f"{spec.axis} {spec.name}") in configs:
        return configs[key]
    if isinstance(config := configs.get(spec.name), spec.config):
        return config
    try:
        return spec.config.model_validate({} if spec.example is None else dict(spec.example.settings))
    except ValidationError:
        return None


def json_round_trip(law: Law, config: AnyConfig) -> AnyConfig:
    """Write settings, or the fitted state of a baseline, as JSON, read them again, and check that nothing changed."""
    kind = type(config)
    with law.must_succeed(f"writing {kind.__name__} as JSON"):
        text = json.dumps(config.model_dump(mode="json"), allow_nan=False)
    try:
        read = kind.model_validate(json.loads(text))
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise law.violation(f"{kind.__name__} written as JSON cannot be read: {reason}") from None
    if read != config:
        raise law.violation(f"{config!r:.150} written as JSON is read as {read!r:.150}")
    return read


def _check_example(law: Law, spec: Spec) -> None:
    """Check that an example has settings that the config accepts, and columns of one length."""
    if spec.example is None:
        return
    if not isinstance(spec.example, Example):
        raise law.violation(f"its example is {spec.example!r:.80}, not an Example", "Give Example(settings, rows).")
    if spec.example.settings:  # without, only rows are given: what has no default is for the user to decide
        try:
            parse_config(spec.config, spec.example.settings, "its example")
        except ConfigError as error:
            raise law.violation(str(error).rstrip("."), "Give settings that its config accepts.") from None
    counts = {name: len(values) for name, values in (spec.example.rows or {}).items()}
    if len(set(counts.values())) > 1 or (counts and min(counts.values()) < 4):
        raise law.violation(f"the columns of its example have {counts} rows", "Give four rows or more in each.")


@contextmanager
def _weight_log() -> Iterator[list[str]]:
    """Log parameters with data and opened files of weights, until the context ends."""
    log: list[str] = []

    def log_parameter(module: nn.Module, name: str, parameter: Tensor | None) -> None:
        if parameter is not None and parameter.device.type != "meta" and parameter.numel():
            log.append(f"creates weights: '{name}' of {type(module).__name__}")

    handle = register_module_parameter_registration_hook(log_parameter)
    _install_audit_hook()
    _logs.append(log)
    try:
        yield log
    finally:
        _logs.remove(log)
        handle.remove()


_logs: list[list[str]] = []


@cache
def _install_audit_hook() -> None:
    """Log opened files of weights. An audit hook cannot be removed, so there is one, which writes to the current logs."""

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        if _logs and event == "open" and str(arguments[0]).endswith(_WEIGHT_SUFFIXES):
            for log in _logs:
                log.append(f"opens {Path(str(arguments[0])).name}")

    sys.addaudithook(on_event)
