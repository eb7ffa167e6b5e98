"""The pass over the images: in a plain loop, or as a LightningModule on several devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from typing_extensions import override

from neurovis.copies import frozen_copy
from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection, reusable
from neurovis.maximization.results import MaximizationResults
from neurovis.prediction import check_prediction
from neurovis.recording import undisturbed
from neurovis.top_images.images import ImageBatch, ImageSource, number_images
from neurovis.top_images.reading import AnyObjective, TopReader
from neurovis.top_images.results import TopImages
from neurovis.top_images.search import Search


def find_top_images(
    model: nn.Module,
    layer: str,
    kernels: KernelSelection,
    images: ImageSource,
    k: int = 9,
    objective: AnyObjective = "mean",
    input_spec: InputSpec | None = None,
    batch_size: int = 32,
    preferred: MaximizationResults | None = None,
) -> TopImages:
    """Find the images of a data set that each kernel responds to most.

    They stream by: memory grows with kernels and ``k``, not with the number of images. Images of
    another size than the network's input are stretched to it. Among equal responses the earlier
    image comes first; images to which the response is NaN or infinite are left out and counted, and
    pictures that cannot be read are left out.

    Args:
        model: The network, on any device; it is left exactly as it was found.
        layer: Dotted name.
        kernels: ``"all"``, ``"0-15,20"`` or numbers.
        images: A folder or files; a tensor ``(N, C, H, W)``; or a data set or any other iterable
            of images ``(C, H, W)``, each alone or first in a tuple. In [0, 1].
        k: How many to find for each kernel.
        objective: What is compared: ``"mean"``, ``"center"``, ``"max"``, any other
            :class:`~neurovis.maximization.objectives.Objective`, or what makes one number for each
            kernel of activations ``(B, K, ...)``. ``kernels`` are the numbers that it gives.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        batch_size: Images at a time.
        preferred: The kernels' preferred images, to stand beside.

    Raises:
        ValueError: If the network cannot take such images, there is no such layer or kernel, no
            image, or one is not in [0, 1].
        TypeError: If images are nothing that holds images.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3))
        >>> images = torch.rand(20, 3, 8, 8)
        >>> found = find_top_images(network, "0", "all", images, k=3, input_spec=InputSpec.rgb(8))
        >>> found.indices.shape, found.crops(0)[0].shape
        (torch.Size([4, 3]), torch.Size([3, 3, 3]))
    """
    spec = input_spec or InputSpec.rgb(224)
    shown = number_images(images, spec)
    _check_numbers(k, batch_size)
    with undisturbed(model), torch.no_grad():
        reader = TopReader(model, {layer: kernels}, spec, objective)
        search = Search(reader, shown, k)
        search.to(_device_of(model))
        search.stay_alone()
        for batch in shown.loader(batch_size):
            search.see(batch)
        found = search.found([] if preferred is None else [preferred], batch_size)
    return found[layer]


class TopImagesProbe(pl.LightningModule):
    """Finds top images under a Trainer: ``trainer.predict(probe)``, then ``probe.results``.

    The Trainer shares the images out among its devices, and every process ends with all results.

    Args:
        model: The network; it is left alone, a frozen copy is run.
        layers: For each layer its kernels; all are read in the same forwards.
        images: As in :func:`find_top_images`, like all other arguments.
        k: How many for each kernel.
        objective: What is compared.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        batch_size: Images at a time, on each device.
        preferred: For some of the layers, the kernels' preferred images.
        workers: Processes that read images, for each device; 0 to read them in between.

    Attributes:
        preferred: As given; may be set until the Trainer is done.
        results: What was found, by layer; once the Trainer is done.

    Raises:
        ValueError: As :func:`find_top_images`.
        TypeError: If images are nothing that holds images.
    """

    #: What progress bars call the pass.
    pass_name = "top images"
    results: dict[str, TopImages]

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, KernelSelection],
        images: ImageSource,
        k: int = 9,
        objective: AnyObjective = "mean",
        *,
        input_spec: InputSpec | None = None,
        batch_size: int = 32,
        preferred: Sequence[MaximizationResults] = (),
        workers: int = 0,
    ) -> None:
        super().__init__()
        _check_numbers(k, batch_size)
        spec = input_spec or InputSpec.rgb(224)
        self._shown = number_images(images, spec)
        self._k = k
        self._batch_size = batch_size
        self._workers = workers
        self.preferred = list(preferred)
        # No submodule: the network is the user's, and has no place in checkpoints.
        self._model = (model,)
        self._reader = TopReader(
            frozen_copy(model, share=True),
            {name: reusable(kernels) for name, kernels in layers.items()},
            spec,
            objective,
        )
        self._search = Search(self._reader, self._shown, k)

    @override
    def setup(self, stage: str) -> None:
        """Look at the Trainer.

        Raises:
            ValueError: If the Trainer does not suit, see :meth:`check_trainer`.
        """
        self.check_trainer(self.trainer)

    @override
    def predict_dataloader(self) -> DataLoader[ImageBatch]:
        """The images."""
        return self._shown.loader(self._batch_size, self._workers)

    def check_trainer(self, trainer: pl.Trainer) -> None:
        """Refuse a Trainer before it shows anything.

        Raises:
            ValueError: If it would show some of the images only, or images that are rounded, cannot
                share them out, or would lose what was found.
        """
        number = self._shown.number
        if trainer.world_size > 1 and number is None:
            raise ValueError(
                "an iterable cannot be shared out among devices; give a data set with a length, or "
                "one device"
            )
        # Under autocast too the network is run in float32.
        precisions = ("32-true", "bf16-mixed", "16-mixed")
        check_prediction(trainer, "the search for top images", "images", number, precisions)

    @override
    def on_predict_start(self) -> None:
        """Bring the network to the images' device, and forget earlier passes."""
        self._search = Search(self._reader, self._shown, self._k)
        self._search.to(self.device)
        # A copy that was on a device does not share the network's weights.
        self._reader.read_from(frozen_copy(*self._model, share=True).to(self.device))

    @override
    def predict_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """Show a batch of images; their numbers are returned."""
        self._search.see(batch)
        return batch[1]

    @override
    def on_predict_end(self) -> None:
        """Join what all processes found, and free the device."""
        with torch.no_grad():
            self.results = self._search.found(self.preferred, self._batch_size)
        self._reader.network.to("cpu")


def _check_numbers(k: int, batch_size: int) -> None:
    for name, value in (("k", k), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}")


def _device_of(model: nn.Module) -> torch.device:
    return next((one.device for one in model.parameters()), torch.device("cpu"))
