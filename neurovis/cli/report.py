"""``neurovis report``: all that can be found out about kernels, as cards on one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, cast

from neurovis.analysis import make_report
from neurovis.analysis.report import check_report
from neurovis.cli.am import make_maximization
from neurovis.cli.ascent import ASCENT_TRAINER, AscentRun, ImageOptions
from neurovis.cli.commands import LayerNames, PicturePaths, TrainerArguments
from neurovis.cli.evidence import EvidenceRun
from neurovis.cli.evidence_options import JudgeOptions, TopImagesOptions
from neurovis.cli.options import NetworkOptions
from neurovis.cli.own_images import choose_probe, choose_ranking_images
from neurovis.cli.printing import print_line
from neurovis.cli.rank import RANKING, chosen_rankings
from neurovis.cli.stopping import stoppable
from neurovis.cli.trainers import check_float32
from neurovis.inputs import InputSpec
from neurovis.layers import ArgumentError
from neurovis.maximization import AscentSettings
from neurovis.maximization.objectives import Objective, ObjectiveName
from neurovis.maximization.progress import progress_bar
from neurovis.saliency import Method
from neurovis.tuning import RankingOptions, RankingSettings, TuningProbe
from neurovis.tuning.battery import Images
from neurovis.tuning.rankings import RANKINGS, AnyRanking, GratingRanking, WeightRanking

#: What the command writes in the end.
PAGE = "report.html"
#: Top images of the demo's own scenes.
_DEMO_TOP_IMAGES = 9
_RANKING = RankingSettings()


@dataclass(frozen=True)
class CardImageOptions(ImageOptions):
    """Objective, parametrization, penalties and transforms of the images."""

    # One unit is what all that is on a card can be compared by.
    objective: ObjectiveName | Objective | Callable[..., Any] = "center"


@dataclass(frozen=True)
class CardOptions:
    """Evidence on the cards.

    Args:
        by: Rankings that cards can be sorted and filtered by: {names}; or the import path of one
            of your own; by default those of weights and of one pass of gratings that apply to the
            input.
        probe: A picture for the saliency maps; by default the first of --images.
        method: Saliency method of the maps.
        field_images: Noise images over which receptive fields are averaged; 0 leaves fields out.
    """

    by: Annotated[list[str] | None, RANKING] = None
    probe: PicturePaths = None
    method: Method = "gradient"
    field_images: int = 16


def run(
    network: NetworkOptions,
    images: CardImageOptions,
    ascent: AscentSettings,
    cards: CardOptions,
    pictures: TopImagesOptions,
    judges: JudgeOptions,
    layer: LayerNames,
    kernels: int | list[int] | str = "all",
    ranking: RankingSettings = _RANKING,
    trainer: TrainerArguments = ASCENT_TRAINER,
) -> None:
    """Make preferred images, rank, look at pictures, and write the page.

    Args:
        network: Network and its input.
        images: Objective and images.
        ascent: Settings of the ascent.
        cards: Evidence on the cards.
        pictures: Real pictures to compare with.
        judges: Other networks that judge the images.
        layer: Dotted names, see neurovis layers; types such as Conv2d; or all-conv.
        kernels: Of each layer: "all"; as in "0-15,20"; or the first of a ranking,
            "top:16:orientation", see rank.
        ranking: Settings of the rankings.
        trainer: Arguments of the Trainer.
    """
    module, spec = network.load()
    rankings = _rankings(cards.by, spec, ranking)
    probe = choose_probe(
        cards.method, cards.probe, network.model, pictures.images, pictures.patterns, spec
    )
    settings = images.settings(ascent, spec)
    maximization = make_maximization(module, spec, layer, kernels, network.model, settings)
    # Whatever is wrong is found before hours go into the ascent.
    check_report(maximization, cards.field_images)
    tuning = TuningProbe(
        module,
        maximization.layers,
        rankings,
        input_spec=spec,
        images=_ranking_images(rankings, spec, network.model, pictures),
        **cast(RankingOptions, vars(ranking)),
    )
    check_float32(trainer, "kernels are ranked in")
    ascents = AscentRun(maximization, trainer, images.resume, last_file=PAGE)
    made = ascents.trainer
    tuning.check_trainer(made)
    if network.model == "demo" and not pictures.are_wanted:
        pictures = replace(pictures, top_images=_DEMO_TOP_IMAGES)
    # Any unit may be the one that a picture drives most.
    objective = "max" if images.objective == "center" else None
    evidence = EvidenceRun(pictures, judges, network, module, maximization, made, objective)
    folder = ascents.run()
    kept = ", and the same command resumes there" if ascents.is_resumable else ""
    with stoppable(lambda: f"before the page was made; the preferred images are in {folder}{kept}"):
        evidence.run(folder)
        tuning.run(made)
        if made.is_global_zero:
            tuning.results.to_csv(folder / "rankings.csv")
            module.to(made.strategy.root_device)
            is_shown = trainer["enable_progress_bar"] is not False
            with progress_bar("cards", len(maximization.jobs), is_shown=is_shown) as bar:
                page = make_report(
                    module,
                    maximization,
                    tuning.results,
                    top_images=evidence.top_images,
                    probe=probe,
                    field_images=cards.field_images,
                    name=_network_name(network),
                    ranking_settings=ranking,
                    facts={"run": folder.name},
                    on_card=bar.update,
                )
            page.save(folder / PAGE)
            print_line(f"Kernel cards: {folder / PAGE} (open it in a browser)")
            evidence.raise_if_incomplete()


def _ranking_images(
    rankings: Sequence[AnyRanking], spec: InputSpec, model: str, pictures: TopImagesOptions
) -> Images | None:
    """Return the images that rankings need, if any; others are for the search alone."""
    if not any(ranking.needs_images for ranking in rankings):
        return None
    chosen = choose_ranking_images(rankings, model, pictures.images, pictures.patterns, spec)
    readable = None if chosen is None else chosen.readable()
    if chosen is not None:
        chosen.print_notes()
    return readable


def _rankings(by: list[str] | None, spec: InputSpec, settings: RankingSettings) -> list[AnyRanking]:
    """Those that were asked for; else all of weights and of one pass of gratings."""
    if by is not None:
        return chosen_rankings(by)
    return [
        ranking
        for ranking in RANKINGS.values()
        if isinstance(ranking, WeightRanking)
        or (isinstance(ranking, GratingRanking) and _applies(ranking, spec, settings))
    ]


def _applies(ranking: GratingRanking, spec: InputSpec, settings: RankingSettings) -> bool:
    try:
        ranking.stimuli(spec, settings, None)
    except ArgumentError:
        raise
    except ValueError:
        return False
    return True


def _network_name(options: NetworkOptions) -> str:
    """The network and its weights, without the folder of a file: a page is passed on."""
    if options.is_as_made:
        return f"{options.model}, no weights given"
    return f"{options.model}, {Path(options.weights).name}" if options.weights else options.model
