"""Mistakes of a plugin's specs, metrics and baselines."""

from author_mistakes import Catcher, violation

from taskgraft import testing as kit

PLUGIN_MISTAKES = (
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
        {"build=build_errors,\n": "build=build_errors,\n        positive=lambda predictions, config: {'errors': 1},\n"},
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
    violation(
        "An optimizer keeps what it remembers outside its state.",
        Catcher.PLUGIN,
        "descent",
        {"state = self.state[parameter]": "state = self.__dict__.setdefault('means', {}).setdefault(parameter, {})"},
        kit.check_optimizers_resume_exactly,
        "steps after its state was saved and restored differ from those without",
        who="optimizer 'signs' of acme_strings",
    ),
    violation(
        "An optimizer remembers something that a checkpoint cannot hold.",
        Catcher.PLUGIN,
        "descent",
        {"state = self.state[parameter]": "state = self.state[parameter]\n                state['seen'] = {1}"},
        kit.check_optimizers_resume_exactly,
        "The optimizer 'signs' has a set in its state, under state.0.seen, which a checkpoint cannot hold",
        who="optimizer 'signs' of acme_strings",
    ),
    violation(
        "An optimizer trains some of its parameters.",
        Catcher.PLUGIN,
        "descent",
        {"super().__init__(groups, ": "super().__init__(groups[:1], "},
        kit.check_optimizers_resume_exactly,
        "The optimizer 'signs' trains other parameters than it was given",
        "Return a torch.optim.Optimizer of exactly the parameters of the groups.",
        who="optimizer 'signs' of acme_strings",
    ),
    violation(
        "An optimizer is returned as its class.",
        Catcher.PLUGIN,
        "__init__",
        {"return Signs(groups)": "return Signs"},
        kit.check_optimizers_resume_exactly,
        "The optimizer 'signs' is of the type type, not a torch.optim.Optimizer",
        "Return a torch.optim.Optimizer of exactly the parameters of the groups.",
        who="optimizer 'signs' of acme_strings",
    ),
    violation(
        "A schedule counts its own calls.",
        Catcher.PLUGIN,
        "__init__",
        {
            "    return lambda step, steps: 1 - 0.5 * step / steps": "    calls: list[int] = []\n"
            "    return lambda step, steps: calls.append(step) or 1 / len(calls)"
        },
        kit.check_schedules_are_pure,
        "the factor of step 0 of 1 is 1, and 0.5 when it is asked again",
        who="schedule 'halves' of acme_strings",
    ),
    violation(
        "A schedule falls below 0.",
        Catcher.PLUGIN,
        "__init__",
        {"1 - 0.5 * step / steps": "1 - 4 * step / steps"},
        kit.check_schedules_are_pure,
        "At step 2, the schedule 'halves' returned -1.0, not a factor of the learning rate: a finite number from 0",
        "Return a finite number from 0.",
        who="schedule 'halves' of acme_strings",
    ),
    violation(
        "A metric of errors is not marked as better when lower.",
        Catcher.PLUGIN,
        "__init__",
        {'        lower_is_better=frozenset({"errors"}),\n': ""},
        kit.check_perfect_predictions_are_best,
        "'errors' is 0 for perfect predictions and # for others, but is not in 'lower_is_better'",
        who="metric 'errors' of acme_strings",
    ),
    violation(
        "A baseline takes the first of several equally frequent labels.",
        Catcher.PLUGIN,
        "data",
        {"Counter(sorted(truth))": "Counter(truth)"},
        kit.check_baselines_predict_row_by_row,
        "fitted to the same rows in reverse order, it predicts something else",
        "Do not depend on the order of rows: of equally frequent labels, take the first in sorted order.",
        who="baseline 'commonest' of acme_strings",
    ),
)
