"""The images of a run: those that its folder or a checkpoint holds, and those that are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from neurovis.files import check_writable, remove_partial_files, safe_name
from neurovis.inputs import InputSpec
from neurovis.maximization.checks import is_trial
from neurovis.maximization.finished import FinishedImages, is_of, open_folder
from neurovis.maximization.jobs import FINISHED, Job
from neurovis.maximization.kept_images import ImageKeeper, KeptImage
from neurovis.maximization.manifest import Manifest
from neurovis.maximization.preferred_image import PreferredImage
from neurovis.maximization.results import MaximizationResults
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.sharing import common_batch_size, from_all_ranks, share_finished
from neurovis.run_folder import run_folder
from neurovis.tables import write_table

_RESULTS_KEY = "neurovis_results"
_BATCH_SIZE_KEY = "neurovis_batch_size"


class RunImages:
    """The images of a run on this process, whether finished, restored, or cut short.

    Args:
        jobs: All images that are asked for.
        layers: Dotted names of their layers.
        spec: Modalities and size of the images.
        settings: How the ascent is done.
        grouped: Whether images are of groups.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        layers: Sequence[str],
        spec: InputSpec,
        settings: AscentSettings,
        grouped: bool,
    ) -> None:
        self._jobs = list(jobs)
        self._layers = list(layers)
        self._spec, self._seed, self._grouped = spec, settings.seed, grouped
        self._keeper = ImageKeeper(spec, settings)
        self._store: FinishedImages | None = None
        self._restored: list[KeptImage] = []
        self._restored_batch_size: int | None = None
        self._cut_short: list[PreferredImage] = []
        self._results: MaximizationResults | None = None
        self._has_begun = False
        self._rows: list[dict[str, object]] = []
        self._made = 0

    def open(self, trainer: pl.Trainer, manifest: Manifest) -> None:
        """See what the run's folder holds already.

        Raises:
            ValueError: If it holds an unfinished run of another network or with other settings.
            OSError: If it cannot be written.
        """
        self._cut_short, self._results, self._has_begun = [], None, False
        self._rows, self._made = [], 0
        if is_trial(trainer):
            self._store = FinishedImages(None, manifest, self._keeper)
        else:
            folder = run_folder(trainer)
            check_writable(folder)
            self._store = open_folder(folder, manifest, self._keeper)

    def settle_batch_size(self, choose: Callable[[], int]) -> int:
        """Return the batch size of all processes: of the run that is resumed, or a new one.

        Args:
            choose: Returns the one that fits this process.
        """
        stored = self._opened.manifest.batch_size or self._restored_batch_size
        size = common_batch_size(stored, choose)
        self._opened.settle_batch_size(size)
        return size

    def unfinished(self) -> list[Job]:
        """Return the jobs whose images are neither finished nor restored."""
        finished = self._opened.finished(self._jobs)
        return [
            job
            for job in self._jobs
            if job not in finished and not any(is_of(one, job) for one in self._restored)
        ]

    def begin(self) -> bool:
        """Write what a run writes first; once, by the process that writes what all share.

        Returns:
            False if it was written before.
        """
        if self._has_begun:
            return False
        self._has_begun = True
        self._opened.begin(self._jobs)
        self._opened.keep_all(self._jobs, self._restored)
        return True

    def add(self, job: Job, images: Sequence[PreferredImage]) -> None:
        """Keep the images of a job.

        Raises:
            OSError: If a file cannot be written; images that were kept before stay.
        """
        self._opened.add(job, images)

    def gather(self, cut_short: list[PreferredImage]) -> None:
        """Share images with all processes, at the end of the run; for all of them to call.

        Args:
            cut_short: This process's images that have begun and not ended.
        """
        self._cut_short = from_all_ranks(cut_short)
        share_finished(self._opened, self._jobs)
        if len(self._layers) == 1:
            # One layer's images fit into memory, where no other run can replace them.
            self._results = self.of(self._layers[0])

    def of(self, layer: str) -> MaximizationResults:
        """Return the results of a layer so far, read from the run's folder."""
        if self._results is not None:
            return self._results
        jobs = [job for job in self._jobs if job.layer == layer]
        items = [] if self._store is None else list(self._store.of(jobs))
        items += [item for item in self._cut_short if item.layer == layer]
        items.sort(key=lambda item: (item.index, item.variant))
        return MaximizationResults(layer, self._spec, self._seed, self._grouped, items)

    def save(self, layer: str, folder: Path) -> MaximizationResults:
        """Write the files of a layer, if it has any images, and return its results.

        Raises:
            OSError: If the folder cannot be written.
        """
        results = self.of(layer)
        self._rows += results.rows()
        self._made += len({item.index for item in results.items if item.ended != "cut short"})
        if len(results):
            results.save(folder, self._opened.picture)
            for part in ("", "images", "signatures"):
                remove_partial_files(folder / part)
            if self.folder is not None:
                remove_partial_files(self.folder / FINISHED / safe_name(layer))
        return results

    @property
    def folder(self) -> Path | None:
        """The run's folder; None where it is to write nothing."""
        return self._opened.folder

    @property
    def finished_count(self) -> int:
        """Number of jobs that are finished, on all devices that share a file system."""
        return 0 if self._store is None else self._store.count(self._jobs)

    def complete(self, folder: Path) -> None:
        """Write the table of all layers, and into the manifest that all images are there, if so."""
        remove_partial_files(folder)
        if len(self._layers) > 1:
            write_table(folder / "results.csv", self._rows)
        if self._made == len(self._jobs):
            images = [{**job.record, "seed": self._seed} for job in self._jobs]
            self._opened.manifest.completed(images).write(folder)

    def checkpoint(self) -> dict[str, Any]:
        """The finished images of all processes, for a checkpoint; for all of them to call."""
        share_finished(self._opened, self._jobs)
        return {
            _BATCH_SIZE_KEY: self._opened.manifest.batch_size,
            _RESULTS_KEY: [
                {
                    "fields": one.fields,
                    "arrays": {name: torch.from_numpy(one.arrays[name]) for name in one.arrays},
                }
                for job in self._jobs
                for one in self._opened.kept(job) or ()
            ],
        }

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Take up the finished images of a checkpoint."""
        self._restored = [
            KeptImage(one["fields"], {name: array.numpy() for name, array in one["arrays"].items()})
            for one in checkpoint[_RESULTS_KEY]
        ]
        # Checkpoints of earlier versions have none.
        self._restored_batch_size = checkpoint.get(_BATCH_SIZE_KEY)

    @property
    def _opened(self) -> FinishedImages:
        if self._store is None:
            raise RuntimeError("images are kept while the Trainer fits, and after")
        return self._store
