"""Evidence for the images of a run, by judges, pictures and variants, for ``am`` and ``report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
from torch import nn

from neurovis.analysis import ImageEvidence, Stability, judge_images, save_evidence, seed_stability
from neurovis.analysis.judged_layer import JudgedLayer
from neurovis.analysis.judges import LEAST_FOR_PARTNERS
from neurovis.cli.commands import Models, listed_models
from neurovis.cli.first_process import is_first_process
from neurovis.cli.options import NetworkOptions
from neurovis.cli.printing import MOST_ROWS, print_notes, print_table
from neurovis.cli.top_images import TopImagesRun
from neurovis.maximization import ActivationMaximization, MaximizationResults
from neurovis.maximization.checks import is_trial
from neurovis.models import load_model, suggested_input_spec
from neurovis.models.libraries import is_library_name


@dataclass(frozen=True)
class JudgeOptions:
    """Other networks that judge the images.

    Args:
        judge: Networks that say whether they see the same in the images, as for --model, with a
            name or file of weights after =, as for --weights. Of classes that they share with the
            model the rank and the probability; of other kernels the activation of the kernel that
            responds most as they do to --images, of which there must be 20.
    """

    judge: Models = None


class EvidenceRun:
    """Evidence for the images of a run, checked before hours go into the ascent.

    Args:
        options: Judges.
        network_options: How the network was loaded.
        network: The network, as it was loaded.
        module: Ascents of the kernels.
        trainer: The run's Trainer.
        search: Search for top images, if there is one.

    Raises:
        ValueError: If a judge cannot be loaded, or cannot judge the images.
    """

    def __init__(
        self,
        options: JudgeOptions,
        network_options: NetworkOptions,
        network: nn.Module,
        module: ActivationMaximization,
        trainer: pl.Trainer,
        search: TopImagesRun | None,
    ) -> None:
        self._network, self._module, self._trainer = network, module, trainer
        self._search = search
        self._judges = _loaded(listed_models(options.judge), network_options.trust)
        noun = module.settings.resolved_objective.noun
        if self._judges and noun != "kernel":
            raise ValueError(f"judges are asked about kernels; the objective reads a {noun}")
        if self._judges and not any(job.sign > 0 for job in module.jobs):
            raise ValueError("judges are asked about images that drive kernels most; see --sign")
        pictures = 0 if search is None else len(search.dataset)
        for name, judge in self._judges.items():
            every = (
                JudgedLayer(network, layer, judge, module.input_spec, None, name, 1)
                for layer in module.layers
            )
            asked = next((one for one in every if one.needs_pictures), None)
            if asked is None:
                continue
            asked.judge.reader()  # Raises if the judge cannot run on the images.
            if search is None:
                raise ValueError(f"{asked.needs_pictures}: --images")
            if pictures < LEAST_FOR_PARTNERS:
                raise ValueError(
                    f"judges of kernels need at least {LEAST_FOR_PARTNERS} pictures; --images "
                    f"has {pictures}"
                )

    def run(self, folder: Path) -> None:
        """Find, write and print the evidence; every process may call.

        Args:
            folder: Folder of the run.

        Raises:
            OSError: If a file cannot be written.
        """
        module, trainer = self._module, self._trainer
        if not trainer.is_global_zero or is_trial(trainer):
            return
        evidence: dict[str, ImageEvidence] = {}
        self._network.to(trainer.strategy.root_device)
        for layer in module.layers:
            results = module.results_of(layer)
            if any(item.sign > 0 for item in results.items):
                evidence[layer] = self._of(results)
        if all(found.is_empty for found in evidence.values()):
            return
        save_evidence(module, evidence, folder, trainer.loggers, module.global_step)
        for layer in evidence:
            _print(module.results_of(layer))

    def _of(self, results: MaximizationResults) -> ImageEvidence:
        layer, spec, search = results.layer, self._module.input_spec, self._search
        judgments = []
        for name, judge in self._judges.items():
            judge.to(self._trainer.strategy.root_device)
            pictures = None if search is None else search.dataset
            found = judge_images(
                self._network, layer, results, judge, pictures, input_spec=spec, name=name
            )
            judge.to("cpu")
            print_notes(found.notes)
            judgments.append(found)
        return ImageEvidence(
            judgments,
            None if search is None else search.found.get(layer),
            None if search is None else search.predicted.get(layer),
            self._stability(results),
            None if search is None else search.paths.get(layer),
        )

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


def _print(results: MaximizationResults) -> None:
    """Print the evidence in words."""
    rows = [
        {"image": results.label(item), "evidence": item.remark}
        for item in results.items
        if item.remark
    ]
    title = f"{results.layer}: evidence"
    print_table(title, rows[:MOST_ROWS], ["image", "evidence"], number=len(rows))
