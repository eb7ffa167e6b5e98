"""Random gains of the kernels before a layer, so that an image drives similar networks too.

An image may reach a high activation by a chance agreement of a few kernels, which no other network
shares. If the gain of every kernel varies from view to view, many have to speak for the image, as
gains of neurons vary from trial to trial (Goris, Movshon & Simoncelli 2014). That images which
drive perturbed networks transfer to others is known from adversarial examples (Li et al. 2020,
"Learning transferable adversarial examples via ghost networks").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from neurovis.differentiation import without_checkpoints
from neurovis.layers import find_call, first_names, named_layers
from neurovis.maximization.layer_response import LayerResponse, noise_images
from neurovis.maximization.seeding import Stream, image_generator
from neurovis.maximization.settings import AscentSettings
from neurovis.recording import hooked
from neurovis.transfer import sent

#: Number of random numbers that all gains are taken from, those of an image in a row.
_NUMBERS = 2**16


class GainNoise:
    """Gains ``1 + deviation * N(0, 1)`` of all kernels of the convolutions before a layer.

    Each image of a batch has gains of its own, the same wherever its kernels respond. Convolutions
    that return other than a map for each kernel and image, such as those of the frames of a video,
    keep their gains; so do those in the layer itself.

    Args:
        response: Response of the layer, on the network as it is run.
        deviation: Standard deviation of the gains, at least 0.
        device: Where the network is.
    """

    def __init__(self, response: LayerResponse, deviation: float, device: torch.device) -> None:
        self._convolutions = _convolutions_of_images(response)
        self._channels = [one.out_channels for one in self._convolutions.values()]
        total = sum(self._channels)
        numbers = torch.randn(_NUMBERS + total, generator=torch.Generator().manual_seed(0))
        self._numbers = (1 + deviation * numbers).to(device)
        self._offsets = torch.arange(total, device=device)

    @property
    def varies(self) -> bool:
        """True if there are kernels whose gains vary."""
        return bool(self._convolutions)

    @contextmanager
    def applied(self, places: Tensor) -> Iterator[None]:
        """Let the gains vary while the network is run inside.

        Args:
            places: ``(B,)`` on the CPU, where each image's gains begin, as
                :func:`draw_gain_places` gives them.
        """
        indices = sent(places, self._offsets.device)[:, None] + self._offsets
        gains = dict(
            zip(self._convolutions, self._numbers[indices].split(self._channels, 1), strict=True)
        )

        def vary(name: str, _module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> Any:
            own = gains[name]
            return output * own.to(output.dtype).reshape(*own.shape, *[1] * (output.ndim - 2))

        with without_checkpoints(), hooked(self._convolutions, vary):
            yield


def chosen_gain_noise(
    response: LayerResponse, settings: AscentSettings, device: torch.device
) -> GainNoise | None:
    """Return the random gains that settings ask for; None if there are none.

    Where they are asked for by the user and nothing varies, a warning says so.
    """
    if not settings.gain_deviation:
        return None
    noise = GainNoise(response, settings.gain_deviation, device)
    if noise.varies:
        return noise
    if settings.gain_noise is not None:
        rank_zero_warn(
            f'gain_noise does nothing for layer "{response.layer}": before it there is no '
            "convolution that returns a map for each kernel and image"
        )
    return None


def draw_gain_places(seed: int, kernel: int, variant: int, steps: int) -> Tensor:
    """Draw where an image's gains begin at each step, ``(steps,)`` on the CPU.

    The first of a longer draw are those of a shorter one.

    Args:
        seed: Seed of the run.
        kernel: Kernel of the image.
        variant: Which of several different images of one kernel.
        steps: How many.
    """
    generator = image_generator(seed, kernel, Stream.GAINS, variant)
    return torch.randint(_NUMBERS, (steps,), generator=generator)


@torch.no_grad()
def _convolutions_of_images(response: LayerResponse) -> dict[str, _ConvNd]:
    """Convolutions before a layer that return a map for each kernel and image, by name.

    What returns as many maps as there are images by chance would vary with the batch.
    """
    layer, _ = find_call(named_layers(response.network), response.layer)
    own = set() if layer is None else set(layer.modules())
    outside = {
        name: module
        for name, module in first_names(response.network).items()
        if isinstance(module, _ConvNd) and module not in own
    }
    suited: dict[str, bool] = {}

    def look(
        count: int, name: str, module: nn.Module, _inputs: tuple[Any, ...], output: Any
    ) -> None:
        is_suited = isinstance(output, Tensor) and output.shape[:2] == (count, module.out_channels)
        suited[name] = suited.get(name, True) and is_suited

    for count in (2, 3):
        with hooked(outside, partial(look, count)):
            response(noise_images(response.spec, count))
    return {name: module for name, module in outside.items() if suited.get(name)}
