"""Makes the shipped weights: ``python -m neurovis.demo.training --config <file>``.

``configs/demo_training.yaml`` is the recipe of the weights in the package.
"""

from __future__ import annotations

from pathlib import Path

import torch
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from neurovis.demo.classifier import ShapeClassifier, ShapeScenesDataModule
from neurovis.demo.network import export_weights


class TrainingCLI(LightningCLI):
    """Lightning's command line with one more option, the file to write the weights to."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds ``--export``."""
        parser.add_argument(
            "--export", type=str, default="shapenet.pt", help="file to write the weights to"
        )

    def before_instantiate_classes(self) -> None:
        """Refuses a file that cannot be written now rather than after the training."""
        folder = Path(self.config["export"]).absolute().parent
        if not folder.is_dir():
            self.parser.error(f"--export needs an existing folder; there is no {folder}")


def main(arguments: list[str] | None = None) -> None:
    """Trains the demo network, tests it on fresh scenes and exports its weights.

    Args:
        arguments: The command line; that of the process when None.
    """
    # With another number of threads sums are taken in another order, and the weights differ.
    torch.set_num_threads(1)
    cli = TrainingCLI(
        ShapeClassifier,
        ShapeScenesDataModule,
        run=False,
        save_config_callback=None,
        args=arguments,
    )
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    cli.trainer.test(cli.model, datamodule=cli.datamodule)
    export_weights(cli.model.network, cli.config["export"])


if __name__ == "__main__":
    main()
