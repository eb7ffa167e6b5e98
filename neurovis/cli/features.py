"""``neurovis features``: feature maps of your own pictures."""

from __future__ import annotations

from jsonargparse.typing import PositiveInt
from torch import Tensor

from neurovis.analysis import FeatureMaps, FeatureReader
from neurovis.cli.commands import LayerNames, TrainerArguments
from neurovis.cli.options import NetworkOptions, layer_names
from neurovis.cli.picture_run import PictureOptions, PictureRun, checked_options
from neurovis.cli.printing import print_table
from neurovis.cli.stopping import stoppable
from neurovis.cli.trainers import ONE_DEVICE


def run(
    network: NetworkOptions,
    pictures: PictureOptions,
    layer: LayerNames,
    kernels: int | list[int] | str = "all",
    max_kernels: PositiveInt = 64,
    trainer: TrainerArguments = ONE_DEVICE,
) -> None:
    """Record the layers' maps of each picture.

    Args:
        network: Network and its input.
        pictures: The pictures.
        layer: Dotted names, see neurovis layers; types such as Conv2d; or all-conv.
        kernels: "all", or as in "0-15,20".
        max_kernels: Kernels in a figure; the files hold all.
        trainer: Arguments of the Trainer.
    """
    module, spec = network.load()
    with checked_options(module, spec):
        reader = FeatureReader(module, layer_names(layer), spec, kernels)
    shown = PictureRun(pictures, trainer, spec)
    module.to(shown.device)
    # Whatever is wrong is found before anything is written.
    with checked_options(module, spec):
        reader(shown.first_image())
    with stoppable(lambda: shown.kept):
        first: dict[str, FeatureMaps] = {}
        means: dict[str, list[float]] = {}
        silent: dict[str, Tensor] = {}
        with shown.table("results.csv") as table:
            for numbers, images in shown.batches():
                for index, of_layers in zip(numbers, reader(images), strict=True):
                    for found in of_layers:
                        table.write(shown.save(found, index, max_kernels))
                        name = found.layer
                        first.setdefault(name, found)
                        means.setdefault(name, []).append(found.maps.mean().item())
                        silent[name] = found.silent & silent.get(name, found.silent)
        plural = "s" if shown.number > 1 else ""
        print_table(
            f"Feature maps of {shown.number} picture{plural}",
            [_cells(found, means[name], silent[name]) for name, found in first.items()],
            ["layer"],
        )
        shown.finish()


def _cells(first: FeatureMaps, means: list[float], silent: Tensor) -> dict[str, str]:
    chosen, count = len(silent), first.kernel_count
    return {
        "layer": first.layer,
        "kernels": str(chosen) if chosen == count else f"{chosen} of {count}",
        "size": " x ".join(map(str, first.maps.shape[1:])),
        "mean activation": f"{sum(means) / len(means):.4g}",
        "silent in all": str(int(silent.sum())),
    }
