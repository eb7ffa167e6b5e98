"""Tests of the core that are left out on the simulated GPU, each with its reason."""

from __future__ import annotations

ALL = ("plain", "bfloat16", "no-float64")

#: Reasons, the modes they hold in, and whole tests, classes, files or folders within ``tests/``.
LEFT_OUT: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "torch has no float64 tensors on such a device, and the test needs one": (
        ("no-float64",),
        (
            "callbacks/test_activation_maximization_monitor.py::"
            "test_watching_does_not_disturb[64-true]",
            "callbacks/test_feature_maps.py::TestProbe::test_precision_of_the_network",
            "callbacks/test_kernel_ranking_monitor.py::TestMisconfigured::test_float64_by_default",
            "callbacks/test_kernel_ranking_monitor.py::TestNumbers::test_other_precisions[dtype1]",
            "callbacks/test_trainings.py::test_watching_changes_nothing[float64]",
            "callbacks/test_trainings.py::test_watching_changes_nothing[float64_by_default]",
            "callbacks/test_trainings.py::test_watching_changes_nothing[parameters_of_two_dtypes]",
            "maximization/test_activation_maximization.py::test_networks_of_other_types[dtype0]",
            "restoration/test_tensors.py::test_a_buffer_is_what_it_was[complex-in place]",
            "restoration/test_tensors.py::test_a_buffer_is_what_it_was[complex-unseen]",
            "restoration/test_tensors.py::test_a_buffer_is_what_it_was[complex-other data]",
            "saliency/test_kernel_saliency.py::test_other_precisions_come_out_as_float32",
            "test_receptive_fields.py::test_random_networks_against_the_spread_of_nans",
            "test_receptive_fields.py::test_shufflenet_against_the_spread_of_nans",
            "test_recording.py::TestRecorder::test_gradient_to_the_input",
        ),
    ),
    "it concerns memory that the host's allocator keeps for networks on the CPU": (
        ALL,
        ("maximization/test_resuming.py::test_freed_memory_is_given_back_also_after_an_exception",),
    ),
    "torch fuses the cells of recurrent layers in kernels that the CPU does not have": (
        ALL,
        (
            "callbacks/test_trainings.py::test_watching_changes_nothing[recurrent_layers]",
            "callbacks/test_trainings.py::test_watching_changes_nothing"
            "[truncated_backpropagation_through_time]",
            "test_differentiation.py::"
            "test_recurrent_layers_run_without_cudnn_where_a_gradient_is_wanted",
            "test_differentiation.py::test_the_gradient_of_a_recurrent_network_by_hand",
        ),
    ),
    "torch.compile cannot trace the mode that makes this file's tensors on the device": (
        ALL,
        (
            "test_recording.py::TestRecorder::test_compiled_network",
            "test_recording.py::TestRecorder::test_compiled_part_of_a_network",
        ),
    ),
    "autocast is not made for such a device, and the test's network needs it": (
        ALL,
        ("callbacks/test_runs_go_on.py::test_dtypes_that_need_autocast_are_named",),
    ),
    "it makes up a device in the place of the simulated one": (
        ALL,
        ("restoration/test_random_state.py::test_every_accelerator[privateuseone-2]",),
    ),
    "torch gives up that a layer is lazy when it moves to a device that torch does not know": (
        ALL,
        (
            "callbacks/test_runs_go_on.py::test_lazy_layers_are_initialized_by_training",
            "callbacks/test_trainings.py::test_watching_changes_nothing[lazy_layers]",
            "callbacks/test_trainings.py::test_watching_changes_nothing"
            "[lazy_layers_without_sanity_check]",
        ),
    ),
    "the simulated device has no sparse tensors": (
        ALL,
        ("restoration/test_tensors.py::test_other_kinds_of_buffers",),
    ),
}


def reason_to_leave_out(node: str, mode: str) -> str | None:
    """Return why a test is left out in a mode; None where it runs."""
    path = node.removeprefix("tests/")
    for reason, (modes, tests) in LEFT_OUT.items():
        is_meant = any(
            path == one or path.startswith((f"{one}/", f"{one}:", f"{one}[")) for one in tests
        )
        if is_meant and mode in modes:
            return reason
    return None
