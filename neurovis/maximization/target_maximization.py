"""The ascent as a LightningModule: the Trainer gives devices, precision and progress."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor, nn
from typing_extensions import override

from neurovis.calling import one_input
from neurovis.class_names import class_names
from neurovis.copies import frozen_copy
from neurovis.files import safe_name
from neurovis.inputs import InputSpec
from neurovis.layers import LayerSelection, class_name
from neurovis.maximization.batch_size import choose_batch_size
from neurovis.maximization.checks import check_arguments, check_trainer, is_trial
from neurovis.maximization.jobs import Job
from neurovis.maximization.layer_ascent import LayerAscent
from neurovis.maximization.manifest import Manifest, make_manifest
from neurovis.maximization.memory import give_back_freed_memory, keep_freed_memory
from neurovis.maximization.network import chosen_precision
from neurovis.maximization.objectives import Target
from neurovis.maximization.optimizer import ImageAdam
from neurovis.maximization.prepared_layer import maximizable_layers
from neurovis.maximization.results import MaximizationResults
from neurovis.maximization.run_images import RunImages
from neurovis.maximization.run_log import announce, hyperparameters, save_run
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.sharing import share_of, slots_for
from neurovis.run_folder import run_folder


class _Release(pl.Callback):
    """Release resources after an exception; LightningModules have no ``on_exception`` hook."""

    @override
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if isinstance(pl_module, TargetMaximization):
            pl_module.release()


class TargetMaximization(pl.LightningModule):
    """Finds an image for each of a list of targets; the base of what users call.

    One ``training_step`` is one ascent step on a batch of images. When an image is done, the next
    takes its place in the batch, and its file appears in the Trainer's log folder; the Trainer
    stops after the last. An interrupted run is resumed when it is started again in the same
    folder: finished images are kept, the others start again, with the same result.

    With several devices (``strategy="neurovis_independent"``) the images are distributed
    across the ranks, and every rank ends with all results.

    Args:
        model: The network as it is now; it is left alone, a frozen copy is run.
        layers: Dotted names, types, or ``"all-conv"``. Layers that are not named and cannot be
            maximized (called twice, never reached, always the same) are left out with a warning.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        settings: How the ascent is done.

    Raises:
        ValueError: If a layer, the images' shape or a layer's response are not usable.
    """

    #: First part of TensorBoard tags.
    tag = "activation_maximization"
    #: Whether images are of groups.
    grouped = False

    def __init__(
        self,
        model: nn.Module,
        layers: LayerSelection,
        input_spec: InputSpec | None,
        settings: AscentSettings,
    ) -> None:
        super().__init__()
        self.input_spec = input_spec or InputSpec.rgb(224)
        self.settings = settings
        check_arguments(model, layers, self.input_spec, settings)
        # The network is the user's, and has no place in checkpoints, parameter counts or the
        # optimizer: what holds it is no submodule.
        network = one_input(frozen_copy(model), self.input_spec)
        self._layers = maximizable_layers(network, layers, self.input_spec, settings)
        self._class_names = {
            name: class_names(network, name, layer.count) for name, layer in self._layers.items()
        }
        self._ascent: LayerAscent | None = None
        self._preparations = ExitStack()  # for the ascent

    def set_jobs(self, jobs: Sequence[Job]) -> None:
        """Say what to make images of; called once, by the subclass."""
        self.jobs = list(jobs)
        self._run = RunImages(jobs, self.input_spec, self.settings, self.grouped, self._class_names)
        # The Trainer wants parameters before it says how many devices there are.
        self.images = self.settings.resolved_parametrization.images(1, self.input_spec)

    @property
    def targets(self) -> list[Target]:
        """Targets that images are made for, one for each job."""
        return [job.target for job in self.jobs]

    @property
    def layers(self) -> list[str]:
        """Dotted names of the layers whose kernels are maximized."""
        return list(self._layers)

    @property
    def kernel_counts(self) -> dict[str, int]:
        """Number of kernels of each layer."""
        return {name: layer.count for name, layer in self._layers.items()}

    @property
    def results(self) -> MaximizationResults:
        """Results of the layer: its images with their activations.

        Raises:
            ValueError: If there are several layers; see :meth:`results_of`.
        """
        if len(self._layers) > 1:
            raise ValueError(
                f"there are images of {len(self._layers)} layers; "
                f'use results_of("{self.layers[0]}") and so on'
            )
        return self.results_of(self.layers[0])

    def results_of(self, layer: str) -> MaximizationResults:
        """Return the results of a layer so far, read from the run's folder.

        Raises:
            ValueError: If it is not one of :attr:`layers`.
        """
        if layer not in self._layers:
            raise ValueError(f'layer "{layer}" is not maximized; the layers are {self.layers}')
        return self._run.of(layer)

    def add_evidence(self, results: MaximizationResults) -> None:
        """Keep evidence, as :func:`~neurovis.analysis.with_evidence` adds, for later results."""
        self._run.add_evidence(results)

    def folder_of(self, layer: str, folder: Path) -> Path:
        """Return the folder for a layer's files: the run's folder, or one of several in it.

        Args:
            layer: Dotted name.
            folder: Folder of the run.
        """
        return folder / safe_name(layer) if len(self._layers) > 1 else folder

    @property
    def current_layer(self) -> str | None:
        """The layer whose images are in the making, in this process."""
        return None if self._ascent is None else self._ascent.layer.name

    @property
    def progress(self) -> float:
        """Number of :attr:`jobs` that are finished, with the parts of those in the making."""
        return self.finished_count + (0.0 if self._ascent is None else self._ascent.progress)

    @property
    def finished_count(self) -> int:
        """Number of :attr:`jobs` that are finished, on all devices that share a file system."""
        return self._run.finished_count

    def manifest(self) -> Manifest:
        """Return the manifest: network, input and settings, and which images are asked for."""
        first = self._layers[self.layers[0]]
        asked = {
            layer: [job.asked for job in self.jobs if job.layer == layer] for layer in self.layers
        }
        network, objective = first.response.network, first.objective
        return make_manifest(network, self.input_spec, self.settings, objective, self.tag, asked)

    def noise_statistics(self, layer: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation ``(N,)`` of a layer's readouts of noise images."""
        return self._layers[layer].noise_statistics()

    def release(self) -> None:
        """Release what only the ascent needs, and the device; finished images stay."""
        self._release_layer()
        if self.device.type == "cpu":
            give_back_freed_memory()

    def check_trainer(self, trainer: pl.Trainer) -> None:
        """Refuse a Trainer before it makes anything.

        Raises:
            ValueError: If it would mix images, of several devices or of a batch, or would take a
                step for something else than one ascent step.
        """
        check_trainer(trainer, self.images)

    # What Lightning asks for.

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over the images' parameters, each with its own count of steps."""
        self._optimizer = ImageAdam(self.images.values, self.settings.learning_rate)
        return self._optimizer

    def configure_callbacks(self) -> list[pl.Callback]:
        """Return the callback that releases resources after an exception."""
        return [_Release()]

    def train_dataloader(self) -> Iterator[int]:
        """Steps without end; there is no data but the images themselves."""
        return itertools.count()

    def on_fit_start(self) -> None:
        """See what the run's folder holds already.

        Raises:
            ValueError: If the Trainer would mix images, of several devices or of a batch, or would
                take a step for something else than one ascent step; or if the folder holds an
                unfinished run of another network or with other settings.
            OSError: If the folder cannot be written.
        """
        self.check_trainer(self.trainer)
        precision = chosen_precision(self.settings.precision, self.device)
        folder = None if is_trial(self.trainer) else run_folder(self.trainer)
        self._run.open(folder, self.manifest().with_entries(computed_in=precision))
        self._batch_size = self._run.settle_batch_size(
            lambda: choose_batch_size(self._layers, self.jobs, self.settings, self.device)
        )
        if self.settings.batch_size is None and self.device.type != "cpu":
            rank_zero_info(f"Images are optimized with batch_size={self._batch_size}")
        self._unfinished = self._run.unfinished()
        # No rank begins before all have seen what there is.
        self.trainer.strategy.barrier()

    def on_train_start(self) -> None:
        """Settle which of the images are this rank's, and begin with the first."""
        ranks = self.trainer.world_size
        at_once = self._batch_size // self.settings.variants
        self._slots = slots_for(len(self.jobs), at_once, ranks)
        self._queue = share_of(self._unfinished, self._slots, self.trainer.global_rank, ranks)
        if self.device.type == "cpu":
            keep_freed_memory()
        # Logging takes a third of a step of a small network.
        callbacks: list[pl.Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
        others = [callback for callback in callbacks if not isinstance(callback, _Release)]
        self._is_observed = bool(self.trainer.loggers or others)
        self._next_layer()

    def on_train_batch_start(self, batch: int, batch_idx: int) -> int | None:  # noqa: ARG002
        """End the epoch when all images are done."""
        return -1 if self._ascent is None else None

    def training_step(self, _step: int) -> Tensor:
        """One ascent step on the batch."""
        step = self._working.compute_step()
        if self._is_observed:
            activation = step.objective_values.mean()
            self.log("activation", activation, prog_bar=True, logger=False)
            self.log(f"{self.tag}/{self.current_layer}/activation", activation)
        return step.losses.sum()

    def on_after_backward(self) -> None:
        """Write what a run writes first: whatever can be refused has been by now."""
        self._begin()

    def on_train_batch_end(self, outputs: Any, batch: int, batch_idx: int) -> None:  # noqa: ARG002
        """Keep finished images, and start the next ones."""
        for job, images in self._working.take_finished():
            self._run.add(job, images)
        if self._working.is_done:
            self._next_layer()

    def on_train_epoch_end(self) -> None:
        """Stop the Trainer: all images are made in one epoch."""
        self.trainer.should_stop = True

    def on_train_end(self) -> None:
        """Write files and pictures into the Trainer's log folder."""
        if not self._unfinished:
            self._begin()
        # All ranks must take part, also those that are done long before the others.
        self.trainer.strategy.barrier()
        self._run.gather([] if self._ascent is None else self._ascent.cut_short())
        self.release()
        if self.trainer.is_global_zero and self._run.folder is not None:
            self._save(self._run.folder)
        self.trainer.strategy.barrier()

    def on_fit_end(self) -> None:
        """Say so if something is missing."""
        made = self.finished_count
        if made < len(self.jobs) and not is_trial(self.trainer):
            there = "these are the results" if made else "there are no results"
            rank_zero_warn(
                f"the Trainer stopped when {made} of {len(self.jobs)} images were finished: "
                f"{there}; a run in the same folder makes the others"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the finished images of all ranks; those in the making will start again."""
        self.trainer.strategy.barrier()
        checkpoint.update(self._run.checkpoint())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the finished images; those in the making start again."""
        self._run.restore(checkpoint)
        checkpoint["state_dict"] = self.state_dict()
        checkpoint["optimizer_states"] = []

    # How images are made.

    def _begin(self) -> None:
        """Write what a run writes first, once, and say what is logged."""
        if self.trainer.is_global_zero and self._run.begin() and not is_trial(self.trainer):
            announce(self.trainer.loggers, self.tag, self.layers, self.global_step)

    @property
    def _working(self) -> LayerAscent:
        if self._ascent is None:
            raise RuntimeError("there is no image in the making")
        return self._ascent

    def _next_layer(self) -> None:
        """Start the next layer that has any jobs."""
        self._release_layer()
        if not self._queue:
            return
        layer = self._layers[self._queue[0].layer]
        own = [job for job in self._queue if job.layer == layer.name]
        self._queue = self._queue[len(own) :]
        prepared = self._preparations.enter_context(layer.prepared(self.device))
        self._ascent = LayerAscent(prepared, own, self._slots, self.settings, self.device)
        self.images = self._ascent.images
        self._optimizer.work_on(self.images.values, self._ascent.moments)

    def _release_layer(self) -> None:
        self._ascent = None
        self._preparations.close()

    def _save(self, folder: Path) -> None:
        """Files and pictures of all layers, and the manifest with every image."""
        network = class_name(self._layers[self.layers[0]].response.network)
        kind = "groups" if self.grouped else "kernels"
        asked = hyperparameters(network, self.layers, kind, self.input_spec, self.settings)
        folders = {layer: self.folder_of(layer, folder) for layer in self.layers}
        save_run(self._run, folders, self.tag, self.trainer.loggers, asked, self.global_step)
