"""Activation maximization beside Lucent's: how soon our pictures score what Lucent's do.

    python -m venv lucent
    lucent/bin/pip install torch torchvision ipython decorator tqdm
    lucent/bin/pip install --no-deps torch-lucent==0.1.8 kornia==0.4.1
    python tests/benchmarks/am_vs_lucent.py --lucent_python lucent/bin/python --weights weights.pth

Lucent runs in its own environment: all kernels as one batch, its default transforms and optimizer.
Our side runs through the public API in the style for activations, maximal. The pictures of both are
scored alike: the kernel's mean activation over 16 draws of Lucent's transforms, in float32, on the
unmodified network. Times include everything from the network to the pictures, after a warm-up.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

DRAWS = 16
#: Our pictures are looked at after each so many steps.
SNAPSHOT_STEPS = 8
WARM_STEPS = 4
#: Pictures of white noise; what drives its kernel no more than the best of them is gray.
NOISE_PICTURES = 8
#: What a process on the other side is told.
TOLD = ("kernels", "size", "steps_of_lucent", "threads", "accelerator", "weights", "folder")


def main() -> None:
    """Run one side where asked to, else both, and compare."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--lucent_python", help="interpreter of an environment with Lucent 0.1.8")
    parser.add_argument("--weights", help="state dict of squeezenet1_0; torchvision's if left out")
    parser.add_argument("--layers", nargs="+", default=["features.3", "features.7", "features.12"])
    parser.add_argument("--kernels", type=int, default=8, help="so many, from kernel 0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps_of_lucent", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--side", choices=["lucent", "score"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.device = {"cpu": "cpu", "gpu": "cuda"}[options.accelerator]
    if options.side is not None:
        sides = {"lucent": maximize_with_lucent, "score": score_pictures}
        sides[options.side](options.layers[0], options)
    elif options.lucent_python is None:
        raise SystemExit(f"give --lucent_python, an interpreter that has Lucent.\n\n{__doc__}")
    else:
        print(f"{options.kernels} kernels at once, {options.size} px, {options.accelerator}")
        for layer in options.layers:
            compare(layer, options)


def compare(layer: str, options: argparse.Namespace) -> None:
    """Both sides of one layer, one right after the other, and what came of them."""
    # Lucent's environment, in which this file is run too, has none of what it imports.
    from am_flop_rate import flops, matmul_rate

    with tempfile.TemporaryDirectory() as name:
        options.folder = Path(name)
        ours = maximize_with_neurovis(layer, options)
        (dtype, shape), _ = ours.shown.most_common(1)[0]
        matmul = matmul_rate(dtype, options.device)
        for side in ("lucent", "score"):
            in_environment_of_lucent(side, layer, options)
        seconds = float(np.load(options.folder / "lucent.npz")["seconds"])
        print_scores(layer, ours, seconds, dict(np.load(options.folder / "scores.npz")))
    # The last pictures come with the results, after the last step.
    step = (ours.seconds[-2] - ours.seconds_at_start) / ours.steps[-2]
    rate = flops(load_network(options), layer, shape) / step
    each = [1000 * one / options.kernels for one in (seconds / options.steps_of_lucent, step)]
    print(f"  ms per kernel and step: Lucent {each[0]:.1f}, ours {each[1]:.1f}")
    print(
        f"  convolutions {rate / 1e9:.0f} GFLOP/s over whole steps, matrix multiplication "
        f"{matmul / 1e9:.0f} ({str(dtype).removeprefix('torch.')}): {rate / matmul:.0%}",
        flush=True,
    )


def print_scores(layer: str, ours: Run, seconds: float, scores: dict[str, Any]) -> None:
    """What pictures are worth, and how soon ours are worth what Lucent's are."""
    lucent, last, reached = scores["lucent"], scores["last"], scores["reached"]
    needed, steps = ours.seconds[len(reached) - 1], ours.steps[len(reached) - 1]
    limit = scores["noise"].clip(min=0)
    print(
        f"{layer}: score of Lucent {lucent.mean():.4g}, of ours {last.mean():.4g} after "
        f"{ours.seconds[-1]:.1f} s and {ours.steps[-1]} steps\n"
        f"  Lucent's score {'' if reached[-1] >= lucent.mean() else 'NOT '}reached after "
        f"{needed:.1f} s ({steps} steps); Lucent {seconds:.1f} s: ratio {seconds / needed:.1f}\n"
        f"  at least as high: {(last >= lucent).sum()} of {len(last)} kernels "
        f"({', '.join(f'{ratio:.2f}' for ratio in last / lucent.clip(min=1e-12))}); "
        f"gray: Lucent {(lucent <= limit).sum()}, ours {(last <= limit).sum()}"
    )


def in_environment_of_lucent(side: str, layer: str, options: argparse.Namespace) -> None:
    """Run one side of this file by Lucent's interpreter."""
    command = [options.lucent_python, "-W", "ignore", __file__, "--side", side, "--layers", layer]
    for name in TOLD:
        if getattr(options, name) is not None:
            command += [f"--{name}", str(getattr(options, name))]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if options.accelerator == "cpu":
        # Lucent chooses its device while it is imported.
        environment["CUDA_VISIBLE_DEVICES"] = ""
    subprocess.run(command, check=True, env=environment)


def load_network(options: argparse.Namespace) -> nn.Module:
    """SqueezeNet in float32 and eval mode; another each time, since Lucent leaves its hooks."""
    weights = None if options.weights else "DEFAULT"
    network: nn.Module = torchvision.models.squeezenet1_0(weights=weights)
    if options.weights:
        state = torch.load(options.weights, map_location="cpu", weights_only=True)
        network.load_state_dict({name: value.float() for name, value in state.items()})
    return network.eval()


class Run:
    """Our pictures on the way, with the steps and the seconds that made them."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.seconds: list[float] = []
        self.pictures: list[Tensor] = []
        self.seconds_at_start = 0.0
        self.shown: Counter[tuple[torch.dtype, torch.Size]] = Counter()
        self._paused = 0.0
        self._since = time.perf_counter()

    def now(self) -> float:
        """Seconds so far, without those in which pictures were taken."""
        return time.perf_counter() - self._since - self._paused

    def take(self, steps: int, pictures: Callable[[], Tensor]) -> None:
        """Keep the pictures of now; to look at them is no part of making them."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.steps.append(steps)
        self.seconds.append(self.now())
        before = time.perf_counter()
        self.pictures.append(pictures().cpu())
        self._paused += time.perf_counter() - before

    def watch(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """See what the first convolution is shown, and what it computes in."""
        if isinstance(module, nn.Conv2d) and module.in_channels == 3:
            self.shown[output.dtype, inputs[0].shape] += 1


def maximize_with_neurovis(layer: str, options: argparse.Namespace) -> Run:
    """The run, after a short one that warms up."""
    with tempfile.TemporaryDirectory() as folder:
        fit(layer, options, f"{folder}/warm", steps=WARM_STEPS)
        run = fit(layer, options, f"{folder}/run")
    np.savez(options.folder / "ours.npz", pictures=torch.stack(run.pictures).numpy())
    return run


def fit(layer: str, options: argparse.Namespace, folder: str, **settings: Any) -> Run:
    """One run through the public API."""
    import lightning.pytorch as pl

    from neurovis import ActivationMaximization, InputSpec

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

    class Photographer(pl.Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            run.seconds_at_start = run.seconds_at_start or run.now()

        def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
            if trainer.global_step % SNAPSHOT_STEPS == 0:
                run.take(trainer.global_step, module.current_images)

    network, spec = load_network(options), InputSpec.rgb(options.size)
    kernels, size = list(range(options.kernels)), options.kernels
    run = Run()
    asked = {"style": "maximal", "batch_size": size, **settings}
    am = ActivationMaximization(network, layer, kernels, spec, **asked)
    unwanted = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    given: dict[str, Any] = dict.fromkeys(unwanted, False)
    given |= {"callbacks": [Photographer()], "default_root_dir": folder, "max_epochs": -1}
    trainer = pl.Trainer(accelerator=options.accelerator, devices=1, **given)
    with register_module_forward_hook(run.watch):
        trainer.fit(am)
    run.take(trainer.global_step, lambda: am.results.images)
    return run


def maximize_with_lucent(layer: str, options: argparse.Namespace) -> None:
    """Lucent's pictures of all kernels as one batch, with the seconds they took."""
    objectives = importlib.import_module("lucent.optvis.objectives")
    param = importlib.import_module("lucent.optvis.param")
    render = importlib.import_module("lucent.optvis.render")
    name = layer.replace(".", "_")
    channels = [objectives.channel(name, kernel, batch=kernel) for kernel in range(options.kernels)]

    def run(steps: int) -> Any:
        return render.render_vis(
            load_network(options).to(options.device),
            objectives.Objective.sum(channels),
            lambda: param.image(options.size, batch=options.kernels),
            thresholds=(steps,),
            show_image=False,
            progress=False,
        )[-1]

    torch.manual_seed(0)
    np.random.seed(0)
    run(WARM_STEPS)
    start = time.perf_counter()
    pictures = run(options.steps_of_lucent).transpose(0, 3, 1, 2)
    seconds = time.perf_counter() - start
    np.savez(options.folder / "lucent.npz", pictures=pictures, seconds=seconds)


@torch.no_grad()
def score_pictures(layer: str, options: argparse.Namespace) -> None:
    """Score of each kernel's picture: Lucent's, ours until they reach it, our last, and noise's."""
    ours = np.load(options.folder / "ours.npz")["pictures"]
    lucents = np.load(options.folder / "lucent.npz")["pictures"]
    network, rows = load_network(options).to(options.device), np.arange(options.kernels)
    activations: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        activations.append(output.mean((2, 3)))
        raise StopIteration  # What comes after the layer does not matter.

    network.get_submodule(layer).register_forward_hook(keep)
    transform = importlib.import_module("lucent.optvis.transform")
    transforms = [*transform.standard_transforms, transform.normalize()]
    if options.size < 224:
        transforms.append(nn.Upsample(size=224, mode="bilinear", align_corners=True))
    show = transform.compose(transforms)

    def score(pictures: Any) -> Any:
        np.random.seed(0)  # Lucent draws from it: the same views for all pictures.
        activations.clear()
        for _ in range(DRAWS):
            with contextlib.suppress(StopIteration):
                network(show(torch.from_numpy(pictures).float().to(options.device)))
        return torch.stack(activations).mean(0).cpu().numpy()

    scores = {"lucent": score(lucents)[rows, rows], "last": score(ours[-1])[rows, rows]}
    reached: list[Any] = []
    while len(reached) < len(ours) and (not reached or reached[-1] < scores["lucent"].mean()):
        reached.append(score(ours[len(reached)])[rows, rows].mean())
    noise = np.random.default_rng(0).random((NOISE_PICTURES, *lucents.shape[1:]), dtype=np.float32)
    scores |= {"reached": np.array(reached), "noise": score(noise)[:, rows].max(0)}
    np.savez(options.folder / "scores.npz", **scores)


if __name__ == "__main__":
    main()
