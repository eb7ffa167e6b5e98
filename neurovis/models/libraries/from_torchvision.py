"""Networks of torchvision, with the input of their weights' transforms."""

from __future__ import annotations

import inspect
from typing import Any

from neurovis.inputs import InputSpec
from neurovis.models.libraries.library_network import DEFAULT, LibraryNetwork, Weights
from neurovis.models.pretrained import input_of_weights, pretrained_weights


def names() -> list[str]:
    """Return the names of all networks."""
    from torchvision.models import list_models

    return list(list_models())


def load(name: str, weights: Weights, arguments: dict[str, Any]) -> LibraryNetwork:
    """Make a network by ``torchvision.models.get_model``.

    Args:
        name: Its name.
        weights: By default ``DEFAULT``, the best that torchvision has.
        arguments: Further arguments of the function that makes it.

    Raises:
        ValueError: If it has no weights of that name.
    """
    from torchvision.models import get_model, get_model_builder

    builder = get_model_builder(name)
    known = pretrained_weights(f"torchvision:{name}", builder, weights.tag or DEFAULT)
    settings = {"weights": None if weights.is_random else known, **arguments}
    if weights.is_random and "weights_backbone" in inspect.signature(builder).parameters:
        settings = {"weights_backbone": None, **settings}
    network = get_model(name, **settings)
    is_pretrained = settings["weights"] is not None
    spec: InputSpec = input_of_weights(known)
    return LibraryNetwork(
        network,
        spec,
        f"{f'weights {known.name}' if is_pretrained else 'random weights'}; input as the "
        f"transforms of {known.name} say",
        known.meta.get("categories", ()) if is_pretrained else (),
    )
