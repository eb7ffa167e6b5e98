"""``neurovis features``: feature maps of your own pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.table import Table
from torch import Tensor, nn

from neurovis.cli.options import add_layers_argument, layer_names, load_model_and_input
from neurovis.cli.picture_run import Numbered, PictureRun, add_picture_arguments, checked_options
from neurovis.cli.printing import console
from neurovis.cli.stopping import stoppable
from neurovis.cli.words import FEATURE_MAPS
from neurovis.figures import feature_map_figure
from neurovis.kernels import KernelSelection, select_kernels
from neurovis.layer_reader import LayerReader
from neurovis.layer_table import usable_layers
from neurovis.readouts import as_maps
from neurovis.recording import undisturbed

_COLUMNS = ("layer", "kernel", "mean", "std", "min", "max", "constant", "silent")


def add_arguments(parser: ArgumentParser) -> None:
    """Options: the network, the pictures, and which layers and kernels."""
    add_picture_arguments(parser)
    add_layers_argument(parser)
    parser.add_argument(
        "--kernels", type=int | list[int] | str, default="all", help='"all", or as in "0-15,20".'
    )
    parser.add_argument(
        "--max_kernels", type=int, default=64, help="Kernels in a figure; the files hold all."
    )


def run(options: Namespace) -> None:
    """Record the layers' maps of each picture."""
    if options.max_kernels < 1:
        raise ValueError(f"max_kernels must be at least 1; got {options.max_kernels}")
    network, spec = load_model_and_input(options)
    with checked_options(network, spec):
        axes = usable_layers(network, layer_names(options.layer), spec.example())
    pictures = PictureRun(options, spec)
    network.to(pictures.device)
    features = _Features(network, axes, options.kernels)
    # Whatever is wrong is found before anything is written.
    first = spec.to_network(pictures.first_image()).to(pictures.device)
    with checked_options(network, spec):
        features.record(first)
    with stoppable(lambda: pictures.kept):
        with undisturbed(network), pictures.table("results.csv", _COLUMNS) as table:
            for numbered, images in pictures.batches():
                found = features.record(spec.to_network(images).to(pictures.device))
                for layer, maps in found:
                    for picture, image, of_picture in zip(numbered, images, maps, strict=True):
                        layer.save(pictures, picture, image, of_picture, options.max_kernels)
                        table.write(layer.rows(picture, of_picture))
        _print(features.layers, pictures.number)
        pictures.finish()


@dataclass
class _Layer:
    """The chosen kernels of a layer, and what they did so far.

    Args:
        name: Dotted name.
        kernels: The ``K`` chosen ones.
        count: How many the layer has.
        size: Height and width of its maps.
    """

    name: str
    kernels: list[int]
    count: int
    size: tuple[int, int]
    _means: list[float] = field(default_factory=list)
    _silent: Tensor | None = None

    @property
    def tag(self) -> str:
        """As in the monitor of feature maps."""
        return f"feature_maps/{self.name}"

    def save(
        self, run: PictureRun, picture: Numbered, image: Tensor, maps: Tensor, most: int
    ) -> None:
        """Write the figure and the raw maps ``(K, H', W')`` of a picture ``(C, H, W)``."""
        shown = self.kernels[:most]
        which = "" if len(shown) == self.count else f" ({len(shown)} of {self.count} kernels)"
        title = f"{self.name}{which}, picture {picture.name}"
        figure = feature_map_figure(image, maps[:most], shown, run.spec, title)
        run.save_figure(self.tag, picture, figure, FEATURE_MAPS)
        arrays = {"maps": maps.numpy(), "kernels": self.kernels, "layer": self.name}
        run.save_arrays(self.tag, picture, arrays)

    def rows(self, picture: Numbered, maps: Tensor) -> list[dict[str, object]]:
        """One row of the table for each kernel's map."""
        flat = maps.flatten(1)
        silent = (flat == 0).all(1)
        self._silent = silent if self._silent is None else self._silent & silent
        self._means.append(flat.mean().item())
        numbers = {
            "mean": flat.mean(1),
            "std": flat.std(1, correction=0),
            "min": flat.amin(1),
            "max": flat.amax(1),
            "constant": (flat == flat[:, :1]).all(1),
            "silent": silent,
        }
        columns = {name: values.tolist() for name, values in numbers.items()}
        return [
            {
                **picture.columns,
                "layer": self.name,
                "kernel": kernel,
                **{name: values[place] for name, values in columns.items()},
            }
            for place, kernel in enumerate(self.kernels)
        ]

    @property
    def mean(self) -> float:
        """Over pictures, kernels and positions."""
        return sum(self._means) / len(self._means)

    @property
    def silent(self) -> int:
        """Number of kernels that were zero everywhere in every picture."""
        return 0 if self._silent is None else int(self._silent.sum())


class _Features:
    """Records the chosen kernels' maps.

    Args:
        network: On its device.
        axes: The dimension that counts kernels, by layer.
        kernels: Which kernels of every layer.
    """

    def __init__(self, network: nn.Module, axes: dict[str, int], kernels: KernelSelection) -> None:
        self._network = network
        self._selection = kernels
        self._reader = LayerReader(network, axes)
        self._layers: dict[str, _Layer] = {}

    @property
    def layers(self) -> list[_Layer]:
        """The layers, once there was a recording."""
        return list(self._layers.values())

    def record(self, images: Tensor) -> list[tuple[_Layer, Tensor]]:
        """The maps ``(B, K, H', W')`` of each layer, on the CPU.

        Args:
            images: ``(B, C, H, W)`` in the network's space and on its device.
        """
        with undisturbed(self._network), torch.no_grad():
            activations = self._reader(images)
        found = []
        for name, activation in activations.items():
            maps = as_maps(name, activation)
            count, size = maps.shape[1], (maps.shape[2], maps.shape[3])
            if name not in self._layers:
                kernels = select_kernels(self._selection, count, name)
                self._layers[name] = _Layer(name, kernels, count, size)
            layer = self._layers[name]
            found.append((layer, maps[:, layer.kernels].float().cpu()))
        return found


def _print(layers: list[_Layer], pictures: int) -> None:
    table = Table(title=f"Feature maps of {pictures} picture{'s' if pictures > 1 else ''}")
    table.add_column("layer", overflow="fold")
    for heading in ("kernels", "size", "mean activation", "silent in all"):
        table.add_column(heading, justify="right")
    for layer in layers:
        chosen = len(layer.kernels)
        table.add_row(
            layer.name,
            str(chosen) if chosen == layer.count else f"{chosen} of {layer.count}",
            " x ".join(map(str, layer.size)),
            f"{layer.mean:.4g}",
            str(layer.silent),
        )
    console().print(table)
