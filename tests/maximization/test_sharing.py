"""Jobs dealt out to processes, and what every process knows in the end."""

from __future__ import annotations

import json
import multiprocessing
import random
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from climbing import GRAY
from kept import kept_images
from processes import started

from neurovis.maximization import run_images
from neurovis.maximization.jobs import Job
from neurovis.maximization.manifest import Manifest
from neurovis.maximization.objectives import Target
from neurovis.maximization.preferred_image import PreferredImage
from neurovis.maximization.run_images import RunImages
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.sharing import common_batch_size, share_of, slots_for


def jobs_of(**counts: int) -> list[Job]:
    """Jobs of layers, so many of each."""
    return [
        Job(number, layer, Target((number,)), f"kernel {number}")
        for layer, count in counts.items()
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("jobs", "at_once", "ranks", "slots"),
    [(100, 8, 1, 8), (100, 8, 2, 8), (6, 8, 1, 6), (6, 8, 2, 3), (6, 8, 4, 2), (7, 8, 2, 4)],
)
def test_slots(jobs: int, at_once: int, ranks: int, slots: int) -> None:
    assert slots_for(jobs, at_once, ranks) == slots


@pytest.mark.parametrize(("jobs", "ranks"), [(0, 1), (1, 8), (0, 3)])
def test_there_is_a_slot_always(jobs: int, ranks: int) -> None:
    assert slots_for(jobs, 8, ranks) == 1


def test_every_job_goes_to_one_process_however_many_there_are() -> None:
    chance = random.Random(0)
    for _ in range(300):
        counts = {f"layer{n}": chance.randint(1, 40) for n in range(chance.randint(1, 6))}
        jobs = jobs_of(**counts)
        slots, ranks = chance.randint(1, 9), chance.randint(1, 7)
        shares = [share_of(jobs, slots, rank, ranks) for rank in range(ranks)]
        dealt = [job for share in shares for job in share]
        assert len(dealt) == len(jobs)
        assert set(dealt) == set(jobs)
        for share in shares:
            # Layers in one piece each, and jobs of a layer in their order.
            layers = [layer for layer, _ in groupby(share, key=lambda job: job.layer)]
            assert len(layers) == len(set(layers))
            for _, own in groupby(share, key=lambda job: job.layer):
                places = [job.index for job in own]
                assert places == sorted(places)


def test_a_layer_is_dealt_out_in_equal_parts_of_full_batches() -> None:
    for count in range(1, 60):
        for slots in (1, 2, 4, 8):
            for ranks in (1, 2, 3, 5):
                jobs = jobs_of(layer=count)
                parts = [len(share_of(jobs, slots, rank, ranks)) for rank in range(ranks)]
                busy = [part for part in parts if part]
                assert max(busy) - min(busy) <= 1
                # No more processes than have full batches, but for the last.
                assert len(busy) == min(ranks, -(-count // slots))


def test_no_process_has_much_more_to_do_than_another() -> None:
    chance = random.Random(1)
    for _ in range(200):
        counts = {f"layer{n}": chance.randint(1, 60) for n in range(chance.randint(1, 8))}
        slots, ranks = chance.randint(1, 8), chance.randint(2, 6)
        jobs = jobs_of(**counts)
        loads = [len(share_of(jobs, slots, rank, ranks)) for rank in range(ranks)]
        # A layer gives nobody more than a batch and the rounding above its equal part.
        assert max(loads) - min(loads) <= 2 * slots + len(counts)


def test_small_layers_go_to_different_processes() -> None:
    jobs = jobs_of(one=4, two=4, three=4)
    shares = [share_of(jobs, 4, rank, 3) for rank in range(3)]
    assert [{job.layer for job in share} for share in shares] == [{"one"}, {"two"}, {"three"}]


def test_nothing_to_do_is_nothing_for_everybody() -> None:
    assert share_of([], 4, 0, 2) == []


# Processes without a file system in common.


def run_of(jobs: list[Job], folder: Path | None, manifest: Manifest) -> RunImages:
    run = RunImages(jobs, GRAY.resized(4), AscentSettings(variants=2))
    run.open(folder, manifest)
    return run


def an_image(job: Job, value: float, variant: int = 0) -> PreferredImage:
    one = torch.full((1, 4, 4), value)
    return PreferredImage(
        job.index, job.layer, job.label, job.target.kernels, None, one, one, value, 0.0,
        torch.tensor([value]), torch.zeros(1), one[0], one[0], torch.arange(3.0), "converged",
        variant,
    )  # fmt: skip


def _a_process(rank: int, folder: Path, shared: bool, has_disk: bool) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    jobs = jobs_of(one=3, two=2)
    own = (folder / "shared" if shared else folder / f"rank{rank}") if has_disk else None
    run = run_of(jobs, own, Manifest({"network": "a"}))
    torch.distributed.barrier()
    for place, job in enumerate(jobs[:4]):
        if place % 2 == rank:
            run.add(job, [an_image(job, place / 4), an_image(job, place / 4 + 1 / 8, 1)])
    torch.distributed.barrier()
    times = {} if own is None else {path: path.stat().st_mtime_ns for path in own.rglob("*.npz")}
    run.share()
    torch.distributed.barrier()
    items = [item for layer in ("one", "two") for item in run.finished(layer)]
    seen: dict[str, Any] = {
        "batch sizes": [
            common_batch_size(None, lambda: (5, 3)[rank]),
            common_batch_size((None, 7)[rank], lambda: 2),
            common_batch_size(4, lambda: 2),
        ],
        "values": [item.activation for item in items],
        "images": [float(item.image.mean()) for item in items],
        "curves": [item.curve.tolist() for item in items],
        "count": run.finished_count,
        "untouched": all(path.stat().st_mtime_ns == then for path, then in times.items()),
    }
    (folder / f"seen{rank}.json").write_text(json.dumps(seen))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("where", ["apart", "together", "in memory"])
def test_every_process_has_all_images_in_the_end(tmp_path: Path, where: str) -> None:
    context = multiprocessing.get_context("fork")
    arguments = (tmp_path, where == "together", where != "in memory")
    processes = [
        context.Process(target=_a_process, args=(rank, *arguments), daemon=True) for rank in (0, 1)
    ]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=60)
            assert process.exitcode == 0
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
            process.join()
    for rank in (0, 1):
        seen = json.loads((tmp_path / f"seen{rank}.json").read_text())
        # Two variants each of the four that are finished; the fifth job is not.
        assert seen["values"] == [number / 8 for number in range(8)]
        assert seen["images"] == pytest.approx(seen["values"], abs=1e-5)
        assert seen["curves"] == [[0, 1, 2]] * 8
        assert seen["count"] == 4
        assert seen["untouched"]
        # The smallest of both; the one that only rank 1 knows of; the one that was asked for.
        assert seen["batch sizes"] == [3, 7, 4]


def test_one_process_has_nothing_to_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(run_images, "gathered", unwanted)
    run = run_of(jobs_of(one=1), tmp_path, Manifest({}))
    run.share()
    assert list(tmp_path.iterdir()) == []
    assert run.finished_count == 0


_SWEEP = """
import json
import sys
import lightning.pytorch as pl
import torch
from torch import nn
from neurovis import ActivationMaximization, InputSpec

torch.set_num_threads(1)
devices, folder = int(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(3, 5, 5), nn.ReLU(), nn.Conv2d(5, 7, 3), nn.ReLU())
am = ActivationMaximization(
    network, ["2", "0"], input_spec=InputSpec.rgb(16), steps=30, batch_size=2, patience=4,
    min_improvement=0.05,
)
trainer = pl.Trainer(
    accelerator="cpu", devices=devices, default_root_dir=folder, logger=False, max_epochs=-1,
    enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False,
    strategy="neurovis_independent" if devices > 1 else "auto",
)
trainer.fit(am)
for layer, count in (("2", 7), ("0", 5)):
    assert len(am.results_of(layer)) == count
with open(f"{folder}/steps{trainer.global_rank}.json", "w") as file:
    json.dump(trainer.global_step, file)
"""


def _run_processes(script: Path, devices: int, folder: Path) -> None:
    with started(script, str(devices), folder) as process:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output


@pytest.mark.slow
def test_the_same_images_from_one_two_and_three_processes(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(_SWEEP)
    for devices in (1, 2, 3):
        _run_processes(script, devices, tmp_path / str(devices))
        # Every process had work of its own, and they made different numbers of steps.
        steps = [json.loads(path.read_text()) for path in tmp_path.glob(f"{devices}/steps*.json")]
        assert len(steps) == devices
        assert min(steps) > 10
        assert len(set(steps)) == devices
    for layer, count in (("2", 7), ("0", 5)):
        folders = [tmp_path / str(devices) for devices in (1, 2, 3)]
        kept = [kept_images(folder, layer) for folder in folders]
        assert np.array_equal(kept[0], kept[1])
        assert np.array_equal(kept[0], kept[2])
        arrays = [np.load(folder / layer / "results.npz") for folder in folders]
        assert arrays[0]["kernels"].tolist() == list(range(count))
        ends = {len(curve[~np.isnan(curve)]) for curve in arrays[0]["curves"]}
        assert len(ends) > 2, "they stop together"
        for other in arrays[1:]:
            for name in arrays[0].files:
                np.testing.assert_array_equal(arrays[0][name], other[name], err_msg=name)
    manifests = [(tmp_path / str(devices) / "manifest.json").read_text() for devices in (1, 2, 3)]
    assert manifests[0] == manifests[1] == manifests[2]
    assert json.loads(manifests[0])["complete"] is True
