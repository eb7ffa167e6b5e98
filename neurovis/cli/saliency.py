"""``neurovis saliency``: the pixels of your own pictures that drove a kernel or a class."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import cast

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor

from neurovis.analysis import PictureExplainer
from neurovis.cli.commands import Flag, TrainerArguments
from neurovis.cli.options import NetworkOptions
from neurovis.cli.picture_run import PictureOptions, PictureRun, checked_options
from neurovis.cli.printing import MOST_ROWS, console, print_table
from neurovis.cli.stopping import stoppable
from neurovis.cli.trainers import ONE_DEVICE
from neurovis.saliency import (
    STRONGEST,
    Method,
    RandomizationCheck,
    SaliencyOptions,
    SaliencySettings,
)
from neurovis.tables import Row


@dataclass(frozen=True)
class FigureOptions:
    """Figures, and the maps of random weights.

    Args:
        randomization: Also see how much of the maps is left as the network's weights become random.
        max_stages: Of the randomization; by default every layer is one.
        max_kernels: Kernels in a figure; the files hold all.
    """

    randomization: Flag = False
    max_stages: PositiveInt | None = None
    max_kernels: PositiveInt = 16

    def __post_init__(self) -> None:
        if self.max_stages is not None and not self.randomization:
            raise ValueError(
                f"max_stages is of the randomization; got {self.max_stages} without --randomization"
            )


def run(
    network: NetworkOptions,
    pictures: PictureOptions,
    settings: SaliencySettings,
    figures: FigureOptions,
    layer: str | None = None,
    kernels: int | list[int] | str = STRONGEST,
    method: Method = "gradient",
    baseline: float = 0.0,
    trainer: TrainerArguments = ONE_DEVICE,
) -> None:
    """Explain the kernels for each picture.

    Args:
        network: Network and its input.
        pictures: The pictures.
        settings: Settings of the method.
        figures: Figures, and the maps of random weights.
        layer: Dotted name, see neurovis layers; by default the class scores, or the --output.
        kernels: As in "0-15,20"; "all"; or strongest, the picture's own: the predicted class.
        method: How maps are made.
        baseline: integrated_gradients and occlusion: where the way begins and what covers a patch,
            in the network's space.
        trainer: Arguments of the Trainer.
    """
    module, spec = network.load()
    settings = replace(settings, baseline=baseline, input_spec=spec)
    with checked_options(module, spec):
        explainer = PictureExplainer(
            module, layer, kernels, method, **cast(SaliencyOptions, vars(settings))
        )
    shown = PictureRun(pictures, trainer, spec)
    module.to(shown.device)
    # Whatever is wrong is found before anything is written.
    with checked_options(module, spec):
        explainer(shown.first_image())
    with stoppable(lambda: shown.kept):
        _explain(explainer, shown, figures)


def _explain(explainer: PictureExplainer, pictures: PictureRun, options: FigureOptions) -> None:
    """Make the maps of all pictures, write and print."""
    rows: list[Row] = []
    number, count = 0, options.max_kernels
    checks: list[RandomizationCheck] = []
    with ExitStack() as stack:
        table = stack.enter_context(pictures.table("results.csv"))
        if options.randomization:
            stages = stack.enter_context(pictures.table("randomization.csv"))
        for numbers, images in pictures.batches(explainer.batch_size):
            for index, found in zip(numbers, explainer(images), strict=True):
                new = pictures.save(found, index, count)
                table.write(new)
                number += len(new)
                rows += new[: MOST_ROWS - len(rows)]
            if options.randomization:
                randomized = explainer.randomize(images, options.max_stages)
                for index, checked in zip(numbers, randomized, strict=True):
                    stages.write(pictures.save(checked, index, count))
                    # Without the maps, which may be many.
                    checks.append(replace(checked.check, maps=torch.empty(0)))
    _print(explainer.title, rows, number)
    if options.randomization:
        _print_randomization(checks)
    pictures.finish()


def _print(title: str, rows: list[Row], number: int) -> None:
    """Print the first rows of the table, of a number of them."""
    columns = ["kernel", "value"]
    if any(row["completeness_error"] is not None for row in rows):
        columns.append("completeness_error")
    shown = [
        {
            "picture": f"{row['index']}: {row['picture']}",
            **{column.replace("_", " "): _number(row[column]) for column in columns},
            **({"kernel": str(row["class_name"])} if "class_name" in row else {}),
        }
        for row in rows
    ]
    print_table(title, shown, ["picture"], number=number)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _print_randomization(found: list[RandomizationCheck]) -> None:
    """Print how alike the maps are to those of the trained network, stage by stage."""
    of_stages: dict[tuple[int, str], list[Tensor]] = {}
    for check in found:
        both = torch.stack([check.correlations, check.signed_correlations], dim=-1)
        for place, name in enumerate(check.stages):
            of_stages.setdefault((place, name), []).append(both[place])
    rows = []
    for (stage, randomized), correlated in of_stages.items():
        correlations = torch.cat(correlated)
        constant = int(correlations[:, 0].isnan().sum())
        magnitudes, signed = (_median(column) for column in correlations.T)
        rows.append(
            {
                "stage": str(stage),
                "randomized last": randomized,
                "correlation of magnitudes": magnitudes,
                "with signs": signed,
                "constant maps": f"{constant} of {len(correlations)}" if constant else "",
            }
        )
    print_table("Weights made random, from the top down", rows, ["randomized last"])
    console().print(
        "correlation: of the ranks of a map's pixels with those of the trained network's, the "
        "median over maps that are not constant. Maps that stay alike show the picture, not "
        "what the network has learned.",
    )
    if any(row["constant maps"] for row in rows):
        console().print(
            "constant maps have no ranks and are left out: random weights silenced the kernel "
            "(or, at stage 0, the picture does), so nothing was tested there; try another "
            "--seed or a layer before the last rectifier."
        )


def _median(correlations: Tensor) -> str:
    """Return the median without NaN, for an even number the mean of the middle two."""
    median = torch.nanquantile(correlations, 0.5).item()
    return "-" if median != median else f"{median:.3f}"
