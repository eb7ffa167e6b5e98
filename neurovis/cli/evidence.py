"""Evidence for the images of a run, by judges, pictures and variants, for ``am`` and ``report``."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import cast

import lightning.pytorch as pl
from torch import nn

from neurovis.analysis import (
    ImageEvidence,
    PictureResponses,
    Stability,
    facet_images,
    facets,
    judge_images,
    path_similarity,
    predictability,
    save_evidence,
    seed_stability,
)
from neurovis.analysis.compared_paths import layers_on_path
from neurovis.analysis.contributions import ContributionReader
from neurovis.analysis.descriptions import ImageDescriber, images_by_kernel
from neurovis.analysis.judged_layer import JudgedLayer
from neurovis.analysis.judges import LEAST_FOR_PARTNERS
from neurovis.analysis.shown_network import ShownNetwork
from neurovis.cli.commands import listed_models
from neurovis.cli.evidence_options import JudgeOptions, TopImagesOptions
from neurovis.cli.evidence_printing import (
    print_evidence,
    print_facets,
    print_paths,
    print_predictability,
    save_measurement,
)
from neurovis.cli.first_process import is_first_process
from neurovis.cli.options import NetworkOptions
from neurovis.cli.printing import print_notes
from neurovis.cli.top_images import TopImagesRun
from neurovis.maximization import ActivationMaximization, AscentOptions, MaximizationResults
from neurovis.maximization.checks import is_trial
from neurovis.models import load_model, suggested_input_spec
from neurovis.models.libraries import is_library_name
from neurovis.top_images import TopImages
from neurovis.top_images.reading import AnyObjective


class EvidenceRun:
    """Search for top images and evidence for a run's images, checked before hours go into it.

    Args:
        pictures: Real pictures, and what they are asked about.
        judges: Judges.
        network_options: How the network was loaded.
        network: The network, as it was loaded.
        module: Ascents of the kernels.
        trainer: The run's Trainer.
        objective: What top images are compared by; by default what is maximized.

    Raises:
        ValueError: If there is no picture that can be read, an option is out of its range, a judge
            cannot be loaded, or something cannot be measured.
    """

    def __init__(
        self,
        pictures: TopImagesOptions,
        judges: JudgeOptions,
        network_options: NetworkOptions,
        network: nn.Module,
        module: ActivationMaximization,
        trainer: pl.Trainer,
        objective: AnyObjective | None = None,
    ) -> None:
        self._network, self._module, self._trainer = network, module, trainer
        self._options, spec = pictures, module.input_spec
        self._search: TopImagesRun | None = None
        if pictures.are_wanted:
            model = network_options.model
            self._search = TopImagesRun(pictures, model, network, module, trainer, objective)
        # What is asked of the network about pictures, which it is then shown once.
        self._shown = ShownNetwork(network, spec, spec)
        self._asked: Counter[str] = Counter()
        for layer in module.layers:
            if pictures.predictability:
                self._asked |= Counter({layer: 1}) | Counter(
                    ImageDescriber(network, layer, spec).asked
                )
            if pictures.path_similarity:
                self._asked |= Counter({layer, *layers_on_path(self._shown, layer)})
            if pictures.facets:
                ContributionReader(network, layer, spec)  # Raises if there is no layer below.
                self._asked |= Counter({layer})
        self._judges = _loaded(listed_models(judges.judge), network_options.trust)
        self._check_judges()

    @property
    def top_images(self) -> dict[str, TopImages] | None:
        """Top images by layer, after the run; None if there are no pictures."""
        return None if self._search is None else self._search.found

    def run(self, folder: Path) -> None:
        """Find, write and print everything; every process must call.

        Args:
            folder: Folder of the run.

        Raises:
            OSError: If a file cannot be written.
        """
        module, trainer = self._module, self._trainer
        if self._search is not None:
            self._search.run(folder)
        if not trainer.is_global_zero or is_trial(trainer):
            return
        self._network.to(trainer.strategy.root_device)
        pictures = None
        if self._search is not None:
            pictures = PictureResponses(self._search.dataset, module.input_spec)
            pictures.moments({self._shown: self._asked})
        evidence: dict[str, ImageEvidence] = {}
        for layer in module.layers:
            results = module.results_of(layer)
            if any(item.sign > 0 for item in results.items):
                evidence[layer] = self._of(results, pictures, module.folder_of(layer, folder))
        if all(found.is_empty for found in evidence.values()):
            return
        save_evidence(module, evidence, folder, trainer.loggers, module.global_step)
        for layer in evidence:
            print_evidence(module.results_of(layer))

    def raise_if_incomplete(self) -> None:
        """Say in the end which pictures were left out.

        Raises:
            ValueError: If pictures could not be read; how many, and why the first.
        """
        if self._search is not None and self._trainer.is_global_zero:
            self._search.raise_if_incomplete()

    def _check_judges(self) -> None:
        module, search = self._module, self._search
        noun = module.settings.resolved_objective.noun
        if self._judges and noun != "kernel":
            raise ValueError(f"judges are asked about kernels; the objective reads a {noun}")
        if self._judges and not any(job.sign > 0 for job in module.jobs):
            raise ValueError("judges are asked about images that drive kernels most; see --sign")
        pictures = 0 if search is None else len(search.dataset)
        for name, judge in self._judges.items():
            every = (
                JudgedLayer(self._network, layer, judge, module.input_spec, None, name, 1)
                for layer in module.layers
            )
            asked = next((one for one in every if one.needs_pictures), None)
            if asked is None:
                continue
            asked.judge.layers()  # Raises if the judge cannot run on the images.
            if search is None:
                raise ValueError(f"{asked.needs_pictures}: --images")
            if pictures < LEAST_FOR_PARTNERS:
                raise ValueError(
                    f"judges of kernels need at least {LEAST_FOR_PARTNERS} pictures; --images "
                    f"has {pictures}"
                )

    def _of(
        self, results: MaximizationResults, pictures: PictureResponses | None, folder: Path
    ) -> ImageEvidence:
        """Find the evidence for a layer's images, and write and print what pictures tell."""
        layer, spec, network = results.layer, self._module.input_spec, self._network
        predicted = paths = None
        if pictures is not None and self._options.predictability:
            predicted = predictability(network, layer, results, pictures, input_spec=spec)
            print_predictability(predicted, save_measurement(predicted, folder, "predictability"))
        if pictures is not None and self._options.path_similarity:
            paths = path_similarity(network, layer, results, pictures, input_spec=spec)
            print_paths(paths, save_measurement(paths, folder, "path_similarity"))
        if pictures is not None and self._options.facets:
            self._find_facets(results, pictures, folder)
        judgments = []
        for name, judge in self._judges.items():
            judge.to(self._trainer.strategy.root_device)
            found = judge_images(
                network, layer, results, judge, pictures, input_spec=spec, name=name
            )
            judge.to("cpu")
            print_notes(found.notes)
            judgments.append(found)
        top_images = None if self._search is None else self._search.found.get(layer)
        return ImageEvidence(judgments, top_images, predicted, self._stability(results), paths)

    def _find_facets(
        self, results: MaximizationResults, pictures: PictureResponses, folder: Path
    ) -> None:
        """Find the facets of a layer's kernels, make their images, write and print them."""
        settings, layer = self._module.settings, results.layer
        options = {one.name: getattr(settings, one.name) for one in fields(settings)}
        kernels, spec = list(images_by_kernel(results)), self._module.input_spec
        found = facets(self._network, layer, kernels, pictures, input_spec=spec)
        if not found.items:
            print_notes([f"{layer}: no kernel below drives any of these kernels: no facets"])
            return
        accelerator = self._trainer.strategy.root_device.type
        # As contributions are counted.
        made = cast(AscentOptions, {**options, "variants": 1, "objective": "mean"})
        found = facet_images(self._network, found, accelerator=accelerator, **made)
        print_facets(found, save_measurement(found, folder, "facets"))

    def _stability(self, results: MaximizationResults) -> Stability | None:
        """Return the stability over variants of at least two kernels."""
        if not results.has_variants or len(set(results.kernels)) < 2:
            return None
        try:
            spec = self._module.input_spec
            return seed_stability(self._network, results.layer, results, input_spec=spec)
        except ValueError as error:
            # It was not asked for by name, and no layer that describes images may be readable.
            print_notes([f"{results.layer}: variants are not compared: {error}"])
            return None


def _loaded(judges: list[str], trust: bool) -> dict[str, nn.Module]:
    """Networks by the names that results call them.

    Raises:
        ValueError: If one cannot be loaded, or two would have the same name.
    """
    found: dict[str, nn.Module] = {}
    for judge in dict.fromkeys(judges):
        model, _, weights = judge.partition("=")
        if is_library_name(model):
            name = model.partition(":")[2].rstrip("/").rpartition("/")[2]
        else:
            name = model.rpartition(".")[2]
            if not weights and is_first_process():
                print_notes(
                    [
                        f"judge {name} has the weights that {model} makes it with, which are "
                        f"random unless it loads some; others: {model}=WEIGHTS"
                    ]
                )
        name = f"{name} {Path(weights).stem}" if weights else name
        if name in found:
            raise ValueError(f'judges need names that differ; two would be called "{name}"')
        found[name] = load_model(model, weights or None, trust=trust)
        if suggested_input_spec(found[name]) is None and is_first_process():
            print_notes([f"judge {name} is shown images as the network is shown them"])
    return found
