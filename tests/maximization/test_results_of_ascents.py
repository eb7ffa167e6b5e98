"""What an ascent leaves: the better of the last image and the average, and starts like it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from climbing import GRAY, Climber
from torch import nn

from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization, AscentSettings
from neurovis.maximization.continuation import AscentState, continue_ascents
from neurovis.maximization.layer_ascent import LayerAscent
from neurovis.maximization.layer_response import LayerResponse

pytestmark = pytest.mark.usefixtures("without_figures")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("steps", [6, 90])
@pytest.mark.parametrize("tv", [0.0, 2.0])
def test_it_is_the_average_or_the_last_whichever_is_better(
    small_network: nn.Module,
    climb: Climber,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
    tv: float,
) -> None:
    both: list[torch.Tensor] = []
    original = LayerAscent._preferred_images

    def note(self: LayerAscent, slot: int, why: Any) -> Any:
        last = self._whole(self.images.values)
        both.append(torch.stack([self.averaged()[slot], last[slot]]).cpu())
        return original(self, slot, why)

    monkeypatch.setattr(LayerAscent, "_preferred_images", note)
    am = ActivationMaximization(
        small_network, "3", input_spec=GRAY, steps=steps, patience=None, tv=tv
    )
    climb(am)
    chosen = []
    for item, pair in zip(am.results.items, both, strict=True):
        with torch.no_grad():
            activations = small_network.eval()[:4](pair).mean((2, 3))[:, item.kernels[0]]
        gains = activations - sum(penalty(pair) for penalty in am.settings.penalties)
        best = int(gains.argmax())
        assert torch.equal(item.image, pair[best])
        assert item.activation == pytest.approx(float(activations[best]), rel=1e-5)
        chosen.append(best)
    # Early averages lag behind, but they are smoother.
    assert (0 if steps > 6 or tv else 1) in chosen


def test_images_during_a_training_are_chosen_alike(small_network: nn.Module) -> None:
    network = small_network.eval().requires_grad_(False)
    response = LayerResponse(network, "3", GRAY)
    settings = AscentSettings(steps=6)
    state, snapshot = continue_ascents(
        AscentState(), range(8), response, settings, torch.device("cpu")
    )
    reached = list(state.images.values())
    values, averages = (
        torch.cat(parts)
        for parts in (
            [one.values for one in reached],
            [one.moments.averaged(one.values) for one in reached],
        )
    )
    images = settings.resolved_parametrization.images(8, GRAY)
    last, averaged = (images.of(one).detach() for one in (values, averages))
    with torch.no_grad():
        of_last, of_averaged = (
            network[:4](shown).mean((2, 3)).diagonal() for shown in (last, averaged)
        )
    assert (of_last > of_averaged).any()
    torch.testing.assert_close(snapshot.activations, torch.maximum(of_last, of_averaged))
    expected = torch.where((of_last > of_averaged)[:, None, None, None], last, averaged)
    torch.testing.assert_close(snapshot.images, expected)


def test_starts_keep_to_the_constraints_where_the_unit_looks(climb: Climber) -> None:
    """And the noise image, which is the start here."""
    network = nn.Sequential(nn.Conv2d(3, 4, 7))
    am = ActivationMaximization(
        network,
        "0",
        input_spec=InputSpec.rgb(80),
        objective="center",
        contrast=0.2,
        luminance=0.45,
        steps=3,
    )
    climb(am)
    for item in am.results.items:
        assert item.box is not None
        for picture in (item.start, item.image):
            seen = item.seen(picture)
            assert seen.shape == (3, 7, 7)
            assert float(seen.mean()) == pytest.approx(0.45, abs=2e-3)
            assert float(seen.std(correction=0)) == pytest.approx(0.2, abs=2e-3)
        with torch.no_grad():
            shown = am.input_spec.to_network(item.start[None])
            noise = network(shown)[0, item.kernels[0], 37, 37]
        assert item.noise_activation == pytest.approx(float(noise), rel=1e-4, abs=1e-5)
