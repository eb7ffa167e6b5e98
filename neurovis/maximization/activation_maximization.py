"""Activation maximization: the image that each kernel wants."""

from __future__ import annotations

from torch import nn
from typing_extensions import Unpack

from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection, select_kernels
from neurovis.maximization.objectives import Target
from neurovis.maximization.settings import AscentOptions, AscentSettings
from neurovis.maximization.target_maximization import TargetMaximization


class ActivationMaximization(TargetMaximization):
    """The preferred image of each kernel: the image that drives it most.

    After ``Trainer(...).fit(am)``, ``am.results`` holds images ``(K, C, H, W)`` in [0, 1] with
    their activations and those of noise, also written to the Trainer's log folder.

    Args:
        model: The network as it is now; it is left alone, a frozen copy is run.
        layer: Dotted name of a convolution, linear layer or any layer with kernels.
        kernels: ``"all"``, numbers, or text such as ``"0-15,20"``.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        **settings: The options of :class:`AscentSettings`: ``steps``, ``objective``, ``tv``, …

    Raises:
        ValueError: If a layer, kernel, shape or option is not usable; the message names it.
        TypeError: If there is no such option.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU())
        >>> from neurovis.inputs import Modality
        >>> spec = InputSpec((Modality("grey", 1),), size=(16, 16))
        >>> am = ActivationMaximization(model, "1", kernels=[0, 2], input_spec=spec, steps=10)
        >>> len(am.targets)
        2
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        kernels: KernelSelection = "all",
        input_spec: InputSpec | None = None,
        **settings: Unpack[AscentOptions],
    ) -> None:
        super().__init__(model, layer, input_spec, AscentSettings(**settings))
        selected = select_kernels(kernels, self.kernel_count, layer)
        self.set_targets(
            [Target((kernel,)) for kernel in selected], [f"kernel {kernel}" for kernel in selected]
        )
