"""How near activation maximization comes to the rate of a matrix multiplication.

    python tests/benchmarks/am_flop_rate.py --network vgg16 --layers features.14 features.28

Operations of the convolutions, forward and back to the image, over the time of whole steps, by
networks of torchvision with random weights; beside a large matrix multiplication in the precision
that the network is run in.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from typing import Any

import lightning.pytorch as pl
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from neurovis import ActivationMaximization, InputSpec
from neurovis.maximization.settings import Precision
from neurovis.recording import Recorder

WARM_STEPS, STEPS = 4, 12


class Watch(pl.Callback):
    """The seconds of each step, and what the network is shown."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.shown = torch.Size()
        self.dtype = torch.float32

    def on_train_batch_start(self, *_: Any) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter() - self._since)

    def see(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Of a convolution that is shown a batch of images."""
        if isinstance(module, nn.Conv2d) and module.in_channels == 3 and output.requires_grad:
            self.shown, self.dtype = inputs[0].shape, output.dtype


def step_of(network: nn.Module, layer: str, precision: Precision, accelerator: str) -> Watch:
    """Some steps through the public API."""
    watch = Watch()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    spec, steps = InputSpec.rgb(224), WARM_STEPS + STEPS
    am = ActivationMaximization(
        network, layer, range(8), spec, steps=steps, patience=None, precision=precision
    )
    unwanted = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    given: dict[str, Any] = dict.fromkeys(unwanted, False)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            **given,
            accelerator=accelerator,
            devices=1,
            max_epochs=-1,
            callbacks=[watch],
            default_root_dir=folder,
        )
        with nn.modules.module.register_module_forward_hook(watch.see):
            trainer.fit(am)
    return watch


def flops(network: nn.Module, layer: str, shown: torch.Size) -> int:
    """Of a forward to the layer and the gradient with respect to what is shown."""
    images = torch.rand(shown, requires_grad=True)
    recorder = Recorder(network.requires_grad_(False), layer)
    recorder.record(images)  # Learns where to stop.
    with FlopCounterMode(display=False) as counter:
        recorder.record(images)[layer].mean().backward()
    return int(counter.get_total_flops())


def matmul_rate(dtype: torch.dtype, device: str) -> float:
    """Operations a second of a large matrix multiplication."""
    side = 2048 if device == "cpu" else 8192
    matrix = torch.rand(side, side, device=device).to(dtype)
    times = []
    for _ in range(9):
        start = time.perf_counter()
        (matrix @ matrix)[0, 0].item()  # Waits for the device.
        times.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(times)


def main() -> None:
    """Print a line for each layer."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--network", default="vgg16")
    parser.add_argument("--layers", nargs="+", default=["features.14", "features.28"])
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = torchvision.models.get_model(options.network, weights=None).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)  # Some initializations let signals die out.
    for layer in options.layers:
        watch = step_of(network, layer, options.precision, options.accelerator)
        step = statistics.median(watch.times[WARM_STEPS:])
        rate = flops(network, layer, watch.shown) / step
        matmul = matmul_rate(watch.dtype, {"cpu": "cpu", "gpu": "cuda"}[options.accelerator])
        print(
            f"{options.network} {layer}: {1000 * step:.0f} ms a step of {watch.shown[0]} images, "
            f"{rate / 1e9:.0f} GFLOP/s; matrix multiplication {matmul / 1e9:.0f} "
            f"({str(watch.dtype).removeprefix('torch.')}): {rate / matmul:.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
