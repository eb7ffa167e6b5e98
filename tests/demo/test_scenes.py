"""The demo's scenes: the same everywhere, and color, depth and class agree."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from neurovis.demo.drawing import OBJECT_SURFACE, SURFACES, draw_scenes
from neurovis.demo.scenes import BLANK, ShapeScenes, blank_modality, demo_input_spec
from neurovis.demo.shapes import SHAPES, inside_shape


@pytest.fixture(scope="module")
def scenes():
    return draw_scenes(seed=5, indices=range(64))


def all_images(loader):
    return torch.cat([images for images, _ in loader])


def test_a_sample_is_rgb_then_depth_in_unit_range():
    image, label = ShapeScenes(length=3, seed=1)[2]
    assert image.shape == (4, 64, 64) == demo_input_spec().shape
    assert image.dtype == torch.float32
    assert image.min() >= 0
    assert image.max() <= 1
    assert isinstance(label, int)
    assert list(demo_input_spec().split(image)) == ["rgb", "depth"]


def test_a_sample_does_not_depend_on_how_it_is_drawn():
    scenes = ShapeScenes(length=50, seed=3)
    one_by_one = torch.stack([scenes[index][0] for index in range(50)])
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0)).tolist()
    shuffled = torch.stack([image for image, _ in scenes.__getitems__(order)])
    assert torch.equal(shuffled, one_by_one[order])
    assert torch.equal(all_images(DataLoader(scenes, batch_size=7)), one_by_one)
    assert torch.equal(all_images(DataLoader(scenes, batch_size=50)), one_by_one)
    assert torch.equal(all_images(DataLoader(scenes, batch_size=8, num_workers=2)), one_by_one)


def test_cached_scenes_are_the_same():
    drawn, cached = ShapeScenes(20, seed=3), ShapeScenes(20, seed=3, cached=True)
    for (image, label), (cached_image, cached_label) in zip(drawn, cached, strict=True):
        assert torch.equal(image, cached_image)
        assert label == cached_label


def test_global_random_states_are_neither_read_nor_changed():
    torch.manual_seed(0)
    np.random.seed(0)
    before = ShapeScenes(4)[1][0]
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    after = ShapeScenes(4)[1][0]
    assert torch.equal(before, after)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()


def test_seeds_and_indices_give_different_scenes():
    first, second = ShapeScenes(16, seed=0), ShapeScenes(16, seed=1)
    images = torch.stack([image for scenes in (first, second) for image, _ in scenes])
    assert len(torch.unique(images.flatten(1), dim=0)) == 32


def test_every_run_of_eight_holds_each_class_once():
    labels = [label for _, label in ShapeScenes(24).__getitems__(range(5, 21))]
    assert np.bincount(labels, minlength=len(SHAPES)).tolist() == [2] * 8


def test_depth_is_that_of_the_surface_seen(scenes):
    """Pixel by pixel, from the surfaces' planes, which are ordered as they were painted."""
    assert (np.diff(scenes.depths, axis=1) < 0).all()
    noise = 0.011 + 0.5 / 255
    for scene in range(0, 64, 8):
        for row in range(0, 64, 9):
            for column in range(0, 64, 9):
                x, y = (column + 0.5) / 32 - 1, 1 - (row + 0.5) / 32
                plane = scenes.depths[scene] + scenes.tilts[scene] @ np.array([x, y])
                seen = scenes.surfaces[scene, row, column]
                assert scenes.images[scene, 3, row, column] / 255 == pytest.approx(
                    plane[seen], abs=noise
                )


def test_what_hides_the_object_is_nearer_and_what_it_hides_is_farther(scenes):
    """From the depth picture and the object's outline alone."""
    depth = scenes.images[:, 3].astype(float) / 255
    in_front = behind = 0
    for scene in range(64):
        inside, surfaces = scenes.object_masks[scene], scenes.surfaces[scene]
        object_depth = np.median(depth[scene][inside & (surfaces == OBJECT_SURFACE)])
        hidden = inside & (surfaces != OBJECT_SURFACE)
        visible = inside & (surfaces == OBJECT_SURFACE)
        assert visible.sum() >= 0.6 * inside.sum()
        # Nothing seen elsewhere may be the object.
        assert not (surfaces[~inside] == OBJECT_SURFACE).any()
        tilt = np.abs(scenes.tilts[scene]).sum() * 2
        if hidden.any():
            in_front += 1
            assert depth[scene][hidden].max() < object_depth - 0.1 + tilt + 0.03
        neighbors = np.zeros_like(inside)
        neighbors[:, 1:] |= inside[:, :-1]
        outside = neighbors & ~inside & (surfaces < OBJECT_SURFACE)
        behind += outside.sum()
        assert (depth[scene][outside] > object_depth + 0.1 - tilt - 0.03).all()
    assert in_front > 32
    assert behind > 1000


def test_color_edges_lie_where_depth_edges_lie(scenes):
    """Where the surface seen changes, both change more than within a surface."""
    values = scenes.images.astype(float) / 255
    steps = np.abs(np.diff(values, axis=-1))
    surface_changes = np.diff(scenes.surfaces.astype(int), axis=-1) != 0
    assert np.median(steps[:, 3][surface_changes]) > 3 * np.median(steps[:, 3][~surface_changes])
    color_steps = steps[:, :3].max(axis=1)
    assert np.median(color_steps[surface_changes]) > 3 * np.median(color_steps[~surface_changes])


def test_the_object_is_not_always_nearest(scenes):
    nearest = scenes.images[:, 3].reshape(64, -1).argmin(axis=1)
    seen = np.take_along_axis(scenes.surfaces.reshape(64, -1), nearest[:, None], axis=1)
    assert (seen != OBJECT_SURFACE).mean() > 0.5
    assert seen.max() < SURFACES


def test_backgrounds_do_not_depend_on_the_class():
    """Scene 8 k + c has its own random numbers: without the object, classes look alike."""
    scenes = draw_scenes(seed=11, indices=range(800))
    background = np.where(scenes.object_masks[:, None], 0, scenes.images)
    counts = np.where(scenes.object_masks, 0, 1).sum(axis=(1, 2))
    means = background.sum(axis=(2, 3)) / counts[:, None]
    per_class = np.stack([means[scenes.labels == label].mean(axis=0) for label in range(8)])
    standard_error = means.std(axis=0) / 10
    assert (np.abs(per_class - per_class.mean(axis=0)) < 4.5 * standard_error).all()


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ("triangle", 3 * 3**0.5 / 4),
        ("square", 1.44**2),
        ("disc", np.pi * 0.85**2),
        ("ring", np.pi * (0.92**2 - 0.5**2)),
        # Ten triangles between the center, a tip and a notch.
        ("star", 5 * 1.05 * 0.5 * np.sin(np.radians(36))),
        ("cross", 4 * 0.54 * 0.92 - 0.54**2),
    ],
)
def test_areas_of_shapes(shape, area):
    axis = np.linspace(-1.2, 1.2, 1201, dtype=np.float32)
    u, v = np.meshgrid(axis, axis)
    assert inside_shape(shape, u, v).mean() * 2.4**2 == pytest.approx(area, rel=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_fill_the_unit_disc_and_are_distinct(shape):
    axis = np.linspace(-1.2, 1.2, 241, dtype=np.float32)
    u, v = np.meshgrid(axis, axis)
    inside = inside_shape(shape, u, v)
    assert 0.8 < np.hypot(u, v)[inside].max() < 1.12
    for other in SHAPES:
        if other != shape:
            different = inside ^ inside_shape(other, u, v)
            assert different.sum() > 0.15 * inside.sum()


def test_unknown_shape():
    with pytest.raises(ValueError, match="shape 'hexagon' is unknown; expected one of triangle"):
        inside_shape("hexagon", np.zeros(1, np.float32), np.zeros(1, np.float32))


def test_blanking_a_modality_leaves_the_other():
    images = torch.stack([ShapeScenes(2)[0][0], ShapeScenes(2)[1][0]])
    without_depth = blank_modality(images, "depth")
    assert torch.equal(without_depth[:, :3], images[:, :3])
    assert (without_depth[:, 3] == BLANK).all()
    without_color = blank_modality(images, "rgb")
    assert torch.equal(without_color[:, 3], images[:, 3])
    assert (without_color[:, :3] == BLANK).all()
    with pytest.raises(ValueError, match="modality 'infrared' is unknown; expected one of rgb, d"):
        blank_modality(images, "infrared")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "length must be at least 1; got 0"),
        ({"length": 1, "seed": -1}, "seed must be at least 0; got -1"),
        ({"length": 1, "size": 7}, "size must be at least 8; got 7"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ShapeScenes(**arguments)


@pytest.mark.parametrize("index", [-1, 4])
def test_index_out_of_range(index):
    with pytest.raises(IndexError, match=rf"index must be in \[0, 4\); got {index}"):
        ShapeScenes(4)[index]


def test_scenes_come_at_other_sizes():
    assert ShapeScenes(1, size=96)[0][0].shape == (4, 96, 96)
    assert demo_input_spec(96).size == (96, 96)
