"""``neurovis rank``: which kernels are selective for what, and how sure that is."""

from __future__ import annotations

from dataclasses import fields
from typing import cast

import lightning.pytorch as pl
from jsonargparse import ArgumentParser, Namespace
from torch import nn

from neurovis.analysis import (
    ResultFiles,
    compare_preferred_images,
    map_ranked_fields,
    save_first_kernels,
    save_ranking,
)
from neurovis.cli.chosen_rankings import chosen_rankings
from neurovis.cli.counting import counted
from neurovis.cli.options import (
    add_images_arguments,
    add_layers_argument,
    add_model_arguments,
    layer_names,
    load_model_and_input,
)
from neurovis.cli.own_images import choose_ranking_images
from neurovis.cli.picture_run import checked_options
from neurovis.cli.printing import print_written
from neurovis.cli.rank_printing import print_comparisons, print_fields, print_rankings
from neurovis.cli.stopping import stoppable
from neurovis.cli.trainers import add_trainer_arguments, build_trainer, check_float32
from neurovis.run_folder import new_run_folder
from neurovis.tuning import RANKINGS, RankingOptions, Rankings, RankingSettings, TuningProbe


def add_arguments(parser: ArgumentParser) -> None:
    """Options: the network, its layers, what they are asked, with what, and the Trainer."""
    add_model_arguments(parser)
    add_layers_argument(parser)
    parser.add_argument(
        "--by",
        nargs="+",
        default=["orientation"],
        metavar="RANKING",
        help=f"What kernels are ranked by: {', '.join(RANKINGS)}; or the import path of a ranking "
        "of your own, such as mypackage.MyRanking.",
    )
    parser.add_class_arguments(RankingSettings)
    add_images_arguments(
        parser,
        "For sparseness, class and activation: pictures, or folders of them, as for neurovis "
        "features. For class a folder with one folder for each class in it. With --model demo, "
        "its own labeled scenes by default.",
        required=False,
    )
    _add_result_arguments(parser)
    add_trainer_arguments(parser)


def _add_result_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--top", type=int, default=24, help="Kernels in a figure.")
    parser.add_argument(
        "--sheets",
        type=int,
        default=4,
        help="Of each ranking by gratings, so many of the first kernels get a sheet of their own.",
    )
    parser.add_argument(
        "--preferred_images",
        type=int,
        default=0,
        help="Of each ranking by gratings, maximize the activation of so many of the first "
        "kernels, and compare each image's orientation and spatial frequency with the grating's.",
    )
    parser.add_argument(
        "--receptive_fields",
        type=int,
        default=0,
        help="Of each layer's first ranking by gratings, map the receptive fields of so many of "
        "the first kernels, and how large they want their gratings.",
    )


def run(options: Namespace) -> None:
    """Show the stimuli, rank, write and print."""
    _check(options)
    network, spec = load_model_and_input(options)
    rankings = chosen_rankings(options.by)
    images = choose_ranking_images(rankings, options.model, options.images, options.patterns, spec)
    with checked_options(network, spec):
        probe = TuningProbe(
            network,
            layer_names(options.layer),
            rankings,
            input_spec=spec,
            images=None if images is None else images.readable(),
            **_settings(options),
        )
    trainer = _trainer(options)
    probe.check_trainer(trainer)
    with stoppable(lambda: "before all stimuli were shown; there are no results yet"):
        trainer.predict(probe, return_predictions=False)
    folder = new_run_folder(trainer)  # All ranks must ask.
    if trainer.is_global_zero:
        with stoppable(
            lambda: (
                "when the ranking was done; its table, arrays and the figures so far are in "
                f"{folder}"
            )
        ):
            probe.results.to_csv(folder / "results.csv")
            files = ResultFiles(folder, trainer.loggers)
            _analyze(network, probe.results, options, files)
            for logger in trainer.loggers:
                logger.finalize("success")
            if images is not None:
                images.print_notes()
            print_written(folder, trainer.loggers)
            if images is not None:
                images.raise_if_incomplete()


def _check(options: Namespace) -> None:
    for name, least in (
        ("top", 1),
        ("sheets", 0),
        ("preferred_images", 0),
        ("receptive_fields", 0),
    ):
        if options[name] < least:
            raise ValueError(f"{name} must be at least {least}; got {options[name]}")


def _analyze(
    network: nn.Module, rankings: Rankings, options: Namespace, files: ResultFiles
) -> None:
    """Write the rankings and what else is asked of the first kernels, and print both."""
    applicable = [ranking for ranking in rankings if ranking.reason is None]
    for ranking in applicable:
        ranking.to_npz(files.path(ranking.tag, ".npz"))
    comparisons, fields = [], []
    if options.preferred_images:
        comparisons = compare_preferred_images(
            network,
            rankings,
            options.preferred_images,
            accelerator=options.trainer.accelerator,
            devices=options.trainer.devices,
            folder=files.folder,
            show_progress=options.trainer.enable_progress_bar is not False,
        )
        save_first_kernels(comparisons, files)
    if options.receptive_fields:
        layers = {ranking.layer for ranking in applicable if ranking.grating_responses is not None}
        with counted("layers mapped", len(layers)) as count:
            found = map_ranked_fields(
                network,
                rankings,
                options.receptive_fields,
                phases=options.phases,
                contrast=options.contrast,
                rectify=options.rectify,
                batch_size=options.batch_size,
                on_layer=count,
            )
            fields = save_first_kernels(found, files)
    pictures = {one.key: one.pictures for one in comparisons}
    with counted("rankings drawn", len(applicable)) as count:
        for ranking in applicable:
            own = pictures.get((ranking.layer, ranking.by))
            save_ranking(ranking, files, top=options.top, sheets=options.sheets, pictures=own)
            count(1)
    print_rankings(rankings)
    if comparisons:
        print_comparisons(comparisons)
    if fields:
        print_fields(fields)


def _settings(options: Namespace) -> RankingOptions:
    """The options of the ranking as keyword arguments."""
    return cast(
        RankingOptions, {field.name: options[field.name] for field in fields(RankingSettings)}
    )


def _trainer(options: Namespace) -> pl.Trainer:
    check_float32(vars(options.trainer), "kernels are ranked in")
    from neurovis.cli.run_logger import FolderClaim

    callbacks = options.trainer.callbacks or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    trainer = build_trainer({**vars(options.trainer), "callbacks": [*callbacks, FolderClaim()]})
    devices = trainer.num_devices * trainer.num_nodes
    if devices > 1 and (options.preferred_images or options.receptive_fields):
        raise ValueError(
            "preferred_images and receptive_fields are made on one device; "
            f"got {devices}: --trainer.devices 1"
        )
    return trainer
