"""``neurovis rank``: which kernels are selective for what, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast

import lightning.pytorch as pl
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import nn

from neurovis.analysis import (
    ResultFiles,
    compare_preferred_images,
    map_ranked_fields,
    save_first_kernels,
    save_ranking,
    save_reference_scores,
)
from neurovis.cli.commands import LayerNames, PicturePaths, TrainerArguments, Untyped
from neurovis.cli.options import NetworkOptions, layer_names
from neurovis.cli.own_images import choose_ranking_images
from neurovis.cli.picture_run import checked_options
from neurovis.cli.printing import print_written
from neurovis.cli.rank_printing import (
    print_comparisons,
    print_fields,
    print_rankings,
    print_reference_scores,
)
from neurovis.cli.stopping import stoppable
from neurovis.cli.trainers import (
    LIGHTNING,
    FolderClaim,
    as_list,
    build_trainer,
    check_float32,
    check_one_device,
)
from neurovis.maximization.progress import progress_bar
from neurovis.models.import_paths import current_directory_importable, import_by_path
from neurovis.run_folder import new_run_folder
from neurovis.tuning import (
    RankingOptions,
    Rankings,
    RankingSettings,
    TuningProbe,
    score_against_reference,
)
from neurovis.tuning.rankings import RANKINGS, AnyRanking, Ranking, resolve_rankings
from neurovis.tuning.reference import optional_reference

_BY = ["orientation"]
#: Annotation of options that name rankings.
RANKING = Untyped(nargs="+", metavar="RANKING", names=(*RANKINGS, "all"))


@dataclass(frozen=True)
class ResultOptions:
    """Figures, and further analyses of the first kernels.

    Args:
        top: Kernels in a figure.
        sheets: Of each ranking by gratings, this number of the first kernels get a sheet of their
            own.
        preferred_images: Of each ranking by gratings, maximize the activation of this number of
            the first kernels, and compare each image's orientation and spatial frequency with the
            grating's.
        receptive_fields: Of each layer's first ranking by gratings, map the receptive fields of
            this number of the first kernels, and how large they want their gratings.
    """

    top: PositiveInt = 24
    sheets: NonNegativeInt = 4
    preferred_images: NonNegativeInt = 0
    receptive_fields: NonNegativeInt = 0


def run(
    network: NetworkOptions,
    settings: RankingSettings,
    results: ResultOptions,
    layer: LayerNames,
    by: Annotated[list[str], RANKING] = _BY,
    images: PicturePaths = None,
    patterns: dict[str, str] | None = None,
    reference: str | None = None,
    pixels_per_degree: float | None = None,
    trainer: TrainerArguments = LIGHTNING,
) -> None:
    """Show the stimuli, rank, write and print.

    Args:
        network: Network and its input.
        settings: Settings of the rankings.
        results: Figures and further analyses.
        layer: Dotted names, see neurovis layers; types such as Conv2d; or all-conv.
        by: What kernels are ranked by: {names}; or the import path of a ranking of your own, such
            as mypackage.MyRanking. Of all, those that do not apply to the input, to the images or
            to a layer say why.
        images: For rankings by images, such as sparseness: pictures, or folders of them, as for
            neurovis features. For class a folder with one folder for each class in it. With
            --model demo, its own labeled scenes by default.
        patterns: Names of each modality's files in a folder, * being what the files of an image
            share: --patterns.rgb "*_RGB.png" --patterns.depth "*_perfect_depth.tiff".
        reference: Neurons to compare the kernels of each layer with: macaque_v1, or a CSV file with
            a row for each cell and its properties in the columns, as docs/tuning.md shows.
        pixels_per_degree: Pixels of the network's input in a degree of visual angle, for
            properties of neurons in degrees; these are left out without it.
        trainer: Arguments of the Trainer.
    """
    neurons = optional_reference(reference, pixels_per_degree)
    module, spec = network.load()
    rankings = chosen_rankings(by)
    chosen = choose_ranking_images(rankings, network.model, images, patterns, spec)
    with checked_options(module, spec):
        probe = TuningProbe(
            module,
            layer_names(layer),
            rankings,
            input_spec=spec,
            images=None if chosen is None else chosen.readable(),
            **cast(RankingOptions, vars(settings)),
        )
    made = _make_trainer(trainer, results)
    probe.check_trainer(made)
    with stoppable(lambda: "before all stimuli were shown; there are no results yet"):
        probe.run(made)
    folder = new_run_folder(made)  # All ranks must ask.
    if made.is_global_zero:
        with stoppable(
            lambda: (
                "when the ranking was done; its table, arrays and the figures so far are in "
                f"{folder}"
            )
        ):
            probe.results.to_csv(folder / "results.csv")
            found = probe.results
            if neurons is not None:
                scores = score_against_reference(
                    found, neurons, pixels_per_degree=pixels_per_degree
                )
                found = replace(found, reference_scores=scores)
            files = ResultFiles(folder, made.loggers)
            _analyze(module, found, settings, results, trainer, files)
            for logger in made.loggers:
                logger.finalize("success")
            if chosen is not None:
                chosen.print_notes()
            print_written(folder, made.loggers)
            if chosen is not None:
                chosen.raise_if_incomplete()


def _analyze(
    network: nn.Module,
    rankings: Rankings,
    settings: RankingSettings,
    options: ResultOptions,
    trainer: Mapping[str, Any],
    files: ResultFiles,
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
            accelerator=trainer["accelerator"],
            devices=trainer["devices"],
            folder=files.folder,
            show_progress=trainer["enable_progress_bar"] is not False,
        )
        save_first_kernels(comparisons, files)
    if options.receptive_fields:
        layers = {ranking.layer for ranking in applicable if ranking.grating_responses is not None}
        with progress_bar("layers mapped", len(layers)) as bar:
            found = map_ranked_fields(
                network,
                rankings,
                options.receptive_fields,
                phases=settings.phases,
                contrast=settings.contrast,
                rectify=settings.rectify,
                batch_size=settings.batch_size,
                on_layer=bar.update,
            )
            fields = save_first_kernels(found, files)
    pictures = {one.key: one.pictures for one in comparisons}
    with progress_bar("rankings drawn", len(applicable)) as bar:
        for ranking in applicable:
            own = pictures.get((ranking.layer, ranking.by))
            save_ranking(ranking, files, top=options.top, sheets=options.sheets, pictures=own)
            bar.update(1)
    print_rankings(rankings)
    if comparisons:
        print_comparisons(comparisons)
    if fields:
        print_fields(fields)
    if rankings.reference_scores is not None:
        save_reference_scores(rankings.reference_scores, files)
        print_reference_scores(rankings.reference_scores)


def _make_trainer(arguments: Mapping[str, Any], results: ResultOptions) -> pl.Trainer:
    check_float32(arguments, "kernels are ranked in")
    callbacks = [*as_list(arguments["callbacks"]), FolderClaim()]
    trainer = build_trainer({**arguments, "callbacks": callbacks})
    if results.preferred_images or results.receptive_fields:
        check_one_device(trainer, "preferred_images and receptive_fields are made on")
    return trainer


def chosen_rankings(names: str | Iterable[str]) -> list[AnyRanking]:
    """The rankings of these names, each once.

    Args:
        names: Such as ``orientation``, or ``mypackage.MyRanking``, a class or an instance.

    Raises:
        ValueError: If there is no such ranking, or what is named is none.
    """
    # In a config, a single name need not be a list.
    names = [names] if isinstance(names, str) else names
    listed = list(names) if isinstance(names, Iterable) else [names]
    if not all(isinstance(name, str) for name in listed):
        raise ValueError(f"by must be names of rankings, such as orientation; got {names!r}")
    return resolve_rankings([_imported(name) if "." in name else name for name in listed])


def _imported(path: str) -> AnyRanking:
    with current_directory_importable():
        found = import_by_path(path, what="ranking", example="mypackage.MyRanking")
    if isinstance(found, type) and issubclass(found, Ranking):
        found = found()
    if not isinstance(found, Ranking):
        raise ValueError(
            f'"{path}" is no ranking: make it a subclass of GratingRanking, AdaptiveRanking, '
            "ImageRanking, ConditionRanking or WeightRanking of neurovis.tuning.rankings"
        )
    return found
