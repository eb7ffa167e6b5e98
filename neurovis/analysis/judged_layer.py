"""A layer whose images are judged by another network, and what its kernels are there."""

from __future__ import annotations

from torch import nn

from neurovis.analysis.shown_network import ShownNetwork
from neurovis.class_names import gives_output, match_classes
from neurovis.inputs import InputSpec
from neurovis.layers import class_name
from neurovis.models import suggested_input_spec


class JudgedLayer:
    """A layer's kernels, and a judge that is asked about them.

    Args:
        network: As for :func:`~neurovis.analysis.judge_images`, and so are the others.
        layer: Dotted name.
        judge: Another network.
        spec: What the network is shown.
        judge_spec: What the judge is shown.
        name: What the judge is called.
        batch_size: Images at a time.

    Attributes:
        layer: Dotted name.
        name: Name of the judge.
        maker: The network.
        judge: The judge.
        places: The place of each class among those of the judge; empty if the kernels are no
            classes that it has.
        notes: What was taken for granted.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str,
        judge: nn.Module,
        spec: InputSpec,
        judge_spec: InputSpec | None,
        name: str | None,
        batch_size: int,
    ) -> None:
        self.layer = layer
        self.name = class_name(judge) if name is None else name
        self.maker = ShownNetwork(network, spec, spec, batch_size)
        shown = judge_spec or suggested_input_spec(judge) or spec
        self.judge = ShownNetwork(judge, shown, spec, batch_size)
        if judge is network or self.judge.has_weights_of(network):
            raise ValueError(
                f'judge "{self.name}" has the weights of the network that made the images, and '
                "would agree with itself; give another network"
            )
        self.places, self.notes = self._match() if gives_output(network, layer) else ([], [])

    @property
    def class_names(self) -> list[str]:
        """Names of the judge's classes, in its order."""
        return self.judge.class_names or self.maker.class_names

    @property
    def needs_pictures(self) -> str:
        """Return why the judge cannot be asked without pictures; empty if it can."""
        if self.places:
            return ""
        return (
            f'judge "{self.name}" has no classes that the kernels of layer "{self.layer}" stand '
            "for; give pictures, by which it finds kernels that respond as they do"
        )

    def _match(self) -> tuple[list[int | None], list[str]]:
        if self.maker.class_names and self.judge.class_names:
            places = match_classes(self.maker.class_names, self.judge.class_names)
            return (places if any(place is not None for place in places) else []), []
        count = self.judge.class_count
        if not count or count != self.maker.class_count:
            return [], []
        note = f"the {count} classes of {self.name} are taken to be in the same order"
        return [*range(count)], [note]
