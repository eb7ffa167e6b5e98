"""``neurovis features``: feature maps of your own pictures."""

from __future__ import annotations

from collections.abc import Mapping

from jsonargparse import ArgumentParser, Namespace
from rich.table import Table

from neurovis.analysis import FeatureMaps, FeatureReader
from neurovis.cli.options import add_layers_argument, layer_names, load_model_and_input
from neurovis.cli.picture_run import PictureRun, add_picture_arguments, checked_options
from neurovis.cli.printing import console
from neurovis.cli.stopping import stoppable


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
        reader = FeatureReader(network, layer_names(options.layer), spec, options.kernels)
    pictures = PictureRun(
        options.images, options.patterns, options.batch_size, vars(options.trainer), spec
    )
    network.to(pictures.device)
    # Whatever is wrong is found before anything is written.
    with checked_options(network, spec):
        reader(pictures.first_image())
    with stoppable(lambda: pictures.kept):
        summaries: dict[str, _Summary] = {}
        with pictures.table("results.csv", FeatureMaps.COLUMNS) as table:
            for numbered, images in pictures.batches():
                for picture, of_layers in zip(numbered, reader(images), strict=True):
                    for found in of_layers:
                        pictures.save(found, picture, options.max_kernels)
                        table.write(picture.rows(found))
                        summaries.setdefault(found.layer, _Summary(found)).add(found)
        _print(summaries, pictures.number)
        pictures.finish()


class _Summary:
    """Numbers of a layer's maps over all pictures.

    Args:
        first: The first picture's.
    """

    def __init__(self, first: FeatureMaps) -> None:
        chosen, count = len(first.kernels), first.kernel_count
        self.kernels = str(count) if chosen == count else f"{chosen} of {count}"
        self.size = " x ".join(map(str, first.maps.shape[1:]))
        self._means: list[float] = []
        self._silent = first.silent

    def add(self, found: FeatureMaps) -> None:
        """Count a picture."""
        self._means.append(found.maps.mean().item())
        self._silent = self._silent & found.silent

    @property
    def cells(self) -> list[str]:
        """Cells of the printed table."""
        mean = sum(self._means) / len(self._means)
        return [self.kernels, self.size, f"{mean:.4g}", str(int(self._silent.sum()))]


def _print(summaries: Mapping[str, _Summary], pictures: int) -> None:
    table = Table(title=f"Feature maps of {pictures} picture{'s' if pictures > 1 else ''}")
    table.add_column("layer", overflow="fold")
    for heading in ("kernels", "size", "mean activation", "silent in all"):
        table.add_column(heading, justify="right")
    for layer, summary in summaries.items():
        table.add_row(layer, *summary.cells)
    console().print(table)
