"""Contributions of the kernels of a layer below to those of another one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from neurovis.analysis.shown_network import ShownNetwork
from neurovis.calling import network_inputs
from neurovis.inputs import InputSpec
from neurovis.layers import resolve_layer
from neurovis.readouts import spatial_mean
from neurovis.recording import Hook, hooked, undisturbed

#: Kernels that are looked at to tell whether a layer mixes those below.
_KERNELS_TRIED = 8


class ContributionReader:
    """Reads kernels' numbers, and what each kernel of a layer below contributes to them.

    Args:
        network: The network; it is left exactly as it was found.
        layer: Dotted name of the kernels' layer.
        spec: What the network is shown.
        space: A layer below, which a forward calls once; by default the last one with kernels that
            all that drives ``layer`` passes, and that it mixes.

    Attributes:
        shown: The network.
        space: Name of the layer below.

    Raises:
        ValueError: If there is no such layer, or none below.
    """

    space: str

    def __init__(
        self, network: nn.Module, layer: str, spec: InputSpec, space: str | None = None
    ) -> None:
        self.shown = ShownNetwork(network, spec, spec)
        self._network, self._layer, self._spec = self.shown.network, layer, spec
        candidates = self.shown.layers(layer, with_maps=True)
        names = [layer, *(candidates if space is None else [space])]
        self._readers = {name: self.shown.reader(name) for name in names}
        noise = torch.rand(2, *spec.shape, generator=torch.Generator().manual_seed(0))
        for self.space in reversed(names[1:]):
            if self._gradient(noise, 0) is not None and (space or self._is_all(noise)):
                return
        what = "below that everything passes" if space is None else f'"{space}" below'
        raise ValueError(f'facets of layer "{layer}" need a layer {what}; name another space')

    def _is_all(self, noise: Tensor) -> bool:
        """True if all that drives the layer passes the one below, whose kernels it mixes."""

        def silence(_name: str, _module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> Any:
            return torch.zeros_like(output)

        with undisturbed(self._network), torch.no_grad():
            first, second = self._activation(noise, silence)
        if not torch.allclose(first, second):
            return False
        kernels = range(min(_KERNELS_TRIED, first.shape[0]))
        reads = [int(self.contributions(noise, one).any(0).sum()) for one in kernels]
        return max(reads) > 1

    def contributions(self, images: Tensor, kernel: int) -> Tensor:
        """``(B, C)`` contribution of each kernel below to a kernel's number, on the CPU."""
        gradient = self._gradient(images, kernel)
        if gradient is None:
            raise RuntimeError(f'"{self.space}" does not lead to "{self._layer}"')
        maps = self._readers[self.space].kernels_second(self.space, gradient, len(images))
        return maps.flatten(2).sum(2).cpu() if maps.ndim > 2 else maps.cpu()

    def _gradient(self, images: Tensor, kernel: int) -> Tensor | None:
        """Gradient of a kernel's summed numbers for factors of the output of the layer below."""
        factors: list[Tensor] = []

        def scale(_name: str, _module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> Any:
            factors.append(torch.ones_like(output, requires_grad=True))
            return output * factors[0]

        with undisturbed(self._network):
            activation = self._activation(images, scale)
            if not factors or not activation.requires_grad:
                return None
            numbers = spatial_mean(activation)[:, kernel]
            (found,) = torch.autograd.grad(numbers.sum(), factors, allow_unused=True)
        gradient: Tensor | None = found
        return gradient

    def _activation(self, images: Tensor, hook: Hook) -> Tensor:
        """The layer's activation ``(B, K, ...)``, with a hook on the layer below."""
        module = resolve_layer(self._network, self.space)
        with hooked({self.space: module}, hook):
            inputs = network_inputs(self._network, self._spec, images)
            return self._readers[self._layer](inputs)[self._layer].float()
