"""The images of a run: one file for each target, so that an interrupted run can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from neurovis.files import check_writable, safe_name
from neurovis.inputs import InputSpec
from neurovis.maximization.jobs import FINISHED, Job
from neurovis.maximization.kept_images import ImageKeeper, KeptImage, load_kept, save_kept
from neurovis.maximization.manifest import Manifest, resume_folder
from neurovis.maximization.preferred_image import PreferredImage
from neurovis.maximization.results import MaximizationResults
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.sharing import common_batch_size, gathered, process_count

_RESULTS_KEY = "neurovis_results"
_BATCH_SIZE_KEY = "neurovis_batch_size"


class RunImages:
    """The images of a run on this process, whether finished, restored, or cut short.

    Finished images are on disk, or in memory where a run is to write nothing. Nothing is written
    before :meth:`begin`, so that nothing is left of a run that is refused.

    Args:
        jobs: All images that are asked for.
        spec: Modalities and size of the images.
        settings: How the ascent is done.
        grouped: Whether images are of groups.
        class_names: By layer, the names of its kernels, where they are classes.

    Attributes:
        jobs: All images that are asked for.
        folder: Folder of the run; None to keep images in memory.
        manifest: What makes the images. Files of another fingerprint are as if they were not there.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        spec: InputSpec,
        settings: AscentSettings,
        grouped: bool = False,
        class_names: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.jobs = list(jobs)
        self._class_names = class_names or {}
        self._spec, self._seed, self._grouped = spec, settings.seed, grouped
        self._keeper = ImageKeeper(spec, settings)
        self._restored: list[KeptImage] = []
        self._restored_batch_size: int | None = None
        self.open(None, Manifest({}))

    def open(self, folder: Path | None, manifest: Manifest) -> None:
        """See what a folder holds already, for a run that is about to start or to resume.

        A run of another network or of other settings is replaced if it is complete, or has not made
        any image; :meth:`begin` does so. A resumed run keeps its batch size, unless another one is
        asked for.

        Args:
            folder: Folder of the run; None to keep images in memory.
            manifest: Manifest of the run.

        Raises:
            ValueError: If there is an unfinished run of another network or of other settings, or
                something else that has a manifest's name.
            OSError: If the folder cannot be written.
        """
        self.folder, self.manifest, self._replaces = folder, manifest, False
        if folder is not None:
            check_writable(folder)
            check_writable(folder / FINISHED)
            self.manifest, self._replaces = resume_folder(folder, manifest)
        self._has_begun = False
        self._kept: dict[Job, list[KeptImage]] = {}
        self._cut_short: list[PreferredImage] = []
        self._results: MaximizationResults | None = None
        self._evidence: dict[tuple[str, str], dict[str, Any]] = {}
        self._seen: set[Job] = set()
        # Files that cannot be used, with their times of change: each is replaced by its job.
        self._unusable: dict[Job, int] = {}

    def settle_batch_size(self, choose: Callable[[], int]) -> int:
        """Return the batch size of all processes: of the run that is resumed, or a new one.

        To be called before any image is kept or looked for.

        Args:
            choose: Returns the one that fits this process.
        """
        stored = self.manifest.batch_size or self._restored_batch_size
        size = common_batch_size(stored, choose)
        self.manifest = self.manifest.with_batch_size(size)
        return size

    def unfinished(self) -> list[Job]:
        """Return the jobs whose images are neither finished nor restored."""
        finished = self._finished()
        return [job for job in self.jobs if job not in finished and not self._restored_of(job)]

    def begin(self) -> bool:
        """Write the manifest, and remove what the run replaces; for one process to call, once.

        Files of the run's own jobs are left alone: other processes may have written them.

        Returns:
            False if it was called before.

        Raises:
            OSError: If the folder cannot be written.
        """
        if self._has_begun:
            return False
        self._has_begun = True
        if self.folder is not None:
            if self._replaces:
                own = {self._path(job) for job in self.jobs}
                for path in set((self.folder / FINISHED).rglob("*.npz")) - own:
                    path.unlink()
                    for picture in path.parent.glob(f"{path.stem}*.png"):
                        picture.unlink()
            self.manifest.write(self.folder)
        for job in self.jobs:
            restored = self._restored_of(job)
            if restored and self.kept(job) is None:
                self._keep(job, restored)
        return True

    def add(self, job: Job, images: Sequence[PreferredImage]) -> None:
        """Keep the images of a job.

        Raises:
            OSError: If a file cannot be written; images that were kept before stay.
        """
        self._keep(job, [self._keeper.kept(image) for image in images])

    def kept(self, job: Job) -> list[KeptImage] | None:
        """The images of a job as they are kept, or None if they are not finished."""
        if self.folder is None:
            return self._kept.get(job)
        images = load_kept(self._path(job), self._fingerprint(job))
        return images if all(map(self._keeper.is_whole, images or ())) else None

    def finished(self, layer: str) -> Iterator[PreferredImage]:
        """The finished images of a layer, in the order of their jobs."""
        for job in self.jobs:
            images = self.kept(job) if job.layer == layer else None
            if images is not None:
                yield from self._keeper.restored(job, images)

    def of(self, layer: str) -> MaximizationResults:
        """Return the results of a layer so far, read from the run's folder."""
        found = self._results
        if found is None or found.layer != layer:
            items = list(self.finished(layer))
            items += [item for item in self._cut_short if item.layer == layer]
            items.sort(key=lambda item: (item.index, item.variant))
            names = self._class_names.get(layer, ())
            found = MaximizationResults(layer, self._spec, self._seed, self._grouped, items, names)
        if not self._evidence:
            return found
        known = [self._evidence.get((layer, item.file_name), {}) for item in found.items]
        items = [replace(item, **own) for item, own in zip(found.items, known, strict=True)]
        return replace(found, items=items)

    def add_evidence(self, results: MaximizationResults) -> None:
        """Keep the evidence of a layer's images, which :meth:`of` then adds until the next run."""
        for item in results.items:
            known = {"evidence": item.evidence, "remark": item.remark}
            self._evidence[results.layer, item.file_name] = known

    def picture(self, image: PreferredImage) -> Path | None:
        """The PNG file that holds all of an image, if there is one."""
        path = Path(safe_name(image.layer)) / f"{image.file_name}.png"
        return None if self.folder is None else self.folder / FINISHED / path

    @property
    def finished_count(self) -> int:
        """Number of jobs that have a file, on all devices that share a file system."""
        if self.folder is None:
            return len(self._kept)
        # What was there once is not looked for again: there may be thousands, on a slow disk.
        self._seen |= {job for job in self.jobs if job not in self._seen and self._has_file(job)}
        return len(self._seen)

    def gather(self, cut_short: list[PreferredImage]) -> None:
        """Share images with all processes, at the end of the run; for all of them to call.

        Args:
            cut_short: This process's images that have begun and not ended.
        """
        self._cut_short = [image for share in gathered(cut_short) for image in share]
        self.share()
        if len({job.layer for job in self.jobs}) == 1:
            # One layer's images fit into memory, where no other run can replace them.
            self._results = self.of(self.jobs[0].layer)

    def share(self) -> None:
        """Let every process have all finished images, also where they share no file system.

        To be called by all processes together.
        """
        if process_count() == 1:
            return
        known = {job.identity for job in self._finished()}
        everywhere = gathered(known)
        union = {name for seen in everywhere for name in seen}
        lacking = {name for name in union if not all(name in seen for seen in everywhere)}
        if not lacking:
            return
        mine = {
            job.identity: self.kept(job) or []
            for job in self.jobs
            if job.identity in lacking & known
        }
        others: dict[str, list[KeptImage]] = {}
        for part in gathered(mine):
            others |= part
        for job in self.jobs:
            if job.identity in lacking - known:
                self._keep(job, others[job.identity])

    def complete(self) -> None:
        """Write into the manifest, if there is a folder, that all images are there."""
        if self.folder is not None:
            images = [{**job.record, "seed": self._seed} for job in self.jobs]
            self.manifest.with_entries(complete=True, images=images).write(self.folder)

    def checkpoint(self) -> dict[str, Any]:
        """The finished images of all processes, for a checkpoint; for all of them to call."""
        self.share()
        return {
            _BATCH_SIZE_KEY: self.manifest.batch_size,
            _RESULTS_KEY: [
                {
                    "fields": one.fields,
                    "arrays": {name: torch.from_numpy(one.arrays[name]) for name in one.arrays},
                }
                for job in self.jobs
                for one in self.kept(job) or ()
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

    def _keep(self, job: Job, images: Sequence[KeptImage]) -> None:
        if self.folder is None:
            self._kept[job] = list(images)
        else:
            save_kept(self._path(job), images, self._fingerprint(job))

    def _finished(self) -> set[Job]:
        finished = {job for job in self.jobs if self.kept(job) is not None}
        if self.folder is not None:
            for job in self.jobs:
                if job not in finished and self._path(job).exists():
                    self._unusable[job] = self._path(job).stat().st_mtime_ns
        return finished

    def _restored_of(self, job: Job) -> list[KeptImage]:
        of = (job.layer, job.index)
        return [one for one in self._restored if (one.fields["layer"], one.fields["index"]) == of]

    def _has_file(self, job: Job) -> bool:
        path = self._path(job)
        return path.exists() and path.stat().st_mtime_ns != self._unusable.get(job)

    def _path(self, job: Job) -> Path:
        return (self.folder or Path()) / FINISHED / job.path

    def _fingerprint(self, job: Job) -> str:
        return f"{self.manifest.fingerprint} {job.identity}"
