"""Mistakes that authors make: each is the correct plugin of ``acme_strings`` with one error, and the message that reports it.

In messages, # stands for a number that depends on the weights, and … for the text of a torch error.
"""

from dataclasses import dataclass
from enum import StrEnum

from kit_laws import Check, message

from taskgraft import testing as kit


class Catcher(StrEnum):
    """What catches a mistake: the catalog, or the checks of the conformance kit for a subject."""

    CATALOG = "catalog"
    USE = "catalog, when the name is used"
    BACKBONE = "backbone"
    HEAD = "head"
    STRATEGY = "strategy"
    READER = "reader"
    SPLIT = "split"
    PLUGIN = "plugin"


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        cause: the error of the author, in the words of the guide.
        module: the module that has the error.
        changes: correct text → wrong text.
        message: the whole message.
    """

    cause: str
    catcher: Catcher
    module: str
    changes: dict[str, str]
    message: str

    def __str__(self) -> str:
        return self.cause


IMPLEMENTATIONS = {
    Catcher.BACKBONE: "Strings",
    Catcher.HEAD: "Kinds",
    Catcher.STRATEGY: "LastPart",
    Catcher.READER: "reader 'pairs'",
    Catcher.SPLIT: "split 'tenth'",
}
"""The names of the plugin's implementations in messages of the kit."""


def violation(
    cause: str,
    catcher: Catcher,
    module: str,
    changes: dict[str, str],
    check: Check,
    found: str,
    advice: str | None = None,
    who: str = "",
) -> Mistake:
    """Describe a mistake that a check of the kit reports."""
    who = who or IMPLEMENTATIONS[catcher]
    return Mistake(cause, catcher, module, changes, message(check, who, found, advice))


MISTAKES = (
    Mistake(
        "A library is not installed.",
        Catcher.CATALOG,
        "__init__",
        {"from pydantic import Field": "import acme_core\nfrom pydantic import Field"},
        "acme 1.0 (ModuleNotFoundError: No module named 'acme_core')",
    ),
    Mistake(
        "A module of the core is imported that is not public, or no longer there.",
        Catcher.CATALOG,
        "__init__",
        {"from pydantic import Field": "from taskgraft.spec import HeadSpec\nfrom pydantic import Field"},
        "acme 1.0 (it imports taskgraft.spec, which is not public: plugins import from taskgraft.plugin)",
    ),
    Mistake(
        "A name is imported that taskgraft.plugin does not have.",
        Catcher.CATALOG,
        "__init__",
        {"from pydantic import Field": "from taskgraft.plugin import BackboneSpecs\nfrom pydantic import Field"},
        "acme 1.0 (it imports 'BackboneSpecs' from taskgraft.plugin, which does not have it; did it mean 'BackboneSpec'?)",
    ),
    Mistake(
        "torch is imported at module level. The plugin works, with a remark.",
        Catcher.CATALOG,
        "__init__",
        {"from pydantic import Field": "import torch\nfrom pydantic import Field"},
        "imports torch during discovery; move that import into the spec's build function",
    ),
    Mistake(
        "The module states no contract.",
        Catcher.CATALOG,
        "__init__",
        {'TASKGRAFT_CONTRACT = "1.0"': ""},
        'acme 1.0 (states no contract: add TASKGRAFT_CONTRACT = "1.0" to its module)',
    ),
    Mistake(
        "The contract is a number, which would read 1.10 as 1.1.",
        Catcher.CATALOG,
        "__init__",
        {'TASKGRAFT_CONTRACT = "1.0"': "TASKGRAFT_CONTRACT = 1.0"},
        "acme 1.0 (states the contract 1.0, which is not a version like '1.0')",
    ),
    Mistake(
        "The plugin was built for a newer contract.",
        Catcher.CATALOG,
        "__init__",
        {'TASKGRAFT_CONTRACT = "1.0"': 'TASKGRAFT_CONTRACT = "1.1"'},
        "acme 1.0 (was built for contract 1.1, newer than the installed 1.0: update taskgraft)",
    ),
    Mistake(
        "The plugin was built for an older contract, which is no longer supported.",
        Catcher.CATALOG,
        "__init__",
        {'TASKGRAFT_CONTRACT = "1.0"': 'TASKGRAFT_CONTRACT = "0.9"'},
        "acme 1.0 (was built for contract 0.9, older than the installed 1.0: update the plugin)",
    ),
    Mistake(
        "A hook is misspelt.",
        Catcher.CATALOG,
        "__init__",
        {"def taskgraft_heads": "def taskgraft_head"},
        "acme 1.0 (has a hook 'taskgraft_head', which does not exist; did it mean 'taskgraft_heads'?)",
    ),
    Mistake(
        "A hook lacks its decorator.",
        Catcher.CATALOG,
        "__init__",
        {"@hookimpl\ndef taskgraft_heads": "def taskgraft_heads"},
        "acme 1.0 (has taskgraft_heads without @hookimpl, so it would never be called)",
    ),
    Mistake(
        "A hook creates its specs but returns nothing.",
        Catcher.CATALOG,
        "__init__",
        {"yield HeadSpec": "spec = HeadSpec"},
        "acme 1.0 (taskgraft_heads returned None, not an iterable of HeadSpec)",
    ),
    Mistake(
        "A hook raises after its first spec.",
        Catcher.CATALOG,
        "__init__",
        {"\n\ndef describe_kinds": "    raise KeyError('ACME_LICENCE')\n\n\ndef describe_kinds"},
        "acme 1.0 (KeyError: 'ACME_LICENCE')",
    ),
    Mistake(
        "A hook returns something that is not a spec.",
        Catcher.CATALOG,
        "__init__",
        {"yield HeadSpec(": "yield dict("},
        "acme 1.0 (taskgraft_heads returned dict {'name': 'kinds', 'summary': 'one label per row', "
        "'config': , not HeadSpec)",
    ),
    Mistake(
        "A hook modifies a spec.",
        Catcher.CATALOG,
        "__init__",
        {
            "yield HeadSpec(": "spec = HeadSpec(",
            "\n\ndef describe_kinds": '    spec.name = "sorts"\n    yield spec\n\n\ndef describe_kinds',
        },
        "acme 1.0 (FrozenInstanceError: cannot assign to field 'name')",
    ),
    Mistake(
        "A config is a plain pydantic model, a dataclass or a dict.",
        Catcher.CATALOG,
        "__init__",
        {"class StringsConfig(Config)": "from pydantic import BaseModel\nclass StringsConfig(BaseModel)"},
        "acme 1.0 (taskgraft_backbones: the config of 'strings' is <class 'acme_strings.StringsConfig'>, not "
        "a subclass of Config)",
    ),
    Mistake(
        "A name contains capitals or an underscore.",
        Catcher.CATALOG,
        "__init__",
        {'name="kinds"': 'name="Kinds_Head"'},
        "acme 1.0 (taskgraft_heads: 'Kinds_Head' is not a valid name (lower-case words joined by hyphens))",
    ),
    Mistake(
        "A hook takes an argument that the contract does not have.",
        Catcher.CATALOG,
        "__init__",
        {"def taskgraft_heads()": "def taskgraft_heads(settings)"},
        "acme 1.0 (PluginValidationError: Plugin 'acme_strings' for hook 'taskgraft_heads' hookimpl "
        "definition: taskgraft_heads(settings) -> collections.abc.Iterable[taskgraft.contract.specs.HeadSpec] "
        "Argument(s) {'settings'} are declared in the hookimpl but can not be found in the hookspec)",
    ),
    Mistake(
        "A hook never ends.",
        Catcher.CATALOG,
        "__init__",
        {"    yield HeadSpec(": "    while True:\n      yield HeadSpec("},
        "acme 1.0 (taskgraft_heads returned more than 1,000 specs; it seems endless)",
    ),
    Mistake(
        "A hook returns one name twice.",
        Catcher.CATALOG,
        "__init__",
        {"yield HeadSpec(": "for _ in range(2):\n      yield HeadSpec("},
        "acme 1.0 (taskgraft_heads names kinds more than once)",
    ),
    Mistake(
        "Aliases are a string instead of a tuple.",
        Catcher.CATALOG,
        "__init__",
        {'name="kinds",': 'name="kinds", aliases=("sorts"),'},
        "acme 1.0 (taskgraft_heads: the aliases of 'kinds' are 'sorts', not a tuple of names)",
    ),
    Mistake(
        "Another distribution provides the same name.",
        Catcher.USE,
        "__init__",
        {'name="kinds"': 'name="healthy"'},
        "The head 'healthy' is provided by acme 1.0 and by health 1.0. Choose one with "
        "'acme/healthy' or 'health/healthy'.",
    ),
    violation(
        "Two parts own one layer.",
        Catcher.BACKBONE,
        "__init__",
        {'("mixing", "dropout"), ': '("mixing", "dropout", "last"), '},
        kit.check_parts_own_every_tensor_once,
        "last.weight belongs to part 'mixing' and to part 'last'",
        "Leave it to the first part that uses it.",
    ),
    violation(
        "A layer belongs to no part.",
        Catcher.BACKBONE,
        "__init__",
        {
            '("mixing", "dropout"), sequence(size), {"mixing": LayerRole.FEED_FORWARD_IN}': '("dropout",), sequence(size)'
        },
        kit.check_parts_own_every_tensor_once,
        "no part owns mixing.weight, mixing.bias",
    ),
    violation(
        "A buffer belongs to no part.",
        Catcher.BACKBONE,
        "__init__",
        {'("letters", "shift")': '("letters",)'},
        kit.check_parts_own_every_tensor_once,
        "no part owns shift",
    ),
    violation(
        "A role is given to a layer that is neither linear nor convolutional.",
        Catcher.BACKBONE,
        "__init__",
        {'"shift"), sequence(size)': '"shift"), sequence(size), {"letters": LayerRole.FUSED}'},
        kit.check_roles_name_layers,
        "part 'letters' gives letters the role 'fused', but it is of the type Embedding, not a linear or "
        "convolutional layer",
    ),
    violation(
        "Cuts are counted from 1.",
        Catcher.BACKBONE,
        "__init__",
        {"cuts=(0, 1, 2)": "cuts=(1, 2, 3)"},
        kit.check_description_is_valid,
        "its cuts (1, 2, 3) lack 0",
        "Cut 0, before the first part, always exists.",
    ),
    violation(
        "Features have a different layout than requested.",
        Catcher.BACKBONE,
        "backbone",
        {"if layout == Layout.VECTOR:": "if layout == Layout.PAIR:"},
        kit.check_features_match_the_description,
        "forward for vector: vector features have the shape (6, 20, 8), described with 2 axes",
    ),
    violation(
        "A layer is built but never used.",
        Catcher.BACKBONE,
        "backbone",
        {"torch.tanh(self.last(hidden))": "torch.tanh(hidden)"},
        kit.check_every_tensor_gets_a_gradient,
        "no layout (sequence, vector) sends a gradient to last.weight, last.bias",
    ),
    violation(
        "forward runs without gradients.",
        Catcher.BACKBONE,
        "backbone",
        {"    def forward(": "    @torch.no_grad()\n    def forward("},
        kit.check_every_tensor_gets_a_gradient,
        "sequence features carry no gradient",
        "Do not detach, and leave no_grad to the caller.",
    ),
    violation(
        "The fingerprint is computed from the weights in memory.",
        Catcher.BACKBONE,
        "backbone",
        {
            "    def forward(": "    def fingerprint(self):\n        return str(self.letters.weight.tolist())\n\n"
            "    def forward("
        },
        kit.check_fingerprint_is_stable,
        "it changed when a weight in memory was changed, as training does",
    ),
    violation(
        "Dropout is called as a function, which ignores eval mode.",
        Catcher.BACKBONE,
        "backbone",
        {"self.dropout(hidden + ": "nn.functional.dropout(hidden + ", "[:, None])))": "[:, None], 0.1)))"},
        kit.check_eval_is_deterministic,
        "two passes give sequence features that differ by #",
    ),
    violation(
        "The mean includes padding.",
        Catcher.BACKBONE,
        "backbone",
        {"real.sum(1) / batch.lengths[ELEMENT_AXIS][:, None].to(hidden.dtype)": "hidden.mean(1)"},
        kit.check_features_do_not_depend_on_the_batch,
        "sequence features of row 0 alone and in a batch differ by #",
    ),
    violation(
        "Features are normalized with the statistics of the batch.",
        Catcher.BACKBONE,
        "backbone",
        {"torch.tanh(self.last(hidden))": "torch.tanh(self.last(hidden - hidden.mean((0, 1))))"},
        kit.check_features_do_not_depend_on_the_batch,
        "sequence features of row 0 alone and in a batch differ by #",
    ),
    violation(
        "State of the last batch is kept for the next.",
        Catcher.BACKBONE,
        "backbone",
        {
            "torch.tanh(self.last(hidden))\n": "torch.tanh(self.last(hidden)) + getattr(self, 'before', 0)\n"
            "        self.before = hidden.detach().mean()\n"
        },
        kit.check_eval_is_deterministic,
        "two passes of one batch give sequence features that differ by #, with the same random numbers",
        "Store nothing of a pass on the module.",
    ),
    violation(
        "A running mean is a plain attribute, not a buffer.",
        Catcher.BACKBONE,
        "backbone",
        {
            "torch.tanh(self.last(hidden))\n": "torch.tanh(self.last(hidden))\n"
            "        self.mean = getattr(self, 'mean', 0) + self.training * hidden.detach().mean()\n"
            "        hidden = hidden - self.mean\n"
        },
        kit.check_training_changes_only_parameters_and_buffers,
        "sequence features differ by # after a pass in training mode",
    ),
    violation(
        "forward uses a fixed dtype.",
        Catcher.BACKBONE,
        "backbone",
        {"torch.tanh(self.last(hidden))": "torch.tanh(self.last(hidden.float()))"},
        kit.check_dtypes_work,
        "computing sequence features with weights in torch.float64 raises RuntimeError: …",
    ),
    violation(
        "forward uses a fixed device.",
        Catcher.BACKBONE,
        "backbone",
        {"+ self.shift": '+ self.shift * torch.ones(len(self.shift), dtype=self.shift.dtype, device="cpu")'},
        kit.check_devices_work,
        "forward for sequence features, with tensors that are created without a device or on a named one "
        "elsewhere, raises RuntimeError: …",
    ),
    violation(
        "forward creates a tensor on the default device.",
        Catcher.BACKBONE,
        "backbone",
        {"+ self.shift": "+ self.shift * torch.ones(len(self.shift), dtype=self.shift.dtype)"},
        kit.check_devices_work,
        "forward for sequence features, with tensors that are created without a device or on a named one "
        "elsewhere, raises RuntimeError: …",
    ),
    violation(
        "forward_from_cut skips a part.",
        Catcher.BACKBONE,
        "backbone",
        {"if cut < 2:": "if cut < 1:"},
        kit.check_resuming_equals_a_full_pass,
        "sequence features resumed from cut 1 differ by #",
    ),
    violation(
        "forward_from_cut starts again from the raw input, which the state holds.",
        Catcher.BACKBONE,
        "backbone",
        {
            '        return Batch({"hidden": hidden}, {"hidden": (ELEMENT_AXIS,)}, batch.lengths)': "        return batch",
            'self._embedded(state) if cut == 0 else state["hidden"]': "self._embedded(state)",
            "if cut < 2:": "if cut < 3:",
        },
        kit.check_states_hold_no_raw_input,
        "the state at cut 1 holds the raw input 'letters' as 'letters'",
    ),
    violation(
        "forward_from_cut reads what forward_to_cut stored on the module.",
        Catcher.BACKBONE,
        "backbone",
        {
            '        return Batch({"hidden": hidden}': '        self.hidden = hidden\n        return Batch({"hidden": hidden}',
            'else state["hidden"]': "else self.hidden",
        },
        kit.check_resuming_equals_a_full_pass,
        "resuming sequence features from cut 1 raises AttributeError: 'Strings' object has no attribute 'hidden'",
    ),
    violation(
        "A state does not name its padded axis.",
        Catcher.BACKBONE,
        "backbone",
        {'Batch({"hidden": hidden}': 'Batch({"hidden": hidden, "mask": batch.mask(ELEMENT_AXIS)}'},
        kit.check_states_name_their_padded_axes,
        "at cut 1, 'mask' of row 0 has the shape (1, 20) in a batch and (1, 5) alone",
        "Name its padded axes in the 'axes' of the state, each with its lengths.",
    ),
    violation(
        "forward_to_cut runs one part too many.",
        Catcher.BACKBONE,
        "backbone",
        {"        if cut == 2:\n": "        if cut > 0:\n", "if cut < 2:": "if cut == 0:"},
        kit.check_states_do_not_depend_on_later_parts,
        "'hidden' at cut 1 changes with the weights of part 'mixing', after it",
    ),
    violation(
        "A processor sorts rows by their length.",
        Catcher.BACKBONE,
        "backbone",
        {"        lengths = torch.tensor": "        rows.sort(key=len)\n        lengths = torch.tensor"},
        kit.check_rows_are_preprocessed_independently,
        "example 1 is in row 3 of the batch",
        "Return rows in the order of the examples.",
    ),
    violation(
        "A processor raises on an empty cell.",
        Catcher.BACKBONE,
        "backbone",
        {'in text or ""]': "in text]"},
        kit.check_invalid_rows_are_reported,
        "preprocessing a row of empty cells (None) raises TypeError: 'NoneType' object is not iterable",
    ),
    violation(
        "The settings of a processor contain a set.",
        Catcher.BACKBONE,
        "backbone",
        {'{"alphabet": ascii_lowercase}': '{"alphabet": set(ascii_lowercase)}'},
        kit.check_processor_settings_are_json,
        "they cannot be written as JSON (Object of type set is not JSON serializable)",
    ),
    violation(
        "A field of the target description has the type Any.",
        Catcher.HEAD,
        "head",
        {"labels: tuple[str, ...]\n\n\nclass Kinds(": "labels: Any\n\n\nclass Kinds("},
        kit.check_target_description_is_json,
        "written as JSON and read again, KindsTarget(labels=('a', 'b', 'c')) becomes KindsTarget(labels=['a', "
        "'b', 'c'])",
    ),
    violation(
        "The loss is a mean.",
        Catcher.HEAD,
        "head",
        {'reduction="sum"': 'reduction="mean"'},
        kit.check_loss_is_a_sum_over_rows,
        "for vector features, the total of 6 rows is #, but # row by row",
    ),
    violation(
        "The head normalizes its features with the statistics of the batch.",
        Catcher.HEAD,
        "head",
        {"self.readout(value)": "self.readout(value - value.mean(0))"},
        kit.check_outputs_do_not_depend_on_the_batch,
        "for vector features, row 0 is predicted as 'a' in a batch and as 'b' alone",
    ),
    violation(
        "predict decodes labels in a different order than encode.",
        Catcher.HEAD,
        "head",
        {"[self.labels[number] for": "[self.labels[::-1][number] for"},
        kit.check_lowest_loss_predicts_the_targets,
        "for vector features, at the lowest loss, 4 of 6 rows are not predicted as their target: row 0 as 'c', "
        "not as 'a'",
    ),
    violation(
        "encode accepts labels that only validation rows have.",
        Catcher.HEAD,
        "head",
        {
            "if invalid:\n            raise InvalidTargets(invalid)\n": "known = [*target.labels, "
            "*{labels[row] for row in invalid}]\n",
            "[target.labels.index(label)": "[known.index(label)",
        },
        kit.check_invalid_targets_are_reported,
        "encode accepts 'a_label_outside_the_training_split', which is not in the training split",
    ),
    violation(
        "A plan is random.",
        Catcher.STRATEGY,
        "strategy",
        {"head_learning_rate=1e-2": "head_learning_rate=float(torch.rand(()))"},
        kit.check_planning_is_pure,
        "two plans for the same descriptions differ",
    ),
    violation(
        "A plan names a part of one particular backbone.",
        Catcher.STRATEGY,
        "strategy",
        {"(last.name,)": '("last",)'},
        kit.check_stages_are_valid,
        "stage 'last' names the part 'last'; the parts are all",
    ),
    violation(
        "A plan selects layers that the backbone does not have.",
        Catcher.STRATEGY,
        "strategy",
        {"Unfreeze((last.name,), 1e-3)": "Unfreeze((last.name,), 1e-3, roles=frozenset({LayerRole.QUERY}))"},
        kit.check_stages_fit_a_real_backbone,
        "The stage 'last' cannot run: its selection 1 matches no tensor of last",
    ),
    violation(
        "A stage trains nothing.",
        Catcher.STRATEGY,
        "strategy",
        {"(Unfreeze((last.name,), 1e-3),), insert, head_learning_rate=1e-2": "()"},
        kit.check_stages_are_valid,
        "stage 'last' trains nothing",
    ),
    violation(
        "An inserted module creates its own layer instead of wrapping the given one.",
        Catcher.STRATEGY,
        "strategy",
        {"self.wrapped = wrapped": "self.wrapped = nn.Linear(wrapped.in_features, wrapped.out_features)"},
        kit.check_stages_fit_a_real_backbone,
        "The insertion 'scale' cannot be made: the module around mixing does not contain that layer",
    ),
    Mistake(
        "Weights change that no stage declares.",
        Catcher.STRATEGY,
        "strategy",
        {
            "head_learning_rate=1e-2": "head_learning_rate=1e-2, "
            "on_step_end=lambda backbone, step: backbone.letters.weight.data.mul_(0.99)"
        },
        "The stage 'last' did not train exactly what it declared:\n"
        "  the tensor letters.weight is frozen, but changed\n"
        "This is a bug in the strategy, the backbone or the head, not in your data.",
    ),
    violation(
        "A reader drops invalid rows.",
        Catcher.READER,
        "data",
        {"for line in lines]\n": 'for line in lines if ": " in line]\n', "list(range(1, len(lines) + 1))": "None"},
        kit.check_no_row_is_lost,
        "data.pairs has 7 rows, but 6 are read",
    ),
    violation(
        "A reader lets Python's exceptions through.",
        Catcher.READER,
        "data",
        {"except (OSError, UnicodeDecodeError)": "except ZeroDivisionError"},
        kit.check_unreadable_files_are_reported,
        "reading a missing file raises FileNotFoundError: [Errno 2] No such file or directory: '…/file.pairs'",
    ),
    violation(
        "A split puts a row into two subsets.",
        Catcher.SPLIT,
        "data",
        {"if place % 10]": "]"},
        kit.check_split_divides_the_rows,
        "with the seed 0, it puts line 11 into 'train' and into 'validation'",
    ),
    violation(
        "A split ignores the seed.",
        Catcher.SPLIT,
        "data",
        {"default_rng(seed)": "default_rng()"},
        kit.check_split_is_repeatable,
        "two splits with the seed 0 differ",
    ),
    violation(
        "A config contains a value that JSON cannot represent.",
        Catcher.PLUGIN,
        "__init__",
        {
            "feature_size: int = Field(default=8,": "smallest: float = -float('inf')\n    feature_size: int = Field(default=8,"
        },
        kit.check_specs_are_valid,
        "writing StringsConfig as JSON raises ValueError: Out of range float values are not JSON compliant",
        who="backbone 'strings' of acme_strings",
    ),
    violation(
        "describe builds the model.",
        Catcher.PLUGIN,
        "__init__",
        {
            "    size = config.feature_size": "    from torch import nn\n\n"
            "    size = nn.Linear(8, config.feature_size).out_features"
        },
        kit.check_descriptions_read_no_weights,
        "describe creates weights: 'weight' of Linear",
        who="backbone 'strings' of acme_strings",
    ),
    violation(
        "The backbone's description differs from that of its spec.",
        Catcher.PLUGIN,
        "backbone",
        {"describe(config)\n": "describe(config.model_copy(update={'feature_size': 9}))\n"},
        kit.check_descriptions_match_what_is_built,
        "'features[0].feature_sizes[0]' is 8 as described by 'strings', but 9 as built",
        who="backbone 'strings' of acme_strings",
    ),
    violation(
        "build modifies its settings.",
        Catcher.PLUGIN,
        "backbone",
        {"        size = config.feature_size\n": "        size = config.feature_size = 8\n"},
        kit.check_descriptions_match_what_is_built,
        "build raises ValidationError: 1 validation error for StringsConfig feature_size Instance is frozen "
        "[type=frozen_instance, input_value=8, input_type=int]",
        who="backbone 'strings' of acme_strings",
    ),
    violation(
        "A metric returns NaN where it is undefined.",
        Catcher.PLUGIN,
        "data",
        {"wrong[rows].mean())}": "wrong[rows].mean()) if len(rows) > 1 else float('nan')}"},
        kit.check_metrics_count_rows,
        "'errors' of one row is nan, not a finite float",
        "Leave out what is undefined; convert the rest.",
        who="metric 'errors' of acme_strings",
    ),
    violation(
        "A metric says that a value is about a label which does not exist.",
        Catcher.PLUGIN,
        "__init__",
        {"build=build_errors\n": "build=build_errors,\n        positive=lambda predictions, config: {'errors': 1},\n"},
        kit.check_metrics_count_rows,
        "positive says that 'errors' is about 1, which is not a class",
        "Name a label of the predictions.",
        who="metric 'errors' of acme_strings",
    ),
    violation(
        "A baseline returns a different number of predictions than rows.",
        Catcher.PLUGIN,
        "data",
        {'[state.label] * len(inputs["text"])': '[state.label] * (len(inputs["text"]) // 2 + 1)'},
        kit.check_baselines_predict_row_by_row,
        "it returns 7 values for 12 rows",
        "Predict once per row.",
        who="baseline 'commonest' of acme_strings",
    ),
)


def guide_text(catcher: Catcher) -> str:
    """Write all messages of one catcher, each under its cause, as the guide shows them."""
    return "\n".join(f"# {one.cause}\n{one.message}" for one in MISTAKES if one.catcher is catcher)
