"""What ``am`` and ``group-am`` have in common: options of an ascent, and running it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import cast

import lightning.pytorch as pl
from jsonargparse import ArgumentParser, Namespace
from torch import Tensor

from neurovis.cli.options import add_model_arguments
from neurovis.cli.report import print_results
from neurovis.files import check_writable
from neurovis.inputs import InputSpec
from neurovis.maximization import AscentOptions, AscentSettings, TargetMaximization
from neurovis.pictures import read_picture


def add_ascent_arguments(parser: ArgumentParser) -> None:
    """Options: the network, its input, the layer, the ascent and the Trainer."""
    add_model_arguments(parser)
    parser.add_argument("--layer", type=str, required=True, help="Dotted name; see neurovis layers")
    parser.add_class_arguments(AscentSettings, skip={"init"})
    parser.add_argument(
        "--init", type=str, default="noise", help="Start from noise, zero (grey), or a picture."
    )
    parser.add_class_arguments(pl.Trainer, "trainer", instantiate=False)
    parser.set_defaults(
        {
            "trainer.max_epochs": -1,
            "trainer.enable_checkpointing": False,
            "trainer.enable_model_summary": False,
            "trainer.log_every_n_steps": 5,
        }
    )


def settings(options: Namespace, spec: InputSpec) -> AscentOptions:
    """The options of the ascent as keyword arguments."""
    init: str | Tensor = options.init
    if init not in ("noise", "zero"):
        init = read_picture(options.init, spec)
    named = {
        field.name: options[field.name] for field in fields(AscentSettings) if field.name != "init"
    }
    return cast(AscentOptions, {**named, "init": init})


def climb(module: TargetMaximization, options: Namespace) -> None:
    """Run the ascent under the Trainer and print what came of it."""
    # Before Lightning makes a folder in it.
    check_writable(options.trainer.default_root_dir or Path.cwd())
    trainer = pl.Trainer(**options.trainer)
    trainer.fit(module)
    folder = trainer.log_dir or trainer.default_root_dir  # All ranks must ask.
    if not len(module.results):
        raise ValueError(
            "the Trainer stopped before an image was finished; see --trainer.max_epochs"
        )
    if trainer.is_global_zero:
        print_results(module.results, folder)
