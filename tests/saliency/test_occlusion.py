from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.saliency import kernel_saliency


def literal(
    value: Callable[[Tensor], Tensor],
    image: Tensor,
    cover: Tensor,
    parts: list[slice],
    patch: int,
    stride: int,
) -> Tensor:
    """Cover a square, see by how much the value falls, give each pixel the mean: one at a time."""
    height, width = image.shape[1:]
    result = torch.zeros_like(image)
    for part in parts:
        total, count = torch.zeros(height, width), torch.zeros(height, width)
        rows = {min(row, height - patch) for row in range(0, height - patch + stride, stride)}
        columns = {min(col, width - patch) for col in range(0, width - patch + stride, stride)}
        for row in sorted(rows):
            for column in sorted(columns):
                square = (slice(row, row + patch), slice(column, column + patch))
                covered = image.clone()
                covered[(part, *square)] = cover[(part, *square)]
                total[square] += (value(image[None]) - value(covered[None])).item()
                count[square] += 1
        result[part] = total / count / (part.stop - part.start)
    return result


@pytest.mark.parametrize("spec", [None, InputSpec.rgbd(12)])
@pytest.mark.parametrize(("patch", "stride"), [(None, None), (3, 3), (4, 2)])
@pytest.mark.parametrize("baseline", [0.0, torch.rand(4, 12, 12)])
def test_against_one_square_at_a_time(
    spec: InputSpec | None,
    patch: int | None,
    stride: int | None,
    baseline: float | Tensor,
    network: nn.Module,
    images: Tensor,
) -> None:
    found = kernel_saliency(
        network, images, "3", "strongest", "occlusion",
        input_spec=spec, patch=patch, stride=stride, baseline=baseline,
    )  # fmt: skip
    assert found.kernels is not None
    parts = [slice(0, 4)] if spec is None else [slice(0, 3), slice(3, 4)]
    for index, image in enumerate(images):
        kernel = found.kernels[index]
        expected = literal(
            lambda x, kernel=kernel: network[:4](x)[:, kernel].mean((1, 2)),
            image,
            torch.zeros_like(image) + baseline,
            parts,
            patch or 1,
            stride or 1,
        )
        torch.testing.assert_close(found.maps[index], expected, atol=1e-6, rtol=1e-3)


def test_the_sum_over_a_modality_is_the_change_of_the_value(
    network: nn.Module, images: Tensor
) -> None:
    spec = InputSpec.rgbd(12)
    found = kernel_saliency(
        network, images, None, 1, "occlusion", input_spec=spec, patch=12, stride=12
    )
    for name, channels in (("rgb", slice(0, 3)), ("depth", slice(3, 4))):
        covered = images.clone()
        covered[:, channels] = 0
        change = (network(images) - network(covered))[:, 1].detach()
        expected = change[:, None, None].expand(-1, 12, 12)
        torch.testing.assert_close(found.pooled(spec)[name], expected, atol=1e-6, rtol=1e-4)
