"""Read the kernels of layers: the one place that brings kernels to the second dimension.

Where a layer's output keeps kernels and positions :mod:`~neurovis.kernel_layouts` decides; outputs
without kernels are told from others here, and calls of one layer apart. All code that needs
activations or one number per kernel uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from torch import Tensor, nn

from neurovis.kernel_layouts import kernel_layouts
from neurovis.layers import unwrap
from neurovis.receptive_fields import Layout
from neurovis.recording import Recorder

#: Function of a layer's name, the inputs of its call and its activation ``(B, K, *positions)`` that
#: returns what is kept of the activation.
Keep = Callable[[str, tuple[Any, ...], Tensor], Tensor]


class LayerReader:
    """Reads some layers of a network in one forward that runs no further than the last of them.

    Activations come as ``(B, K, *positions)``: kernels are second, whatever the network's own
    order. A reader holds the network, which runs in whatever mode it is in; see
    :func:`~neurovis.recording.undisturbed`.

    Args:
        network: A compiled one is run as its original self.
        layers: Dotted name or names, of which a module may have several; ``"conv@2"`` is the second
            call of a layer that one forward calls several times. Or the layout of each layer's
            output by name, as an earlier reader has found them.
        example: An image ``(1, C, H, W)`` in the network's space, to find the layouts with; None
            where they are given.
        calls: How often each layer is called in one forward, as an earlier reader has learned.

    Attributes:
        network: The network, uncompiled.
        layouts: Order of images, kernels and positions in each layer's output, by name.
        other_tokens: Tokens of the last reading that have no place in the image, such as a class
            token, ``(B, K, n)`` by the name of layers that have some, without gradients.

    Raises:
        ValueError: If there is no such layer, a forward does not reach it, or nothing tells which
            dimension of its output counts kernels.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(2), nn.Linear(36, 5))
        >>> reader = LayerReader(network, ["0", "2"], torch.rand(1, 3, 8, 8))
        >>> {name: tuple(read.shape) for name, read in reader(torch.rand(2, 3, 8, 8)).items()}
        {'0': (2, 8, 6, 6), '2': (2, 5, 8)}
    """

    def __init__(
        self,
        network: nn.Module,
        layers: str | Sequence[str] | Mapping[str, Layout],
        example: Tensor | None = None,
        *,
        calls: Mapping[str, int] | None = None,
    ) -> None:
        self.network = unwrap(network)
        names = [layers] if isinstance(layers, str) else list(layers)
        self.other_tokens: dict[str, Tensor] = {}
        self._recorder = Recorder(self.network, names, calls)
        if isinstance(layers, Mapping):
            self.layouts = dict(layers)
        elif example is None:
            raise ValueError("a reader needs an example, or the layouts of the layers")
        else:
            self.layouts = kernel_layouts(self.network, names, example)

    @property
    def calls(self) -> Mapping[str, int] | None:
        """Number of calls of each layer in one forward; None before the first reading."""
        return self._recorder.calls

    def __call__(self, inputs: Tensor, keep: Keep | None = None) -> dict[str, Tensor]:
        """Return the activation of each layer, or the part that ``keep`` keeps.

        Args:
            inputs: ``(B, C, H, W)`` in the network's space and on its device.
            keep: Gives what is kept in place of an activation, so that memory does not grow with
                the maps. It must be a tensor of its own: the layers that follow may work in place.

        Returns:
            ``(B, K, *positions)`` by name, or what was kept.

        Raises:
            ValueError: If a layer is never reached, is called several times in a forward, or the
                first dimension of its output does not count images.
        """

        def read(name: str, layer_inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            activation = self.kernels_second(name, output, len(inputs))
            others = self.layouts[name].other_tokens(output.detach(), len(inputs))
            if others is not None:
                self.other_tokens[name] = others
            return activation if keep is None else keep(name, layer_inputs, activation)

        if keep is not None:
            return self._recorder.record(inputs, read)
        return {
            name: read(name, (), output) for name, output in self._recorder.record(inputs).items()
        }

    def check_places(self, layer: str, shape: Sequence[int]) -> None:
        """Refuse the unit in the center where nothing tells which one that is.

        Args:
            layer: Its name.
            shape: Of its activation, ``(B, K, *positions)``.

        Raises:
            ValueError: If its positions may be in any order, or tokens among them that have no
                place in the image.
        """
        if self.layouts[layer].places_are_known(shape):
            return
        grid = ", token_grid=(14, 14), prefix_tokens=1" if len(shape) == 3 else ""
        option = ", token_grid: [14, 14], prefix_tokens: 1" if len(shape) == 3 else ""
        raise ValueError(
            f'layer "{layer}" has {prod(shape[2:])} positions, and nothing tells which is in the '
            f'center of the image; say it, as in set_layout(network, "{layer}", kernel_dim=-1'
            f'{grid}) or --layouts "{{{layer}: {{kernel_dim: -1{option}}}}}", or read the mean or '
            "the max"
        )

    def kernels_second(self, layer: str, output: Tensor, batch: int) -> Tensor:
        """A layer's output, or a gradient to it, with its kernels in the second dimension.

        Args:
            layer: Its name.
            output: As the layer returned it.
            batch: How many images there were.

        Returns:
            ``(B, K, *positions)``, a view; one number for each image is one kernel.

        Raises:
            ValueError: If the first dimension does not count the images.
        """
        try:
            return self.layouts[layer].kernels_second(output, batch)
        except ValueError as error:
            raise ValueError(
                f'layer "{layer}" has no kernels that are read image by image: its output has '
                f"shape {tuple(output.shape)} for a batch of {batch}"
            ) from error
