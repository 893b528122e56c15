"""The advice of each check of the conformance kit, the messages it gives, and faults planted for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from taskgraft import testing as kit
from taskgraft.testing.check import title_of
from taskgraft.testing.check_list import needs_of

Check = Callable[..., None]

ADVICE = {
    kit.check_description_is_valid: "Fix the description.",
    kit.check_parts_own_every_tensor_once: (
        "Add the module to the 'owns' of the first part that uses it, or to 'unused' when the features do not need it."
    ),
    kit.check_roles_name_layers: "Fix the 'roles' of that part.",
    kit.check_output_modules_return_part_outputs: (
        "Fix the 'output_module' of that part, or leave it out when no single module returns the part's output."
    ),
    kit.check_export_changes_no_tensor: (
        "Write into the given folder; raise ExportNotSupported with the reason when the library has no checkpoint "
        "format."
    ),
    kit.check_every_tensor_gets_a_gradient: (
        "Use it in forward, declare it in 'unused', or (behind a zero gate) start the gate away from zero in the test."
    ),
    kit.check_fingerprint_is_stable: (
        "Compute it from the checkpoint's files, or return None when there is no checkpoint."
    ),
    kit.check_spec_describes_the_backbone: "Let 'description' and the spec's 'describe' call one function.",
    kit.check_features_match_the_description: "Fix forward or the description; heads are built from the description.",
    kit.check_eval_is_deterministic: "Use random numbers only where self.training is true, as dropout does.",
    kit.check_features_do_not_depend_on_the_batch: (
        "Mask the positions past each example's length, and never combine rows of a batch."
    ),
    kit.check_no_state_is_kept_between_batches: "Keep results in local variables, not on the module.",
    kit.check_training_changes_only_parameters_and_buffers: (
        "Register what training changes as a buffer, and let a part own it."
    ),
    kit.check_dtypes_work: "Take dtypes from the weights or the hidden values, and cast floating-point inputs to them.",
    kit.check_devices_work: (
        "Pass device=… (of an input or a weight) to every tensor that forward creates; never name a device."
    ),
    kit.check_resuming_equals_a_full_pass: (
        "Put everything that later parts need into the state, recompute what depends on length, or offer no such cut."
    ),
    kit.check_states_name_their_padded_axes: (
        "Put everything that later parts need into the state, recompute what depends on length, or offer no such cut."
    ),
    kit.check_states_hold_no_raw_input: (
        "Keep the hidden values, and of the inputs only what later parts read (masks, positions)."
    ),
    kit.check_states_do_not_depend_on_later_parts: (
        "Let forward_to_cut stop before that part, or let an earlier part own what it uses."
    ),
    kit.check_batches_can_be_interleaved: (
        "Put everything that resuming needs into the state; keep nothing on the module."
    ),
    kit.check_preprocessing_is_deterministic: (
        "Use no random numbers in prepare; hold only settings, no module and no open file."
    ),
    kit.check_rows_are_preprocessed_independently: (
        "Pad on the right with 0, name padded axes with their lengths, and fit nothing to the rows of the batch."
    ),
    kit.check_invalid_rows_are_reported: "Keep the row in the batch, and put its reason into 'invalid'.",
    kit.check_processor_settings_are_json: (
        "Return strings, numbers, true, false, null, and lists and objects of them, all fixed when it was built."
    ),
    kit.check_element_schema_is_valid: "Return an ElementSchema that was fixed when the processor was built.",
    kit.check_element_values_match_the_schema: (
        "Read them from the batch: -1 and NaN where there is nothing to recover, one element per vector of the "
        "sequence."
    ),
    kit.check_masking_changes_only_masked_elements: (
        "Replace the values at masked positions in a copy of the batch, and leave every other position as it is."
    ),
    kit.check_masked_values_do_not_leak: (
        "Clear every tensor of the batch that depends on a masked element; its replacement depends on the seed "
        "alone. If rows hold something besides elements, give no two rows with the same number of elements that "
        "differ in the rest."
    ),
    kit.check_masking_depends_on_the_seed_alone: "Take every random number for a row from its own seed.",
    kit.check_head_description_is_valid: "Fix the description.",
    kit.check_spec_describes_the_head: "Let 'description' and the spec's 'describe' call one function.",
    kit.check_head_builds_from_json: "Let build_module read nothing that fit_targets stored elsewhere.",
    kit.check_head_trains_in_any_precision: (
        "Cast features to the dtype of the head's weights; compute the loss in float32; build nothing unused."
    ),
    kit.check_outputs_do_not_depend_on_the_batch: (
        "Never combine rows of a batch, and use the lengths: positions past them hold anything."
    ),
    kit.check_target_description_is_json: (
        "Let fit_targets return an instance of the class in 'target', a subclass of TargetDescription with plain "
        "fields."
    ),
    kit.check_targets_are_encoded_row_by_row: (
        "Let encode read nothing but its arguments; name padded axes with their lengths."
    ),
    kit.check_invalid_targets_are_reported: (
        "Raise InvalidTargets({row: reason}) from encode, with the label in the reason."
    ),
    kit.check_predictions_have_the_form_of_targets: (
        "Decode both with the target description; list the labels of the class axis in 'classes'."
    ),
    kit.check_loss_is_a_sum_over_rows: (
        "Sum in 'total', do not average, and count in 'weight' what was summed. Describe a loss that compares rows with each "
        "other with loss_over_batch=True."
    ),
    kit.check_lowest_loss_predicts_the_targets: (
        "Let loss and predict read the output in one way: the order of labels, the scale, the units."
    ),
    kit.check_mixed_targets_have_the_mixed_loss: (
        "Let mix_targets return a distribution over categories: the share of the own target, the rest of the other's."
    ),
    kit.check_convex_loss_is_convex: "Describe it with convex=False.",
    kit.check_soft_labels_match_the_teacher: (
        "Let soft_labels and distillation_loss use one temperature, sum over what is compared, and respect lengths."
    ),
    kit.check_masked_elements_are_chosen_by_seed: (
        "Use random numbers from the seed of the row, one per position; choose elements that have a value."
    ),
    kit.check_tuning_is_described: "Name in 'tunes' what the method tune chooses on validation rows.",
    kit.check_tuning_is_pure: (
        "Return a copy of the target description (model_copy), use no random numbers, and store nothing."
    ),
    kit.check_tuned_description_is_json: "Tune plain fields of the target description, with finite numbers.",
    kit.check_tuning_ignores_the_order_of_rows: "Sort the rows, or sum over them.",
    kit.check_tuning_changes_no_tensor: (
        "Keep the tuned values in plain attributes or in buffers with persistent=False."
    ),
    kit.check_head_remembers_no_targets: (
        "Return everything that fit_targets learns in the target description, and read it from there."
    ),
    kit.check_module_state_is_in_the_state_dict: (
        "Register what the module learns, in fit_feature_scale too, as parameters and buffers."
    ),
    kit.check_row_order_does_not_matter: (
        "Sort what you collect from rows: labels with sort_labels, or let build_vocabulary do both."
    ),
    kit.check_labels_are_equal_in_any_type: (
        "Compare labels by label_key, or let build_vocabulary and label_indices do that."
    ),
    kit.check_missing_targets_are_no_label: (
        "Raise InvalidTargets({row: reason}) for a missing target, or leave it out of the loss and decode it as None."
    ),
    kit.check_predictions_are_not_rounded: ("Predict from the probabilities as they are: round for display alone."),
    kit.check_mergeable_insertions_start_neutral: (
        "Initialize what is added to zero, and what is multiplied to one. Where the start cannot be neutral, leave 'merge' out."
    ),
    kit.check_files_are_read_in_order: ("Sort the files of a folder by name: sorted(folder.iterdir())."),
    kit.check_columns_are_the_same_alone: ("Give the same rows; leave out only what other columns need."),
    kit.check_split_is_the_same_in_every_process: (
        "Draw by a generator made from the seed, or by a digest (hashlib): hash() of a text differs in each process."
    ),
    kit.check_sorted_rows_are_divided_as_well: ("Shuffle the rows by the seed, or divide by what a column says."),
    kit.check_perfect_predictions_are_best: (
        "Name every value that is better when lower in 'lower_is_better', and what says neither in 'descriptive'."
    ),
    kit.check_planning_is_pure: "Keep nothing between calls; use no random numbers.",
    kit.check_stages_are_valid: (
        "Select parts, roles and module types that the description lists, or raise StrategyNotApplicable with the "
        "reason."
    ),
    kit.check_stages_fit_a_real_backbone: (
        "Select parts, roles and module types that the description lists, or raise StrategyNotApplicable with the "
        "reason."
    ),
    kit.check_merging_keeps_the_features: (
        "Return from 'merge' a layer that alone computes the same, or leave 'merge' out."
    ),
    kit.check_trained_model_reloads_bit_for_bit: (
        "Keep everything that training changes in parameters and buffers that the stages declare."
    ),
    kit.check_callbacks_resume_exactly: (
        "Return everything that later calls read from 'state_dict', and continue from it in 'load_state_dict'."
    ),
    kit.check_module_is_found: "Fix the module that the entry point names.",
    kit.check_specs_are_valid: "Fix the spec.",
    kit.check_descriptions_read_no_weights: "Read the checkpoint's configuration, or build on the device 'meta'.",
    kit.check_descriptions_match_what_is_built: (
        "Build from the settings alone, and let 'description' and the spec's 'describe' call one function."
    ),
    kit.check_metrics_count_rows: "Return the values that a table of the drawn rows alone would have.",
    kit.check_figures_are_files: "Write figures into the folder, and return their paths.",
    kit.check_baselines_predict_row_by_row: (
        "Fit to the training rows alone, and predict from the fitted state and the row."
    ),
    kit.check_optimizers_resume_exactly: "Keep everything that a step reads in 'state' and 'param_groups'.",
    kit.check_schedules_are_pure: "Compute the factor from the two arguments alone.",
    kit.check_reading_is_repeatable: "Read only the path; keep no state, and write no file.",
    kit.check_rows_can_be_located: "Give Rows the line on which each row starts, or no lines at all.",
    kit.check_no_row_is_lost: (
        "Keep an invalid row in the table, with missing values, and give its reason in 'invalid'."
    ),
    kit.check_suffixes_are_valid: 'Write suffixes as (".csv",), and patterns as ("*/*.jpg",).',
    kit.check_unreadable_files_are_reported: "Raise UnreadableFile with the path and the reason.",
    kit.check_split_divides_the_rows: "Put each row number into one subset; 'train' and 'validation' need rows.",
    kit.check_split_is_repeatable: "Use a random generator made from the seed, such as numpy.random.default_rng(seed).",
}
"""Check → its advice, unless a violation has an advice of its own."""


def message(check: Check, who: str, found: str, advice: str | None = None) -> str:
    """Compose the whole message of a violation.

    Args:
        who: the name of the implementation that breaks the law.
        advice: where it differs from the usual advice of the check.
    """
    return f"{who} breaks the law '{title_of(check)}':\n{found}.\n{advice or ADVICE[check]}"


@dataclass(frozen=True)
class Planted:
    """A fault planted for a check, and the sentence that reports it.

    Attributes:
        make: builds the implementation with the fault.
        advice: where it differs from the usual advice of the check.
        given: the examples or targets that the check is tried with, where they differ from those of its test file.
    """

    check: Check
    make: Callable[[], Any]
    found: str
    advice: str | None = None
    given: Any = None

    def __str__(self) -> str:
        return f"{self.check.__name__.removeprefix('check_')}-{type(self.make()).__name__}"

    def assert_caught(self, *arguments: object, stable: Callable[[str], str] = str) -> None:
        """Run the check on the fault and compare the whole message.

        Args:
            arguments: those that follow the implementation; a check takes as many as it has parameters.
            stable: leaves out what differs between machines.
        """
        wrong = self.make()
        with pytest.raises(kit.ContractViolation) as caught:
            self.check(wrong, *arguments[: len(needs_of(self.check)) - 1])
        expected = message(self.check, type(wrong).__name__, self.found, self.advice)
        assert stable(str(caught.value)) == expected
