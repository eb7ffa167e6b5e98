"""Gratings that drift, for networks of video."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.stimuli.base import Conditions
from neurovis.tuning.stimuli.rendering import center_of, compose, sinusoids

#: Highest frequency in space and in time, and number of octaves below it that are shown.
_HIGHEST, _OCTAVES = 0.25, 4
_FEWEST_FRAMES = 4


class DriftingGratings(Conditions):
    """Gratings of several frequencies that drift in 16 directions, or stand still.

    Args:
        spec: What the network is shown: a video of at least 4 frames.

    Attributes:
        spatial_frequencies: Cycles per pixel: octaves down from 0.25, at most 4.
        directions: Of the motion, in degrees counter-clockwise from rightwards.
        temporal_frequencies: Cycles per frame: 0, and octaves up to 0.25, at most 4.
        phases: In the first frame, in degrees.

    Raises:
        ValueError: If the spec is of images, or of too few frames.
    """

    directions = torch.arange(0.0, 360.0, 22.5)
    phases = torch.arange(0.0, 360.0, 90.0)

    def __init__(self, spec: InputSpec) -> None:
        super().__init__(spec)
        if spec.frames < _FEWEST_FRAMES:
            raise ValueError(
                f"gratings drift in videos of at least {_FEWEST_FRAMES} frames; the input has "
                f"{spec.frames}"
            )
        self.spatial_frequencies = _octaves(1 / min(spec.size))
        self.temporal_frequencies = torch.cat([torch.zeros(1), _octaves(1 / spec.frames)])

    @property
    @override
    def shape(self) -> tuple[int, int, int, int]:
        """Numbers of spatial frequencies, directions, temporal frequencies and phases."""
        return (
            len(self.spatial_frequencies),
            len(self.directions),
            len(self.temporal_frequencies),
            len(self.phases),
        )

    @override
    def draw(self, *places: Tensor) -> Tensor:
        spatial, direction, temporal, phase = places
        frames = self.spec.frames
        turned = 360 * self.temporal_frequencies[temporal, None] * torch.arange(frames)
        gratings = sinusoids(
            self.spec.size,
            # What moves rightwards has vertical bars; the phase goes back as it moves.
            (self.directions[direction] - 90).repeat_interleave(frames),
            self.spatial_frequencies[spatial].repeat_interleave(frames),
            (self.phases[phase, None] - turned).flatten(),
            center_of(self.spec, None),
        )
        channels = self.spec.channels // frames
        amplitude = torch.ones(len(gratings), channels)
        images = compose(gratings, amplitude, None)
        return images.view(len(phase), *self.spec.shape)


def _octaves(least: float) -> Tensor:
    """Return the frequencies in octaves down from the highest that are at least this."""
    frequencies = _HIGHEST * torch.exp2(-torch.arange(_OCTAVES).float())
    return frequencies[frequencies >= least * (1 - 1e-6)].flip(0)
