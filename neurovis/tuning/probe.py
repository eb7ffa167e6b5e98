"""The pass over the stimuli as a LightningModule: the Trainer gives devices and progress."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from typing_extensions import Unpack, override

from neurovis.copies import frozen_copy
from neurovis.inputs import InputSpec
from neurovis.layers import LayerSelection
from neurovis.prediction import check_prediction
from neurovis.tuning.battery import Images, choose_battery
from neurovis.tuning.collection import Collection
from neurovis.tuning.rankings import AnyRanking, resolve_rankings
from neurovis.tuning.responses import LayerResponses
from neurovis.tuning.results import Rankings
from neurovis.tuning.settings import RankingOptions, RankingSettings


class TuningProbe(pl.LightningModule):
    """Ranks kernels under a Trainer: ``probe.run(trainer)``, then ``probe.results``.

    The Trainer distributes the stimuli across its devices; every process ends with all results.
    ``trainer.predict(probe)`` makes one pass, which is all unless a ranking depends on each
    kernel's best grating.

    Args:
        model: The network; it is left alone, a frozen copy is run.
        layers: As in :func:`~neurovis.tuning.rank_kernels`, like all other arguments.
        by: Names of rankings, or rankings.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        images: For the rankings by images.
        labels: The images' classes.
        classes: Their names.
        **settings: The options of :class:`RankingSettings`.

    Raises:
        ValueError: If a layer, ranking, stimulus or option is not usable.
        TypeError: If there is no such option, or an argument is of the wrong type.
    """

    #: Name of the pass in progress bars.
    pass_name = "stimuli"

    def __init__(
        self,
        model: nn.Module,
        layers: LayerSelection,
        by: str | AnyRanking | Iterable[str | AnyRanking] = "orientation",
        *,
        input_spec: InputSpec | None = None,
        images: Images | None = None,
        labels: Tensor | None = None,
        classes: Sequence[str] | None = None,
        **settings: Unpack[RankingOptions],
    ) -> None:
        super().__init__()
        self._spec = input_spec or InputSpec.rgb(224)
        self._settings = RankingSettings(**settings)
        self._layers = layers
        self._rankings = resolve_rankings(by)
        by_name = [ranking.name for ranking in self._rankings]
        self.save_hyperparameters({**vars(self._settings), "by": by_name})
        self._battery = choose_battery(
            self._rankings, self._spec, self._settings, images, labels, classes
        )
        # No submodule: the network is the user's, and must not be in checkpoints.
        self._model = (model,)
        self._begin()

    def _begin(self) -> None:
        """Start with the network as it is now, before any stimulus is shown."""
        # Its weights are the user's until it moves to a device.
        network = frozen_copy(*self._model, share=True)
        self._responses = LayerResponses(network, self._layers, self._spec, self._settings)
        self._collection = Collection(
            self._responses, self._rankings, self._battery, synchronize=True
        )
        self._results: Rankings | None = None
        self._is_used = False
        if not self._battery.sets:  # Nothing is shown, and so no pass is made.
            self._results = self._collection.rankings()

    @property
    def results(self) -> Rankings:
        """The rankings.

        Raises:
            RuntimeError: If there is a pass that was not made.
        """
        if self._results is None:
            raise RuntimeError(
                "there are no results before all passes over the stimuli are made; call "
                "probe.run(trainer), which makes them"
            )
        return self._results

    def run(self, trainer: pl.Trainer) -> None:
        """Show all stimuli, in as many passes as it takes.

        Args:
            trainer: What shows them.

        Raises:
            ValueError: If the Trainer is not usable, see :meth:`check_trainer`.
        """
        trainer.predict(self, return_predictions=False)
        while self._results is None:
            trainer.predict(self, return_predictions=False)

    @override
    def setup(self, stage: str) -> None:
        """Check the Trainer, and discard passes that were all made, or did not end.

        Raises:
            ValueError: If the Trainer is not usable, see :meth:`check_trainer`.
        """
        self.check_trainer(self.trainer)
        if self._is_used:
            self._begin()

    @override
    def predict_dataloader(self) -> list[DataLoader[Any]]:
        """Return one DataLoader for each set of stimuli."""
        return list(self._collection.loaders(self._settings.batch_size).values())

    def check_trainer(self, trainer: pl.Trainer) -> None:
        """Refuse a Trainer before it shows anything.

        Raises:
            ValueError: If it would show some of the stimuli only, show them in another precision,
                distribute too few, or lose the results.
        """
        fewest = min(map(len, self._battery.sets.values()), default=None)
        check_prediction(trainer, "a ranking", "stimuli", fewest, ("32-true",))

    @override
    def on_predict_start(self) -> None:
        """Move the network to the stimuli's device."""
        self._is_used = True
        self._responses.to(self.device)

    @override
    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> list[Tensor]:
        """Move the images; numbers and classes are needed on the CPU."""
        images, *further = batch
        return [super().transfer_batch_to_device(images, device, dataloader_idx), *further]

    @override
    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Show a batch of stimuli; their numbers are returned."""
        self._collection.see(list(self._collection.sets)[dataloader_idx], *batch)
        numbers: Tensor = batch[1]
        return numbers

    @override
    def on_predict_end(self) -> None:
        """Sum the responses of all processes, rank if all was shown, and free the device."""
        if self._collection.next_pass():
            self._is_used = False
        else:
            self._results = self._collection.rankings()
        self._responses.to(torch.device("cpu"))
