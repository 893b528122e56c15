"""Mistakes of a strategy."""

from author_mistakes import Catcher, Mistake, violation

from taskgraft import testing as kit

STRATEGY_MISTAKES = (
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
)
