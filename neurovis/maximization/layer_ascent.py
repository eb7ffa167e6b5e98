"""The ascents of one layer's images, as many at a time as there are slots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from neurovis.maximization.ascent import AscentEvidence, AscentStep, ascent_losses, gather_evidence
from neurovis.maximization.batch import Batch
from neurovis.maximization.image_initializer import Beginning
from neurovis.maximization.jobs import Job
from neurovis.maximization.optimizer import ImageAdam
from neurovis.maximization.preferred_image import Ended, PreferredImage
from neurovis.maximization.prepared_layer import PreparedLayer
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.tones import ToneMemory


class LayerAscent:
    """Works off a layer's jobs: when one is done, the next takes its place.

    Args:
        layer: The layer to maximize; it is entered, and left by :meth:`close`.
        jobs: What images are to be of, at least one.
        slots: How many jobs are worked on together.
        settings: How the ascent is done.
        optimizer: Moves the images; it takes up these in place of what it had.
        device: Where they are.

    Attributes:
        images: The images that are optimized, each slot's variants next to each other.
    """

    def __init__(
        self,
        layer: PreparedLayer,
        jobs: Sequence[Job],
        slots: int,
        settings: AscentSettings,
        optimizer: ImageAdam,
        device: torch.device,
    ) -> None:
        layer.enter(device)
        self.layer = layer
        self._settings = settings
        self._optimizer = optimizer
        first, self._waiting = list(jobs[:slots]), list(jobs[slots:])
        # Slots for which there is no job repeat the first, and their results are discarded.
        filled = first + first[:1] * (slots - len(first))
        self._batch = Batch(filled, settings, layer.transforms, layer.spec.size, device)
        self._beginnings: dict[int, Beginning] = {}
        self._tones = ToneMemory()
        rows = slots * settings.variants
        self.images = settings.image_parameters.images(rows, layer.spec).to(device)
        optimizer.work_on(self.images.values)
        for slot, job in enumerate(filled):
            self._begin(slot, job)
            self._batch.is_active[slot] = slot < len(first)

    def close(self) -> None:
        """Release what only this ascent needs."""
        self.layer.leave()

    @property
    def is_done(self) -> bool:
        """True if all jobs are done."""
        return not any(self._batch.is_active)

    @property
    def progress(self) -> float:
        """The steps made by what is not done, in whole ascents."""
        return self._batch.progress

    def climb(self) -> AscentStep:
        """Compute the losses and readouts of a step, and record them; see :func:`ascent_losses`."""
        tones = self._tones
        # On the CPU nothing waits.
        tones.asks = tones.asks or self.images.values.device.type == "cpu"
        climb = self._try_step()
        if not tones.asks and climb.unsure.any():
            tones.asks = True
            climb = self._try_step()
        # What was out of reach will be so again.
        tones.asks = bool(climb.unsure.any())
        tones.keep()
        self._batch.record(climb)
        return climb

    def _try_step(self) -> AscentStep:
        layer, batch = self.layer, self._batch
        leak = batch.leak()
        images = layer.constrained(self.images(), self._tones)
        with layer.leaking(leak):
            return ascent_losses(
                images,
                batch.views(),
                layer.fast_response,
                batch.targets,
                layer.objective,
                self._settings,
                layer.whole,
                batch.may_wake(leak) if layer.leaks else None,
                list(self._tones.sure.values()),
            )

    def averaged(self) -> Tensor:
        """The images of the averages over the last steps, ``(B, C, H, W)``, slot by slot."""
        return self._whole(self._optimizer.averaged(self.images.values))

    def take_finished(self) -> Iterator[tuple[Job, list[PreferredImage]]]:
        """The jobs that ended with the last step, with their images; others begin in their place.

        A job whose images are not taken has not ended.
        """
        for slot, why in self._batch.ended().items():
            yield self._batch.jobs[slot], self._evident(slot, why)
            self._batch.is_active[slot] = False
            if self._waiting:
                self._begin(slot, self._waiting.pop(0))

    def cut_short(self) -> list[PreferredImage]:
        """The images of jobs that have begun and not ended."""
        return [
            image
            for slot, active in enumerate(self._batch.is_active)
            if active and self._batch.curve(slot).numel()
            for image in self._evident(slot, "cut short")
        ]

    def _begin(self, slot: int, job: Job) -> None:
        """Put a job's start into a slot."""
        self._batch.take(slot, job)
        self._beginnings[slot] = beginning = self.layer.beginning(job)
        rows = self._batch.rows(slot)
        with torch.no_grad():
            self.images.values[rows] = beginning.values.to(self.images.values)
        self._optimizer.forget(rows)
        self._tones.forget(rows)

    def _evident(self, slot: int, why: Ended) -> list[PreferredImage]:
        """The images of a slot as they are now, with the evidence for them."""
        layer = self.layer
        job, beginning = self._batch.jobs[slot], self._beginnings[slot]
        rows = self._batch.rows(slot)
        averaged, last = self.averaged()[rows], self._whole(self.images.values)[rows]
        images = torch.cat([averaged, last, layer.whole(beginning.noise.to(last))])
        # By themselves, not with others of the batch, so that their numbers are theirs alone.
        targets = [job.target] * len(images)
        evidence = gather_evidence(images, layer.response, targets, layer.objective)
        gains = self._gains(job, images, evidence)
        count = len(rows)
        # Early in an ascent averages lag behind.
        best = [
            max(variant, variant + count, key=lambda place: gains[place])
            for variant in range(count)
        ]
        starts, curves = layer.whole(beginning.starts), self._batch.curve(slot)
        return [
            job.image(
                variant,
                count,
                image=images[best[variant]].cpu(),
                start=starts[variant],
                now=evidence[best[variant]],
                noise=evidence[2 * count + variant],
                curve=curves[variant],
                ended=why,
                box=layer.box,
                crop=layer.crop_box,
            )
            for variant in range(count)
        ]

    @torch.no_grad()
    def _whole(self, values: Tensor) -> Tensor:
        """Whole images ``(B, C, H, W)`` in [0, 1] of parameters, rounded as they are kept."""
        return self.layer.finished(self.layer.constrained(self.images.of(values)).float())

    @torch.no_grad()
    def _gains(self, job: Job, images: Tensor, evidence: Sequence[AscentEvidence]) -> list[float]:
        """Return the joint readout of each image, less the penalties."""
        joint = torch.stack([job.target.join(one.activations) for one in evidence])
        for penalty in self._settings.penalties:
            joint = joint - penalty(images).to(joint)
        gains: list[float] = joint.tolist()
        return gains
