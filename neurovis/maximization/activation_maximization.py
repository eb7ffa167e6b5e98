"""Activation maximization: the image that each kernel wants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from lightning.pytorch.utilities import rank_zero_warn
from torch import nn
from typing_extensions import Unpack

from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection, select_kernels
from neurovis.layers import LayerSelection
from neurovis.maximization.jobs import Job
from neurovis.maximization.objectives import Target
from neurovis.maximization.preferred_image import LEAST
from neurovis.maximization.settings import AscentOptions, AscentSettings
from neurovis.maximization.target_maximization import TargetMaximization

Sign = Literal[1, -1, "both"]


class ActivationMaximization(TargetMaximization):
    """The preferred image of each kernel: the image that drives it most, or least.

    After ``Trainer(...).fit(am)``, ``am.results`` holds images ``(K, C, H, W)`` in [0, 1] with
    their activations and those of noise, also written to the Trainer's log folder. Fitted again
    after an interruption, in the same folder, it resumes with what is not finished.

    Args:
        model: The network as it is now; it is left alone, a frozen copy is run.
        layer: Dotted name of a convolution, linear layer or any layer with kernels; for a sweep
            several names, types of modules, or ``"all-conv"``, and then
            :meth:`~TargetMaximization.results_of` a layer in place of ``results``.
        kernels: ``"all"``, numbers, or text such as ``"0-15,20"``; or a mapping from layers to
            these. With an objective that reads other things than kernels, such as directions, the
            numbers of these.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        sign: 1 for the images that drive kernels most, -1 for those that drive them least (most
            negative, or silent where a rectifier ends the layer), ``"both"`` for one beside the
            other.
        **settings: The options of :class:`AscentSettings`: ``steps``, ``objective``, ``tv``, …

    Raises:
        ValueError: If a layer, kernel, shape or option is not usable; the message names it.
        TypeError: If there is no such option.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU())
        >>> from neurovis.modality import Modality
        >>> spec = InputSpec((Modality("gray", 1),), size=(16, 16))
        >>> am = ActivationMaximization(model, "1", kernels=[0, 2], input_spec=spec, steps=10)
        >>> [job.label for job in am.jobs]
        ['kernel 0', 'kernel 2']
    """

    def __init__(
        self,
        model: nn.Module,
        layer: LayerSelection,
        kernels: KernelSelection | Mapping[str, KernelSelection] = "all",
        input_spec: InputSpec | None = None,
        sign: Sign = 1,
        **settings: Unpack[AscentOptions],
    ) -> None:
        if sign not in (1, -1, "both"):
            raise ValueError(f'sign must be 1, -1 or "both"; got {sign!r}')
        super().__init__(model, layer, input_spec, AscentSettings(**settings))
        signs = (1, -1) if sign == "both" else (sign,)
        if -1 in signs:
            self._warn_of_rectifiers()
        if not isinstance(kernels, Mapping):
            selection = kernels
            if isinstance(kernels, Iterable) and not isinstance(kernels, str):
                selection = tuple(kernels)  # It is read once for each layer.
            kernels = dict.fromkeys(self.layers, selection)
        for name in kernels:
            if name not in self.kernel_counts:
                raise ValueError(
                    f'kernels are given of layer "{name}", which is not among {self.layers}'
                )
        jobs = []
        for name, count in self.kernel_counts.items():
            noun = self.settings.resolved_objective.noun
            try:
                selected = select_kernels(kernels.get(name, "all"), count, name)
            except ValueError as error:
                if noun == "kernel":
                    raise
                raise ValueError(
                    f"the objective reads {count} numbers, each of a {noun}; give kernels among "
                    f'these, or leave them at "all": {error}'
                ) from error
            pairs = [(kernel, one) for kernel in selected for one in signs]
            jobs += [
                _job(place, name, f"{noun} {kernel}", kernel, one)
                for place, (kernel, one) in enumerate(pairs)
            ]
        self.set_jobs(jobs)

    def _warn_of_rectifiers(self) -> None:
        """Say of which layers the least that an image reaches is silence."""
        rectified = [f'"{name}"' for name, layer in self._layers.items() if layer.is_rectified]
        if rectified:
            rank_zero_warn(
                f"the output of {', '.join(rectified)} never falls below 0: least images merely "
                "silence kernels; name the layer before the rectifier to see what drives them "
                "below 0"
            )


def _job(place: int, layer: str, label: str, kernel: int, sign: int) -> Job:
    if sign > 0:
        return Job(place, layer, Target((kernel,)), label)
    return Job(place, layer, Target((kernel,), (-1.0,)), f"{label}{LEAST}", sign=-1)
