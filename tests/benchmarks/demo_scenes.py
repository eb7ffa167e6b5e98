"""Prints how long a demo scene takes to draw: ``python tests/benchmarks/demo_scenes.py``."""

import time

import torch

from neurovis.demo import ShapeScenes


def milliseconds_per_scene(batch_size: int, batches: int = 20) -> float:
    """Median time to draw a scene in batches of a size, on one core."""
    scenes = ShapeScenes(length=batch_size * batches)
    times = []
    for start in range(0, len(scenes), batch_size):
        started = time.perf_counter()
        scenes.__getitems__(range(start, start + batch_size))
        times.append(time.perf_counter() - started)
    return sorted(times)[batches // 2] / batch_size * 1e3


if __name__ == "__main__":
    torch.set_num_threads(1)
    for batch_size in (1, 8, 64):
        print(f"batch of {batch_size:2}: {milliseconds_per_scene(batch_size):.2f} ms a scene")
