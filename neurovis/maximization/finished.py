"""Finished images, one file for each target, so that an interrupted ascent can be resumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn

from neurovis.files import check_replaceable, check_writable, safe_name
from neurovis.maximization.jobs import FINISHED, Job
from neurovis.maximization.kept_images import ImageKeeper, KeptImage, load_kept, save_kept
from neurovis.maximization.manifest import MANIFEST, Manifest
from neurovis.maximization.preferred_image import PreferredImage


class FinishedImages:
    """The finished images of a run: on disk, or in memory where a run is to write nothing.

    Nothing is written before :meth:`begin`, so that nothing is left of a run that is refused.

    Args:
        folder: Folder of the run; None to keep images in memory.
        manifest: What makes the images. Files of another fingerprint are as if they were not there.
        keeper: Brings images into the form they are kept in.
        replaces: Whether the folder holds a run of another network or of other settings, whose
            images are to be removed.
    """

    def __init__(
        self,
        folder: Path | None,
        manifest: Manifest,
        keeper: ImageKeeper,
        replaces: bool = False,
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self._fingerprint = manifest.fingerprint
        self._keeper = keeper
        self._replaces = replaces
        self._kept: dict[Job, list[KeptImage]] = {}
        self._seen: set[Job] = set()
        # Files that cannot be used, with their times of change: each is replaced by its job.
        self._unusable: dict[Job, int] = {}

    def settle_batch_size(self, size: int) -> None:
        """Note how many images are optimized together; before any image is kept or looked for."""
        self.manifest = self.manifest.with_batch_size(size)
        self._fingerprint = self.manifest.fingerprint

    def begin(self, jobs: Iterable[Job]) -> None:
        """Write the manifest, and remove what the run replaces; for one process to call.

        Args:
            jobs: All jobs of the run. Their files are left alone: other processes may have written
                them.

        Raises:
            OSError: If the folder cannot be written.
        """
        if self.folder is None:
            return
        if self._replaces:
            own = {self._path(job) for job in jobs}
            for path in set((self.folder / FINISHED).rglob("*.npz")) - own:
                path.unlink()
                for picture in path.parent.glob(f"{path.stem}*.png"):
                    picture.unlink()
        self.manifest.write(self.folder)

    def add(self, job: Job, images: Sequence[PreferredImage]) -> None:
        """Keep the images of a job.

        Raises:
            OSError: If a file cannot be written; images that were kept before stay.
        """
        self.keep(job, [self._keeper.kept(image) for image in images])

    def keep(self, job: Job, images: Sequence[KeptImage]) -> None:
        """Keep images that are in the form they are kept in; see :meth:`add`."""
        if self.folder is None:
            self._kept[job] = list(images)
        else:
            save_kept(self._path(job), images, self._job_fingerprint(job))

    def keep_all(self, jobs: Iterable[Job], images: Sequence[KeptImage]) -> None:
        """Keep images that are known from elsewhere, each with the job that asks for it."""
        for job in jobs:
            own = [one for one in images if is_of(one, job)]
            if own and self.kept(job) is None:
                self.keep(job, own)

    def kept(self, job: Job) -> list[KeptImage] | None:
        """The images of a job as they are kept, or None if they are not finished."""
        if self.folder is None:
            return self._kept.get(job)
        images = load_kept(self._path(job), self._job_fingerprint(job))
        return images if all(map(self._keeper.is_whole, images or ())) else None

    def load(self, job: Job) -> list[PreferredImage] | None:
        """The images of a job, or None if they are not finished."""
        images = self.kept(job)
        return None if images is None else self._keeper.restored(job, images)

    def picture(self, image: PreferredImage) -> Path | None:
        """The PNG file that holds all of an image, if there is one."""
        path = Path(safe_name(image.layer)) / f"{image.file_name}.png"
        return None if self.folder is None else self.folder / FINISHED / path

    def of(self, jobs: Iterable[Job]) -> Iterator[PreferredImage]:
        """The finished images of some jobs, in their order."""
        for job in jobs:
            yield from self.load(job) or ()

    def finished(self, jobs: Iterable[Job]) -> set[Job]:
        """Return those of some jobs that are finished."""
        if self.folder is None:
            return {job for job in jobs if job in self._kept}
        finished = set()
        for job in jobs:
            if self.kept(job) is not None:
                finished.add(job)
            elif self._path(job).exists():
                self._unusable[job] = self._path(job).stat().st_mtime_ns
        return finished

    def count(self, jobs: Iterable[Job]) -> int:
        """Count those of some jobs that have a file, without reading it."""
        if self.folder is None:
            return len(self.finished(jobs))
        # What was there once is not looked for again: there may be thousands, on a slow disk.
        self._seen |= {job for job in jobs if job not in self._seen and self._has_appeared(job)}
        return len(self._seen.intersection(jobs))

    def _has_appeared(self, job: Job) -> bool:
        path = self._path(job)
        return path.exists() and path.stat().st_mtime_ns != self._unusable.get(job)

    def _path(self, job: Job) -> Path:
        return (self.folder or Path()) / FINISHED / job.path

    def _job_fingerprint(self, job: Job) -> str:
        return f"{self._fingerprint} {job.identity}"


def is_of(image: KeptImage, job: Job) -> bool:
    """Return True if an image was made for a job."""
    return (image.fields["layer"], image.fields["index"]) == (job.layer, job.index)


def open_folder(folder: Path, manifest: Manifest, keeper: ImageKeeper) -> FinishedImages:
    """Open the finished images in a run's folder, for a run that is about to start or to resume.

    A run of another network or of other settings is replaced if it is complete, or has not made
    any image; :meth:`FinishedImages.begin` does so. A resumed run keeps its batch size, unless
    another one is asked for.

    Args:
        folder: Folder of the run.
        manifest: Manifest of the run.
        keeper: Brings the run's images into the form they are kept in.

    Raises:
        ValueError: If there is an unfinished run of another network or of other settings, or
            something else that has a manifest's name.
        OSError: If the folder cannot be written.
    """
    check_writable(folder / FINISHED)
    check_replaceable(folder / MANIFEST)
    there = Manifest.read(folder)
    if there is not None and not there.is_of_a_run:
        raise ValueError(
            f'"{folder / MANIFEST}" is not of a run of NeuroVis and would be replaced; move it '
            "away, or choose another folder"
        )
    if there is None:
        return FinishedImages(folder, manifest, keeper)
    resumed = manifest.resuming(there)
    differences = resumed.differences(there)
    if not differences:
        return FinishedImages(folder, resumed, keeper)
    if not any((folder / FINISHED).rglob("*.npz")):
        return FinishedImages(folder, manifest, keeper)
    if not there.is_complete:
        raise ValueError(
            f'"{folder}" holds an unfinished run that differs in {"; ".join(differences)}; '
            "start it with what it was begun with, or choose another folder"
        )
    rank_zero_warn(f'images in "{folder}" are replaced; they differ in {"; ".join(differences)}')
    return FinishedImages(folder, manifest, keeper, replaces=True)
