"""Judgments of preferred images by networks that did not make them.

A network that made an image says little of it. Another one is asked for the same class or, of
kernels inside, for its partner: the kernel that responds to pictures as this one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from neurovis.analysis.descriptions import images_by_kernel
from neurovis.analysis.judged_layer import JudgedLayer
from neurovis.analysis.picture_prediction import LEAST_PICTURES
from neurovis.analysis.picture_responses import PictureResponses, as_responses
from neurovis.class_names import class_label
from neurovis.figures import score_histogram
from neurovis.inputs import InputSpec
from neurovis.kernels import check_kernels
from neurovis.maximization import MaximizationResults
from neurovis.result import Result, first_of
from neurovis.top_images.images import ImageSource

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Fewer pictures give no partner: half of them choose it.
LEAST_FOR_PARTNERS = 2 * LEAST_PICTURES


@dataclass(frozen=True, repr=False)
class Judgments(Result):
    """Judgments of a layer's preferred images by a network that did not make them.

    Attributes:
        judge: Name of the network.
        layer: Dotted name of the layer that the images are of.
        kernels: The kernel of each of the ``N`` images.
        counterparts: What each kernel is in the judge: a class, or a kernel of a layer; empty for
            a class that the judge does not have, or a kernel with which none is correlated.
        measures: ``(N,)`` by name, NaN for what the judge does not have. Of classes: ``rank`` of
            the class among the judge's guesses, from 1, and its ``probability``. Of other kernels:
            ``percentile``, the percent of held-out pictures that drive the partner less than the
            image does, and the ``correlation`` of kernel and partner over these pictures.
        notes: What was taken for granted, or could not be matched.
    """

    judge: str
    layer: str
    kernels: list[int]
    counterparts: list[str]
    measures: dict[str, Tensor]
    notes: list[str]

    def rows(self) -> Iterator[dict[str, object]]:
        """One row for each image, for :func:`~neurovis.tables.write_table`."""
        for place, kernel in enumerate(self.kernels):
            yield {
                "layer": self.layer,
                "kernel": kernel,
                "judge": self.judge,
                "counterpart": self.counterparts[place],
                **{name: values[place].item() for name, values in self.measures.items()},
            }

    def columns(self, place: int) -> dict[str, float | str]:
        """Return the judgment of one of the images by names such as ``"resnet18:rank"``."""
        found: dict[str, float | str] = {
            f"{self.judge}:{name}": values[place].item() for name, values in self.measures.items()
        }
        if "percentile" in self.measures:
            found[f"{self.judge}:partner"] = self.counterparts[place]
        return found

    def remark(self, place: int) -> str:
        """Return the judgment of one of the images in a few words."""
        counterpart = self.counterparts[place]
        if "rank" in self.measures:
            rank = self.measures["rank"][place].item()
            return f"{self.judge}: " + (
                f"{counterpart}, {_ordinal(int(rank))}" if counterpart else "no such class"
            )
        percentile = self.measures["percentile"][place].item()
        return f"{self.judge}: " + (
            f"partner above {percentile:.0f} % of pictures" if counterpart else "no partner"
        )

    def figure(self) -> Figure:
        """Histogram of the probabilities, or of the percentiles."""
        name, highest = ("probability", 1) if "rank" in self.measures else ("percentile", 100)
        title = f"{self.layer}: images judged by {self.judge}"
        return score_histogram(self.measures[name], None, title, name, limits=(0.0, highest))

    def _summary(self) -> str:
        medians = ", ".join(
            f"median {name} {values.nanmedian():.3g}" for name, values in self.measures.items()
        )
        return f"{len(self.kernels)} images of {self.layer}, by {self.judge}: {medians}"


def judge_images(
    network: nn.Module,
    layer: str,
    images: MaximizationResults | Mapping[int, Tensor],
    judge: nn.Module,
    pictures: ImageSource | PictureResponses | None = None,
    *,
    input_spec: InputSpec | None = None,
    judge_spec: InputSpec | None = None,
    name: str | None = None,
    batch_size: int = 32,
) -> Judgments:
    """Judge kernels' images by a network that did not make them.

    Images of classes are judged by the same class, found by its name, or by its number where one of
    the networks has no names. Images of other kernels are judged by the kernel's partner: the
    kernel of the judge, in any layer, whose mean activation has the highest correlation with the
    kernel's over half of the pictures. The other half tells how high the image drives it.

    Args:
        network: The network that made the images; it is left exactly as it was found.
        layer: Dotted name of the kernels' layer.
        images: Images of some kernels: the results of an ascent, or for each kernel images
            ``(R, C, H, W)`` in [0, 1].
        judge: A network with other weights; it is left exactly as it was found.
        pictures: For kernels that are no classes, at least 20, none of which served to make the
            images: a folder, a tensor ``(N, C, H, W)`` in [0, 1], a data set or an iterable; or the
            responses that other analyses have read of them.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        judge_spec: What the judge is shown; by default what :func:`~neurovis.models.load_model`
            knows of it, or else ``input_spec``.
        name: What results call the judge; by default its class.
        batch_size: Images at a time.

    Raises:
        ValueError: If the judge has the network's weights or is shown modalities that the images do
            not have, or if the judge does not have the images' classes and there are too few
            pictures.
    """
    of_kernels = images_by_kernel(images)
    kernels = [kernel for kernel, own in of_kernels.items() for _ in own]
    shown = torch.cat(list(of_kernels.values()))
    spec = input_spec or InputSpec.rgb(224)
    asked = JudgedLayer(network, layer, judge, spec, judge_spec, name, batch_size)
    if asked.places:
        check_kernels(kernels, len(asked.places), layer)
        return _judged_by_classes(asked, kernels, asked.judge.scores(shown))
    if pictures is None:
        raise ValueError(asked.needs_pictures)
    every = dict.fromkeys(asked.judge.layers(), 1)
    read = as_responses(pictures, spec, batch_size)
    own, others = read.moments({asked.maker: {layer: 1}, asked.judge: every})
    by_images = {
        name: one[:, 0].double() for name, one in asked.judge.moments(every, shown).items()
    }
    by_pictures = torch.cat([others[name][:, 0] for name in by_images], 1).double()
    return _judged_by_partners(asked, kernels, by_images, own[layer][:, 0].double(), by_pictures)


def _judged_by_classes(asked: JudgedLayer, kernels: list[int], scores: Tensor) -> Judgments:
    """Judgments by scores ``(N, classes)`` of the images."""
    sums = scores.sum(1)
    is_distribution = bool((scores >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all())
    probabilities = scores if is_distribution else scores.softmax(1)
    ranks, chances = torch.full((2, len(scores)), torch.nan, dtype=torch.float64)
    counterparts, missing, notes = [], [], list(asked.notes)
    names = asked.class_names
    for image, kernel in enumerate(kernels):
        place = asked.places[kernel]
        counterparts.append("" if place is None else class_label(names, place, "class"))
        if place is None:
            missing.append(kernel)
            continue
        # Of classes with the same score the one that is asked for comes last.
        ranks[image] = (scores[image] >= scores[image, place]).sum()
        chances[image] = probabilities[image, place]
    if missing:
        listed = first_of([str(kernel) for kernel in dict.fromkeys(missing)])
        notes.append(f"{asked.name} has no class of the name of kernel {listed}")
    measures = {"rank": ranks, "probability": chances}
    return Judgments(asked.name, asked.layer, kernels, counterparts, measures, notes)


def _judged_by_partners(
    asked: JudgedLayer,
    kernels: list[int],
    by_images: Mapping[str, Tensor],
    every: Tensor,
    others: Tensor,
) -> Judgments:
    """Judgments by partners.

    Args:
        asked: The layer and the judge.
        kernels: The kernel of each image.
        by_images: Mean activations ``(N, K)`` of the judge's layers by the images.
        every: Those ``(N, K)`` of the maker's layer by pictures.
        others: Those of all the judge's layers by pictures, side by side.
    """
    if len(every) < LEAST_FOR_PARTNERS:
        raise ValueError(
            f"judges of kernels need at least {LEAST_FOR_PARTNERS} pictures; got {len(every)}"
        )
    check_kernels(kernels, every.shape[1], asked.layer)
    own = every[:, kernels]
    correlations = _standardized(own[::2]).T @ _standardized(others[::2]) / len(own[::2])
    highest, partners = correlations.nan_to_num(-1).max(1)
    held_out, driven = others[1::2, partners], torch.cat(list(by_images.values()), 1)
    measures = {
        "percentile": 100 * (held_out < driven[range(len(driven)), partners]).double().mean(0),
        "correlation": (_standardized(own[1::2]) * _standardized(held_out)).mean(0),
    }
    for values in measures.values():
        values[highest <= 0] = torch.nan
    labels = [
        f"{name} kernel {k}" for name, read in by_images.items() for k in range(read.shape[1])
    ]
    counterparts = [
        labels[partner] if value > 0 else ""
        for partner, value in zip(partners.tolist(), highest.tolist(), strict=True)
    ]
    return Judgments(asked.name, asked.layer, kernels, counterparts, measures, [])


def _standardized(values: Tensor) -> Tensor:
    """Columns of ``(N, K)`` with mean 0 and standard deviation 1; NaN where all are equal."""
    return (values - values.mean(0)) / values.std(0, correction=0)


def _ordinal(number: int) -> str:
    """A number as a rank.

    Example:
        >>> [_ordinal(number) for number in (1, 2, 11, 23)]
        ['1st', '2nd', '11th', '23rd']
    """
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ends.get(number % 10, 'th')}"
