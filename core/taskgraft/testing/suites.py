"""The classes that a plugin's tests inherit. Each test calls one check, which says what it tries."""

from typing import Any

import pytest

from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.columns import Columns
from taskgraft.contract.config import Config
from taskgraft.contract.head import Head
from taskgraft.contract.masking import ElementSchema
from taskgraft.contract.specs import BackboneSpec, HeadSpec
from taskgraft.contract.strategy import Strategy
from taskgraft.testing import backbone as of_backbone
from taskgraft.testing import cuts as of_resume
from taskgraft.testing import distillation as of_distilling
from taskgraft.testing import features as of_features
from taskgraft.testing import head as of_head
from taskgraft.testing import masking as of_hiding
from taskgraft.testing import metrics_and_baselines as of_judging
from taskgraft.testing import plugin as of_plugin
from taskgraft.testing import processor as of_processor
from taskgraft.testing import strategy as of_strategy
from taskgraft.testing import validation_tuning as of_settling
from taskgraft.testing.sample_backbone import LABELS, SAMPLE_INPUTS, Sample


class BackboneLaws:
    """What every backbone promises. Give the fixtures ``backbone`` and ``inputs``, and to compare with a spec ``spec`` and
    ``config``.
    """

    @pytest.fixture
    def backbone(self) -> Backbone:
        """A backbone with random weights and no zero gates."""
        raise NotImplementedError("give a fixture 'backbone'")

    @pytest.fixture
    def inputs(self) -> Columns:
        """Four or more examples, of different lengths where they have one."""
        raise NotImplementedError("give a fixture 'inputs'")

    @pytest.fixture
    def spec(self) -> BackboneSpec | None:
        """The spec that builds it."""
        return None

    @pytest.fixture
    def config(self) -> Config | None:
        """The settings that it was built with."""
        return None

    def test_description_is_sound(self, backbone: Backbone) -> None:
        of_backbone.check_description_is_valid(backbone)

    def test_parts_own_every_tensor_once(self, backbone: Backbone) -> None:
        of_backbone.check_parts_own_every_tensor_once(backbone)

    def test_roles_point_at_layers(self, backbone: Backbone) -> None:
        of_backbone.check_roles_name_layers(backbone)

    def test_whole_parts_give_their_output(self, backbone: Backbone, inputs: Columns) -> None:
        of_backbone.check_output_modules_return_part_outputs(backbone, inputs)

    def test_every_tensor_gets_a_gradient(self, backbone: Backbone, inputs: Columns) -> None:
        of_backbone.check_every_tensor_gets_a_gradient(backbone, inputs)

    def test_exporting_leaves_it_as_it_is(self, backbone: Backbone) -> None:
        of_backbone.check_export_changes_no_tensor(backbone)

    def test_fingerprint_is_stable(self, backbone: Backbone) -> None:
        of_backbone.check_fingerprint_is_stable(backbone)

    def test_spec_describes_it(self, backbone: Backbone, spec: BackboneSpec | None, config: Config | None) -> None:
        if spec is None:
            pytest.skip("no fixture 'spec' is given")
        of_backbone.check_spec_describes_the_backbone(backbone, spec, config)

    def test_features_match_the_description(self, backbone: Backbone, inputs: Columns) -> None:
        of_features.check_features_match_the_description(backbone, inputs)

    def test_eval_is_deterministic(self, backbone: Backbone, inputs: Columns) -> None:
        of_features.check_eval_is_deterministic(backbone, inputs)

    def test_companions_do_not_matter(self, backbone: Backbone, inputs: Columns) -> None:
        of_features.check_features_do_not_depend_on_the_batch(backbone, inputs)

    def test_nothing_is_kept_between_batches(self, backbone: Backbone, inputs: Columns) -> None:
        of_features.check_no_state_is_kept_between_batches(backbone, inputs)

    def test_training_leaves_nothing_behind(self, backbone: Backbone, inputs: Columns) -> None:
        of_features.check_training_changes_only_tensors(backbone, inputs)

    def test_dtypes_work(self, backbone: Backbone, inputs: Columns) -> None:
        of_features.check_dtypes_work(backbone, inputs)

    def test_devices_work(self, backbone: Backbone, inputs: Columns) -> None:
        of_features.check_devices_work(backbone, inputs)

    def test_resuming_equals_a_whole_pass(self, backbone: Backbone, inputs: Columns) -> None:
        of_resume.check_resuming_equals_a_full_pass(backbone, inputs)

    def test_states_name_their_padded_axes(self, backbone: Backbone, inputs: Columns) -> None:
        of_resume.check_states_name_their_padded_axes(backbone, inputs)

    def test_states_hold_no_raw_input(self, backbone: Backbone, inputs: Columns) -> None:
        of_resume.check_states_hold_no_raw_input(backbone, inputs)

    def test_states_need_no_later_part(self, backbone: Backbone, inputs: Columns) -> None:
        of_resume.check_states_do_not_depend_on_later_parts(backbone, inputs)

    def test_batches_can_be_interleaved(self, backbone: Backbone, inputs: Columns) -> None:
        of_resume.check_batches_can_be_interleaved(backbone, inputs)

    def test_preparing_is_deterministic(self, backbone: Backbone, inputs: Columns) -> None:
        of_processor.check_preprocessing_is_deterministic(backbone, inputs)

    def test_rows_are_prepared_one_by_one(self, backbone: Backbone, inputs: Columns) -> None:
        of_processor.check_rows_are_preprocessed_independently(backbone, inputs)

    def test_bad_rows_are_named(self, backbone: Backbone, inputs: Columns) -> None:
        of_processor.check_invalid_rows_are_reported(backbone, inputs)

    def test_processor_settings_are_json(self, backbone: Backbone, inputs: Columns) -> None:
        of_processor.check_processor_settings_are_json(backbone, inputs)

    def test_contents_are_sound(self, backbone: Backbone) -> None:
        of_hiding.check_element_schema_is_valid(backbone)

    def test_holds_fits_the_contents(self, backbone: Backbone, inputs: Columns) -> None:
        of_hiding.check_element_values_match_the_schema(backbone, inputs)

    def test_hiding_leaves_the_rest(self, backbone: Backbone, inputs: Columns) -> None:
        of_hiding.check_masking_changes_only_masked_elements(backbone, inputs)

    def test_hidden_contents_do_not_leak(self, backbone: Backbone, inputs: Columns) -> None:
        of_hiding.check_masked_values_do_not_leak(backbone, inputs)

    def test_hiding_is_drawn_by_seed(self, backbone: Backbone, inputs: Columns) -> None:
        of_hiding.check_masking_depends_on_the_seed_alone(backbone, inputs)


class HeadLaws:
    """What every head promises. Give the fixtures ``head`` and ``targets``, ``columns`` for a head that settles by some, and
    to compare with a spec ``spec`` and ``config``.
    """

    @pytest.fixture
    def head(self) -> Head[Any]:
        """A head."""
        raise NotImplementedError("give a fixture 'head'")

    @pytest.fixture
    def targets(self) -> Columns | ElementSchema:
        """Four or more targets that it can read, by column, each label at least twice; for a head that recovers what a
        backbone reads, the contents of elements.
        """
        raise NotImplementedError("give a fixture 'targets'")

    @pytest.fixture
    def columns(self) -> Columns:
        """The columns that its description names, with a value per target."""
        return {}

    @pytest.fixture
    def spec(self) -> HeadSpec | None:
        """The spec that builds it."""
        return None

    @pytest.fixture
    def config(self) -> Config | None:
        """The settings that it was built with."""
        return None

    def test_target_description_is_json(self, head: Head[Any], targets: Columns | ElementSchema) -> None:
        of_head.check_target_description_is_json(head, targets)

    def test_targets_are_encoded_row_by_row(self, head: Head[Any], targets: Columns | ElementSchema) -> None:
        of_head.check_targets_are_encoded_row_by_row(head, targets)

    def test_bad_targets_are_named(self, head: Head[Any], targets: Columns | ElementSchema) -> None:
        of_head.check_invalid_targets_are_reported(head, targets)

    def test_truth_speaks_as_predictions_do(self, head: Head[Any], targets: Columns | ElementSchema) -> None:
        of_head.check_predictions_have_the_form_of_targets(head, targets)

    def test_padding_and_companions_do_not_matter(self, head: Head[Any], targets: Columns | ElementSchema) -> None:
        of_head.check_outputs_do_not_depend_on_the_batch(head, targets)

    def test_loss_adds_up(self, head: Head[Any], targets: Columns | ElementSchema) -> None:
        of_head.check_loss_is_a_sum_over_rows(head, targets)

    def test_least_loss_predicts_the_truth(self, head: Head[Any], targets: Columns | ElementSchema) -> None:
        of_head.check_lowest_loss_predicts_the_targets(head, targets)

    def test_head_builds_from_json(self, head: Head[Any], targets: Columns | ElementSchema) -> None:
        of_head.check_head_builds_from_json(head, targets)

    def test_head_learns_from_any_precision(self, head: Head[Any], targets: Columns | ElementSchema) -> None:
        of_head.check_head_trains_in_any_precision(head, targets)

    def test_soft_targets_are_blended(self, head: Head[Any], targets: Columns | ElementSchema) -> None:
        of_head.check_mixed_targets_have_the_mixed_loss(head, targets)

    def test_soft_targets_teach(self, head: Head[Any], targets: Columns | ElementSchema) -> None:
        of_distilling.check_soft_labels_match_the_teacher(head, targets)

    def test_hidden_elements_are_chosen_by_seed(self, head: Head[Any], targets: Columns | ElementSchema) -> None:
        of_hiding.check_masked_elements_are_chosen_by_seed(head, targets)

    def test_convex_claim_holds(self, head: Head[Any], targets: Columns | ElementSchema) -> None:
        of_head.check_convex_loss_is_convex(head, targets)

    def test_settling_is_described(self, head: Head[Any], targets: Columns, columns: Columns) -> None:
        of_settling.check_tuning_is_described(head, targets, columns)

    def test_settling_is_pure(self, head: Head[Any], targets: Columns, columns: Columns) -> None:
        of_settling.check_tuning_is_pure(head, targets, columns)

    def test_settled_description_is_json(self, head: Head[Any], targets: Columns, columns: Columns) -> None:
        of_settling.check_tuned_description_is_json(head, targets, columns)

    def test_order_of_rows_settles_nothing(self, head: Head[Any], targets: Columns, columns: Columns) -> None:
        of_settling.check_tuning_ignores_the_order_of_rows(head, targets, columns)

    def test_settling_changes_no_tensor(self, head: Head[Any], targets: Columns, columns: Columns) -> None:
        of_settling.check_tuning_changes_no_tensor(head, targets, columns)

    def test_head_description_is_sound(self, head: Head[Any]) -> None:
        of_head.check_head_description_is_valid(head)

    def test_spec_describes_the_head(self, head: Head[Any], spec: HeadSpec | None, config: Config | None) -> None:
        if spec is None:
            pytest.skip("no fixture 'spec' is given")
        of_head.check_spec_describes_the_head(head, spec, config)


class StrategyLaws:
    """What every strategy promises. Give the fixture ``strategy``. It is tried on a small encoder that the kit brings, unless
    the fixtures ``backbone``, ``inputs``, ``head`` and ``targets`` say on what else.
    """

    @pytest.fixture
    def strategy(self) -> Strategy:
        """A strategy."""
        raise NotImplementedError("give a fixture 'strategy'")

    @pytest.fixture
    def backbone(self) -> Backbone:
        """A backbone to train, passed as an object."""
        return Sample()

    @pytest.fixture
    def inputs(self) -> Columns:
        """Four or more examples for it."""
        return SAMPLE_INPUTS

    @pytest.fixture
    def head(self) -> Head[Any]:
        """A head that reads what the backbone emits."""
        return Classification(ClassificationConfig())

    @pytest.fixture
    def targets(self) -> Columns:
        """As many targets as examples, in columns named otherwise than the inputs."""
        return {"label": LABELS}

    def test_planning_is_pure(self, strategy: Strategy, backbone: Backbone, head: Head[Any]) -> None:
        of_strategy.check_planning_is_pure(strategy, backbone, head)

    def test_stages_are_sound(self, strategy: Strategy, backbone: Backbone, head: Head[Any]) -> None:
        of_strategy.check_stages_are_valid(strategy, backbone, head)

    def test_stages_resolve(
        self, strategy: Strategy, backbone: Backbone, head: Head[Any], inputs: Columns, targets: Columns
    ) -> None:
        of_strategy.check_stages_fit_a_real_backbone(strategy, backbone, head, inputs, targets)

    def test_merging_keeps_the_function(
        self, strategy: Strategy, backbone: Backbone, head: Head[Any], inputs: Columns
    ) -> None:
        of_strategy.check_merging_keeps_the_features(strategy, backbone, head, inputs)

    def test_training_keeps_its_word(
        self, strategy: Strategy, backbone: Backbone, head: Head[Any], inputs: Columns, targets: Columns
    ) -> None:
        of_strategy.check_trained_model_reloads_bit_for_bit(strategy, backbone, head, inputs, targets)


class PluginLaws:
    """What every plugin promises. Give the fixture ``module``, ``configs`` for specs that need settings, and ``labelled`` for
    metrics and baselines that need columns or labels of their own.
    """

    @pytest.fixture
    def module(self) -> str:
        """The module that the entry point names."""
        raise NotImplementedError("give a fixture 'module'")

    @pytest.fixture
    def configs(self) -> dict[str, Config]:
        """Name of a spec → settings to try it with, where a setting has no default; "metric cost" where several have a name."""
        return {}

    @pytest.fixture
    def labelled(self) -> dict[str, of_judging.LabelledRows]:
        """Name of a metric or baseline → rows to try it with; others get labels a, b and c, or numbers, by an input text."""
        return {}

    def test_module_is_found(self, module: str) -> None:
        of_plugin.check_module_is_found(module)

    def test_specs_are_sound(self, module: str, configs: dict[str, Config]) -> None:
        of_plugin.check_specs_are_valid(module, configs)

    def test_descriptions_read_no_weights(self, module: str, configs: dict[str, Config]) -> None:
        of_plugin.check_descriptions_read_no_weights(module, configs)

    def test_descriptions_match_what_is_built(self, module: str, configs: dict[str, Config]) -> None:
        of_plugin.check_descriptions_match_what_is_built(module, configs)

    def test_judges_count_rows(
        self, module: str, configs: dict[str, Config], labelled: dict[str, of_judging.LabelledRows]
    ) -> None:
        of_judging.check_metrics_count_rows(module, configs, labelled)

    def test_figures_are_files(
        self, module: str, configs: dict[str, Config], labelled: dict[str, of_judging.LabelledRows]
    ) -> None:
        of_judging.check_figures_are_files(module, configs, labelled)

    def test_baselines_are_plain_and_honest(
        self, module: str, configs: dict[str, Config], labelled: dict[str, of_judging.LabelledRows]
    ) -> None:
        of_judging.check_baselines_predict_row_by_row(module, configs, labelled)
