"""The ascent as a LightningModule: the Trainer gives devices, precision and progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from neurovis.copies import frozen_copy
from neurovis.figures import render
from neurovis.files import check_writable
from neurovis.inputs import InputSpec
from neurovis.maximization.ascent import (
    LayerResponse,
    ascent_losses,
    count_kernels,
    gather_evidence,
    image_optimizer,
    noise_images,
)
from neurovis.maximization.checks import check_trainer, check_types, is_trial
from neurovis.maximization.network import fold_batch_norms
from neurovis.maximization.objectives import Target
from neurovis.maximization.parametrization import PARAMETRIZATIONS
from neurovis.maximization.results import MaximizationResults, PreferredImage
from neurovis.maximization.seeding import Stream, image_generator
from neurovis.maximization.settings import AscentSettings
from neurovis.maximization.views import draw_views
from neurovis.summaries import log_picture

_RESULTS_KEY = "neurovis_results"
_BATCH_KEY = "neurovis_unfinished_batch"


class TargetMaximization(pl.LightningModule):
    """Finds an image for each of a list of targets; the base of what users call.

    One ``training_step`` is one ascent step on a batch of images, one epoch is one batch of
    images from their start to their last step, and the Trainer stops after the last batch.
    With several devices (``strategy="neurovis_independent"``) the images are dealt out to the
    ranks, and every rank ends with all results.

    Args:
        model: The network as it is now; it is left alone, a frozen copy is run.
        layer: Dotted name of the layer.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        settings: How the ascent is done.

    Raises:
        ValueError: If the layer, the images' shape or the layer's response are not usable.
    """

    #: First part of TensorBoard tags.
    tag = "activation_maximization"

    def __init__(
        self, model: nn.Module, layer: str, input_spec: InputSpec | None, settings: AscentSettings
    ) -> None:
        super().__init__()
        self.layer = layer
        self.input_spec = input_spec or InputSpec.rgb(224)
        self.settings = settings
        check_types(model, layer, self.input_spec)
        # Responses are no submodules: the network is the user's, and has no place in checkpoints,
        # parameter counts or the optimizer.
        network = frozen_copy(model)
        self._response = LayerResponse(network, layer, self.input_spec)
        self.kernel_count = count_kernels(self._response)
        examples = self._response.inputs(noise_images(self.input_spec, count=2))
        folded = fold_batch_norms(network, layer, examples)
        # Where nothing was folded there is no second network to be traced and moved.
        self._folded_response = (
            self._response if folded is network else LayerResponse(folded, layer, self.input_spec)
        )
        self.results = MaximizationResults(layer, self.input_spec, settings.seed)
        self._unfinished: dict[str, Any] | None = None

    def set_targets(self, targets: Sequence[Target], labels: Sequence[str]) -> None:
        """Say what to make images of; called once, by the subclass."""
        self.targets, self.labels = list(targets), list(labels)
        self._batch: list[int] = []
        self._curves: list[Tensor] = []
        count = min(self.settings.batch_size, len(self.targets))
        self.images = PARAMETRIZATIONS[self.settings.parametrization](count, self.input_spec)

    # What Lightning asks for.

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over the images' parameters."""
        return image_optimizer(self.images.parameters(), self.settings.lr)

    def train_dataloader(self) -> range:
        """The steps of one epoch; there is no data but the images themselves."""
        return range(self.settings.steps)

    def on_fit_start(self) -> None:
        """Bring the network to the images' device.

        Raises:
            ValueError: If the Trainer would mix images, of several devices or of a batch, or would
                take a step for something else than one ascent step.
            OSError: If the Trainer's log folder cannot be written.
        """
        check_trainer(self.trainer, self.images)
        self._folder = self.trainer.log_dir or self.trainer.default_root_dir
        check_writable(self._folder)
        self._response.to(self.device)
        self._folded_response.to(self.device)

    def on_train_start(self) -> None:
        """One epoch for each batch of images that is left, so that progress bars know the end."""
        if self._unfinished is not None:
            self._resume_batch(self._unfinished)
        ranks = self.trainer.world_size
        finished = {item.index for item in self.results.items}
        largest_share = max(
            len(set(range(rank, len(self.targets), ranks)) - finished) for rank in range(ranks)
        )
        needed = self.trainer.current_epoch - (-largest_share // self.settings.batch_size)
        self._asked_epochs = asked = self.trainer.max_epochs
        if asked is None or asked < 0 or asked > needed:
            self.trainer.fit_loop.max_epochs = needed
        elif asked < needed:
            rank_zero_warn(
                f"max_epochs={asked} ends before the {needed} batches of images are done; "
                "give max_epochs=-1 to get them all"
            )

    def on_train_epoch_start(self) -> None:
        """Start the next batch of images."""
        self._start_batch(self._next_batch())
        self._start_images()
        self._starts = self._shown()
        for optimizer in self.trainer.optimizers:
            optimizer.state.clear()

    def training_step(self, _step: int) -> Tensor:
        """One ascent step on the batch; how many were made is counted here, also after a resume."""
        images = self.images()[: len(self._batch)]
        views = None if self._views is None else self._views[len(self._curves)].to(images)
        losses, climbed = ascent_losses(
            images,
            views,
            self._folded_response,
            self._batch_targets(),
            self.settings,
        )
        self._curves.append(climbed)
        self.log("activation", climbed.mean(), prog_bar=True, logger=False)
        self.log(f"{self.tag}/{self.layer}/activation", climbed.mean())
        return losses.sum()

    def on_train_epoch_end(self) -> None:
        """Keep the finished batch."""
        self.results.items = _merged([*self.results.items, *self._finished_batch()])

    def on_train_end(self) -> None:
        """Write files and pictures into the Trainer's log folder."""
        self.trainer.fit_loop.max_epochs = self._asked_epochs
        if len(self.results) and self.trainer.is_global_zero and not is_trial(self.trainer):
            self.results.save(self._folder)
            tag = f"{self.tag}/{self.layer}"
            figures = {tag: self.results.grid(), f"{tag}/curves": self.results.curves_figure()}
            for name, figure in figures.items():
                # Without a logger that takes images, the files are enough.
                log_picture(self.trainer.loggers, name, render(figure), self.global_step, None)

    def on_fit_end(self) -> None:
        """Say so if nothing came of it."""
        if not len(self.results):
            rank_zero_warn("the Trainer stopped before an image was finished: there are no results")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the results of all ranks, and what the images' parameters do not say of a batch."""
        checkpoint[_RESULTS_KEY] = [vars(item) for item in self.results.items]
        finished = {item.index for item in self.results.items}
        if self._curves and not finished.issuperset(self._batch):
            checkpoint[_BATCH_KEY] = {
                "batch": self._batch,
                "starts": self._starts.cpu(),
                "curves": torch.stack(self._curves).cpu(),
            }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the images that were not finished."""
        self.results.items = [PreferredImage(**item) for item in checkpoint[_RESULTS_KEY]]
        self._unfinished = checkpoint.get(_BATCH_KEY)

    # How a batch is started and finished.

    def _start_batch(self, batch: list[int]) -> None:
        """Settle which images are optimized together, and the views that they will be shown in."""
        self._batch = batch
        views = self.settings.views(self.input_spec)
        self._views = (
            None
            if views.is_still
            else draw_views(
                self.input_spec.size, views, self.settings.seed, self._keys(), self.settings.steps
            )
        )
        self._curves = []

    def _resume_batch(self, unfinished: dict[str, Any]) -> None:
        """Go on in the middle of a batch; Lightning restores the images and their optimizer."""
        if self.trainer.world_size > 1:
            raise ValueError(
                "a checkpoint from the middle of a batch holds the images of one process only; "
                "resume from one that was written at the end of an epoch"
            )
        self._start_batch(unfinished["batch"])
        self._starts = unfinished["starts"].to(self.device)
        self._curves = list(unfinished["curves"].to(self.device))
        self._unfinished = None
        if len(self._curves) == self.settings.steps:
            # Written after the last step and before the end of the epoch, which Lightning skips,
            # together with the start of the next.
            self.on_train_epoch_end()
            self.on_train_epoch_start()

    def _next_batch(self) -> list[int]:
        """This rank's next images; one again where there is none left, to keep ranks in step."""
        share = list(range(len(self.targets)))[self.trainer.global_rank :: self.trainer.world_size]
        finished = {item.index for item in self.results.items}
        unfinished = [index for index in share if index not in finished]
        return (unfinished or share[-1:] or [0])[: self.settings.batch_size]

    def _batch_targets(self) -> list[Target]:
        return [self.targets[index] for index in self._batch]

    def _keys(self) -> list[int]:
        """What random numbers belong to: an image's first kernel, as if it were alone."""
        return [target.kernels[0] for target in self._batch_targets()]

    def _start_images(self) -> None:
        init = self.settings.init
        if isinstance(init, Tensor):
            self.images.start_from_image(init)
        elif init == "zero":
            self.images.start_from_grey()
        else:
            self._start_from_noise()

    def _start_from_noise(self) -> None:
        self.images.start_from_noise(
            [image_generator(self.settings.seed, key, Stream.START) for key in self._keys()]
        )

    def _shown(self) -> Tensor:
        with torch.no_grad():
            shown: Tensor = self.images()
        return shown[: len(self._batch)].clone()

    def _noise_images(self) -> Tensor:
        """The noise images of this batch, whatever the ascent started from."""
        if self.settings.init == "noise":
            return self._starts
        values = self.images.values.detach().clone()
        self._start_from_noise()
        noise = self._shown()
        with torch.no_grad():
            self.images.values.copy_(values)
        return noise

    def _finished_batch(self) -> list[PreferredImage]:
        """This rank's finished images, together with those of the other ranks."""
        targets, readout = self._batch_targets(), self.settings.readout
        finals = self._shown()
        evidence = gather_evidence(finals, self._response, targets, readout)
        noise = gather_evidence(self._noise_images(), self._response, targets, readout)
        curves = torch.stack(self._curves, dim=1).float().cpu()
        items = []
        for slot, (index, target) in enumerate(zip(self._batch, targets, strict=True)):
            now, before = evidence[slot], noise[slot]
            items.append(
                PreferredImage(
                    index=index,
                    label=self.labels[index],
                    kernels=target.kernels,
                    weights=target.weights,
                    image=finals[slot].cpu(),
                    start=self._starts[slot].cpu(),
                    activation=float(target.join(now.activations)),
                    noise_activation=float(target.join(before.activations)),
                    member_activations=now.activations,
                    member_noise_activations=before.activations,
                    target_map=now.target_map,
                    resulting_map=now.resulting_map,
                    curve=curves[slot],
                )
            )
        return _from_all_ranks(items)


def _from_all_ranks(items: list[PreferredImage]) -> list[PreferredImage]:
    """The finished images of every rank, on every rank, so that any checkpoint holds them all."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return items
    shares: list[list[PreferredImage]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(shares, items)
    return [item for share in shares for item in share]


def _merged(items: list[PreferredImage]) -> list[PreferredImage]:
    """In order, each once: ranks that had nothing left to do repeated one of theirs."""
    return [item for _, item in sorted({item.index: item for item in items}.items())]
