"""The one way to a saliency map: checks what is asked, and leaves the network as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from operator import index

from torch import Tensor, nn
from typing_extensions import Unpack

from neurovis.calling import one_input
from neurovis.layers import unwrap
from neurovis.recording import undisturbed
from neurovis.saliency import gradients, rectified
from neurovis.saliency.gradcam import gradcam, guided_gradcam, last_layer_with_positions
from neurovis.saliency.maps import SaliencyMaps
from neurovis.saliency.perturbation import occlusion
from neurovis.saliency.question import Question, choose_kernels
from neurovis.saliency.settings import Method, SaliencyOptions, SaliencySettings, check_method
from neurovis.saliency.target import KernelChoice, LayerTarget, TargetValue

#: Methods that weight the map of a layer.
BY_LAYER = ("gradcam", "guided_gradcam")

_FUNCTIONS: dict[Method, Callable[[Question], Tensor]] = {
    "gradient": gradients.gradient,
    "input_x_gradient": gradients.input_x_gradient,
    "smoothgrad": gradients.smoothgrad,
    "integrated_gradients": gradients.integrated_gradients,
    "guided_backprop": rectified.guided_backprop,
    "deconvnet": rectified.deconvnet,
    "gradcam": gradcam,
    "guided_gradcam": guided_gradcam,
    "occlusion": occlusion,
}


def kernel_saliency(
    model: nn.Module,
    images: Tensor,
    layer: str | LayerTarget | None,
    kernel: KernelChoice,
    method: Method = "gradient",
    **options: Unpack[SaliencyOptions],
) -> SaliencyMaps:
    """Compute how much each pixel drove a kernel.

    The network is left exactly as it was found, and may be in the middle of its training, compiled,
    or in inference mode. It runs in evaluation mode and without autocast, and no further than the
    layer.

    Args:
        model: The network, on any device.
        images: ``(B, C, H, W)`` in the network's space, floating-point, on the network's device.
        layer: Dotted name; None for an output of the network: the class scores, or the
            ``output`` that is named; see :func:`~neurovis.outputs.find_output`. A
            :class:`~neurovis.saliency.LayerTarget` saves finding it in every call. If a layer
            returns a tuple, list or dict, its first tensor is used.
        kernel: 0-based; or ``"strongest"``, for each image the kernel with the largest readout (the
            predicted class, for logits); or a function from the layer's activation
            ``(B, K, ...)``, kernels second, to ``(B,)``, each image's number from that image's
            activation only.
        method: One of :data:`~neurovis.saliency.METHODS`.

            - ``gradient``: Simonyan, Vedaldi, Zisserman 2014, with its sign.
            - ``input_x_gradient``: Shrikumar et al. 2016.
            - ``smoothgrad``: Smilkov et al. 2017.
            - ``integrated_gradients``: Sundararajan, Taly, Yan 2017, with its completeness error.
            - ``guided_backprop``: Springenberg et al. 2015. With ``guided_gradcam`` and
              ``deconvnet`` it is known to look much the same for random weights (Adebayo et al.
              2018): see :func:`~neurovis.saliency.cascading_randomization`.
            - ``deconvnet``: Zeiler, Fergus 2014.
            - ``gradcam``, ``guided_gradcam``: Selvaraju et al. 2017.
            - ``occlusion``: Zeiler, Fergus 2014.
        **options: Those of :class:`~neurovis.saliency.SaliencySettings`, which says which method
            uses which.

    Returns:
        ``maps`` ``(B, C, H, W)`` with signs (``(B, 1, H, W)`` for ``gradcam``), the explained
        ``values`` ``(B,)`` and the ``kernels`` they are of; for ``integrated_gradients`` also the
        ``completeness_error`` ``(B,)``, for ``gradcam`` the ``gradcam_layer``. All float32 on the
        CPU.

    Raises:
        ValueError: If there is no such layer, output, kernel, unit or method, nothing tells which
            output has class scores, an option is out of its range, or the method has nothing to
            work on in this network.
        TypeError: If an argument is of another type.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> found = kernel_saliency(network, torch.rand(2, 3, 16, 16), "2", kernel=1)
        >>> tuple(found.maps.shape), tuple(found.values.shape)
        ((2, 3, 16, 16), (2,))
    """
    kernel = one_kernel(kernel)
    settings = checked_settings(model, images, kernel, method, **options)
    model = one_input(model, settings.input_spec)
    with undisturbed(model):
        return explain(model, images.clone().detach(), layer, kernel, method, settings)


def one_kernel(kernel: KernelChoice) -> KernelChoice:
    """The kernel as it is given; integers of any library as Python's own.

    Raises:
        TypeError: If it is neither one integer, nor ``"strongest"``, nor a function.
    """
    if callable(kernel) or isinstance(kernel, str):
        return kernel
    try:
        if isinstance(kernel, bool):
            raise TypeError
        return index(kernel)
    except TypeError:
        raise TypeError(
            f'kernel is one number, "strongest" or a function; got {kernel!r}. For several '
            "kernels ask for each"
        ) from None


def checked_settings(
    model: nn.Module,
    images: Tensor,
    kernel: KernelChoice,
    method: str,
    **options: Unpack[SaliencyOptions],
) -> SaliencySettings:
    """The options as settings, once all that can be told without running the network is right."""
    check_method(method)
    settings = SaliencySettings(**options)
    if callable(kernel) and settings.readout is not None:
        raise ValueError(
            "readout says what of a kernel's map is explained, which a kernel function does by "
            "itself; give one of them"
        )
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor (B, C, H, W); got {type(images).__name__}")
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"images must be (B, C, H, W), B > 0; got shape {tuple(images.shape)}")
    if not images.is_floating_point():
        raise TypeError(f"images must be floating-point; got {images.dtype}")
    if settings.input_spec is not None:
        settings.input_spec.split(images)  # Raises if it has other channels.
    parameter = next(unwrap(model).parameters(), images)
    if parameter.device != images.device:
        raise ValueError(
            f"images are on {images.device} and the network on {parameter.device}; "
            f'move them: images.to("{parameter.device}")'
        )
    number = int((~images.isfinite()).sum())
    if number:
        raise ValueError(
            f"images have {number} values of {images.numel()} that are not finite (NaN or "
            "infinity); replace them"
        )
    return settings


def explain(
    model: nn.Module,
    images: Tensor,
    layer: str | LayerTarget | None,
    kernel: KernelChoice | list[int],
    method: Method,
    settings: SaliencySettings,
) -> SaliencyMaps:
    """As :func:`kernel_saliency`, of what is checked, inside ``undisturbed(model)``.

    Args:
        model: The network.
        images: ``(B, C, H, W)``, not an inference tensor.
        layer: The layer, or None for the output.
        kernel: One for all images, ``"strongest"``, one for each image, or a function.
        method: One of :data:`~neurovis.saliency.METHODS`.
        settings: How.
    """
    function = kernel if callable(kernel) else None
    target = find_target(model, layer, kernel, images, settings)
    value = TargetValue(model, target, settings.readout, function)
    kernels, values = choose_kernels(value, kernel, images)
    question = Question(value, images, kernels, settings)
    try:
        if method in BY_LAYER and settings.gradcam_layer is None:
            gradcam_layer, layout = last_layer_with_positions(question)
            settings = replace(settings, gradcam_layer=gradcam_layer)
            question = replace(question, settings=settings, gradcam_layout=layout)
        maps = _FUNCTIONS[method](question)
    except RuntimeError as failure:
        # Torch raises this if the value has a gradient, but not to the images.
        if "not have been used in the graph" in str(failure):
            raise ValueError(target.without_gradient) from failure
        raise
    error = None
    if method == "integrated_gradients":
        error = gradients.completeness_error(question, maps).float()
    return SaliencyMaps(
        maps=maps.float().cpu(),
        values=values.float().cpu(),
        kernels=None if kernels is None else kernels.tolist(),
        layer=target.label,
        method=method,
        completeness_error=error,
        gradcam_layer=settings.gradcam_layer if method in BY_LAYER else None,
        kernel_word=target.kernel_word,
        class_names=target.class_names,
    )


def find_target(
    model: nn.Module,
    layer: str | LayerTarget | None,
    kernel: KernelChoice | list[int],
    images: Tensor,
    settings: SaliencySettings,
) -> LayerTarget:
    """The target that is given, or that of a layer or an output; see :meth:`LayerTarget.find`."""
    if isinstance(layer, LayerTarget):
        return layer
    function = kernel if callable(kernel) else None
    return LayerTarget.find(model, layer, images, settings.output, function)
