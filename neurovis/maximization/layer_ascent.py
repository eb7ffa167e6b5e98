"""The ascents of one layer's images, as many at a time as there are slots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neurovis.maximization.ascent import AscentStep, ascent_losses, gather_evidence
from neurovis.maximization.batch import Batch
from neurovis.maximization.contrast import ContrastMemory
from neurovis.maximization.jobs import Job
from neurovis.maximization.optimizer import Moments, adam_step
from neurovis.maximization.preferred_image import Ended, PreferredImage
from neurovis.maximization.prepared_layer import PreparedLayer
from neurovis.maximization.settings import AscentSettings


@dataclass(frozen=True)
class ImageState:
    """Everything that is needed to resume the images of a job, on the CPU.

    Attributes:
        values: ``(D, ...)`` their parameters.
        moments: What Adam remembers of them.
    """

    values: Tensor
    moments: Moments

    @property
    def steps(self) -> int:
        """Number of steps made so far."""
        return int(self.moments.steps[0])


class LayerAscent:
    """Works off a layer's jobs: when one is done, the next takes its place.

    A step is :meth:`compute_step`, the gradient of its losses for the parameters of
    :attr:`images`, and a step of Adam down that gradient, which :meth:`update` makes.

    Args:
        layer: The layer to maximize.
        jobs: What images are to be of, at least one.
        slots: How many jobs are worked on together.
        settings: How the ascent is done.
        device: Where images are.
        states: Jobs that were begun before, as :meth:`state` returned them; the first jobs only.

    Attributes:
        images: The images that are optimized, each slot's variants next to each other.
        moments: What Adam remembers of them.
    """

    def __init__(
        self,
        layer: PreparedLayer,
        jobs: Sequence[Job],
        slots: int,
        settings: AscentSettings,
        device: torch.device,
        states: Mapping[Job, ImageState] | None = None,
    ) -> None:
        self.layer = layer
        self._settings = settings
        states = states or {}
        first, self._waiting = list(jobs[:slots]), list(jobs[slots:])
        # Slots for which there is no job repeat the first, and their results are discarded.
        filled = first + first[:1] * (slots - len(first))
        self._batch = Batch(
            filled,
            settings,
            layer.transforms,
            layer.region.spec.size,
            device,
            [states[job].steps if job in states else 0 for job in filled],
            layer.gain_noise,
        )
        self._batch.is_active = [slot < len(first) for slot in range(slots)]
        self._contrasts = ContrastMemory()
        rows = slots * settings.variants
        self.images = settings.resolved_parametrization.images(rows, layer.region.spec).to(device)
        self.moments = Moments.none(self.images.values.detach())
        for slot, job in enumerate(filled):
            self._fill(slot, states.get(job))

    @property
    def is_done(self) -> bool:
        """True if all jobs are done."""
        return not any(self._batch.is_active)

    @property
    def progress(self) -> float:
        """The steps made by what is not done, in whole ascents."""
        return self._batch.progress

    def compute_step(self) -> AscentStep:
        """Compute the losses and readouts of a step, and record them; see :func:`ascent_losses`."""
        contrasts = self._contrasts
        # On the CPU nothing waits.
        contrasts.asks = contrasts.asks or self.images.values.device.type == "cpu"
        step = self._try_step()
        if not contrasts.asks and step.unsure.any():
            contrasts.asks = True
            step = self._try_step()
        # What was out of reach will be so again.
        contrasts.asks = bool(step.unsure.any())
        contrasts.keep()
        step = step._replace(objective_values=step.objective_values * self._batch.signs())
        self._batch.record(step)
        return step

    def update(self, gradients: Tensor) -> None:
        """Move the images down the gradients ``(B, ...)`` of a step's losses."""
        adam_step(self.images.values, gradients, self.moments, self._settings.learning_rate)

    def averaged(self) -> Tensor:
        """The images of the averages over the last steps, ``(B, C, H, W)``, slot by slot."""
        return self._whole(self.moments.averaged(self.images.values.detach()))

    def take_finished(self) -> Iterator[tuple[Job, list[PreferredImage]]]:
        """The jobs that ended with the last step, with their images; others begin in their place.

        A job whose images are not taken has not ended.
        """
        for slot, why in self._batch.ended().items():
            yield self._batch.jobs[slot], self._preferred_images(slot, why)
            self._batch.is_active[slot] = False
            if self._waiting:
                self._batch.take(slot, self._waiting.pop(0))
                self._fill(slot)

    def cut_short(self) -> list[PreferredImage]:
        """The images of jobs that have begun and not ended."""
        return [
            image
            for slot, active in enumerate(self._batch.is_active)
            if active and self._batch.curve(slot).numel()
            for image in self._preferred_images(slot, "cut short")
        ]

    def state(self) -> dict[Job, ImageState]:
        """Return what is needed to resume each job, also with others, or on another network."""
        states = {}
        for slot, job in enumerate(self._batch.jobs):
            rows = self._batch.rows(slot)
            values = self.images.values.detach()[rows].cpu()
            states[job] = ImageState(values, self.moments.of(rows))
        return states

    def restart_broken(self) -> list[bool]:
        """Start jobs again whose parameters are NaN or infinite, and return which, slot by slot."""
        finite = self.images.values.detach().flatten(1).isfinite().all(1) & self.moments.finite
        of_rows = finite.cpu().tolist()
        broken = []
        for slot, job in enumerate(self._batch.jobs):
            broken.append(not all(of_rows[row] for row in self._batch.rows(slot)))
            if broken[slot]:
                self._batch.take(slot, job)
                self._fill(slot)
        return broken

    def candidates(self, slots: Sequence[int]) -> Tensor:
        """Return whole images ``(3 N, C, H, W)``: averaged, last, and noise, for each of N rows."""
        rows = [row for slot in slots for row in self._batch.rows(slot)]
        averaged, last = self.averaged()[rows], self._whole(self.images.values)[rows]
        kernels = [self._batch.jobs[slot].target.kernels[0] for slot in slots]
        noise = self.layer.region.noise_images(kernels)
        return torch.cat([averaged, last, noise.to(last)])

    @torch.no_grad()
    def better(self, candidates: Tensor, objective_values: Tensor) -> Tensor:
        """Return ``(N,)`` the places of the averaged or last images, whichever are better.

        Early in an ascent averages lag behind.

        Args:
            candidates: As :meth:`candidates` returned them.
            objective_values: ``(3 N,)`` what they drive their targets to.
        """
        gains = objective_values
        for penalty in self._settings.penalties:
            gains = gains - penalty(candidates).to(gains)
        averaged, last, _ = gains.chunk(3)
        count = len(averaged)
        return torch.arange(count) + count * (last > averaged).cpu()

    def _try_step(self) -> AscentStep:
        layer, batch = self.layer, self._batch
        leak = batch.leak() if layer.last_rectifiers else None
        images = layer.region.constrained(self.images(), self._contrasts)
        with layer.leaking(leak):
            return ascent_losses(
                images,
                batch.views(),
                layer.fast_response,
                batch.targets,
                layer.objective,
                self._settings,
                layer.region.whole,
                None if leak is None else batch.may_wake(leak),
                list(self._contrasts.sure.values()),
            )

    def _fill(self, slot: int, state: ImageState | None = None) -> None:
        """Put a job's images into its slot, as they start or as they were left."""
        rows = self._batch.rows(slot)
        if state is None:
            kernel = self._batch.jobs[slot].target.kernels[0]
            values = self.layer.region.initial_parameters(kernel)
            self.moments.forget(rows)
        else:
            values = state.values
            self.moments.put(rows, state.moments)
        with torch.no_grad():
            self.images.values[rows] = values.to(self.images.values)
        self._contrasts.forget(rows)

    def _preferred_images(self, slot: int, why: Ended) -> list[PreferredImage]:
        """The images of a slot as they are now, with the evidence for them."""
        layer, job, count = self.layer, self._batch.jobs[slot], self._settings.variants
        images = self.candidates([slot])
        starts = layer.region.initial_images(job.target.kernels[0])
        shown = images
        if layer.region.photograph is not None:
            shown = torch.cat([images, starts[:1].to(images)])
        # By themselves, not with others of the batch, so that their numbers are theirs alone.
        targets = [job.target] * len(shown)
        evidence = gather_evidence(shown, layer.response, targets, layer.objective)
        joint = torch.tensor([one.objective_value for one in evidence[: len(images)]])
        best = self.better(images, joint).tolist()
        of_photograph = None
        if layer.region.photograph is not None:
            of_photograph = job.sign * evidence[-1].objective_value + 0.0
        crop, curves = layer.region.crop, self._batch.curve(slot)
        made = []
        for variant in range(count):
            now, noise = evidence[best[variant]], evidence[2 * count + variant]
            made.append(
                PreferredImage(
                    index=job.index,
                    layer=job.layer,
                    label=job.label if count == 1 else f"{job.label} ({variant + 1} of {count})",
                    kernels=job.target.kernels,
                    weights=job.weights,
                    image=images[best[variant]].cpu(),
                    start=starts[variant],
                    # No negative zeros.
                    activation=job.sign * now.objective_value + 0.0,
                    noise_activation=job.sign * noise.objective_value + 0.0,
                    member_activations=now.activations,
                    member_noise_activations=noise.activations,
                    target_map=now.target_map,
                    resulting_map=now.resulting_map,
                    curve=curves[variant],
                    ended=why,
                    variant=variant,
                    unit=job.unit,
                    box=None if crop is None else crop.box,
                    crop=None if crop is None else crop.crop_box,
                    sign=job.sign,
                    photograph_activation=of_photograph,
                )
            )
        return made

    @torch.no_grad()
    def _whole(self, values: Tensor) -> Tensor:
        """Whole images ``(B, C, H, W)`` in [0, 1] of parameters, rounded as they are kept."""
        images = self.layer.region.constrained(self.images.of(values))
        return self.layer.finished(images.float())
