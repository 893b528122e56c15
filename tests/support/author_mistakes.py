"""Mistakes that authors make: each is the right plugin of ``acme_strings`` with one thing made wrong, and what is said of it.

Numbers that depend on the weights are written #, and what torch says itself ….
"""

from dataclasses import dataclass
from enum import Enum


class Judge(Enum):
    """Who catches a mistake."""

    CATALOG = "the catalog"
    USE = "the catalog, when the name is used"
    BACKBONE = "BackboneLaws"
    HEAD = "HeadLaws"
    STRATEGY = "StrategyLaws"
    READER = "ReaderLaws"
    SPLIT = "SplitLaws"
    PLUGIN = "PluginLaws"


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        cause: what the author did, as the guide says it.
        judge: who catches it.
        place: the module that is wrong.
        changes: right text → wrong text.
        message: all that is said.
    """

    cause: str
    judge: Judge
    place: str
    changes: dict[str, str]
    message: str

    def __str__(self) -> str:
        return self.cause


MISTAKES = (
    Mistake(
        "A library is not installed.",
        Judge.CATALOG,
        "__init__",
        {"from pydantic import Field": "import acme_core\nfrom pydantic import Field"},
        "acme 1.0 (ModuleNotFoundError: No module named 'acme_core')",
    ),
    Mistake(
        "A module of the core is imported that is not public, or no longer there.",
        Judge.CATALOG,
        "__init__",
        {"from pydantic import Field": "from taskgraft.spec import HeadSpec\nfrom pydantic import Field"},
        "acme 1.0 (it imports taskgraft.spec, which is not public: plugins import from taskgraft.plugin)",
    ),
    Mistake(
        "A name is imported that taskgraft.plugin does not have.",
        Judge.CATALOG,
        "__init__",
        {"from pydantic import Field": "from taskgraft.plugin import BackboneSpecs\nfrom pydantic import Field"},
        "acme 1.0 (it imports 'BackboneSpecs' from taskgraft.plugin, which does not have it; did it mean 'BackboneSpec'?)",
    ),
    Mistake(
        "torch is imported at the top. The plugin works, with a remark.",
        Judge.CATALOG,
        "__init__",
        {"from pydantic import Field": "import torch\nfrom pydantic import Field"},
        "imports torch during discovery; move that import into the spec's build function",
    ),
    Mistake(
        "The module states no contract.",
        Judge.CATALOG,
        "__init__",
        {'TASKGRAFT_CONTRACT = "1.0"': ""},
        'acme 1.0 (states no contract: add TASKGRAFT_CONTRACT = "1.0" to its module)',
    ),
    Mistake(
        "The contract is a number, which would read 1.10 as 1.1.",
        Judge.CATALOG,
        "__init__",
        {'TASKGRAFT_CONTRACT = "1.0"': "TASKGRAFT_CONTRACT = 1.0"},
        "acme 1.0 (states the contract 1.0, which is not a version like '1.0')",
    ),
    Mistake(
        "The plugin was built for a newer contract.",
        Judge.CATALOG,
        "__init__",
        {'TASKGRAFT_CONTRACT = "1.0"': 'TASKGRAFT_CONTRACT = "1.1"'},
        "acme 1.0 (was built for contract 1.1, newer than the installed 1.0: update taskgraft)",
    ),
    Mistake(
        "The plugin was built for an older contract, which no longer holds.",
        Judge.CATALOG,
        "__init__",
        {'TASKGRAFT_CONTRACT = "1.0"': 'TASKGRAFT_CONTRACT = "0.9"'},
        "acme 1.0 (was built for contract 0.9, older than the installed 1.0: update the plugin)",
    ),
    Mistake(
        "A hook is misspelt.",
        Judge.CATALOG,
        "__init__",
        {"def taskgraft_heads": "def taskgraft_head"},
        "acme 1.0 (has a hook 'taskgraft_head', which does not exist; did it mean 'taskgraft_heads'?)",
    ),
    Mistake(
        "A hook lacks its mark.",
        Judge.CATALOG,
        "__init__",
        {"@hookimpl\ndef taskgraft_heads": "def taskgraft_heads"},
        "acme 1.0 (has taskgraft_heads without @hookimpl, so it would never be called)",
    ),
    Mistake(
        "A hook makes its specs and returns nothing.",
        Judge.CATALOG,
        "__init__",
        {"yield HeadSpec": "spec = HeadSpec"},
        "acme 1.0 (taskgraft_heads returned None, not an iterable of HeadSpec)",
    ),
    Mistake(
        "A hook raises half-way through its answer.",
        Judge.CATALOG,
        "__init__",
        {"\n\ndef describe_kinds": "    raise KeyError('ACME_LICENCE')\n\n\ndef describe_kinds"},
        "acme 1.0 (KeyError: 'ACME_LICENCE')",
    ),
    Mistake(
        "A hook answers with something that is no spec.",
        Judge.CATALOG,
        "__init__",
        {"yield HeadSpec(": "yield dict("},
        "acme 1.0 (taskgraft_heads returned dict {'name': 'kinds', 'summary': 'one label per row', "
        "'config': , not HeadSpec)",
    ),
    Mistake(
        "A hook changes a spec that it made.",
        Judge.CATALOG,
        "__init__",
        {
            "yield HeadSpec(": "spec = HeadSpec(",
            "\n\ndef describe_kinds": '    spec.name = "sorts"\n    yield spec\n\n\ndef describe_kinds',
        },
        "acme 1.0 (FrozenInstanceError: cannot assign to field 'name')",
    ),
    Mistake(
        "A config is a plain pydantic model, a dataclass or a dict.",
        Judge.CATALOG,
        "__init__",
        {"class StringsConfig(Config)": "from pydantic import BaseModel\nclass StringsConfig(BaseModel)"},
        "acme 1.0 (taskgraft_backbones: the config of 'strings' is <class 'acme_strings.StringsConfig'>, not "
        "a subclass of Config)",
    ),
    Mistake(
        "A name has capitals or an underscore in it.",
        Judge.CATALOG,
        "__init__",
        {'name="kinds"': 'name="Kinds_Head"'},
        "acme 1.0 (taskgraft_heads: 'Kinds_Head' is not a valid name (lower-case words joined by hyphens))",
    ),
    Mistake(
        "A hook takes an argument that the contract does not have.",
        Judge.CATALOG,
        "__init__",
        {"def taskgraft_heads()": "def taskgraft_heads(settings)"},
        "acme 1.0 (PluginValidationError: Plugin 'acme_strings' for hook 'taskgraft_heads' hookimpl "
        "definition: taskgraft_heads(settings) -> collections.abc.Iterable[taskgraft.contract.specs.HeadSpec] "
        "Argument(s) {'settings'} are declared in the hookimpl but can not be found in the hookspec)",
    ),
    Mistake(
        "A hook never ends.",
        Judge.CATALOG,
        "__init__",
        {"    yield HeadSpec(": "    while True:\n      yield HeadSpec("},
        "acme 1.0 (taskgraft_heads returned more than 1,000 specs; it seems endless)",
    ),
    Mistake(
        "A name stands in an answer twice.",
        Judge.CATALOG,
        "__init__",
        {"yield HeadSpec(": "for _ in range(2):\n      yield HeadSpec("},
        "acme 1.0 (taskgraft_heads names kinds more than once)",
    ),
    Mistake(
        "Aliases are one text, where a tuple was meant.",
        Judge.CATALOG,
        "__init__",
        {'name="kinds",': 'name="kinds", aliases=("sorts"),'},
        "acme 1.0 (taskgraft_heads: the aliases of 'kinds' are 'sorts', not a tuple of names)",
    ),
    Mistake(
        "Another distribution has the name too.",
        Judge.USE,
        "__init__",
        {'name="kinds"': 'name="healthy"'},
        "The head 'healthy' is provided by acme 1.0 and by health 1.0. Choose one with "
        "'acme/healthy' or 'health/healthy'.",
    ),
    Mistake(
        "Two parts own one layer.",
        Judge.BACKBONE,
        "__init__",
        {'("mixing", "dropout"), ': '("mixing", "dropout", "last"), '},
        "Strings breaks the law 'parts own every tensor exactly once':\n"
        "last.weight belongs to part 'mixing' and to part 'last'.\n"
        "Leave it to the first part that uses it.",
    ),
    Mistake(
        "A layer belongs to no part.",
        Judge.BACKBONE,
        "__init__",
        {
            '("mixing", "dropout"), sequence(size), {"mixing": LayerRole.FEED_FORWARD_IN}': '("dropout",), sequence(size)'
        },
        "Strings breaks the law 'parts own every tensor exactly once':\n"
        "no part owns mixing.weight, mixing.bias.\n"
        "Name the module in the 'owns' of the first part that uses it, or in 'unused' when the features do "
        "not need it.",
    ),
    Mistake(
        "A buffer belongs to no part.",
        Judge.BACKBONE,
        "__init__",
        {'("letters", "shift")': '("letters",)'},
        "Strings breaks the law 'parts own every tensor exactly once':\n"
        "no part owns shift.\n"
        "Name the module in the 'owns' of the first part that uses it, or in 'unused' when the features do "
        "not need it.",
    ),
    Mistake(
        "A role is given to what is no linear or convolutional layer.",
        Judge.BACKBONE,
        "__init__",
        {'"shift"), sequence(size)': '"shift"), sequence(size), {"letters": LayerRole.FUSED}'},
        "Strings breaks the law 'roles name linear and convolutional layers of their part':\n"
        "part 'letters' gives letters the role 'fused', but it is of the type Embedding, not a linear or "
        "convolutional layer.\n"
        "Mend the 'roles' of that part.",
    ),
    Mistake(
        "Cuts are counted from 1.",
        Judge.BACKBONE,
        "__init__",
        {"cuts=(0, 1, 2)": "cuts=(1, 2, 3)"},
        "Strings breaks the law 'the description is sound':\n"
        "its cuts (1, 2, 3) lack 0.\n"
        "Cut 0, before the first part, is always one.",
    ),
    Mistake(
        "Features have another layout than was asked for.",
        Judge.BACKBONE,
        "backbone",
        {"if layout == Layout.VECTOR:": "if layout == Layout.PAIR:"},
        "Strings breaks the law 'features match their description':\n"
        "asked for vector features, vector features have the shape (6, 20, 8), described with 2 axes.\n"
        "Mend forward or the description; a head is built from the latter.",
    ),
    Mistake(
        "A layer is built that nothing uses.",
        Judge.BACKBONE,
        "backbone",
        {"torch.tanh(self.last(hidden))": "torch.tanh(hidden)"},
        "Strings breaks the law 'every tensor that is not declared unused gets a gradient':\n"
        "no layout (sequence, vector) sends a gradient to last.weight, last.bias.\n"
        "Use it in forward, declare it in 'unused', or (behind a zero gate) draw the gate away from zero for "
        "the test.",
    ),
    Mistake(
        "forward runs without gradients.",
        Judge.BACKBONE,
        "backbone",
        {"    def forward(": "    @torch.no_grad()\n    def forward("},
        "Strings breaks the law 'every tensor that is not declared unused gets a gradient':\n"
        "sequence features carry no gradient.\n"
        "Do not detach, and leave no_grad to the caller.",
    ),
    Mistake(
        "The fingerprint is taken of the weights in memory.",
        Judge.BACKBONE,
        "backbone",
        {
            "    def forward(": "    def fingerprint(self):\n        return str(self.letters.weight.tolist())\n\n    def forward("
        },
        "Strings breaks the law 'the fingerprint identifies the checkpoint as stored':\n"
        "it changed when a weight in memory was changed, as training does.\n"
        "Compute it from the checkpoint's files, or answer None when there is no checkpoint.",
    ),
    Mistake(
        "Dropout is called as a function, which does not know of eval mode.",
        Judge.BACKBONE,
        "backbone",
        {"self.dropout(hidden + ": "nn.functional.dropout(hidden + ", "[:, None])))": "[:, None], 0.1)))"},
        "Strings breaks the law 'eval mode is deterministic':\n"
        "two passes give sequence features that differ by #.\n"
        "Draw random numbers only where self.training is true, as dropout does.",
    ),
    Mistake(
        "The mean is taken over padding too.",
        Judge.BACKBONE,
        "backbone",
        {"real.sum(1) / batch.lengths[ELEMENT_AXIS][:, None].to(hidden.dtype)": "hidden.mean(1)"},
        "Strings breaks the law 'an example's features do not depend on its companions or on padding':\n"
        "sequence features of row 0 alone and among others differ by #.\n"
        "Mask what is past each example's length, and let nothing mix rows of a batch.",
    ),
    Mistake(
        "Features are scaled by the statistics of the batch.",
        Judge.BACKBONE,
        "backbone",
        {"torch.tanh(self.last(hidden))": "torch.tanh(self.last(hidden - hidden.mean((0, 1))))"},
        "Strings breaks the law 'an example's features do not depend on its companions or on padding':\n"
        "sequence features of row 0 alone and among others differ by #.\n"
        "Mask what is past each example's length, and let nothing mix rows of a batch.",
    ),
    Mistake(
        "Something of the last batch is kept for the next.",
        Judge.BACKBONE,
        "backbone",
        {
            "torch.tanh(self.last(hidden))\n": "torch.tanh(self.last(hidden)) + getattr(self, 'before', 0)\n"
            "        self.before = hidden.detach().mean()\n"
        },
        "Strings breaks the law 'eval mode is deterministic':\n"
        "two passes of one batch give sequence features that differ by #, with the same random numbers.\n"
        "Keep nothing of a pass on the module.",
    ),
    Mistake(
        "A running mean is a plain attribute, not a buffer.",
        Judge.BACKBONE,
        "backbone",
        {
            "torch.tanh(self.last(hidden))\n": "torch.tanh(self.last(hidden))\n"
            "        self.mean = getattr(self, 'mean', 0) + self.training * hidden.detach().mean()\n"
            "        hidden = hidden - self.mean\n"
        },
        "Strings breaks the law 'training changes nothing but parameters and buffers':\n"
        "sequence features differ by # after a pass in training mode.\n"
        "Register what training changes as a buffer, and let a part own it.",
    ),
    Mistake(
        "A dtype is named in forward.",
        Judge.BACKBONE,
        "backbone",
        {"torch.tanh(self.last(hidden))": "torch.tanh(self.last(hidden.float()))"},
        "Strings breaks the law 'the weights may be cast':\n"
        "sequence features with weights in torch.float64 raises RuntimeError: ….\n"
        "Take dtypes from the weights or the hidden values, and cast floating-point inputs to them.",
    ),
    Mistake(
        "A device is named in forward.",
        Judge.BACKBONE,
        "backbone",
        {"+ self.shift": '+ self.shift * torch.ones(len(self.shift), dtype=self.shift.dtype, device="cpu")'},
        "Strings breaks the law 'a backbone runs where its weights are':\n"
        "forward for sequence features, where a tensor that says no device, or names one, lies elsewhere, "
        "raises RuntimeError: ….\n"
        "Give device=… (of an input or a weight) to every tensor that forward makes; name no device.",
    ),
    Mistake(
        "A tensor is made where the default device is.",
        Judge.BACKBONE,
        "backbone",
        {"+ self.shift": "+ self.shift * torch.ones(len(self.shift), dtype=self.shift.dtype)"},
        "Strings breaks the law 'a backbone runs where its weights are':\n"
        "forward for sequence features, where a tensor that says no device, or names one, lies elsewhere, "
        "raises RuntimeError: ….\n"
        "Give device=… (of an input or a weight) to every tensor that forward makes; name no device.",
    ),
    Mistake(
        "resume leaves out a part.",
        Judge.BACKBONE,
        "backbone",
        {"if cut < 2:": "if cut < 1:"},
        "Strings breaks the law 'what lies at a cut gives the features of a whole pass':\n"
        "sequence features resumed from cut 1 differ by #.\n"
        "Put all that later parts need into the state, recompute what depends on length, or offer no such "
        "cut.",
    ),
    Mistake(
        "resume starts again from the raw input, which the state carries.",
        Judge.BACKBONE,
        "backbone",
        {
            '        return Batch({"hidden": hidden}, {"hidden": (ELEMENT_AXIS,)}, batch.lengths)': "        return batch",
            'self._looked_up(state) if cut == 0 else state["hidden"]': "self._looked_up(state)",
            "if cut < 2:": "if cut < 3:",
        },
        "Strings breaks the law 'what lies at a cut gives the features of a whole pass':\n"
        "the state at cut 1 carries the raw input 'letters' as 'letters'.\n"
        "Keep the hidden values, and of the inputs only what later parts read (masks, positions).",
    ),
    Mistake(
        "resume takes what forward_to_cut left on the module.",
        Judge.BACKBONE,
        "backbone",
        {
            '        return Batch({"hidden": hidden}': '        self.hidden = hidden\n        return Batch({"hidden": hidden}',
            'else state["hidden"]': "else self.hidden",
        },
        "Strings breaks the law 'what lies at a cut gives the features of a whole pass':\n"
        "resuming sequence features from cut 1 raises AttributeError: 'Strings' object has no attribute "
        "'hidden'.\n"
        "Put all that later parts need into the state, recompute what depends on length, or offer no such "
        "cut.",
    ),
    Mistake(
        "A state does not name its padded axis.",
        Judge.BACKBONE,
        "backbone",
        {'Batch({"hidden": hidden}': 'Batch({"hidden": hidden, "mask": batch.mask(ELEMENT_AXIS)}'},
        "Strings breaks the law 'what lies at a cut gives the features of a whole pass':\n"
        "at cut 1, 'mask' of row 0 has the shape (1, 20) among others and (1, 5) alone.\n"
        "Name its padded axes in the 'axes' of the state, each with its lengths.",
    ),
    Mistake(
        "forward_to_cut goes one part too far.",
        Judge.BACKBONE,
        "backbone",
        {"        if cut == 2:\n": "        if cut > 0:\n", "if cut < 2:": "if cut == 0:"},
        "Strings breaks the law 'what lies at a cut gives the features of a whole pass':\n"
        "'hidden' at cut 1 changes with the weights of part 'mixing', behind it.\n"
        "Let forward_to_cut stop before that part, or let an earlier part own what it uses.",
    ),
    Mistake(
        "A processor sorts rows by their length.",
        Judge.BACKBONE,
        "backbone",
        {"        lengths = torch.tensor": "        rows.sort(key=len)\n        lengths = torch.tensor"},
        "Strings breaks the law 'what a processor makes of a row does not depend on its companions':\n"
        "example 1 stands in row 3 of the batch.\n"
        "Give rows in the order of the examples.",
    ),
    Mistake(
        "A processor raises on an empty cell.",
        Judge.BACKBONE,
        "backbone",
        {'in text or ""]': "in text]"},
        "Strings breaks the law 'a row that cannot be used is named, not raised':\n"
        "preparing a row of empty cells (None) raises TypeError: 'NoneType' object is not iterable.\n"
        "Give it a row in the batch all the same, and its reason in 'refused'.",
    ),
    Mistake(
        "The settings of a processor hold a set.",
        Judge.BACKBONE,
        "backbone",
        {'{"alphabet": ascii_lowercase}': '{"alphabet": set(ascii_lowercase)}'},
        "Strings breaks the law 'the processor's settings are JSON':\n"
        "they cannot be written as JSON (Object of type set is not JSON serializable).\n"
        "Give texts, numbers, true, false, null, and lists and objects of them, all decided when it was "
        "built.",
    ),
    Mistake(
        "A field of the target description may hold anything.",
        Judge.HEAD,
        "head",
        {"labels: tuple[str, ...]\n\n\nclass Kinds(": "labels: Any\n\n\nclass Kinds("},
        "Kinds breaks the law 'what a head learns is a frozen target description, as JSON':\n"
        "written as JSON and read again, KindsTarget(labels=('a', 'b', 'c')) becomes "
        "KindsTarget(labels=['a', 'b', 'c']).\n"
        "Let learn answer with an instance of the class in 'target', a subclass of Target with plain fields.",
    ),
    Mistake(
        "The loss is a mean.",
        Judge.HEAD,
        "head",
        {'reduction="sum"': 'reduction="mean"'},
        "Kinds breaks the law 'the loss of a batch is the sum over its rows':\n"
        "for vector features, the total of 6 rows is #, but # row by row.\n"
        "Sum in 'total', do not average, and count in 'weight' what was summed.",
    ),
    Mistake(
        "The head scales its features by the statistics of the batch.",
        Judge.HEAD,
        "head",
        {"self.readout(value)": "self.readout(value - value.mean(0))"},
        "Kinds breaks the law 'loss and predictions do not depend on padding or companions':\n"
        "for vector features, row 0 is predicted as 'a' among others and as 'b' alone.\n"
        "Let nothing mix rows of a batch, and use the lengths: positions past them hold anything.",
    ),
    Mistake(
        "predict decodes in another order than encode.",
        Judge.HEAD,
        "head",
        {"[self.labels[number] for": "[self.labels[::-1][number] for"},
        "Kinds breaks the law 'what costs least is what is predicted':\n"
        "for vector features, where the loss is least, 4 of 6 rows are not predicted as their truth: row 0 "
        "as 'c', not as 'a'.\n"
        "Let loss and predict read the output in one way: the order of labels, the scale, the units.",
    ),
    Mistake(
        "Labels that only validation rows have are taken in.",
        Judge.HEAD,
        "head",
        {
            "if bad:\n            raise InvalidTargets(bad)\n": "known = [*target.labels, *{labels[row] for row in bad}]\n",
            "[target.labels.index(label)": "[known.index(label)",
        },
        "Kinds breaks the law 'a target that cannot be read is InvalidTargets, naming its row':\n"
        "encode takes 'a_label_that_no_one_has_seen', which the training split never showed.\n"
        "Raise InvalidTargets({row: reason}) from encode, and give the label in the reason.",
    ),
    Mistake(
        "A plan is drawn at random.",
        Judge.STRATEGY,
        "strategy",
        {"head_learning_rate=1e-2": "head_learning_rate=float(torch.rand(()))"},
        "LastPart breaks the law 'a plan depends on the descriptions and settings alone':\n"
        "two plans for the same descriptions differ.\n"
        "Keep nothing between calls; draw nothing.",
    ),
    Mistake(
        "A plan names the part of one backbone.",
        Judge.STRATEGY,
        "strategy",
        {"(last.name,)": '("last",)'},
        "LastPart breaks the law 'stages say what can be carried out':\n"
        "stage 'last' names the part 'last'; the parts are all.\n"
        "Choose parts, roles and module types that the description lists, or raise StrategyNotApplicable with the "
        "reason.",
    ),
    Mistake(
        "A plan chooses layers that the backbone does not have.",
        Judge.STRATEGY,
        "strategy",
        {"Unfreeze((last.name,), 1e-3)": "Unfreeze((last.name,), 1e-3, roles=frozenset({LayerRole.QUERY}))"},
        "LastPart breaks the law 'stages say what can be carried out':\n"
        "The stage 'last' cannot run: its selection 1 matches no tensor of last.\n"
        "Choose parts, roles and module types that the description lists, or raise StrategyNotApplicable with the "
        "reason.",
    ),
    Mistake(
        "Nothing learns in a stage.",
        Judge.STRATEGY,
        "strategy",
        {"(Unfreeze((last.name,), 1e-3),), insert, head_learning_rate=1e-2": "()"},
        "LastPart breaks the law 'stages say what can be carried out':\n"
        "in stage 'last' nothing learns.\n"
        "Choose parts, roles and module types that the description lists, or raise StrategyNotApplicable with the "
        "reason.",
    ),
    Mistake(
        "An inserted module makes a layer of its own and leaves out the one that it stands around.",
        Judge.STRATEGY,
        "strategy",
        {"self.wrapped = wrapped": "self.wrapped = nn.Linear(wrapped.in_features, wrapped.out_features)"},
        "LastPart breaks the law 'stages say what can be carried out':\n"
        "The insertion 'scale' cannot be made: the module around mixing does not contain that layer.\n"
        "Choose parts, roles and module types that the description lists, or raise StrategyNotApplicable with the "
        "reason.",
    ),
    Mistake(
        "Weights are moved that no stage declares.",
        Judge.STRATEGY,
        "strategy",
        {
            "head_learning_rate=1e-2": "head_learning_rate=1e-2, on_step_end=lambda backbone, step: backbone.letters.weight.data.mul_(0.99)"
        },
        "The stage 'last' did not train exactly what it declared:\n"
        "  the tensor letters.weight is frozen, but changed\n"
        "This is a bug in the strategy, the backbone or the head, not in your data.",
    ),
    Mistake(
        "A reader leaves out the rows that it cannot use.",
        Judge.READER,
        "data",
        {"for line in lines]\n": 'for line in lines if ": " in line]\n', "list(range(1, len(lines) + 1))": "None"},
        "reader 'pairs' breaks the law 'no row is lost':\n"
        "data.pairs has 7 rows, but 6 are read.\n"
        "Keep a row that cannot be used in the table, with missing values, and give its reason in 'refused'.",
    ),
    Mistake(
        "A reader raises whatever Python raises.",
        Judge.READER,
        "data",
        {"except (OSError, UnicodeDecodeError)": "except ZeroDivisionError"},
        "reader 'pairs' breaks the law 'a file that cannot be read is told':\n"
        "reading a missing file raises FileNotFoundError: [Errno 2] No such file or directory: "
        "'…/file.pairs'.\n"
        "Raise taskgraft.contract.rows.UnreadableFile with path and reason.",
    ),
    Mistake(
        "A split puts a row into two parts.",
        Judge.SPLIT,
        "data",
        {"if place % 10]": "]"},
        "split 'tenth' breaks the law 'a split divides the rows':\n"
        "with the seed 0, it puts row 10 into 'train' and into 'validation'.\n"
        "Put each row number into one part; train and validation need rows.",
    ),
    Mistake(
        "A split draws without the seed.",
        Judge.SPLIT,
        "data",
        {"default_rng(seed)": "default_rng()"},
        "split 'tenth' breaks the law 'a seed decides':\n"
        "two answers with the seed 0 differ.\n"
        "Draw with a generator made from the seed, such as numpy.random.default_rng(seed).",
    ),
    Mistake(
        "A config has a value that JSON does not have.",
        Judge.PLUGIN,
        "__init__",
        {
            "feature_size: int = Field(default=8,": "smallest: float = -float('inf')\n    feature_size: int = Field(default=8,"
        },
        "backbone 'strings' of acme_strings breaks the law 'a spec is plain and its settings are JSON':\n"
        "writing StringsConfig as JSON raises ValueError: Out of range float values are not JSON compliant.\n"
        "Mend the spec.",
    ),
    Mistake(
        "describe builds the model and asks it.",
        Judge.PLUGIN,
        "__init__",
        {
            "    size = config.feature_size": "    from torch import nn\n\n"
            "    size = nn.Linear(8, config.feature_size).out_features"
        },
        "backbone 'strings' of acme_strings breaks the law 'describe reads no weights':\n"
        "describe makes weights: 'weight' of Linear.\n"
        "Read the checkpoint's configuration, or build on the device 'meta'.",
    ),
    Mistake(
        "The backbone describes itself, otherwise than the spec does.",
        Judge.PLUGIN,
        "backbone",
        {"describe(config)\n": "describe(config.model_copy(update={'feature_size': 9}))\n"},
        "Strings breaks the law 'describe says what build makes':\n"
        "'features[0].feature_sizes[0]' is 8 as described by 'strings', but 9 as built.\n"
        "Let the backbone's 'description' and the spec's 'describe' call one function.",
    ),
    Mistake(
        "build changes the settings that it is given.",
        Judge.PLUGIN,
        "backbone",
        {"        size = config.feature_size\n": "        size = config.feature_size = 8\n"},
        "backbone 'strings' of acme_strings breaks the law 'build makes what the spec says':\n"
        "build raises ValidationError: 1 validation error for StringsConfig feature_size Instance is frozen "
        "[type=frozen_instance, input_value=8, input_type=int].\n"
        "Build from the settings alone, and leave them as they are.",
    ),
    Mistake(
        "A metric gives NaN where it has nothing to say.",
        Judge.PLUGIN,
        "data",
        {"wrong[rows].mean())}": "wrong[rows].mean()) if len(rows) > 1 else float('nan')}"},
        "metric 'errors' of acme_strings breaks the law 'a judge counts each row as often as it is drawn':\n"
        "'errors' of one row is nan, no finite float.\n"
        "Leave out what cannot be had; convert the rest.",
    ),
    Mistake(
        "A baseline gives another number of predictions than rows.",
        Judge.PLUGIN,
        "data",
        {'[learned.label] * len(inputs["text"])': '[learned.label] * (len(inputs["text"]) // 2 + 1)'},
        "baseline 'commonest' of acme_strings breaks the law 'what a baseline learned is JSON, and it "
        "predicts row by row':\n"
        "it gives 7 values for 12 rows.\n"
        "Predict once per row.",
    ),
)


def told(judge: Judge) -> str:
    """Write down what one judge says, each message under its cause, as the guide shows it."""
    return "\n".join(f"# {one.cause}\n{one.message}" for one in MISTAKES if one.judge is judge)
