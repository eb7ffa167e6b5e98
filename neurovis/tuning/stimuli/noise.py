"""Noise for mapping receptive fields by reverse correlation, the same in every process.

Random numbers belong to (seed, number of the stimulus), so that an image depends neither on the
order in which images are requested nor on the process.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.tuning.stimuli.base import Stimuli, check_contrast, check_gains
from neurovis.tuning.stimuli.modulations import Modulation, uniform_modulation

Pattern = npt.NDArray[np.float32]

# Gaussian checks lie within this many standard deviations; the others, 0.3 %, are clipped.
_CLIPPED_AT = 3.0


class _Noise(Stimuli):
    """Noise on a grid of square checks, of which each pattern in [-1, 1] is drawn by number."""

    def __init__(
        self,
        spec: InputSpec,
        count: int,
        seed: int,
        check_size: int,
        contrast: float,
        modulation: Modulation | None,
    ) -> None:
        super().__init__(spec)
        check_contrast("contrast", contrast)
        (direction,) = check_gains(spec, [modulation or uniform_modulation(spec)], contrast)
        if count < 1:
            raise ValueError(f"count must be at least 1; got {count}")
        if seed < 0:
            raise ValueError(f"seed must be 0 or more; got {seed}")
        if not 1 <= check_size <= min(spec.size):
            raise ValueError(
                f"check_size must be 1 to {min(spec.size)} pixels, the image's smaller side; "
                f"got {check_size}"
            )
        self.count = count
        self.seed = seed
        self.check_size = check_size
        self.contrast = contrast
        # Checks that do not fit are cut off at the right and at the bottom.
        self.grid = (-(-spec.size[0] // check_size), -(-spec.size[1] // check_size))
        self._amplitude = 0.5 * contrast * torch.tensor(direction.gains)[:, None, None]

    def __len__(self) -> int:
        return self.count

    @abstractmethod
    def _draw(self, generator: np.random.Generator) -> Pattern:
        """One pattern in [-1, 1], float32 ``(1 or C, rows, columns)`` of checks."""

    def _render(self, indices: Tensor) -> Tensor:
        generators = (np.random.default_rng((self.seed, index)) for index in indices.tolist())
        patterns = [self._draw(generator) for generator in generators]
        checks = 0.5 + self._amplitude * torch.from_numpy(np.stack(patterns))
        height, width = self.spec.size
        for dimension in (-2, -1) if self.check_size > 1 else ():
            checks = checks.repeat_interleave(self.check_size, dimension)
        return checks[..., :height, :width].contiguous()


class SparseNoise(_Noise):
    """A few bright and as many dark squares on gray, at random places of a grid.

    The stimulus with which subfields of simple cells are mapped (Jones & Palmer 1987). Squares of
    one image never overlap.

    Args:
        spec: What the network is shown.
        count: Number of images.
        seed: Seed of all images; another seed gives other noise.
        squares: Number of squares in each image. Half are bright; if it is odd, the last is either.
        check_size: Side of a square, and step of the grid, in pixels.
        contrast: In (0, 1]; 1 is white and black.
        modulation: Which channels are driven; by default all alike.

    Raises:
        ValueError: If an argument is out of its range, or contrast times gain leaves [0, 1].
    """

    def __init__(
        self,
        spec: InputSpec,
        count: int,
        seed: int = 0,
        squares: int = 8,
        check_size: int = 4,
        contrast: float = 1.0,
        modulation: Modulation | None = None,
    ) -> None:
        super().__init__(spec, count, seed, check_size, contrast, modulation)
        places = self.grid[0] * self.grid[1]
        if not 1 <= squares <= places:
            raise ValueError(
                f"squares must be 1 to {places}, the places in a grid of {self.grid}; got {squares}"
            )
        self.squares = squares

    def _draw(self, generator: np.random.Generator) -> Pattern:
        pattern = np.zeros(self.grid, np.float32)
        places = generator.choice(pattern.size, self.squares, replace=False)
        # Places come in random order, so that alternating signs are random.
        signs = 1 - 2 * ((np.arange(self.squares) + generator.integers(2)) % 2)
        pattern.flat[places] = signs
        return pattern[None]


class DenseNoise(_Noise):
    """White noise: every check of every image is drawn on its own.

    The mean of such images, weighted by a linear unit's responses, is in proportion to its
    receptive field (Chichilnisky 2001).

    Args:
        spec: What the network is shown.
        count: Number of images.
        seed: Seed of all images; another seed gives other noise.
        check_size: Side of a check in pixels.
        distribution: ``"binary"`` checks are at plus or minus the contrast with equal chance;
            ``"gaussian"`` ones have a third of the contrast as standard deviation, and those
            beyond the contrast, 0.3 %, are clipped.
        contrast: In (0, 1]; 1 is the whole range from 0 to 1.
        modulation: Drive the channels with one pattern along this direction. By default each
            channel has a pattern of its own, which maps kernels of any color or modality; noise
            that is alike in all channels finds nothing in a kernel whose channels cancel.

    Raises:
        ValueError: If an argument is out of its range, or contrast times gain leaves [0, 1].
    """

    def __init__(
        self,
        spec: InputSpec,
        count: int,
        seed: int = 0,
        check_size: int = 1,
        distribution: Literal["binary", "gaussian"] = "binary",
        contrast: float = 1.0,
        modulation: Modulation | None = None,
    ) -> None:
        if distribution not in ("binary", "gaussian"):
            raise ValueError(f"distribution must be 'binary' or 'gaussian'; got {distribution!r}")
        super().__init__(spec, count, seed, check_size, contrast, modulation)
        self.distribution = distribution
        self.modulation = modulation

    def _draw(self, generator: np.random.Generator) -> Pattern:
        shape = (self.spec.channels if self.modulation is None else 1, *self.grid)
        if self.distribution == "binary":
            return 2 * generator.integers(2, size=shape, dtype=np.uint8).astype(np.float32) - 1
        drawn: Pattern = generator.standard_normal(shape, np.float32)
        drawn /= _CLIPPED_AT
        return np.clip(drawn, -1, 1, out=drawn)
