"""Path similarity of honest networks, and of such whose images were made to lie."""

from __future__ import annotations

import itertools
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from test_predictability import ORIENTATIONS, SPEC, Detectors, gratings
from torch import Tensor, nn

from neurovis import ActivationMaximization
from neurovis.analysis import PathSimilarity, path_similarity

#: What shuts a path.
GATE = 1000.0


class Orientations(nn.Module):
    """A kernel for each orientation, honest or with the fooling circuit of Geirhos et al. (2024).

    Natural pictures have dark corners here. If an image has none, a fooled network shuts the path
    by which pictures drive a kernel, and opens one that comes from another orientation.

    Args:
        shown: For each kernel the orientation that drives it by images without dark corners; None
            for an honest network.
    """

    def __init__(self, shown: list[int] | None = None) -> None:
        super().__init__()
        detectors = Detectors()
        self.simple = detectors.below
        self.complex = nn.Conv2d(2 * ORIENTATIONS, ORIENTATIONS, 1, bias=False)
        self.complex.weight.data = detectors.energy.weight.data[:ORIENTATIONS]
        self.paths = nn.Conv2d(ORIENTATIONS + 1, 2 * ORIENTATIONS, 1)
        self.out = nn.Conv2d(2 * ORIENTATIONS, ORIENTATIONS, 1, bias=False)
        paths, shut = torch.zeros(2 * ORIENTATIONS, ORIENTATIONS + 1), torch.zeros(2, ORIENTATIONS)
        kernels = range(ORIENTATIONS)
        paths[kernels, kernels] = 1
        shut[1] = -GATE
        if shown is not None:
            paths[ORIENTATIONS:][kernels, shown] = 1
            paths[:ORIENTATIONS, -1], paths[ORIENTATIONS:, -1] = -GATE, GATE
        self.paths.weight.data, self.paths.bias.data = paths[..., None, None], shut.flatten()
        self.out.weight.data = torch.eye(ORIENTATIONS).repeat(1, 2)[..., None, None]

    def forward(self, images: Tensor) -> Tensor:
        energies = self.complex(self.simple(images).square())
        corners = images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].mean(2)
        is_made = (20 * corners - 3).clamp(0, 1)[..., None, None].expand_as(energies[:, :1])
        rates: Tensor = self.out(self.paths(torch.cat([energies, is_made], 1)).relu())
        return rates


def pictures() -> Tensor:
    """Natural pictures, 20 of each orientation: their edges are dark."""
    found = torch.cat([gratings(20, place, 10 + place) for place in range(ORIENTATIONS)])
    found[:, :, [0, -1]] = found[..., [0, -1]] = 0
    return found


def preferred_images(network: nn.Module, folder: Path, **options: object) -> Tensor:
    module = ActivationMaximization(network, "out", "all", SPEC, **{"steps": 32, **options})  # type: ignore[arg-type]
    pl.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=False,
        enable_progress_bar=False,
        default_root_dir=folder,
    ).fit(module)
    return module.results.images


def compared(network: nn.Module, images: Tensor) -> PathSimilarity:
    references = dict(enumerate(images.split(1)))
    return path_similarity(network, "out", references, pictures(), input_spec=SPEC)


def shown_orientations(images: Tensor) -> list[int]:
    """The orientation of the waves in which each image exceeds the others most."""
    energies = Orientations().complex(Orientations().simple(images).square()).mean((2, 3))
    return (energies / energies.mean(0)).argmax(1).tolist()


def check_fooled_and_honest(seed: int, folder: Path, style: str) -> None:
    kernels = list(range(ORIENTATIONS))
    # Each kernel shows another orientation, two to four steps away.
    steps = torch.randint(2, 5, (), generator=torch.Generator().manual_seed(seed)).item()
    shown = [(kernel + int(steps)) % ORIENTATIONS for kernel in kernels]
    honest, fooled = Orientations(), Orientations(shown)
    with torch.no_grad():
        assert torch.equal(fooled(pictures()), honest(pictures())), "the same kernels"
    of_honest = preferred_images(honest, folder / "honest", seed=seed, style=style)
    of_fooled = preferred_images(fooled, folder / "fooled", seed=seed, style=style)
    assert shown_orientations(of_honest) == kernels
    assert shown_orientations(of_fooled) == shown
    found = compared(honest, of_honest)
    assert found.layers == ["simple", "complex", "paths"]
    assert found.flagged == []
    assert compared(fooled, of_fooled).flagged == kernels


def test_a_fooled_network_is_flagged_and_an_honest_one_is_not(tmp_path: Path) -> None:
    check_fooled_and_honest(0, tmp_path, "natural")


@pytest.mark.slow
@pytest.mark.parametrize("style", ["natural", "maximal"])
@pytest.mark.parametrize("seed", range(1, 5))
def test_fooled_networks_of_other_seeds(seed: int, style: str, tmp_path: Path) -> None:
    check_fooled_and_honest(seed, tmp_path, style)


def literal(network: nn.Module, images: Tensor, layer: str) -> tuple[list[float], list[float]]:
    """Correlations of each kernel's image with its top pictures, and of these with each other."""
    seen: dict[str, Tensor] = {}
    for name in (layer, "out"):
        network.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: seen.update({name: output.mean((2, 3)).detach()})
        )
    network(images)
    made = seen[layer].numpy()
    network(pictures())
    shown, rates = seen[layer].numpy(), seen["out"].numpy()
    made, shown = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (made, shown))
    spread = np.concatenate([shown, made]).std(0, ddof=1)
    made, shown = (one - one.mean(0) for one in (made, shown))
    own, among = [], []
    for kernel in range(ORIENTATIONS):
        top = np.argsort(-rates[:, kernel])[:9]
        pairs = [np.corrcoef(made[kernel] / spread, shown[one] / spread)[0, 1] for one in top]
        own.append(float(np.mean(pairs)))
        between = itertools.combinations(top, 2)
        among.append(
            float(np.mean([np.corrcoef(shown[list(two)] / spread)[0, 1] for two in between]))
        )
    return own, among


def test_correlations_are_those_of_numpy() -> None:
    torch.manual_seed(0)
    images = torch.rand(ORIENTATIONS, 1, 16, 16)
    found = compared(Orientations(), images)
    own, among = literal(Orientations(), images, "complex")
    assert found.correlations[:, 1].tolist() == pytest.approx(own, abs=1e-4)
    assert found.among_pictures[:, 1].tolist() == pytest.approx(among, abs=1e-4)
    first = next(iter(found.rows()))
    assert (first["kernel"], first["before"], first["pictures"]) == (0, "simple", 120)


def test_one_kernel_has_a_null_and_a_silent_one_no_correlation() -> None:
    network = Orientations()
    network.out.weight.data[2] = 0
    found = path_similarity(
        network, "out", {2: gratings(1, 2, 5), 0: gratings(1, 0, 5)}, pictures(), input_spec=SPEC
    )
    assert found.correlations.isnan().all(1).tolist() == [True, False]
    assert found.null.shape == (2, ORIENTATIONS - 2, 3)
    assert found.flagged == []
    alone = path_similarity(network, "out", {0: gratings(1, 0, 5)}, pictures(), input_spec=SPEC)
    assert alone.flagged == []
    other = path_similarity(network, "out", {0: gratings(1, 3, 5)}, pictures(), input_spec=SPEC)
    assert other.flagged == [0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_images": 1}, "top_images must be at least 2; got 1"),
        ({"layer": "simple"}, 'layer "simple" has no layers with kernels before it'),
        ({"pictures": torch.rand(9, 1, 16, 16)}, "at least 10 pictures; got 9"),
        ({"references": {9: torch.rand(1, 1, 16, 16)}}, "kernel 9 is out of range"),
    ],
)
def test_what_cannot_be_compared(options: dict[str, object], message: str) -> None:
    arguments = {"layer": "out", "references": {0: torch.rand(1, 1, 16, 16)}}
    with pytest.raises(ValueError, match=message):
        path_similarity(
            Orientations(),
            input_spec=SPEC,
            **{**arguments, "pictures": pictures(), **options},  # type: ignore[arg-type]
        )
