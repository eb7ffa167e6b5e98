"""Rank a network's kernels: show stimuli, and order the kernels by their responses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from lightning.pytorch import Trainer
from torch import Tensor, nn
from typing_extensions import Unpack

from neurovis.inputs import InputSpec, check_input_spec
from neurovis.layers import LayerSelection
from neurovis.recording import undisturbed
from neurovis.tuning.battery import Images, choose_battery
from neurovis.tuning.collection import rank_alone
from neurovis.tuning.probe import TuningProbe
from neurovis.tuning.rankings import AnyRanking, resolve_rankings
from neurovis.tuning.reference import optional_reference
from neurovis.tuning.reference_scores import score_against_reference
from neurovis.tuning.responses import LayerResponses
from neurovis.tuning.results import Rankings
from neurovis.tuning.settings import RankingOptions, RankingSettings


def rank_kernels(
    model: nn.Module,
    layers: LayerSelection,
    by: str | AnyRanking | Iterable[str | AnyRanking] = "orientation",
    *,
    input_spec: InputSpec | None = None,
    images: Images | None = None,
    labels: Tensor | None = None,
    classes: Sequence[str] | None = None,
    trainer: Trainer | None = None,
    reference: str | Path | None = None,
    pixels_per_degree: float | None = None,
    **settings: Unpack[RankingOptions],
) -> Rankings:
    """Rank the kernels of layers by what they are selective for.

    All layers and rankings share one pass over the stimuli, and those that depend on each kernel's
    best grating a second one. Each kernel is compared with random kernels of the same shape on the
    same input (the null), and the two halves of the stimuli with each other.

    Args:
        model: The network; it is left exactly as it was found.
        layers: Dotted names, types, ``"all-conv"``, or several of these.
        by: Names of rankings, which :data:`~neurovis.tuning.RANKINGS` has, or rankings of your own.
            Of ``"all"``, those that do not apply to the input or the images have a ``reason``.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        images: For rankings by images, such as ``"class"``: ``(B, C, H, W)`` in [0, 1], or a
            map-style dataset of ``(C, H, W)`` images or ``(image, class)`` pairs.
        labels: ``(B,)``, the classes of a tensor of images.
        classes: Names of the classes; by default those of the dataset, or their numbers.
        trainer: Shows the stimuli on its devices, each a share of them; every process gets all
            results. By default they are shown where the model is.
        reference: Neurons to compare the kernels with, as for
            :func:`~neurovis.tuning.load_reference`: ``"macaque_v1"``, or a CSV file.
        pixels_per_degree: Pixels of the network's input in a degree of visual angle, for
            properties of neurons in degrees; these are left out without it.
        **settings: The options of :class:`RankingSettings`.

    Returns:
        A :class:`Rankings`, layer by layer; with one layer and one ranking it has that one's
        ``top(k)``, ``figure()`` and ``to_csv(path)``. With a reference, ``reference_scores`` has
        the likeness of each layer to it.

    Raises:
        ValueError: If a layer, ranking, stimulus, reference or option is not usable.
        TypeError: If there is no such option, or an argument is of the wrong type.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 7), nn.ReLU())
        >>> ranking = rank_kernels(network, "0", input_spec=InputSpec.rgb(32), orientations=8)
        >>> len(ranking.top(4)), ranking["0"].score_name
        (4, 'gOSI')
    """
    neurons = optional_reference(reference, pixels_per_degree)
    if trainer is not None:
        probe = TuningProbe(
            model,
            layers,
            by,
            input_spec=input_spec,
            images=images,
            labels=labels,
            classes=classes,
            **settings,
        )
        probe.run(trainer)
        found = probe.results
    else:
        spec, options = input_spec or InputSpec.rgb(224), RankingSettings(**settings)
        check_input_spec(spec)
        rankings = resolve_rankings(by)
        battery = choose_battery(rankings, spec, options, images, labels, classes)
        with undisturbed(model):
            responses = LayerResponses(model, layers, spec, options)
            found = rank_alone(responses, rankings, battery, options.batch_size)
    if neurons is None:
        return found
    scores = score_against_reference(found, neurons, pixels_per_degree=pixels_per_degree)
    return replace(found, reference_scores=scores)
