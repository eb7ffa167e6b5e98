"""Find top images with two processes; run as a script with a folder, where each leaves its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import lightning.pytorch as pl
import torch
from torch import nn

from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.top_images import TopImagesProbe

SPEC = InputSpec((Modality("gray", 1),), 12)


def make_probe(count: int = 37) -> TopImagesProbe:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.Conv2d(6, 4, 3))
    images = torch.rand(count, 1, 12, 12)
    images[count // 2] = images[0]
    layers = {"0": "all", "2": [3, 1]}
    return TopImagesProbe(network, layers, images, 5, "max", input_spec=SPEC, batch_size=4)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    for count in (37, 3):
        probe = make_probe(count)
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=2,
            strategy="ddp",
            logger=False,
            enable_progress_bar=False,
            default_root_dir=folder,
        )
        trainer.predict(probe, return_predictions=False)
        left = {
            name: (found.activations, found.indices, found.units, found.number)
            for name, found in probe.results.items()
        }
        torch.save(left, folder / f"{count}.{os.environ.get('LOCAL_RANK', '0')}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
