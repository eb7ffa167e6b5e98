"""``neurovis report``: all that can be found out about kernels, as cards on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from jsonargparse import ArgumentParser, Namespace
from rich.text import Text
from torch import nn

from neurovis.analysis import make_report
from neurovis.analysis.report import check_report
from neurovis.cli import am, top_images
from neurovis.cli.ascent import climb, make_trainer, resumes
from neurovis.cli.chosen_rankings import chosen_rankings
from neurovis.cli.counting import counted
from neurovis.cli.options import is_as_made, load_model_and_input
from neurovis.cli.own_images import choose_probe, choose_ranking_images
from neurovis.cli.printing import console
from neurovis.cli.stopping import stoppable
from neurovis.cli.trainers import check_float32
from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization
from neurovis.saliency import METHODS, check_method
from neurovis.tuning import RankingOptions, RankingSettings, TuningProbe
from neurovis.tuning.rankings import RANKINGS, AnyRanking, ImageRanking

#: What the command writes in the end.
PAGE = "report.html"
#: Top images of the demo's own scenes.
_DEMO_TOP_IMAGES = 9


def add_arguments(parser: ArgumentParser) -> None:
    """Options of an ascent, of rankings, and of a probe picture."""
    am.add_arguments(parser)
    # One unit is what all that is on a card can be compared by.
    parser.set_defaults({"objective": "center"})
    parser.add_argument(
        "--by",
        nargs="+",
        default=None,
        metavar="RANKING",
        help="Rankings that cards can be sorted and filtered by: "
        f"{', '.join(RANKINGS)}, or the import path of one of your own; by default all that need "
        "no images and apply to the input.",
    )
    parser.add_class_arguments(RankingSettings, "ranking")
    parser.add_argument(
        "--probe",
        nargs="+",
        default=None,
        metavar="PATH",
        help="A picture for the saliency maps; by default the first of --images.",
    )
    parser.add_argument(
        "--method", type=str, default="gradient", help=f"Of the maps: {', '.join(METHODS)}."
    )
    parser.add_argument(
        "--field_images",
        type=int,
        default=16,
        help="Noise images over which receptive fields are averaged; 0 leaves fields out.",
    )


def run(options: Namespace) -> None:
    """Make preferred images, rank, look at pictures, and write the page."""
    method = check_method(options.method)
    network, spec = load_model_and_input(options)
    rankings = _rankings(options, spec)
    images, patterns = options.images, options.patterns
    probe = choose_probe(method, options.probe, options.model, images, patterns, spec)
    module = am.make_module(options, network, spec)
    # Whatever is wrong is found before hours go into the ascent.
    check_report(module, options.field_images)
    tuning = _tuning(options, network, spec, module, rankings)
    check_float32(vars(options.trainer), "kernels are ranked in")
    trainer = make_trainer(module, options, last_file=PAGE)
    tuning.check_trainer(trainer)
    if options.model == "demo" and options.images is None and options.top_images is None:
        options.top_images = _DEMO_TOP_IMAGES
    # Any unit may be the one that a picture drives most.
    objective = "max" if options.objective == "center" else None
    of_pictures = top_images.prepare(options, network, module, trainer, objective)
    folder = climb(module, options, trainer)
    goes_on = ", and the same command goes on there" if resumes(options, trainer) else ""
    with stoppable(
        lambda: f"before the page was made; the preferred images are in {folder}{goes_on}"
    ):
        found = {}
        if of_pictures is not None:
            found = of_pictures.run(folder)
        trainer.predict(tuning, return_predictions=False)
        if trainer.is_global_zero:
            tuning.results.to_csv(folder / "rankings.csv")
            network.to(trainer.strategy.root_device)
            is_shown = options.trainer.enable_progress_bar is not False
            with counted("cards", len(module.jobs), is_shown) as count:
                page = make_report(
                    network,
                    module,
                    tuning.results,
                    top_images=found,
                    probe=probe,
                    field_images=options.field_images,
                    name=_network_name(options),
                    ranking_settings=RankingSettings(**vars(options.ranking)),
                    facts={"run": folder.name},
                    on_card=count,
                )
            page.save(folder / PAGE)
            written = f"Kernel cards: {folder / PAGE} (open it in a browser)"
            console().print(Text(written), soft_wrap=True)
            top_images.raise_if_incomplete(found)


def _rankings(options: Namespace, spec: InputSpec) -> list[AnyRanking]:
    """Those that were asked for; else all that can be made without images."""
    if options.by is not None:
        return chosen_rankings(options.by)
    return [
        ranking
        for ranking in RANKINGS.values()
        if not isinstance(ranking, ImageRanking) and _applies(ranking, spec)
    ]


def _applies(ranking: AnyRanking, spec: InputSpec) -> bool:
    try:
        ranking.check(spec)
    except ValueError:
        return False
    return True


def _tuning(
    options: Namespace,
    network: nn.Module,
    spec: InputSpec,
    module: ActivationMaximization,
    rankings: Sequence[AnyRanking],
) -> TuningProbe:
    """Return the probe that ranks the kernels of the layers whose images are generated."""
    images = None
    if any(isinstance(ranking, ImageRanking) for ranking in rankings):
        images = choose_ranking_images(
            rankings, options.model, options.images, options.patterns, spec
        )
    readable = None if images is None else images.readable()
    if images is not None:
        images.print_notes()
    return TuningProbe(
        network,
        module.layers,
        rankings,
        input_spec=spec,
        images=readable,
        **cast(RankingOptions, vars(options.ranking)),
    )


def _network_name(options: Namespace) -> str:
    """The network and its weights, without the folder of a file: a page is passed on."""
    if is_as_made(options):
        return f"{options.model}, no weights given"
    return f"{options.model}, {Path(options.weights).name}" if options.weights else options.model
