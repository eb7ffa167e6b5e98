"""Make the initial images of ascents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.maximization.jobs import Job
from neurovis.maximization.seeding import Stream, image_generator
from neurovis.maximization.settings import AscentSettings


@dataclass(frozen=True)
class Beginning:
    """Initial parameters and images of a job, on the CPU.

    Attributes:
        values: ``(D, ...)`` parameters.
        starts: ``(D, C, H, W)`` the images that they make.
        noise: ``(D, C, H, W)`` noise images: the starts themselves, unless others are given.
    """

    values: Tensor
    starts: Tensor
    noise: Tensor


class ImageInitializer:
    """Initializer of ascents: a job starts the same wherever and whenever it is started.

    Args:
        settings: Seed, parametrization and start.
        spec: Modalities and size of the images that are optimized.
        constrained: Makes images keep to the constraints, as at every step.
        init: The image to start from, ``(C, H, W)``, if one is given.
    """

    def __init__(
        self,
        settings: AscentSettings,
        spec: InputSpec,
        constrained: Callable[[Tensor], Tensor],
        init: Tensor | None,
    ) -> None:
        self._settings = settings
        self._constrained = constrained
        self._images = settings.image_parameters.images(settings.variants, spec)
        self._init = init

    @torch.no_grad()
    def of(self, job: Job) -> Beginning:
        """Noise belongs to the seed, the target's first kernel and the variant alone."""
        key = job.target.kernels[0]
        self._images.start_from_noise(
            [
                image_generator(self._settings.seed, key, Stream.START, variant)
                for variant in range(self._settings.variants)
            ]
        )
        noise = self._shown()
        if self._init is not None:
            self._images.start_from_image(self._init)
        elif self._settings.init == "zero":
            self._images.start_from_gray()
        return Beginning(self._images.values.detach().clone(), self._shown(), noise)

    def _shown(self) -> Tensor:
        return self._constrained(self._images()).clone()
