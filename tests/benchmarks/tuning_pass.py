"""Costs of rankings over all convolutions of SqueezeNet, to bare forwards of the same stimuli.

    python tests/benchmarks/tuning_pass.py --repeats 3
    python tests/benchmarks/tuning_pass.py --by size --orientations 4 --spatial_frequencies 0.1 0.2

Prints the time of all passes (stimuli, null kernels, metrics and rankings included) and of as many
bare forwards, of the stimuli of the first pass made beforehand, as the ratio of their medians, and
how much the process's memory peaked above what it held before.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.utils.data import DataLoader

from neurovis import InputSpec
from neurovis.tuning import RankingSettings, rank_kernels
from neurovis.tuning.battery import choose_battery
from neurovis.tuning.rankings import resolve_rankings

RANKINGS = ["orientation", "spatial_frequency", "phase", "color", "weight"]


def main() -> None:
    """Measure in turns, so that both sides see the same machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--by", nargs="+", default=RANKINGS)
    parser.add_argument("--orientations", type=int, default=16)
    parser.add_argument("--spatial_frequencies", nargs="+", type=float)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_0().eval()
    spec = InputSpec.rgb(options.size)
    names = ("batch_size", "orientations", "spatial_frequencies")
    chosen = {name: getattr(options, name) for name in names}
    rankings = resolve_rankings(options.by)
    battery = choose_battery(rankings, spec, RankingSettings(**chosen), None, None, None)
    batches = [
        spec.to_network(batch[0])
        for stimuli in battery.sets.values()
        for batch in DataLoader(stimuli, batch_size=options.batch_size)
    ]
    number = sum(len(batch) for batch in batches)
    run_bare(network, batches[:2])
    shown = count_images(network)
    bare, full, bare_peaks, peaks = [], [], [], []
    for _ in range(options.repeats):
        with MemoryWatch() as memory:
            bare.append(timed(lambda: run_bare(network, batches)))
        bare_peaks.append(memory.above)
        shown.clear()
        with MemoryWatch() as memory:
            full.append(
                timed(
                    lambda: rank_kernels(network, "all-conv", rankings, input_spec=spec, **chosen)
                )
            )
        peaks.append(memory.above)
    each, other = statistics.median(bare) / number, statistics.median(full)
    one = each * sum(shown)
    print(f"{sum(shown)} stimuli of {options.size} px, by {' '.join(options.by)}, all convolutions")
    print(f"bare forwards {one:.1f} s ({1000 * each:.1f} ms a stimulus)")
    print(f"all passes    {other:.1f} s, ratio {other / one:.2f} (aim 1.3)")
    print(f"memory above the start, at most: bare {max(bare_peaks):.0f}, full {max(peaks):.0f} MiB")


def count_images(network: torchvision.models.SqueezeNet) -> list[int]:
    """A list that the number of images of each forward from now on is added to."""
    shown: list[int] = []
    forward = nn.Conv2d.forward

    def counted(layer: nn.Conv2d, images: Tensor) -> Tensor:
        if layer is network.features[0]:
            shown.append(len(images))
        return forward(layer, images)

    # What the network itself counts is put back.
    nn.Conv2d.forward = counted  # type: ignore[method-assign]
    return shown


def run_bare(network: nn.Module, batches: list[torch.Tensor]) -> None:
    """Forwards, and nothing else."""
    with torch.no_grad():
        for batch in batches:
            network(batch)


def timed(action: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


class MemoryWatch:
    """The highest resident memory inside, in MiB above that at the start."""

    def __enter__(self) -> MemoryWatch:
        self._start = self._highest = resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def above(self) -> float:
        """What was needed at most."""
        return self._highest - self._start

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self._highest = max(self._highest, resident())


def resident() -> float:
    """Resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
