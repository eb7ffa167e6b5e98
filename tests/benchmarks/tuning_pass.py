"""What the full battery costs over all convolutions of SqueezeNet, to bare forwards of the same.

    python tests/benchmarks/tuning_pass.py --repeats 3

Prints the time of a pass (stimuli, null kernels, metrics and rankings included) and of bare
forwards of the same stimuli, made beforehand, as the ratio of their medians, and how much the
process's memory peaked above what it held before.
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
from torch import nn

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
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_0().eval()
    spec = InputSpec.rgb(options.size)
    settings = RankingSettings(batch_size=options.batch_size)
    battery = choose_battery(resolve_rankings(RANKINGS), spec, settings, None, None, None)
    batches = [
        spec.to_network(batch[0])
        for loader in battery.loaders(options.batch_size).values()
        for batch in loader
    ]
    number = sum(len(batch) for batch in batches)
    print(f"{number} stimuli of {options.size} px, {len(RANKINGS)} rankings, all convolutions")
    run_bare(network, batches[:2])
    bare, full, bare_peaks, peaks = [], [], [], []
    for _ in range(options.repeats):
        with MemoryWatch() as memory:
            bare.append(timed(lambda: run_bare(network, batches)))
        bare_peaks.append(memory.above)
        with MemoryWatch() as memory:
            full.append(
                timed(
                    lambda: rank_kernels(
                        network,
                        "all-conv",
                        RANKINGS,
                        input_spec=spec,
                        batch_size=options.batch_size,
                    )
                )
            )
        peaks.append(memory.above)
    one, other = statistics.median(bare), statistics.median(full)
    print(f"bare forwards {one:.1f} s ({1000 * one / number:.1f} ms a stimulus)")
    print(f"full battery  {other:.1f} s, ratio {other / one:.2f} (aim 1.3)")
    print(f"memory above the start, at most: bare {max(bare_peaks):.0f}, full {max(peaks):.0f} MiB")


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
