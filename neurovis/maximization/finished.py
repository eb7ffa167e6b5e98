"""Finished images, one file for each target, so that an ascent that was stopped can go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from typing_extensions import Unpack

from neurovis.files import check_replaceable, check_writable, safe_name
from neurovis.maximization.ascent import Evidence
from neurovis.maximization.manifest import MANIFEST, Manifest
from neurovis.maximization.objectives import Target
from neurovis.maximization.preferred_image import (
    Ended,
    PreferredImage,
    load_images,
    save_images,
    target_file_name,
)
from neurovis.receptive_fields import Box

#: The folder of finished images in the folder of a run.
FINISHED = "finished"


class OfImage(TypedDict):
    """What is known of an image besides the evidence; see :class:`PreferredImage`."""

    image: Tensor
    start: Tensor
    curve: Tensor
    ended: Ended
    box: Box | None


@dataclass(frozen=True)
class Job:
    """What one image, or several variants of it, are to be of.

    Args:
        index: Its place among what is asked for of its layer.
        layer: Dotted name.
        target: The kernels to drive together.
        label: How files and figures call it, such as ``kernel 5``.
    """

    index: int
    layer: str
    target: Target
    label: str

    @property
    def asked(self) -> str:
        """What it is of, in a few words that are the same in every run."""
        target = self.target
        parts = [self.label, str(target.kernels), target.joint]
        parts += [f"weights {target.weights}"] if target.weights else []
        parts += [f"suppressed {target.suppressed}"] if target.suppressed else []
        # The statistics themselves are measured, and may differ in their last digits.
        parts += ["zscore"] if target.zscore else []
        return ", ".join(parts)

    @property
    def identity(self) -> str:
        """What tells it from all others of a run."""
        return f"{self.layer}: {self.asked}"

    @property
    def path(self) -> Path:
        """Its file in the folder of finished images."""
        name = target_file_name(self.label, self.target.kernels, self.index)
        return Path(safe_name(self.layer)) / f"{name}.npz"

    @property
    def record(self) -> dict[str, object]:
        """What the manifest says of it."""
        file = (Path(FINISHED) / self.path).as_posix()
        return {"layer": self.layer, "kernels": list(self.target.members), "file": file}

    def image(
        self,
        variant: int,
        variants: int,
        now: Evidence,
        noise: Evidence,
        **of_image: Unpack[OfImage],
    ) -> PreferredImage:
        """One of its images, with the evidence of it and of a noise image."""
        label = self.label if variants == 1 else f"{self.label} ({variant + 1} of {variants})"
        return PreferredImage(
            index=self.index,
            layer=self.layer,
            label=label,
            kernels=self.target.members,
            weights=_signed_weights(self.target),
            activation=float(self.target.join(now.activations)),
            noise_activation=float(self.target.join(noise.activations)),
            member_activations=now.activations,
            member_noise_activations=noise.activations,
            target_map=now.target_map,
            resulting_map=now.resulting_map,
            variant=variant,
            unit="SD" if self.target.zscore else "",
            **of_image,
        )


def _signed_weights(target: Target) -> tuple[float, ...] | None:
    """Weights of all members, those that are suppressed with -1; None where all count alike."""
    if target.weights is None and not target.suppressed:
        return None
    kernels = target.weights or (1.0,) * len(target.kernels)
    return kernels + (-1.0,) * len(target.suppressed)


class FinishedImages:
    """The finished images of a run: on disk, or in memory where a run is to write nothing.

    Nothing is written before :meth:`begin`, so that nothing is left of a run that is refused.

    Args:
        folder: Of the run; None to keep images in memory.
        manifest: What makes the images. Files of another fingerprint are as if they were not there.
        replaces: Whether the folder holds a run of another network or of other settings, whose
            images are to be removed.
    """

    def __init__(self, folder: Path | None, manifest: Manifest, replaces: bool = False) -> None:
        self.folder = folder
        self.manifest = manifest
        self._fingerprint = manifest.fingerprint
        self._replaces = replaces
        self._kept: dict[Job, list[PreferredImage]] = {}
        self._seen: set[Job] = set()
        # Files that cannot be used, with their times of change: each is replaced by its job.
        self._unusable: dict[Job, int] = {}

    def begin(self, jobs: Iterable[Job]) -> None:
        """Write the manifest, and remove what the run replaces; for one process to call.

        Args:
            jobs: Of the run. Their files are left alone: other processes may have written them.

        Raises:
            OSError: If the folder cannot be written.
        """
        if self.folder is None:
            return
        if self._replaces:
            own = {self._path(job) for job in jobs}
            for path in set((self.folder / FINISHED).rglob("*.npz")) - own:
                path.unlink()
        self.manifest.write(self.folder)

    def add(self, job: Job, images: Sequence[PreferredImage]) -> None:
        """Keep the images of a job.

        Raises:
            OSError: If the file cannot be written; images that were kept before stay.
        """
        if self.folder is None:
            self._kept[job] = list(images)
        else:
            save_images(self._path(job), images, self._job_fingerprint(job))

    def add_all(self, jobs: Iterable[Job], images: Sequence[PreferredImage]) -> None:
        """Keep images that are known from elsewhere, each with the job that asks for it."""
        for job in jobs:
            own = [one for one in images if (one.layer, one.index) == (job.layer, job.index)]
            if own and self.load(job) is None:
                self.add(job, own)

    def load(self, job: Job) -> list[PreferredImage] | None:
        """The images of a job, or None if they are not finished."""
        if self.folder is None:
            return self._kept.get(job)
        images = load_images(self._path(job), self._job_fingerprint(job))
        for image in images or ():
            image.index = job.index
        return images

    def of(self, jobs: Iterable[Job]) -> Iterator[PreferredImage]:
        """The finished images of some jobs, in their order."""
        for job in jobs:
            yield from self.load(job) or ()

    def finished(self, jobs: Iterable[Job]) -> set[Job]:
        """Which of some jobs are finished."""
        if self.folder is None:
            return {job for job in jobs if job in self._kept}
        finished = set()
        for job in jobs:
            if self.load(job) is not None:
                finished.add(job)
            elif self._path(job).exists():
                self._unusable[job] = self._path(job).stat().st_mtime_ns
        return finished

    def count(self, jobs: Iterable[Job]) -> int:
        """How many of some jobs have a file, without looking into it."""
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


def open_folder(folder: Path, manifest: Manifest) -> FinishedImages:
    """The finished images in a run's folder, for a run that is about to begin or to go on.

    A run of another network or of other settings is replaced if it is complete, or has not made
    any image; :meth:`FinishedImages.begin` does so.

    Args:
        folder: Of the run.
        manifest: Of the run.

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
    differences = [] if there is None else manifest.differences(there)
    has_images = any((folder / FINISHED).rglob("*.npz"))
    if there is None or not differences or not has_images:
        return FinishedImages(folder, manifest)
    if not there.is_complete:
        raise ValueError(
            f'"{folder}" holds an unfinished run that differs in {"; ".join(differences)}; '
            "start it with what it was begun with, or choose another folder"
        )
    rank_zero_warn(f'images in "{folder}" are replaced; they differ in {"; ".join(differences)}')
    return FinishedImages(folder, manifest, replaces=True)
