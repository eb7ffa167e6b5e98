"""Images that are optimized together, with their targets, progress and activation curves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from neurovis.maximization.ascent import AscentStep, Views
from neurovis.maximization.gain_noise import GainNoise, draw_gain_places
from neurovis.maximization.jobs import Job
from neurovis.maximization.objectives import TargetBatch
from neurovis.maximization.preferred_image import Ended
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.transforms import Transform, draw_transforms

#: The part of an ascent's steps in which gradients leak, less and less.
_LEAKING_PART = 0.4
#: Number of steps in which the leak wakes a kernel whose own rectifier silences it, and does so
#: better than the gradient at its single nearest unit.
_WOKEN_BY_LEAK = 16


class Batch:
    """Slots of a batch; a slot works on a job, and takes up another when that is done.

    The number of slots never changes, since what a network computes for an image may depend, in
    its last bits, on how many there are. Slots that have run out of jobs keep their last one, and
    its further results are discarded.

    Args:
        jobs: What the slots begin with, one for each.
        settings: Steps, variants, seed and when an image has converged.
        transforms: What images are shown under.
        size: Height and width of the images that are optimized.
        device: Where they are.
        steps: How many steps each slot has made before; by default none.
        gain_noise: Random gains of the network; None for none.

    Attributes:
        jobs: What each slot works on, or worked on last.
        is_active: Whether it still does.
        targets: One for each row of the batch: slots in order, each with its variants.
    """

    targets: TargetBatch

    def __init__(
        self,
        jobs: Sequence[Job],
        settings: AscentSettings,
        transforms: Sequence[Transform],
        size: tuple[int, int],
        device: torch.device,
        steps: Sequence[int] | None = None,
        gain_noise: GainNoise | None = None,
    ) -> None:
        self.jobs = list(jobs)
        self.is_active = [True] * len(jobs)
        self._settings = settings
        self._transforms = list(transforms)
        self._gain_noise = gain_noise
        self._size = size
        self._device = device
        # All that is counted and noted is on the host, so that nothing has to ask the device.
        made = list(steps or [0] * len(jobs))
        self._steps = torch.tensor(made).repeat_interleave(settings.variants)
        self._last_step = max(made) + settings.most_steps - 1
        rows = len(self._steps)
        self._rows = torch.arange(rows)
        self._curves = torch.full((rows, self._last_step + 1), torch.nan, dtype=torch.float32)
        self._gains = torch.full_like(self._curves, torch.nan)
        self._asleep = torch.zeros(rows, dtype=torch.bool)
        self._drawn = self._draw(self.jobs)
        self._gather_targets()

    def rows(self, slot: int) -> list[int]:
        """The rows of the batch that belong to a slot."""
        variants = self._settings.variants
        return list(range(slot * variants, (slot + 1) * variants))

    def take(self, slot: int, job: Job) -> None:
        """Let a slot begin with another job."""
        self.jobs[slot] = job
        self.is_active[slot] = True
        rows = self.rows(slot)
        self._steps[rows] = 0
        self._curves[rows] = torch.nan
        self._gains[rows] = torch.nan
        for kept, drawn in zip(self._drawn, self._draw([job]), strict=True):
            kept[:, rows] = drawn
        self._gather_targets()

    def views(self) -> Views:
        """Return how images are shown at their next steps, with what was drawn for them."""
        # Slots that are done may have no steps left.
        step = self._steps.clamp(max=self._last_step)
        drawn = [one[step, self._rows] for one in self._drawn]
        gains = None if self._gain_noise is None else (self._gain_noise, drawn.pop())
        return Views(self._transforms, drawn, gains)

    def leak(self) -> Tensor:
        """The part of the gradient that leaks through last rectifiers, ``(B,)`` on the CPU."""
        until = max(1.0, _LEAKING_PART * self._settings.most_steps)
        return self._settings.leak * (1 - self._steps / until).clamp(min=0)

    def signs(self) -> Tensor:
        """Return -1 for images that are to drive a kernel least, else 1, ``(B,)`` on the CPU."""
        signs = torch.tensor([job.sign for job in self.jobs])
        return signs.repeat_interleave(self._settings.variants)

    def may_wake(self, leak: Tensor) -> Tensor:
        """Return True for images whose silent kernels no leak has woken, ``(B,)`` on the CPU."""
        return (leak == 0) | (self._steps >= _WOKEN_BY_LEAK)

    def record(self, step_taken: AscentStep) -> None:
        """Record the readouts and gains of a step."""
        step = self._steps.clamp(max=self._last_step)
        self._curves[self._rows, step] = step_taken.objective_values.float()
        self._gains[self._rows, step] = step_taken.gains.float()
        self._asleep = step_taken.asleep
        self._steps = self._steps + 1

    def ended(self) -> dict[int, Ended]:
        """Return the active slots that are done, with the reason for each."""
        ended: dict[int, Ended] = {
            slot: "steps"
            for slot, steps in enumerate(self._made())
            if self.is_active[slot] and steps >= self._settings.most_steps
        }
        converged = self._converged()
        return ended | {slot: "converged" for slot in converged if slot not in ended}

    @property
    def progress(self) -> float:
        """The steps made by what is not done, in whole ascents."""
        made = (n for n, active in zip(self._made(), self.is_active, strict=True) if active)
        return sum(made) / self._settings.most_steps

    def curve(self, slot: int) -> Tensor:
        """Return the readouts of a slot's images at each step, ``(D, steps)``, on the CPU."""
        return self._curves[self.rows(slot), : self._made()[slot]]

    def _made(self) -> list[int]:
        """Number of steps that each slot has made."""
        made: list[int] = self._steps[:: self._settings.variants].tolist()
        return made

    def _converged(self) -> list[int]:
        """Active slots whose images have all stopped improving; looked at now and then."""
        patience = self._settings.steps_without_improvement
        if patience is None:
            return []
        every = max(1, patience // 4)
        due = [
            slot
            for slot, steps in enumerate(self._made())
            if self.is_active[slot] and steps >= 2 * patience and steps % every == 0
        ]
        if not due:
            return []
        steps = self._steps.clamp(max=self._settings.most_steps)
        stalled = has_converged(self._gains, steps, patience, self._settings.min_improvement)
        # Silent kernels may still be woken.
        done = (stalled & ~self._asleep).tolist()
        return [slot for slot in due if all(done[row] for row in self.rows(slot))]

    def _gather_targets(self) -> None:
        per_row = [job.target for job in self.jobs for _ in range(self._settings.variants)]
        self.targets = TargetBatch(per_row, self._device)

    def _draw(self, jobs: Sequence[Job]) -> list[Tensor]:
        """Draw the transforms of jobs' images at every step, ``(steps, rows, P)`` on the CPU.

        Last, if there is gain noise, comes where the gains of each begin, ``(steps, rows)``.
        """
        keys = [
            (job.target.kernels[0], variant)
            for job in jobs
            for variant in range(self._settings.variants)
        ]
        steps, seed = self._last_step + 1, self._settings.seed
        drawn = draw_transforms(self._transforms, self._size, seed, keys, steps)
        if self._gain_noise is not None:
            places = [draw_gain_places(seed, *key, steps) for key in keys]
            drawn.append(torch.stack(places, dim=1))
        return drawn


def has_converged(curves: Tensor, steps: Tensor, patience: int, min_improvement: float) -> Tensor:
    """Return True for ascents that have stopped improving.

    An ascent has if the mean of its curve over the last ``patience`` steps is not above that of the
    ``patience`` steps before by more than ``min_improvement`` of its whole rise since its first
    step. Means are compared, since the curve varies with the random views.

    Args:
        curves: ``(B, steps)`` the maximized number at each step, on the CPU, since it is summed up
            in double precision; values after an ascent's last step are ignored.
        steps: ``(B,)`` how many steps each has made.
        patience: At least 1.
        min_improvement: A fraction, at least 0.

    Returns:
        ``(B,)`` bool.
    """
    sums = torch.nn.functional.pad(curves.double().nan_to_num().cumsum(1), (1, 0))

    def mean_between(first: Tensor, last: Tensor) -> Tensor:
        first, last = first.clamp(min=0)[:, None], last.clamp(min=0)[:, None]
        return ((sums.gather(1, last) - sums.gather(1, first))[:, 0]) / patience

    recent = mean_between(steps - patience, steps)
    before = mean_between(steps - 2 * patience, steps - patience)
    rise = torch.maximum(recent, before) - curves[:, 0].double()
    stalled = recent - before <= min_improvement * rise.abs()
    return stalled & (steps >= 2 * patience)
