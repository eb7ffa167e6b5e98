"""``neurovis saliency``: the pixels of your own pictures that drove a kernel or a class."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import fields, replace
from typing import cast

import torch
from jsonargparse import ArgumentParser, Namespace
from torch import Tensor

from neurovis.analysis import ExplainedPicture, PictureExplainer, RandomizedPicture
from neurovis.cli.options import load_model_and_input
from neurovis.cli.picture_run import PictureRun, add_picture_arguments, checked_options
from neurovis.cli.printing import MOST_ROWS, console
from neurovis.cli.stopping import stoppable
from neurovis.cli.tables import print_table
from neurovis.inputs import InputSpec
from neurovis.saliency import (
    METHODS,
    STRONGEST,
    RandomizationCheck,
    SaliencyOptions,
    SaliencySettings,
    check_method,
)
from neurovis.tables import Row


def add_arguments(parser: ArgumentParser) -> None:
    """Options: the network, the pictures, what is explained and how."""
    add_picture_arguments(parser)
    parser.add_argument(
        "--layer",
        type=str | None,
        default=None,
        help="Dotted name, see neurovis layers; by default the output, whose kernels are classes.",
    )
    parser.add_argument(
        "--kernels",
        type=int | list[int] | str,
        default=STRONGEST,
        help='As in "0-15,20"; "all"; or strongest, the picture\'s own: the predicted class.',
    )
    parser.add_argument(
        "--method", type=str, default="gradient", help=f"How maps are made: {', '.join(METHODS)}."
    )
    parser.add_class_arguments(SaliencySettings, skip={"input_spec", "baseline"})
    parser.add_argument(
        "--baseline",
        type=float,
        default=0.0,
        help="integrated_gradients and occlusion: where the way begins and what covers a patch, in "
        "the network's space.",
    )
    parser.add_argument(
        "--randomization",
        action="store_true",
        help="Also see how much of the maps is left as the network's weights become random.",
    )
    parser.add_argument(
        "--max_stages",
        type=int | None,
        default=None,
        help="Of the randomization; by default every layer is one.",
    )
    parser.add_argument(
        "--max_kernels", type=int, default=16, help="Kernels in a figure; the files hold all."
    )


def run(options: Namespace) -> None:
    """Explain the kernels for each picture."""
    for name in ("max_kernels", "max_stages"):
        if options[name] is not None and options[name] < 1:
            raise ValueError(f"{name} must be at least 1; got {options[name]}")
    if options.max_stages is not None and not options.randomization:
        raise ValueError(
            f"max_stages is of the randomization; got {options.max_stages} without --randomization"
        )
    method = check_method(options.method)
    network, spec = load_model_and_input(options)
    settings = _settings(options, spec)
    with checked_options(network, spec):
        explainer = PictureExplainer(network, options.layer, options.kernels, method, **settings)
    pictures = PictureRun(
        options.images, options.patterns, options.batch_size, vars(options.trainer), spec
    )
    network.to(pictures.device)
    # Whatever is wrong is found before anything is written.
    with checked_options(network, spec):
        explainer(pictures.first_image())
    with stoppable(lambda: pictures.kept):
        _explain(explainer, pictures, options)


def _explain(explainer: PictureExplainer, pictures: PictureRun, options: Namespace) -> None:
    """Make the maps of all pictures, write and print."""
    rows: list[Row] = []
    number, count = 0, options.max_kernels
    checks: list[RandomizationCheck] = []
    with ExitStack() as stack:
        table = stack.enter_context(pictures.table("results.csv", ExplainedPicture.COLUMNS))
        if options.randomization:
            columns = RandomizedPicture.COLUMNS
            stages = stack.enter_context(pictures.table("randomization.csv", columns))
        for numbered, images in pictures.batches(explainer.batch_size):
            for picture, found in zip(numbered, explainer(images), strict=True):
                pictures.save(found, picture, count)
                new = list(picture.rows(found))
                table.write(new)
                number += len(new)
                rows += new[: MOST_ROWS - len(rows)]
            if options.randomization:
                randomized = explainer.randomize(images, options.max_stages)
                for picture, checked in zip(numbered, randomized, strict=True):
                    pictures.save(checked, picture, count)
                    stages.write(picture.rows(checked))
                    # Without the maps, which may be many.
                    checks.append(replace(checked.check, maps=torch.empty(0)))
    _print(f"{explainer.method} of {explainer.layer}", rows, number)
    if options.randomization:
        _print_randomization(checks)
    pictures.finish()


def _settings(options: Namespace, spec: InputSpec) -> SaliencyOptions:
    """The options of the method as keyword arguments."""
    names = [field.name for field in fields(SaliencySettings) if field.name != "input_spec"]
    named = {name: options[name] for name in names}
    return cast(SaliencyOptions, {**named, "input_spec": spec})


def _print(title: str, rows: list[Row], number: int) -> None:
    """Print the first rows of the table, of a number of them."""
    columns = ["kernel", "value"]
    if any(row["completeness_error"] is not None for row in rows):
        columns.append("completeness_error")
    shown = [
        {
            "picture": f"{row['index']}: {row['picture']}",
            **{column.replace("_", " "): _number(row[column]) for column in columns},
        }
        for row in rows
    ]
    print_table(title, shown, ["picture"])
    if number > len(rows):
        console().print(f"… and {number - len(rows)} more in results.csv")


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
