"""Do one thing on one or two simulated GPUs, and write what came of it.

two_devices.py am|rank|top 1|2 FOLDER
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy
from on_simulated_gpu import DEVICE, SimulatedGPU
from step_counts import five_layer_network
from strict_process_group import BACKEND, register

from neurovis import ActivationMaximization, InputSpec
from neurovis.maximization.strategy import IndependentDDPStrategy
from neurovis.top_images import TopImagesProbe
from neurovis.tuning import TuningProbe

SPEC = InputSpec.rgb(32)
IMAGES = torch.rand(25, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def trainer(strategy: Strategy, devices: int, folder: Path) -> pl.Trainer:
    return pl.Trainer(
        accelerator=SimulatedGPU(),
        devices=devices,
        strategy=strategy if devices > 1 else SingleDeviceStrategy(DEVICE),
        max_epochs=-1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


def am(devices: int, folder: Path) -> list[list[float]]:
    module = ActivationMaximization(
        five_layer_network(),
        layer=["2", "4"],
        kernels=range(5),
        input_spec=SPEC,
        steps=40,
        patience=8,
        batch_size=2,
    )
    trainer(IndependentDDPStrategy(), devices, folder).fit(module)
    return [module.results_of(layer).activations.tolist() for layer in ("2", "4")]


def rank(devices: int, folder: Path) -> list[list[float]]:
    probe = TuningProbe(
        five_layer_network(),
        ["2", "4"],
        ["orientation", "sparseness", "contrast"],
        input_spec=SPEC,
        images=IMAGES,
        null_kernels=10,
    )
    strategy = DDPStrategy(process_group_backend=BACKEND)
    probe.run(trainer(strategy, devices, folder))
    return [ranking.score.nan_to_num(-1).tolist() for ranking in probe.results]


def top(devices: int, folder: Path) -> list[list[int]]:
    probe = TopImagesProbe(
        five_layer_network(), {"4": "all"}, IMAGES, k=3, input_spec=SPEC, batch_size=4
    )
    strategy = DDPStrategy(process_group_backend=BACKEND)
    trainer(strategy, devices, folder).predict(probe, return_predictions=False)
    return probe.results["4"].indices.tolist()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    register()
    what, devices, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    found = {"am": am, "rank": rank, "top": top}[what](devices, folder / "run")
    own = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    (folder / f"found{own}.json").write_text(json.dumps(found))
