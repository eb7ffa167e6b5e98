"""Layers of which nothing tells where kernels and positions are, until somebody says it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from neurovis import (
    ActivationMaximization,
    InputSpec,
    Modality,
    kernel_saliency,
    rank_kernels,
    set_layout,
)
from neurovis.analysis import FeatureReader
from neurovis.cli.main import main
from neurovis.layer_reader import LayerReader
from neurovis.top_images import find_top_images
from neurovis.tuning import size_tuning

SPEC = InputSpec(Modality("gray", 1), 12)
IMAGES = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))


class _Unfollowed(torch.autograd.Function):
    """Exchanges the last two dimensions, in a way that no trace can follow."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return torch.from_numpy(values.detach().numpy().copy()).transpose(1, 2).contiguous()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return gradient.transpose(1, 2)


class Opaque(nn.Module):
    """A class token before a grid of 3 x 4 patches, behind an operation of NumPy."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(1, 6, (4, 3), (4, 3))
        self.tokens = nn.Identity()
        self.hidden = nn.Linear(6, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, images: Tensor) -> Tensor:
        flat = self.patches(images).flatten(2)
        flat = torch.cat([flat.new_full((len(flat), 6, 1), 3.0), flat], 2)
        tokens = self.tokens(_Unfollowed.apply(flat))
        scores: Tensor = self.head(self.hidden(tokens)[:, 0])
        return scores


def opaque(**layout: Any) -> Opaque:
    network = Opaque().eval()
    if layout:
        set_layout(network, "hidden", **layout)
        set_layout(network, "tokens", **layout)
    return network


def given() -> Opaque:
    return opaque(kernel_dim=-1, token_grid=(3, 4), prefix_tokens=1)


def of_hidden(network: Opaque, images: Tensor = IMAGES) -> Tensor:
    """The layer's activation, (B, 5, 3, 4), computed from the patches."""
    patches = network.patches(images)
    return network.hidden(patches.movedim(1, -1)).movedim(-1, 1)


class TestRefusals:
    """Of what would be a guess, with the remedy."""

    def test_the_kernel_dimension(self) -> None:
        with pytest.raises(ValueError, match=r'does not tell .* set_layout\(network, "tokens"'):
            LayerReader(opaque(), "tokens", IMAGES[:1])

    @pytest.mark.parametrize(
        "read",
        [
            lambda network: rank_kernels(network, "hidden", input_spec=SPEC),
            lambda network: ActivationMaximization(
                network, "hidden", 0, input_spec=SPEC, objective="center"
            ),
            lambda network: kernel_saliency(network, IMAGES, "hidden", 0, readout="center"),
            lambda network: size_tuning(
                network, "hidden", [0], torch.zeros(1), torch.full((1,), 0.1), SPEC
            ),
            lambda network: find_top_images(
                network, "hidden", "all", IMAGES, objective="center", input_spec=SPEC
            ),
        ],
        ids=["rank", "am", "saliency", "sizes", "top images"],
    )
    def test_the_center_of_tokens_in_a_row(self, read: Callable[[nn.Module], object]) -> None:
        with pytest.raises(ValueError, match=r"13 positions, .* token_grid=.* --layouts"):
            read(opaque())

    def test_tokens_of_another_number(self) -> None:
        network = opaque(kernel_dim=-1, token_grid=(2, 4), prefix_tokens=1)
        with pytest.raises(ValueError, match=r"shape \(2, 13, 5\)"):
            LayerReader(network, "hidden", IMAGES[:1])(IMAGES)

    @pytest.mark.parametrize(
        ("layout", "message"),
        [
            ({"kernel_dim": 0}, "after the first, such as 1 or -1; got 0"),
            ({"kernel_dim": 1, "prefix_tokens": 1}, "prefix_tokens=1 need a token_grid"),
            ({"kernel_dim": 3, "token_grid": (2, 2)}, "kernel_dim of 1 or 2; got .* and 3"),
            ({"kernel_dim": 1, "token_grid": (2, 0)}, "rows and columns of at least 1"),
            ({"kernel_dim": 1, "token_grid": (2, 2, 2)}, "two numbers, rows and columns"),
        ],
    )
    def test_layouts_that_are_none(self, layout: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            set_layout(Opaque(), "hidden", **layout)


class TestGivenLayouts:
    """The same numbers as of the patches themselves."""

    def test_maps_and_other_tokens(self) -> None:
        network = given()
        (maps, _) = FeatureReader(network, ["hidden", "tokens"], SPEC)(IMAGES)[0]
        torch.testing.assert_close(maps.maps, of_hidden(network).detach()[0])
        token = network.hidden(torch.full((6,), 3.0)).detach()
        assert maps.other_tokens is not None
        torch.testing.assert_close(maps.other_tokens[:, 0], token)
        assert "other_tokens" in maps.arrays()

    def test_the_center_is_the_patch_in_the_middle(self) -> None:
        network = given()
        found = kernel_saliency(network, IMAGES, "hidden", 1, readout="center")
        images = IMAGES.clone().requires_grad_()
        values = of_hidden(network, images)[:, 1, 1, 2]
        (expected,) = torch.autograd.grad(values.sum(), images)
        torch.testing.assert_close(found.values, values.detach())
        torch.testing.assert_close(found.maps, expected)
        assert (
            rank_kernels(network, "hidden", input_spec=SPEC, orientations=4)[0]
            .score.isfinite()
            .all()
        )

    def test_preferred_images(self, tmp_path: Path) -> None:
        network = given()
        module = ActivationMaximization(
            network, "hidden", 0, input_spec=SPEC, objective="center", steps=8
        )
        quiet: dict[str, Any] = dict.fromkeys(
            ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
        )
        trainer = Trainer(accelerator="cpu", max_epochs=-1, default_root_dir=tmp_path, **quiet)
        trainer.fit(module)
        (item,) = module.results.items
        reached = of_hidden(network, SPEC.to_network(item.image[None]))[0, 0, 1, 2].item()
        assert item.activation == pytest.approx(reached, rel=1e-5)
        assert item.activation > of_hidden(network, torch.rand(50, 1, 12, 12))[:, 0, 1, 2].max()

    def test_on_the_command_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run = [
            *("features", "--model", "test_given_layouts.Opaque", "--layer", "tokens"),
            *("--input.modalities", "[{name: gray, channels: 1}]", "--input.size", "12"),
            *("--images", str(tmp_path / "a.npy"), "--trainer.default_root_dir", str(tmp_path)),
        ]
        np.save(tmp_path / "a.npy", IMAGES[0].numpy())
        assert main(run) != 0
        assert "--layouts" in capsys.readouterr().err
        layouts = "{tokens: {kernel_dim: -1, token_grid: [3, 4], prefix_tokens: 1}}"
        assert main([*run, "--layouts", layouts]) == 0
        (arrays,) = tmp_path.rglob("*.npz")
        with np.load(arrays) as read:
            expected = Opaque().patches(IMAGES[:1])[0].detach().numpy()
            np.testing.assert_allclose(read["maps"], expected, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(read["other_tokens"], 3.0)
