"""``neurovis features``: feature maps of your own pictures."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace
from torch import Tensor

from neurovis.analysis import FeatureMaps, FeatureReader
from neurovis.cli.options import add_layers_argument, layer_names, load_model_and_input
from neurovis.cli.picture_run import PictureRun, add_picture_arguments, checked_options
from neurovis.cli.stopping import stoppable
from neurovis.cli.tables import print_table


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
        first: dict[str, FeatureMaps] = {}
        means: dict[str, list[float]] = {}
        silent: dict[str, Tensor] = {}
        with pictures.table("results.csv", FeatureMaps.COLUMNS) as table:
            for numbered, images in pictures.batches():
                for picture, of_layers in zip(numbered, reader(images), strict=True):
                    for found in of_layers:
                        pictures.save(found, picture, options.max_kernels)
                        table.write(picture.rows(found))
                        layer = found.layer
                        first.setdefault(layer, found)
                        means.setdefault(layer, []).append(found.maps.mean().item())
                        silent[layer] = found.silent & silent.get(layer, found.silent)
        plural = "s" if pictures.number > 1 else ""
        print_table(
            f"Feature maps of {pictures.number} picture{plural}",
            [_cells(found, means[layer], silent[layer]) for layer, found in first.items()],
            ["layer"],
        )
        pictures.finish()


def _cells(first: FeatureMaps, means: list[float], silent: Tensor) -> dict[str, str]:
    chosen, count = len(silent), first.kernel_count
    return {
        "layer": first.layer,
        "kernels": str(chosen) if chosen == count else f"{chosen} of {count}",
        "size": " x ".join(map(str, first.maps.shape[1:])),
        "mean activation": f"{sum(means) / len(means):.4g}",
        "silent in all": str(int(silent.sum())),
    }
