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
        "A plan depends on how often it was made.",
        Catcher.STRATEGY,
        "strategy",
        {
            "        *others, last = backbone.parts": "        self.calls = getattr(self, 'calls', 0) + 1\n"
            "        *others, last = backbone.parts",
            "(last.name,), 1e-3": "(last.name,), 1e-3 if self.calls < 5 else 1e-4",
        },
        kit.check_planning_is_pure,
        "the first plan and the 5th for the same descriptions differ",
    ),
    violation(
        "A function of the plan keeps a counter.",
        Catcher.STRATEGY,
        "strategy",
        {
            "        *others, last = backbone.parts": "        self.calls = calls = getattr(self, 'calls', 0) + 1\n"
            "        *others, last = backbone.parts",
            "insert, head_learning_rate=1e-2": "insert, head_learning_rate=1e-2, "
            "schedule=lambda step, steps: 1 / calls",
        },
        kit.check_planning_is_pure,
        "two plans for the same descriptions differ",
    ),
    violation(
        "Two inserted modules share a parameter.",
        Catcher.STRATEGY,
        "strategy",
        {
            "class Scaled(nn.Module):": "SHARED = nn.Parameter(torch.ones(()))\n\n\nclass Scaled(nn.Module):",
            "self.scale = nn.Parameter(torch.ones(()))": "self.scale = self.again = SHARED",
        },
        kit.check_stages_fit_a_real_backbone,
        "the inserted parameter mixing:scale.again is also mixing:scale.scale",
        "Give each inserted module parameters of its own.",
    ),
    violation(
        "An insertion that can be merged changes the features before training.",
        Catcher.STRATEGY,
        "strategy",
        {
            "Scaled, 1e-3)": "Scaled, 1e-3, lambda one: one.wrapped)",
            "nn.Parameter(torch.ones(()))": "nn.Parameter(torch.full((), 1.5))",
        },
        kit.check_mergeable_insertions_start_neutral,
        "vector features differ by # after the insertions, before any training",
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
        "A gradient rule does not evaluate the loss.",
        Catcher.STRATEGY,
        "strategy",
        {"head_learning_rate=1e-2": "head_learning_rate=1e-2, gradient=lambda evaluate, parameters: None"},
        "The gradient rule of the stage 'last' did not evaluate the loss. Let it call its first argument.",
    ),
    Mistake(
        "A gradient rule leaves no gradient.",
        Catcher.STRATEGY,
        "strategy",
        {
            "        return (Stage(": "        def lost(evaluate, parameters):\n"
            "            evaluate()\n"
            "            for one in parameters:\n"
            "                one.grad = None\n\n"
            "        return (Stage(",
            "head_learning_rate=1e-2": "head_learning_rate=1e-2, gradient=lost",
        },
        "The gradient rule of the stage 'last' left no gradient. Let it leave one in 'grad' of the parameters.",
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
        "This is a bug in the callback Mean, the strategy, the backbone or the head, not in your data.",
    ),
    Mistake(
        "A callback returns weights of its own making for validation.",
        Catcher.STRATEGY,
        "strategy",
        {"return self.mean": 'return self.mean | {"letters.weight": torch.zeros(4)}'},
        "The callback Mean of the stage 'last' returns weights for validation that name 'letters.weight', which the stage does "
        "not train.",
    ),
    violation(
        "A callback forgets a part of what it remembers.",
        Catcher.STRATEGY,
        "strategy",
        {'"steps": self.steps, "mean"': '"mean"', 'self.steps, self.mean = state["steps"], state': "self.mean = state"},
        kit.check_callbacks_resume_exactly,
        "interrupted during step 2 of the stage 'last' and resumed, training ends with another mixing.scale",
    ),
    violation(
        "A callback remembers something that a checkpoint cannot hold.",
        Catcher.STRATEGY,
        "strategy",
        {'"steps": self.steps, "mean"': '"steps": {self.steps}, "mean"'},
        kit.check_callbacks_resume_exactly,
        "The callback Mean of the stage 'last' has a set in its state, under steps, which a checkpoint cannot hold",
    ),
)
