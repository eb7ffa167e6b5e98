"""``neurovis group-am``: one image that drives a group of kernels together."""

from __future__ import annotations

from collections.abc import Sequence

from neurovis.cli.ascent import ASCENT_TRAINER, AscentRun, ImageOptions
from neurovis.cli.commands import TrainerArguments
from neurovis.cli.options import NetworkOptions, is_top
from neurovis.kernels import KernelSelection
from neurovis.maximization import AscentSettings, GroupActivationMaximization
from neurovis.maximization.objectives import Joint


def run(
    network: NetworkOptions,
    images: ImageOptions,
    ascent: AscentSettings,
    layer: str,
    groups: list[list[int]] | list[str] | str = "all",
    joint: Joint = "mean",
    member_weights: list[list[float]] | None = None,
    suppressed: list[list[int]] | str | None = None,
    zscore: bool = False,
    trainer: TrainerArguments = ASCENT_TRAINER,
) -> None:
    """Optimize an image for each group.

    Args:
        network: Network and its input.
        images: Objective and images.
        ascent: Settings of the ascent.
        layer: Dotted name; see neurovis layers.
        groups: "all": the layer as one group; "each:8": batches of 8 kernels; as in "0-7;8,9"; or
            the first of a ranking, "top:16:orientation;top:16:color", see rank.
        joint: How the members' activations are joined to the number that is maximized.
        member_weights: With --joint weighted: for each group one weight per kernel,
            "[[1, 0.5], [1, -1]]".
        suppressed: Kernels that each group's image is to silence, "4;5,6" for two groups.
        zscore: Count each member in standard deviations above its mean response to noise.
        trainer: Arguments of the Trainer.
    """
    module, spec = network.load()
    settings = images.settings(ascent, spec)
    parts: Sequence[KernelSelection] = groups.split(";") if isinstance(groups, str) else groups
    chosen: str | Sequence[KernelSelection] = groups
    if any(is_top(part) for part in parts):
        from neurovis.cli.top_kernels import without_top

        chosen = without_top(parts, module, spec, layer, network.model)
    maximization = GroupActivationMaximization(
        module,
        layer,
        chosen,
        spec,
        joint,
        member_weights,
        suppressed,
        zscore,
        **settings,
    )
    AscentRun(maximization, trainer, images.resume).run()
