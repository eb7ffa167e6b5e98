"""Print how many kernels and host waits things take, beside the most that they may take.

    PYTHONPATH=. python tests/devices/budgets.py [--lines]

Counts do not depend on the machine. ``--lines`` adds the lines of Python that wait.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from on_simulated_gpu import DEVICE
from simulated_gpu import Counts, counting
from step_counts import ascent_steps, bare_network
from torch import nn

from neurovis import InputSpec, rank_kernels, undisturbed

_STEPS = 16
#: A look at convergence falls into this many steps of a long run.
_LONG = 24


def waits_of_a_step(lines: bool = False) -> tuple[float, Counts]:
    """Host waits in a default ascent step, early and late."""
    early = ascent_steps(4, 4 + _STEPS, lines=lines)
    late = ascent_steps(34, 34 + _LONG, lines=lines)
    most = max(early.all_waits / _STEPS, late.all_waits / _LONG)
    return most, max(early, late, key=lambda counts: counts.all_waits)


def kernels_of_a_step(lines: bool = False) -> tuple[float, Counts]:
    """Kernels launched in a step of the maximal style."""
    counts = ascent_steps(4, 4 + _STEPS, lines=lines)
    return counts.kernels / _STEPS, counts


def kernels_of_a_natural_step(lines: bool = False) -> tuple[float, Counts]:
    """Kernels launched in a default ascent step, of the natural style."""
    counts = ascent_steps(4, 4 + _STEPS, lines=lines, style="natural")
    return counts.kernels / _STEPS, counts


def kernels_of_the_network(_: bool = False) -> tuple[float, Counts]:
    """Kernels launched by the bare network, forward and backward."""
    counts = bare_network()
    return counts.kernels, counts


def kernels_of_a_constrained_step(lines: bool = False) -> tuple[float, Counts]:
    """Kernels launched in a step with contrast and luminance."""
    counts = ascent_steps(4, 4 + _STEPS, lines=lines, contrast=0.2, luminance=0.5)
    return counts.kernels / _STEPS, counts


def waits_of_a_batch(lines: bool = False) -> tuple[float, Counts]:
    """Host waits for each further batch of a ranking by images, 6 convolutions."""
    few, many = _ranking_by_images(2, lines), _ranking_by_images(6, lines)
    return (many.all_waits - few.all_waits) / 4, many


def _ranking_by_images(batches: int, lines: bool) -> Counts:
    torch.manual_seed(0)
    channels = [3, *[8] * 6]
    parts = [
        part
        for before, after in pairwise(channels)
        for part in (nn.Conv2d(before, after, 3, padding=1), nn.ReLU())
    ]
    network = nn.Sequential(*parts).eval().to(DEVICE)
    images = torch.rand(8 * batches, 3, 32, 32)
    with counting(lines) as counts:
        rank_kernels(
            network,
            "all-conv",
            by=["sparseness", "activation", "class"],
            input_spec=InputSpec.rgb(32),
            images=images,
            labels=torch.arange(len(images)) % 3,
            null_kernels=10,
            batch_size=8,
            rectify=True,
        )
    return counts


def waits_of_undisturbed(lines: bool = False) -> tuple[float, Counts]:
    """Host waits in undisturbed(resnet50)."""
    from torchvision.models import resnet50

    network = resnet50().to(DEVICE)
    with counting(lines) as counts, undisturbed(network):
        pass
    return counts.all_waits, counts


#: What is counted, and at most how many.
BUDGETS: dict[Callable[[bool], tuple[float, Counts]], int | None] = {
    waits_of_a_step: 1,
    kernels_of_a_step: 110,
    kernels_of_a_natural_step: 110,
    kernels_of_the_network: None,
    kernels_of_a_constrained_step: 160,
    waits_of_a_batch: 4,
    waits_of_undisturbed: 2,
}


def main() -> None:
    """Print one line for each budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", action="store_true", help="add the lines of Python that wait")
    lines = parser.parse_args().lines
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for measure, most in BUDGETS.items():
        number, counts = measure(lines)
        what = (measure.__doc__ or "").rstrip(".")
        verdict = "" if most is None else f"at most {most}: {'yes' if number <= most else 'NO'}"
        print(f"{what:75} {number:8.4g}   {verdict}", flush=True)
        for line, times in counts.lines.most_common():
            print(f"    {times:5d}  {line}")


if __name__ == "__main__":
    main()
