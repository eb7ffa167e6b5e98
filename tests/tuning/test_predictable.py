"""Models of kernels: planted units of each kind are recognized, and others are not predicted."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning import rank_kernels
from neurovis.tuning.predictions import explained_variance, predict_responses
from neurovis.tuning.results import KernelRanking
from neurovis.tuning.stimuli import Mixture, mixture

SPEC = InputSpec.rgb(32)
SIDE, EACH = 7, 20


@pytest.fixture(autouse=True)
def few_stimuli(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less noise than by default, which takes longer and makes models better."""
    monkeypatch.setattr(mixture, "_NOISE_OF_A_SIZE", 64)


def dead_leaves(count: int, size: int = 32) -> Tensor:
    """Pictures of disks that cover each other, as in nature of all sizes."""
    generator = torch.Generator().manual_seed(1)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    pictures = torch.rand(count, 3, 1, 1, generator=generator).expand(-1, -1, size, size).clone()
    for picture in pictures:
        for _ in range(60):
            row, column, part = torch.rand(3, generator=generator)
            radius = 1.5 / (0.06 + 0.7 * part)
            inside = (rows - row * size) ** 2 + (columns - column * size) ** 2 < radius**2
            picture[:, inside] = torch.rand(3, 1, generator=generator)
    return pictures


def gabor_pairs(seed: int = 0) -> Tensor:
    """Quadrature pairs of random orientation, frequency and color, ``(EACH, 2, 3, SIDE, SIDE)``."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.arange(SIDE) - (SIDE - 1) / 2
    pairs = []
    for _ in range(EACH):
        angle, frequency, phase = torch.rand(3, generator=generator) * torch.tensor([3.1, 0.1, 6.3])
        along = place[:, None] * torch.sin(angle) + place * torch.cos(angle)
        window = torch.exp(-(place[:, None] ** 2 + place**2) / 8)
        cycle = 2 * math.pi * (0.1 + frequency) * along + phase
        color = torch.tensor([1.0, 1.0, 1.0]) + 0.5 * torch.randn(3, generator=generator)
        pair = window * torch.stack([torch.cos(cycle), torch.sin(cycle)])
        pair = pair - pair.mean((1, 2), keepdim=True)
        pairs.append(pair[:, None] * color[:, None, None])
    return torch.stack(pairs)


class PlantedUnits(nn.Module):
    """Units of three kinds, 20 of each, with the same pairs of filters."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv2d(3, 2 * EACH, SIDE, bias=False)
        with torch.no_grad():
            self.filters.weight.copy_(gabor_pairs().flatten(0, 1))

    @override
    def forward(self, images: Tensor) -> Tensor:
        seen = images[:, :, 11 : 11 + SIDE, 11 : 11 + SIDE] - 0.5
        even, odd = self.filters(seen).unflatten(1, (EACH, 2)).unbind(2)
        contrast = (seen - seen.mean((2, 3), keepdim=True)).square().mean((1, 2, 3)).sqrt()
        halving = torch.linspace(0.03, 0.15, EACH)[None, :, None, None]
        normalized = even.relu() / (halving + contrast[:, None, None, None])
        return torch.cat([even.relu(), even.square() + odd.square(), normalized], 1)


def ranked(network: nn.Module, layer: str = "0", pictures: Tensor | None = None) -> KernelRanking:
    shown = dead_leaves(32) if pictures is None else pictures
    return rank_kernels(
        network, layer, "predictable", input_spec=SPEC, images=shown, null_kernels=0
    ).only


def test_planted_units_are_recognized() -> None:
    found = ranked(nn.Sequential(PlantedUnits()))
    kinds = ("linear", "energy", "normalized")
    assert found.values["model"] == [kind for kind in kinds for _ in range(EACH)]
    assert found.score.min() > 0.98
    for name in (f"{kind}_r2" for kind in kinds):
        column = found.values[name]
        assert isinstance(column, Tensor)
        assert (column <= found.score + 0.01).all()
    color, gray = found.values["linear_r2"], found.values["gray_r2"]
    assert isinstance(color, Tensor)
    assert isinstance(gray, Tensor)
    assert (color - gray)[:EACH].median() > 0.1


def test_units_of_no_kind_are_not_predicted() -> None:
    torch.manual_seed(0)
    deep = [nn.Sequential(nn.Conv2d(width, 6, 5), nn.ReLU()) for width in (3, 6, 6)]
    for layer in deep:
        nn.init.normal_(layer[0].weight)
        nn.init.zeros_(layer[0].bias)
    found = ranked(nn.Sequential(*deep), "2.1")
    assert found.score.nanmedian() < 0.5


def test_models_are_judged_by_pictures_that_they_have_not_seen() -> None:
    stimuli = Mixture(SPEC, [(picture,) for picture in dead_leaves(40)])
    parts = [set(stimuli.pictures[stimuli.purpose == part].tolist()) - {-1} for part in range(3)]
    assert [len(part) for part in parts] == [20, 10, 10]
    assert len(set.union(*parts)) == 40
    responses = torch.rand(3, len(stimuli), generator=torch.Generator().manual_seed(0))
    found = predict_responses(stimuli, responses, (8, 8, 14, 14), is_rectified=False)
    assert set(found.pictures.tolist()) == parts[2]
    # Random responses cannot be predicted, and what they are there does not change the models.
    r2 = explained_variance(found.measured, found.predicted["linear"])
    assert r2.max() < 0.05
    changed = responses.where(stimuli.purpose < mixture.Purpose.SCORE, 7.0)
    again = predict_responses(stimuli, changed, (8, 8, 14, 14), is_rectified=False)
    assert torch.equal(again.predicted["energy"], found.predicted["energy"])
    assert torch.equal(again.chosen, found.chosen)


def test_kernels_that_do_not_respond_have_no_score() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU())
    with torch.no_grad():
        network[0].bias[0] = -100.0
        network[0].weight[1, 0, 0, 0] = torch.nan
    found = ranked(network, "1", dead_leaves(12))
    assert found.dead[0]
    assert found.score.isnan().tolist() == [True, True, False]
    assert found.order[0] == 2
    assert list(found.values["model"]) == ["", "", "linear"]


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 12 pictures.*got 5"):
        ranked(nn.Sequential(nn.Conv2d(3, 2, 3)), "0", dead_leaves(5))
    with pytest.raises(ValueError, match="give images"):
        rank_kernels(nn.Conv2d(3, 2, 3), "", "predictable", input_spec=SPEC)
