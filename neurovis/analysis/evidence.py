"""Evidence beside preferred images: what judges, pictures and other seeds say of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median

from neurovis.analysis.compared_paths import OTHER_WAY, PathSimilarity
from neurovis.analysis.judges import Judgments
from neurovis.analysis.picture_prediction import Predictability
from neurovis.analysis.stability import Stability
from neurovis.maximization import MaximizationResults, PreferredImage, TargetMaximization
from neurovis.maximization.run_log import log_evidence
from neurovis.tables import write_table
from neurovis.top_images import TopImages


@dataclass(frozen=True)
class ImageEvidence:
    """Evidence for the images of a layer; what was not measured is left out.

    Args:
        judgments: Of each judge.
        top_images: Of the same kernels.
        predictability: Of pictures, by the images.
        stability: Of the images, over variants.
        path_similarity: Of the images and their top pictures.
    """

    judgments: Sequence[Judgments] = ()
    top_images: TopImages | None = None
    predictability: Predictability | None = None
    stability: Stability | None = None
    path_similarity: PathSimilarity | None = None

    @property
    def is_empty(self) -> bool:
        """True if nothing was measured."""
        others = [value for name, value in vars(self).items() if name != "judgments"]
        return not self.judgments and all(value is None for value in others)

    def added_to(self, results: MaximizationResults) -> MaximizationResults:
        """Return results of the layer with the evidence: columns of the table, and a remark.

        Images that drive kernels least, or do not drive them, are left as they are.
        """
        driving = [item for item in results.items if item.sign > 0]
        places = {item.file_name: place for place, item in enumerate(driving)}
        items = []
        for item in results.items:
            is_said = item.sign > 0 and not item.dead
            said = list(self._said(item, places[item.file_name])) if is_said else []
            columns = {name: value for _, part in said for name, value in part.items()}
            remark = " · ".join(words for words, _ in said if words)
            items.append(replace(item, evidence=columns, remark=remark))
        return replace(results, items=items)

    def _said(
        self, item: PreferredImage, place: int
    ) -> Iterator[tuple[str, dict[str, float | str]]]:
        """Yield each piece of evidence for an image in words and as columns."""
        (kernel,) = item.kernels
        for judgments in self.judgments:
            yield judgments.remark(place), judgments.columns(place)
        if self.top_images is not None:
            best = max(self.top_images.values(kernel), default=math.nan)
            part = item.activation / best if best > 0 else math.nan
            yield (
                _number(part, "{:.2g} times the best picture"),
                {"of_best_picture": part},
            )
        if self.predictability is not None:
            score = self.predictability.scores[self.predictability.kernels.index(kernel)].item()
            words = _number(score, "predicts held-out pictures {:.2f}")
            yield words, {"predictability": score}
        if self.stability is not None:
            dprime = self.stability.dprime[self.stability.kernels.index(kernel)].item()
            yield _number(dprime, "stable d′ {:.1f}"), {"stability": dprime}
        if self.path_similarity is not None:
            paths = self.path_similarity
            similarity = paths.similarities[paths.kernels.index(kernel), -1].item()
            words = OTHER_WAY if kernel in paths.flagged else ""
            yield words, {"path_similarity": similarity}


def save_evidence(
    module: TargetMaximization,
    evidence: Mapping[str, ImageEvidence],
    folder: str | Path,
    loggers: Iterable[object] = (),
    step: int = 0,
) -> None:
    """Write and log the results of a run once more, with the evidence for its images.

    Args:
        module: The ascents, once they are done; its results have the evidence from then on.
        evidence: Of each layer.
        folder: Folder of the run.
        loggers: As in ``trainer.loggers``.
        step: The step at which the run ended.

    Raises:
        OSError: If the folder cannot be written.
    """
    every, folder = [], Path(folder)
    for layer, found in evidence.items():
        results = found.added_to(module.results_of(layer))
        module.add_evidence(results)
        results.save_overview(module.folder_of(layer, folder))
        every.append(results)
    rows = [row for results in every for row in results.rows()]
    if len(every) > 1:
        write_table(folder / "results.csv", rows)
    log_evidence(loggers, module.tag, every, evidence_metrics(every), step)


def evidence_metrics(results: Iterable[MaximizationResults]) -> dict[str, float]:
    """Return the numbers that runs are compared by, of what there is evidence of.

    Args:
        results: With evidence.
    """
    known: dict[str, list[float]] = {}
    for item in (item for one in results for item in one.items):
        for column, value in item.evidence.items():
            # Of a judge, "name:rank".
            name = column.rpartition(":")[2]
            if isinstance(value, float) and not math.isnan(value):
                known.setdefault(name, []).append(value)
    ranks = known.get("rank", [])
    found = {"judged_first": fmean(rank == 1 for rank in ranks)} if ranks else {}
    for name in ("percentile", "of_best_picture", "predictability", "path_similarity", "stability"):
        if name in known:
            found[f"median_{name}"] = median(known[name])
    return found


def _number(value: float, words: str) -> str:
    """Words with a number; empty if it is undefined."""
    return "" if math.isnan(value) else words.format(value)
