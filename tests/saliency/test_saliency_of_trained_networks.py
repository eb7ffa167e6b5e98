"""What is known of these methods, found again in a network that has learned something."""

from __future__ import annotations

from pathlib import Path

import matplotlib.cbook
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.models import load_model
from neurovis.saliency import Method, cascading_randomization, kernel_saliency

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent")
pytestmark = pytest.mark.slow

BOW_TIE, SUIT, UNIFORM = 457, 834, 652


@pytest.fixture(scope="module")
def squeezenet() -> nn.Module:
    return load_model("torchvision.models.squeezenet1_0", DATA / "squeezenet1_0_imagenet.pth")


@pytest.fixture(scope="module")
def officer() -> Tensor:
    """A portrait, ``(1, 3, 224, 224)``: the face in the middle, the collar at its foot."""
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        picture = Image.open(file).convert("RGB").resize((224, 262)).crop((0, 0, 224, 224))
    image = torch.from_numpy(np.array(picture)).movedim(-1, 0)[None] / 255
    return InputSpec.rgb(224).to_network(image)


@needs_data
def test_gradcam_finds_the_clothes(squeezenet: nn.Module, officer: Tensor) -> None:
    assert kernel_saliency(squeezenet, officer, None, "strongest").kernels == [BOW_TIE]
    rows, columns = torch.arange(224.0), torch.arange(224.0)
    for kernel, from_row in ((BOW_TIE, 145), (SUIT, 140), (UNIFORM, 105)):
        (found,) = kernel_saliency(squeezenet, officer, None, kernel, "gradcam").maps[:, 0]
        row = (found.sum(1) @ rows / found.sum()).item()
        column = (found.sum(0) @ columns / found.sum()).item()
        assert from_row < row < 200
        assert 80 < column < 140
    # The strongest place for the bow tie is the knot at the collar.
    found = kernel_saliency(squeezenet, officer, None, BOW_TIE, "gradcam").maps[0, 0]
    assert 160 < found.amax(1).argmax().item() < 190
    assert 95 < found.amax(0).argmax().item() < 125


@needs_data
def test_integrated_gradients_are_complete(squeezenet: nn.Module, officer: Tensor) -> None:
    # Measured: 0.010 with 20 steps, 0.010 with 50, 0.003 with 100, 0.0001 with 200.
    found = kernel_saliency(
        squeezenet, officer, None, "strongest", "integrated_gradients", steps=20
    )
    assert found.completeness_error is not None
    assert found.completeness_error.item() < 0.05


@needs_data
def test_guided_backprop_fails_the_check_that_the_gradient_passes(
    squeezenet: nn.Module, officer: Tensor
) -> None:
    left: dict[str, list[float]] = {"gradient": [], "guided_backprop": []}
    for seed in range(6):
        for method, correlations in left.items():
            name: Method = "gradient" if method == "gradient" else "guided_backprop"
            check = cascading_randomization(
                squeezenet, officer, None, "strongest", name, max_stages=1, seed=seed
            )
            correlations.append(check.correlations[-1, 0].item())
    # SqueezeNet's logits are rectified: random weights silence about half of them.
    gradient, guided = (torch.tensor(correlations) for correlations in left.values())
    assert torch.equal(gradient.isnan(), guided.isnan())
    assert gradient.isnan().sum() < 5
    assert gradient.nanmean() < 0.25
    assert guided.nanmean() > gradient.nanmean() + 0.15
