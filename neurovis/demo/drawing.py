"""Draws RGB-D scenes, many at a time: one textured shape among dead leaves.

A scene is a shape in front of a dead-leaves picture (overlapping leaves with power-law sizes; Lee,
Mumford and Huang, "Occlusion models for natural images", IJCV 2001) and behind a few small leaves.
Color and depth are painted from one map of visible surfaces, so they agree at every pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neurovis.demo.shapes import SHAPES, inside_shape

# The orientation range keeps a preferred image readable: over the full circle, the best image of a
# triangle is a superposition of triangles.
MAX_ROTATION = 30.0
"""Objects are turned by up to this many degrees from upright, either way."""

BACK_LEAVES = 20
FRONT_LEAVES = 3
OBJECT_SURFACE = BACK_LEAVES + 1  # surface 0 is the wall behind everything
SURFACES = BACK_LEAVES + FRONT_LEAVES + 2

_LEAF_RADII = (0.18, 0.8)
_TILT = 0.06
_NUMBERS_PER_SCENE = 512
_SCENES_AT_A_TIME = 16  # so that the working arrays stay in the processor's cache

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class DrawnScenes:
    """A batch of scenes and what is known of them.

    Attributes:
        images: Eight-bit red, green, blue and depth, ``(B, 4, size, size)``. Depth runs from
            0 (near) to 255 (far).
        labels: Index of the object's class in ``SHAPES``, ``(B,)``.
        surfaces: Which surface is seen at each pixel, ``(B, size, size)``: 0 is the wall, then the
            leaves from far to near, with the object at ``OBJECT_SURFACE``.
        object_masks: Where the object lies, hidden or not, ``(B, size, size)``.
        depths: Depth of each surface at the picture's center in [0, 1], ``(B, SURFACES)``.
        tilts: Change of depth across half the picture, rightwards and upwards, common to a scene's
            surfaces, ``(B, 2)``.
    """

    images: Bytes
    labels: npt.NDArray[np.int64]
    surfaces: Bytes
    object_masks: npt.NDArray[np.bool_]
    depths: Floats
    tilts: Floats


class _Numbers:
    """Hands out, column by column, the random numbers that each scene owns."""

    def __init__(self, uniforms: npt.NDArray[np.float64]) -> None:
        self._uniforms = uniforms
        self._used = 0

    def uniform(
        self, low: float | Floats, high: float | Floats, count: int | None = None
    ) -> Floats:
        """Draws ``(B, count)`` numbers, or ``(B, 1)``, in [low, high)."""
        columns = 1 if count is None else count
        numbers = self._uniforms[:, self._used : self._used + columns]
        self._used += columns
        return (low + (high - low) * numbers).astype(np.float32)


def draw_scenes(seed: int, indices: Sequence[int], size: int = 64) -> DrawnScenes:
    """Draws scenes; each is a function of the seed and its own index alone.

    Args:
        seed: Seed of the series of scenes, at least 0.
        indices: Places in the series, each at least 0.
        size: Width and height in pixels.

    Returns:
        The scenes, in the order of ``indices``.
    """
    batches = [
        _draw_batch(seed, indices[start : start + _SCENES_AT_A_TIME], size)
        for start in range(0, len(indices), _SCENES_AT_A_TIME)
    ]
    if len(batches) == 1:
        return batches[0]
    return DrawnScenes(
        **{
            name: np.concatenate([getattr(batch, name) for batch in batches])
            for name in DrawnScenes.__dataclass_fields__
        }
    )


def _draw_batch(seed: int, indices: Sequence[int], size: int) -> DrawnScenes:
    uniforms = np.empty((len(indices), _NUMBERS_PER_SCENE))
    noise = np.empty((len(indices), 4, size, size), np.uint8)
    for row, index in enumerate(indices):
        # A counter-based generator: no scene's numbers depend on another's having been drawn.
        generator = np.random.Generator(np.random.Philox(key=[seed, index]))
        generator.random(out=uniforms[row])
        noise[row] = generator.integers(0, 256, noise.shape[1:], np.uint8)
    numbers = _Numbers(uniforms)
    labels = np.array([index % len(SHAPES) for index in indices], np.int64)
    axis = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
    x, y = axis[None, None, :], -axis[None, :, None]

    radius, center_x, center_y, object_masks = _place_objects(numbers, labels, x, y)
    surfaces = np.zeros((len(indices), size, size), np.uint8)
    _paint_back_leaves(numbers, surfaces, x, y)
    surfaces[object_masks] = OBJECT_SURFACE
    _paint_front_leaves(numbers, surfaces, x, y, radius, center_x, center_y)
    depths, tilts = _choose_depths(numbers)
    colors = _choose_colors(numbers)
    values = _paint(numbers, surfaces, colors, depths, tilts, x, y)
    images = _to_bytes(values, noise)
    return DrawnScenes(images, labels, surfaces, object_masks, depths, tilts)


def _place_objects(
    numbers: _Numbers, labels: npt.NDArray[np.int64], x: Floats, y: Floats
) -> tuple[Floats, Floats, Floats, npt.NDArray[np.bool_]]:
    """Sizes, places and turns each scene's object.

    The object's radius is 0.6 to 0.9 of half the picture, and it stays inside the picture, more
    often near the middle.
    """
    radius = numbers.uniform(0.6, 0.9)
    room = (np.float32(1.02) - radius) * np.float32(0.5)
    center_x = numbers.uniform(-room, room) + numbers.uniform(-room, room)
    center_y = numbers.uniform(-room, room) + numbers.uniform(-room, room)
    angle = np.radians(numbers.uniform(-MAX_ROTATION, MAX_ROTATION))[..., None]
    cosine, sine = np.cos(angle) / radius[..., None], np.sin(angle) / radius[..., None]
    right, up = x - center_x[..., None], y - center_y[..., None]
    u, v = right * cosine + up * sine, up * cosine - right * sine
    masks = np.empty(u.shape, np.bool_)
    for label in np.unique(labels):
        rows = labels == label
        masks[rows] = inside_shape(SHAPES[label], u[rows], v[rows])
    return radius, center_x, center_y, masks


def _paint_back_leaves(numbers: _Numbers, surfaces: Bytes, x: Floats, y: Floats) -> None:
    """Covers the wall, from far to near, with discs and rectangles of radius density r^-3."""
    smallest, largest = _LEAF_RADII
    share = 1 - (smallest / largest) ** 2
    radii = smallest / np.sqrt(1 - share * numbers.uniform(0, 1, BACK_LEAVES))
    centers_x = numbers.uniform(-1.1, 1.1, BACK_LEAVES)
    centers_y = numbers.uniform(-1.1, 1.1, BACK_LEAVES)
    aspects = numbers.uniform(0.4, 1, BACK_LEAVES)
    angles = numbers.uniform(0, np.pi, BACK_LEAVES)
    for leaf in range(BACK_LEAVES):
        column = (slice(None), slice(leaf, leaf + 1))
        place = (x - centers_x[column][..., None], y - centers_y[column][..., None])
        inside = _inside_leaf(leaf, *place, radii[column], aspects[column], angles[column])
        np.copyto(surfaces, np.uint8(leaf + 1), where=inside)


def _paint_front_leaves(
    numbers: _Numbers,
    surfaces: Bytes,
    x: Floats,
    y: Floats,
    radius: Floats,
    center_x: Floats,
    center_y: Floats,
) -> None:
    """Puts small leaves nearer than the object around its outline, some of them cutting it."""
    radii = numbers.uniform(0.12, 0.24, FRONT_LEAVES)
    directions = numbers.uniform(0, 2 * np.pi, FRONT_LEAVES)
    distances = radius * numbers.uniform(0.8, 1.3, FRONT_LEAVES)
    centers_x = center_x + distances * np.cos(directions)
    centers_y = center_y + distances * np.sin(directions)
    aspects = numbers.uniform(0.4, 1, FRONT_LEAVES)
    angles = numbers.uniform(0, np.pi, FRONT_LEAVES)
    for leaf in range(FRONT_LEAVES):
        column = (slice(None), slice(leaf, leaf + 1))
        place = (x - centers_x[column][..., None], y - centers_y[column][..., None])
        inside = _inside_leaf(leaf, *place, radii[column], aspects[column], angles[column])
        np.copyto(surfaces, np.uint8(OBJECT_SURFACE + 1 + leaf), where=inside)


def _inside_leaf(
    leaf: int, right: Floats, up: Floats, radius: Floats, aspect: Floats, angle: Floats
) -> npt.NDArray[np.bool_]:
    """Discs (even leaves) and turned rectangles (odd ones) around the origin, ``(B, S, S)``."""
    if leaf % 2 == 0:
        disc: npt.NDArray[np.bool_] = right * right + up * up < (radius * radius)[..., None]
        return disc
    cosine, sine = np.cos(angle)[..., None], np.sin(angle)[..., None]
    along = np.abs(right * cosine + up * sine) < radius[..., None]
    across = np.abs(up * cosine - right * sine) < (radius * aspect)[..., None]
    rectangle: npt.NDArray[np.bool_] = along & across
    return rectangle


def _choose_depths(numbers: _Numbers) -> tuple[Floats, Floats]:
    """Depths of all surfaces, decreasing from the wall to the nearest leaf, and a common tilt."""
    object_depth = numbers.uniform(0.35, 0.6)
    wall = np.full_like(object_depth, 0.88)
    back = np.sort(numbers.uniform(object_depth + np.float32(0.1), 0.86, BACK_LEAVES))
    front = np.sort(numbers.uniform(0.13, object_depth - np.float32(0.1), FRONT_LEAVES))
    depths = np.concatenate([wall, back[:, ::-1], object_depth, front[:, ::-1]], axis=1)
    return depths, numbers.uniform(-_TILT, _TILT, 2)


def _choose_colors(numbers: _Numbers) -> Floats:
    """Red, green and blue of all surfaces, ``(B, SURFACES, 3)``.

    The wall and the leaves behind share a palette around a random color, from which the object
    differs by 0.2 to 0.5 in each channel, up or down.
    """
    scenes = len(numbers.uniform(0, 1))
    palette = numbers.uniform(0.15, 0.85, 3)[:, None]
    back = palette + numbers.uniform(-0.25, 0.25, 3 * OBJECT_SURFACE).reshape(scenes, -1, 3)
    contrast = numbers.uniform(0.2, 0.5, 3) * np.sign(numbers.uniform(-1, 1, 3))
    beyond = np.abs(palette[:, 0] + contrast - np.float32(0.5)) > 0.5
    shape = palette + np.where(beyond, -contrast, contrast)[:, None]
    front = numbers.uniform(0, 1, 3 * FRONT_LEAVES).reshape(scenes, -1, 3)
    return np.concatenate([back, shape, front], axis=1)


def _paint(
    numbers: _Numbers,
    surfaces: Bytes,
    colors: Floats,
    depths: Floats,
    tilts: Floats,
    x: Floats,
    y: Floats,
) -> Floats:
    """Gives each pixel the color, texture and depth of the surface seen there, ``(B, 4, S, S)``.

    A texture is a triangular wave of luminance with a period of 8 to 32 pixels of 64.
    """
    frequencies = numbers.uniform(1, 4, SURFACES)
    directions = numbers.uniform(0, np.pi, SURFACES)
    phases = numbers.uniform(0, 1, SURFACES)
    amplitudes = numbers.uniform(0, 0.6, SURFACES)
    waves = (frequencies * np.cos(directions), frequencies * np.sin(directions), phases)
    first_surfaces = np.arange(len(surfaces))[:, None, None] * SURFACES
    seen = first_surfaces + surfaces
    wave_x, wave_y, phase = (np.take(wave, seen) for wave in waves)
    cycle = x * wave_x + y * wave_y + phase
    texture = (np.abs(cycle - np.floor(cycle) - np.float32(0.5)) - np.float32(0.25)) * np.take(
        amplitudes, seen
    )
    values = np.empty((len(surfaces), 4, *surfaces.shape[1:]), np.float32)
    for channel in range(3):
        flat = np.ascontiguousarray(colors[..., channel])
        np.add(np.take(flat, seen), texture, out=values[:, channel])
    tilt = tilts[:, :1, None] * x + tilts[:, 1:, None] * y
    np.add(np.take(depths, seen), tilt, out=values[:, 3])
    return values


def _to_bytes(values: Floats, noise: Bytes) -> Bytes:
    """Adds the sensor's noise and rounds to eight bits, as a camera does."""
    spans = np.array([0.06, 0.06, 0.06, 0.02], np.float32)[:, None, None]
    noisy = noise * (spans / np.float32(255)) + (values - spans / 2)
    return np.clip(noisy * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)
