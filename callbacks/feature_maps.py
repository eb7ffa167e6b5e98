"""Feature maps of the same few images during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import Unpack, override

from neurovis.callbacks.base import Monitor, MonitorOptions
from neurovis.class_names import class_label, class_names
from neurovis.figures import feature_map_figure, first_and_now_figure, render, stacked
from neurovis.kernels import KernelSelection, reusable, select_kernels
from neurovis.layers import LayerSelection
from neurovis.observation import Histogram, Observation, PixelArray
from neurovis.readouts import are_constant, as_maps

#: Selects the kernels with the highest mean activation on the probe images.
MOST_ACTIVE = "most_active"

#: Descriptions in TensorBoard of what is logged for a layer, by the ends of the tags.
_MAP_DESCRIPTIONS = {
    "": "**Feature maps of the probe images**, each image beside its maps, one map per "
    "kernel. The maps of an image share one scale from black (lowest) to white (highest "
    "value), stated above them in the layer's own unit; a uniformly gray map means that the "
    "kernel does not respond. Move the slider to follow the training steps.",
    "/first_and_now": "**The first probe image's maps when this fit began (above) and now "
    "(below)**, kernel by kernel. `r` is Pearson's correlation of the two: 1 is the same pattern, "
    "0 an unrelated one, below 0 an inverted one. Each row has its own scale from black to white, "
    "stated at the top.",
    "/activations": "**Distribution of the layer's activations** over all its kernels, "
    "positions and probe images, in the layer's own unit. Watch for a peak that moves to 0 "
    "(kernels fall silent) and for tails that grow with every step (activations diverge).",
    "/mean": "**Mean activation** over all kernels, positions and probe images, in the layer's "
    "own unit. A slow drift is normal; look at the maps after a jump or a fall to 0.",
    "/dead": "**Fraction of kernels that do not respond**: the same value everywhere for every "
    "probe image, from 0 (none) to 1 (all). A few images prove little, but a rising curve is a "
    "warning; there is no value once activations are not finite.",
    "/correlation_with_first": "**Similarity of the maps to those when this fit began**: "
    "Pearson's correlation of each kernel's two maps of the first probe image, the median over "
    "kernels. 1 is unchanged, 0 unrelated; a level curve means that the layer has settled.",
}
#: Charts that compare layers: the end of the tags by title.
_CHARTS = {
    "dead kernels of each layer (fraction)": "dead",
    "mean activation of each layer": "mean",
    "each layer's likeness to its maps at first (r)": "correlation_with_first",
}


class FeatureMapMonitor(Monitor):
    """Logs feature maps beside the probe images, and the distribution of activations.

    For each layer there is a picture under the tag ``feature_maps/<layer>``: the probe images one
    below the other, each beside its maps, which share a scale from black (lowest) to white (highest
    value). A linear layer's maps are single values. Under tags that begin with it there are

    - ``/activations``: a histogram of all of them;
    - ``/first_and_now``: a picture of the first image's maps when this fit began, also one that
      resumes from a checkpoint, above those now, with the correlation of the two for each kernel;
    - ``/correlation_with_first``: the median of these correlations over all kernels;
    - ``/mean``: the mean activation;
    - ``/dead``: the fraction of kernels that do not respond: the same value at each unit for each
      probe image (a few images prove little, but a rising fraction is a warning). NaN once
      activations are.

    Args:
        layers: Dotted names as in ``network.named_modules()``; types of modules or their names
            (``"Conv2d"``); ``"all-conv"``; or several of these.
        max_kernels: Show up to this many kernels of a layer: the first ones, or the most active.
        kernels: Show these kernels of every layer instead: numbers, or text such as ``"0-7,12"``;
            or ``"most_active"``, those with the highest mean activation at each step. A kernel
            keeps its place in the picture for as long as it is among them.
        first_and_now: Whether to compare with the maps when the fit began.
        **options: ``every_n_epochs``, ``every_n_train_steps``, ``probe_images``, ``input_spec``,
            ``input_key``, ``get_images``, ``max_images``, ``name`` and ``on_error`` of
            :class:`~neurovis.callbacks.base.Monitor`.

    Raises:
        ValueError: If an argument is out of its range.
        TypeError: If an argument is of the wrong type, or there is no such option.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> monitor = FeatureMapMonitor(layers=["conv1"], every_n_train_steps=100)
        >>> trainer = Trainer(callbacks=[monitor], accelerator="cpu", logger=False)
    """

    def __init__(
        self,
        layers: LayerSelection,
        *,
        max_kernels: int = 16,
        kernels: KernelSelection | None = None,
        first_and_now: bool = True,
        **options: Unpack[MonitorOptions],
    ) -> None:
        super().__init__(layers, **options)
        if max_kernels < 1:
            raise ValueError(f"max_kernels must be at least 1; got {max_kernels}")
        self.max_kernels = max_kernels
        self.kernels = None if kernels is None else reusable(kernels)
        self.first_and_now = first_and_now
        self.tag_settings = {"feature_maps": (self.kernels, max_kernels)}
        self._slots: dict[str, list[int]] = {}
        #: Step and first image's maps ``(K, H', W')`` at the first look, by layer, on the CPU.
        self._first: dict[str, tuple[int, Tensor]] = {}

    @override
    def observe(self, network: nn.Module, images: Tensor, step: int) -> Observation:
        if self.is_first_look:
            self._first = {}
        shown = images if self.input_spec is None else self.input_spec.from_network(images)
        observation = Observation()
        for layer, activation in self.activations(network, images).items():
            maps = as_maps(layer, activation).float()
            others = self.other_tokens.get(layer)
            tag = f"feature_maps/{layer}"
            kernels = self._choose(layer, maps)
            observation.histograms[f"{tag}/activations"] = Histogram.of(maps)
            observation.scalars[f"{tag}/mean"] = maps.mean().item()
            observation.scalars[f"{tag}/dead"] = _dead_fraction(maps)
            if self.is_first_look:
                self._first[layer] = step, maps[0].clone().cpu()
                continue
            every = class_names(network, layer if self.layers else None, maps.shape[1])
            names = {kernel: class_label(every, kernel, "") for kernel in kernels}
            observation.pictures[tag] = self._picture(layer, maps, others, names, shown.cpu(), step)
            if self.first_and_now:
                self._compare(observation, layer, maps[0].cpu(), names, step)
            observation.describe(tag, _MAP_DESCRIPTIONS)
        for title, name in _CHARTS.items():
            observation.add_to_chart("feature_maps", title, f"feature_maps/*/{name}")
        return observation

    def _choose(self, layer: str, maps: Tensor) -> list[int]:
        """The kernels to show, in the order of their places."""
        count = maps.shape[1]
        number = min(self.max_kernels, count)
        if self.kernels == MOST_ACTIVE:
            activity = maps.mean((0, 2, 3)).nan_to_num(-torch.inf)
            wanted = activity.topk(number).indices.tolist()
            self._slots[layer] = _in_place(self._slots.get(layer, []), wanted)
            return self._slots[layer]
        return select_kernels(range(number) if self.kernels is None else self.kernels, count, layer)

    def _picture(
        self,
        layer: str,
        maps: Tensor,
        others: Tensor | None,
        names: Mapping[int, str],
        shown: Tensor,
        step: int,
    ) -> PixelArray:
        """Draw the maps of the kernels that have names."""
        kernels = list(names)
        count = maps.shape[1]
        ranked = "most active " if self.kernels == MOST_ACTIVE else ""
        which = f"{len(kernels)} {ranked}of {count} kernels, " if len(kernels) < count else ""
        pictures = [
            render(
                feature_map_figure(
                    image,
                    of_image,
                    list(names.values()),
                    self.input_spec,
                    f"{layer}, {which}image {index + 1} of {len(shown)}, step {step}",
                    None if others is None else others[index, kernels],
                )
            )
            for index, (image, of_image) in enumerate(
                zip(shown, maps[:, kernels].cpu(), strict=True)
            )
        ]
        return stacked(pictures)

    def _compare(
        self, observation: Observation, layer: str, now: Tensor, names: Mapping[int, str], step: int
    ) -> None:
        """Add what has changed in the first image's maps ``(K, H', W')`` since the first look."""
        first_step, first = self._first[layer]
        correlations = _correlations(first, now)
        known = correlations[correlations.isfinite()]
        tag = f"feature_maps/{layer}"
        if len(known):
            observation.scalars[f"{tag}/correlation_with_first"] = known.quantile(0.5).item()
        figure = first_and_now_figure(
            first[list(names)],
            now[list(names)],
            [_label(name, correlations[kernel].item()) for kernel, name in names.items()],
            (f"first, step {first_step}", f"now, step {step}"),
            f"{layer}: the first image's maps at first and now",
            ["r: correlation of a kernel's two maps"] if len(known) else [],
        )
        observation.pictures[f"{tag}/first_and_now"] = render(figure)


def _label(name: str, correlation: float) -> str:
    return name if np.isnan(correlation) else f"{name}: r {correlation:.2f}"


def _in_place(before: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """Return the selected kernels; those that were there before keep their places."""
    newcomers = iter([kernel for kernel in wanted if kernel not in before])
    kept = [kernel if kernel in wanted else next(newcomers) for kernel in before[: len(wanted)]]
    return [*kept, *newcomers]


def _dead_fraction(maps: Tensor) -> float:
    """Return the fraction of kernels in ``(B, K, H', W')`` that are constant, or a single zero.

    NaN if a value is not finite: what has diverged is neither dead nor alive.
    """
    values = maps.movedim(1, 0).flatten(1)
    if not values.isfinite().all():
        return float("nan")
    dead = values[:, 0] == 0 if values.shape[1] == 1 else are_constant(values)
    return dead.float().mean().item()


def _correlations(first: Tensor, now: Tensor) -> Tensor:
    """Pearson's correlation ``(K,)`` of maps ``(K, H', W')``; NaN where one is constant."""
    pair = torch.stack([first, now]).flatten(2)
    low, high = pair.aminmax(dim=2)
    centered = pair - pair.mean(2, keepdim=True)
    products: Tensor = centered.prod(0).sum(1) / centered.norm(dim=2).prod(0)
    # Rounding errors around the mean of a constant map would correlate with anything.
    return products.masked_fill((low == high).any(0), torch.nan)
