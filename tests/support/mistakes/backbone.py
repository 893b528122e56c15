"""Mistakes of a backbone."""

from author_mistakes import Catcher, violation

from taskgraft import testing as kit

BACKBONE_MISTAKES = (
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
)
