"""The preferred images of the shipped network's classes are their shapes, to an independent eye."""

import lightning as L
import numpy as np
import pytest
import torch

from neurovis.demo import SHAPES, demo_input_spec, load_demo_network
from neurovis.demo.shapes import inside_shape
from neurovis.figures.page_figure import PageFigure
from neurovis.maximization import ActivationMaximization

SHIFTS = [(down, right) for down in range(-12, 13, 3) for right in range(-12, 13, 3)]


@pytest.fixture(scope="module")
def preferred_images(tmp_path_factory):
    """Of all eight logits, ``(8, 4, 64, 64)``."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    am = ActivationMaximization(
        load_demo_network(), "classifier", input_spec=demo_input_spec(), steps=48, tv=600.0
    )
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path_factory.mktemp("preferred_images"),
        max_epochs=-1,
    )
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(PageFigure, "draw", lambda *_: None)
            trainer.fit(am)
    finally:
        torch.set_num_threads(threads)
    return torch.stack([item.image for item in am.results.items]).numpy()


@pytest.fixture(scope="module")
def silhouettes():
    """Of each class ``(8, P, 4096)`` in many sizes, turns and places, and windows around them."""
    axis = (np.arange(64, dtype=np.float32) + 0.5) / 32 - 1
    x, y = np.meshgrid(axis, -axis)
    by_class, windows = [[] for _ in SHAPES], []
    for radius in (0.6, 0.7, 0.8):
        for angle in np.radians(range(-36, 37, 12)):
            u = np.float32((x * np.cos(angle) + y * np.sin(angle)) / radius)
            v = np.float32((y * np.cos(angle) - x * np.sin(angle)) / radius)
            windows += everywhere(u**2 + v**2 < 1.2**2)
            for placed, shape in zip(by_class, SHAPES, strict=True):
                placed += everywhere(inside_shape(shape, u, v))
    windows = np.array(windows, np.float32)
    return np.array(by_class, np.float32) * windows, windows


def everywhere(mask):
    return [np.roll(mask, shift, (0, 1)).ravel() for shift in SHIFTS]


def resemblances(planes, silhouettes):
    """Largest correlation within a window, of either sign, of planes with classes ``(N, 8)``."""
    by_class, windows = silhouettes
    pixels = planes.reshape(len(planes), -1).T
    area = windows.sum(axis=1)[:, None]
    mean = windows @ pixels / area
    deviation = np.sqrt(windows @ pixels**2 / area - mean**2)
    share = by_class.sum(axis=2)[:, :, None] / area
    covariance = by_class @ pixels / area - share * mean
    return np.abs(covariance / deviation / np.sqrt(share * (1 - share))).max(axis=1).T


@pytest.mark.parametrize(("modality", "required"), [("rgb", 7), ("depth", 6)])
def test_preferred_images_resemble_their_own_shape_most(
    preferred_images, silhouettes, modality, required
):
    """Of rgb, in the channel that shows it best. An untrained network gets one or two right."""
    images = demo_input_spec().split(torch.from_numpy(preferred_images))[modality].numpy()
    of_planes = resemblances(images.reshape(-1, 64, 64), silhouettes)
    found = of_planes.reshape(8, -1, 8).max(axis=1)
    assert (found.argmax(axis=1) == np.arange(8)).sum() >= required, found.round(2)
    assert np.median(found.diagonal()) > 0.5
