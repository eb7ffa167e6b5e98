"""Read the feature maps of pictures, with figures and statistics of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from neurovis.calling import network_inputs, one_input
from neurovis.class_names import class_label, class_names
from neurovis.figures import feature_map_figure
from neurovis.inputs import InputSpec
from neurovis.kernel_layouts import usable_layers
from neurovis.kernels import KernelSelection, select_kernels
from neurovis.layer_reader import LayerReader
from neurovis.layers import LayerSelection
from neurovis.readouts import are_constant, as_maps
from neurovis.recording import undisturbed
from neurovis.result import Result, first_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class FeatureMaps(Result):
    """Maps of a layer's chosen kernels for one picture.

    Attributes:
        image: The picture, ``(C, H, W)`` in [0, 1].
        layer: Dotted name.
        kernels: The ``K`` chosen kernels.
        kernel_count: Number of the layer's kernels.
        maps: ``(K, H', W')``, float32 on the CPU.
        spec: What the network is shown.
        other_tokens: Values of tokens that have no place in the image, such as a class token,
            ``(K, n)``; None if there are none.
        class_names: Names of all of the layer's kernels; empty if they are no classes, and None if
            those of no other layer are either, so that tables need no column for them.
    """

    DESCRIPTION: ClassVar[str] = (
        "**What the kernels make of a picture**, beside the picture, one map a kernel. The maps "
        "share one scale from black (lowest) to white (highest value), stated above them in the "
        "layer's own unit. The slider goes through the pictures; their names are in the titles and "
        "`results.csv`."
    )

    image: Tensor
    layer: str
    kernels: list[int]
    kernel_count: int
    maps: Tensor
    spec: InputSpec
    class_names: Sequence[str] | None = None
    other_tokens: Tensor | None = None

    @property
    def tag(self) -> str:
        """Tag of the figure in logs, as the monitor's, and the folder of its files."""
        return f"feature_maps/{self.layer}"

    @property
    def silent(self) -> Tensor:
        """``(K,)``, True for kernels that are zero everywhere."""
        return (self.maps == 0).all((1, 2))

    def rows(self) -> Iterator[dict[str, object]]:
        """One row for each kernel: statistics of its map, in the layer's own unit."""
        flat = self.maps.flatten(1)
        columns = {
            "mean": flat.mean(1),
            "std": flat.std(1, correction=0),
            "min": flat.amin(1),
            "max": flat.amax(1),
            "constant": are_constant(self.maps),
            "silent": self.silent,
        }
        for place, kernel in enumerate(self.kernels):
            cells: dict[str, object] = {"layer": self.layer, "kernel": kernel}
            cells |= {name: values[place].item() for name, values in columns.items()}
            if self.class_names is not None:
                cells["class_name"] = self.class_names[kernel] if self.class_names else ""
            yield cells

    def _summary(self) -> str:
        size = " x ".join(map(str, self.maps.shape[1:]))
        highest = [
            f"{class_label(self.class_names or (), kernel)} {value:.3g}"
            for kernel, value in zip(self.kernels, self.maps.amax((1, 2)).tolist(), strict=True)
        ]
        return (
            f"{len(self.kernels)} of {self.kernel_count} kernels of {self.layer}, {size}, "
            f"{int(self.silent.sum())} silent; highest: {first_of(highest)}"
        )

    def figure(self, name: str = "", count: int = 64) -> Figure:
        """The maps beside the picture.

        Args:
            name: Name of the picture, for the title.
            count: Maximum number of kernels.
        """
        shown = self.kernels[:count]
        is_all = len(shown) == self.kernel_count
        which = "" if is_all else f" ({len(shown)} of {self.kernel_count} kernels)"
        title = f"{self.layer}{which}, picture {name}"
        labels = [class_label(self.class_names or (), kernel, "") for kernel in shown]
        others = None if self.other_tokens is None else self.other_tokens[:count]
        return feature_map_figure(self.image, self.maps[:count], labels, self.spec, title, others)

    def arrays(self) -> dict[str, Any]:
        """The maps ``(K, H', W')``, the kernels' numbers, the layer's name; other tokens if any."""
        arrays = {"maps": self.maps.numpy(), "kernels": self.kernels, "layer": self.layer}
        if self.other_tokens is not None:
            arrays["other_tokens"] = self.other_tokens.numpy()
        return arrays


class FeatureReader:
    """Reads the maps of some layers' kernels: ``reader(images)``.

    Args:
        network: The network, on any device; it is left as it was found.
        layers: Dotted names, types, ``"all-conv"``, or several of these.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        kernels: Which kernels of every layer: ``"all"``, ``"0-15,20"`` or numbers.

    Raises:
        ValueError: If there is no such layer, or nothing tells which dimension counts its kernels.

    Example:
        >>> reader = FeatureReader(nn.Sequential(nn.Conv2d(3, 4, 3)), "0", InputSpec.rgb(8), "1,3")
        >>> ((maps,),) = reader(torch.rand(1, 3, 8, 8))
        >>> maps.maps.shape, maps.kernels
        (torch.Size([2, 6, 6]), [1, 3])
    """

    def __init__(
        self,
        network: nn.Module,
        layers: LayerSelection,
        input_spec: InputSpec | None = None,
        kernels: KernelSelection = "all",
    ) -> None:
        self._spec = input_spec or InputSpec.rgb(224)
        self._network = network = one_input(network, self._spec)
        self._selection = kernels
        layouts = usable_layers(network, layers, self._spec.example())
        self._reader = LayerReader(network, layouts)

    def __call__(self, images: Tensor) -> list[list[FeatureMaps]]:
        """Return for each image the maps of each layer.

        Args:
            images: ``(B, C, H, W)`` in [0, 1].

        Raises:
            ValueError: If a kernel is out of range, or a layer has no maps.
        """
        shown = network_inputs(self._network, self._spec, images)
        with undisturbed(self._network), torch.no_grad():
            activations = self._reader(shown)
        found: list[list[FeatureMaps]] = [[] for _ in images]
        of_layers = {layer: as_maps(layer, one) for layer, one in activations.items()}
        named = {
            layer: class_names(self._network, layer, maps.shape[1])
            for layer, maps in of_layers.items()
        }
        for layer, maps in of_layers.items():
            count = maps.shape[1]
            kernels = select_kernels(self._selection, count, layer)
            of_layer = maps[:, kernels].float().cpu()
            names = named[layer] if any(named.values()) else None
            others = self._reader.other_tokens.get(layer)
            for place, results in enumerate(found):
                tokens = None if others is None else others[place, kernels].float().cpu()
                results.append(
                    FeatureMaps(
                        *(images[place], layer, kernels, count, of_layer[place], self._spec),
                        names,
                        tokens,
                    )
                )
        return found
