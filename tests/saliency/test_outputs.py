"""The output of a network that is explained, against autograd of the tensor itself."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from neurovis.analysis import PictureExplainer
from neurovis.inputs import InputSpec
from neurovis.outputs import find_output
from neurovis.saliency import LayerTarget, SaliencyMaps, kernel_saliency


@dataclass
class Result:
    features: Tensor
    logits: Tensor


class NamedResult(NamedTuple):
    features: Tensor
    out: Tensor


class ModelOutput(OrderedDict[str, Any]):
    """As transformers has it: a dictionary that is read by attributes too."""


class Network(nn.Module):
    """A map, tokens after a layer norm, an embedding and scores, returned in some structure."""

    def __init__(self, structure: Callable[..., Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())
        self.norm = nn.LayerNorm(6)
        self.fc, self.segment = nn.Linear(6, 5), nn.Conv2d(6, 3, 1)
        self.structure = structure

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        maps = self.body(x)
        tokens = self.norm(maps.flatten(2).movedim(1, -1))
        logits = self.fc(maps.mean((2, 3)))
        return {
            "maps": maps,
            "tokens": tokens,
            "embedding": maps.mean((2, 3)),
            "normed": self.norm(maps.mean((2, 3))),
            "logits": logits,
            "segments": nn.functional.interpolate(self.segment(maps), scale_factor=2),
            "loss": logits.logsumexp(1).mean(),
        }

    def forward(self, x: Tensor) -> Any:
        return self.structure(**self.parts(x))


def gradient(network: Network, images: Tensor, value: Callable[[dict[str, Tensor]], Tensor]) -> Any:
    """The values by hand, and their gradient to the images."""
    images = images.clone().requires_grad_()
    values = value(network.parts(images))
    (found,) = torch.autograd.grad(values.sum(), images)
    return values.detach(), found


def assert_same(found: SaliencyMaps, expected: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(found.values, expected[0])
    torch.testing.assert_close(found.maps, expected[1])
    assert found.maps.any()


STRUCTURES: dict[str, Callable[..., Any]] = {
    "tensor": lambda logits, **_: logits,
    "scaled": lambda logits, **_: (3 * logits).softmax(1).clamp(0.1) + 1,
    "tuple": lambda maps, logits, **_: (maps, logits),
    "list": lambda tokens, logits, **_: [None, tokens, [logits]],
    "dataclass": lambda maps, logits, **_: Result(maps, logits),
    "named tuple": lambda embedding, logits, **_: NamedResult(embedding, logits),
    "loss first": lambda loss, logits, **_: {"loss": loss, "logits": logits},
    "none first": lambda embedding, logits, **_: {"aux": None, "z": embedding, "out": logits},
    "two names": lambda embedding, logits, **_: {"out": embedding, "logits": logits},
    "unknown name": lambda logits, embedding, **_: {"image_embeds": embedding, "y": logits},
    "model output": lambda tokens, logits, **_: ModelOutput(hidden_states=(tokens,), logits=logits),
    "nested": lambda tokens, logits, **_: (tokens, {"head": {"scores": logits}}),
}


@pytest.mark.parametrize("structure", STRUCTURES)
def test_class_scores_are_found(structure: str, images: Tensor) -> None:
    network = Network(STRUCTURES[structure])
    found = kernel_saliency(network, images, None, "strongest")
    _, classes = network.parts(images)["logits"].max(1)
    assert found.kernels == classes.tolist()
    assert found.layer == "output"
    assert found.names == [f"class {one}" for one in classes]
    if structure != "scaled":
        scores = gradient(network, images, lambda parts: parts["logits"].amax(1))
        assert_same(found, scores)


@pytest.mark.filterwarnings("ignore:.*quantiz")
def test_scores_of_a_quantized_network(images: Tensor) -> None:
    network = Network(STRUCTURES["tuple"])
    exact = kernel_saliency(network, images, None, "strongest", "occlusion")
    torch.ao.quantization.quantize_dynamic(network, {nn.Linear}, inplace=True)
    found = kernel_saliency(network, images, None, "strongest", "occlusion")
    assert found.kernels == exact.kernels
    torch.testing.assert_close(found.values, exact.values, rtol=0.05, atol=0.05)


def test_scores_stay_scores_behind_a_dropout(images: Tensor) -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.LazyLinear(3)

        def forward(self, images: Tensor) -> Tensor:
            scores = self.head(images.flatten(1))
            return nn.functional.dropout(scores, 0.2, training=True)

    network = Dropping()
    network(images)
    assert find_output(network, images)[0] == "output"


def test_a_mean_over_a_map_may_be_scores(images: Tensor) -> None:
    network = Network(lambda embedding, **_: embedding)
    found = kernel_saliency(network, images, None, 2)
    assert_same(found, gradient(network, images, lambda parts: parts["embedding"][:, 2]))
    pooled = nn.Sequential(network.body, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert torch.equal(kernel_saliency(pooled, images, None, 2).maps, found.maps)


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "tokens": (lambda tokens, **_: tokens, r'no certain .*"output" \(2, 144, 6\).*output="output"'),
    "an embedding after a norm": (lambda normed, **_: normed, r'"output" \(2, 6\)'),
    "tokens that attend to each other": (
        lambda tokens, **_: (tokens.mT @ tokens)[:, 0],
        r'no certain .*"output" \(2, 6\)',
    ),
    "a mean of tokens": (lambda tokens, **_: tokens.mean(1), r'no certain .*"output" \(2, 6\)'),
    "a sum with an embedding": (
        lambda embedding, normed, **_: embedding + normed,
        r'no certain .*"output" \(2, 6\)',
    ),
    "an embedding before scores": (
        lambda embedding, logits, **_: (embedding, logits),
        r'several .*"0" \(2, 6\), "1" \(2, 5\).*output="1" \(--output 1\)',
    ),
    "two heads": (
        lambda logits, **_: {"color": logits, "shape": 2 * logits},
        r'several .*"color" \(2, 5\), "shape" \(2, 5\).*output="shape"',
    ),
    "a backbone's outputs": (
        lambda tokens, logits, **_: {"last_hidden_state": tokens, "pooler_output": logits.tanh()},
        r'no certain .*"last_hidden_state" \(2, 144, 6\), "pooler_output" \(2, 5\)',
    ),
    "queries": (lambda tokens, **_: {"logits": tokens}, r'no certain .*"logits" \(2, 144, 6\)'),
    "no tensor": (lambda **_: "nothing", "str, which holds no tensor"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_class_score_is_asked_for(case: str, images: Tensor) -> None:
    structure, message = REFUSED[case]
    with pytest.raises(ValueError, match=f"^Network returns (.*){message}"):
        kernel_saliency(Network(structure), images, None, "strongest")


def test_an_output_is_named(images: Tensor) -> None:
    network = Network(lambda embedding, tokens, logits, **_: (embedding, {"a": (tokens, logits)}))
    found = kernel_saliency(network, images, None, 3, output=0)
    assert_same(found, gradient(network, images, lambda parts: parts["embedding"][:, 3]))
    assert found.layer == "output.0"
    assert found.names == ["kernel 3"] * 2
    # Tokens are the positions of a map, whose kernels are last.
    found = kernel_saliency(network, images, None, 3, output="1.a.0")
    assert_same(found, gradient(network, images, lambda parts: parts["tokens"][..., 3].mean(1)))
    unit = kernel_saliency(network, images, None, 3, output="1.a.0", readout=(2, 1))
    assert_same(unit, gradient(network, images, lambda parts: parts["tokens"][:, 2 * 12 + 1, 3]))
    named = kernel_saliency(Network(STRUCTURES["loss first"]), images, None, 3, output="logits")
    assert (named.layer, named.names) == ("output.logits", ["class 3"] * 2)
    alone = Network(lambda tokens, **_: tokens)
    found = kernel_saliency(alone, images, None, 3, output="output", readout=(2, 1))
    assert torch.equal(found.maps, unit.maps)


def test_names_of_outputs_that_are_refused(images: Tensor) -> None:
    network = Network(lambda tokens, logits, **_: {"tokens": tokens, "logits": logits})
    with pytest.raises(ValueError, match='Network has no output "logit"; did you mean "logits"'):
        kernel_saliency(network, images, None, 0, output="logit")
    with pytest.raises(ValueError, match=re.escape('no output "x"; it returns "tokens" (2, 144,')):
        kernel_saliency(network, images, None, 0, output="x")
    with pytest.raises(ValueError, match="layer and output exclude each other"):
        kernel_saliency(network, images, "fc", 0, output="logits")
    with pytest.raises(TypeError, match="output must be an output's name or number; got list"):
        kernel_saliency(network, images, None, 0, output=[1])  # type: ignore[arg-type]


def test_a_function_reads_whatever_is_returned_alone(images: Tensor) -> None:
    network = Network(lambda normed, **_: normed)
    found = kernel_saliency(network, images, None, lambda read: read[:, 1] - read[:, 4])
    normed = gradient(network, images, lambda p: p["normed"][:, 1] - p["normed"][:, 4])
    assert_same(found, normed)
    assert found.names == ["target"] * 2


@pytest.mark.parametrize("structure", ["bare", "out"])
def test_classes_of_a_segmenter(structure: str, images: Tensor) -> None:
    network = Network(
        lambda segments, maps, **_: (
            segments if structure == "bare" else {"b": maps, "out": segments}
        )
    )
    found = kernel_saliency(network, images, None, 1)
    mean = gradient(network, images, lambda parts: parts["segments"][:, 1].mean((1, 2)))
    assert_same(found, mean)
    assert found.names == ["class 1"] * 2
    box = kernel_saliency(network, images, None, 1, readout=(3, 8, 7, 20))
    expected = gradient(network, images, lambda p: p["segments"][:, 1, 3:7, 8:20].mean((1, 2)))
    assert_same(box, expected)
    # The box is pixels 1 to 3 and 4 to 9 at half the size, seen through a 3 x 3 convolution.
    outside = torch.ones(12, 12, dtype=torch.bool)
    outside[0:5, 3:11] = False
    assert not box.maps[..., outside].any()


@pytest.mark.parametrize(
    ("readout", "message"),
    [
        ((3, 8, 25, 20), r"\(3, 8, 25, 20\) lies outside the 24 x 24 map"),
        ((3, 8, 3, 20), "readout's bottom must be an integer of at least 4; got 3"),
        ((3, 8, 4, 8), "readout's right must be an integer of at least 9; got 8"),
        ((1, 2, 3), r"\(row, column\) or \(top, left, bottom, right\); got \(1, 2, 3\)"),
    ],
)
def test_boxes_that_are_refused(readout: Any, message: str, images: Tensor) -> None:
    network = Network(lambda segments, **_: segments)
    with pytest.raises(ValueError, match=message):
        kernel_saliency(network, images, None, 1, readout=readout)


@pytest.mark.parametrize("squeeze", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_regression_is_the_number_itself(squeeze: bool, batch: int, images: Tensor) -> None:
    network = Network(lambda logits, **_: logits[:, :1].squeeze() if squeeze else logits[:, :1])
    found = kernel_saliency(network, images[:batch], None, "strongest")
    assert_same(found, gradient(network, images[:batch], lambda parts: parts["logits"][:, 0]))
    assert found.kernels == [0] * batch
    assert found.names == ["output"] * batch


class Detector(Network):
    """Three boxes an image, with the softmax of its logits as scores."""

    def __init__(self) -> None:
        super().__init__(dict)

    def scores(self, logits: Tensor) -> Tensor:
        return logits.softmax(0)[:3]

    def forward(self, x: Tensor) -> Any:
        labels = torch.tensor([1, 2, 1], device=x.device)
        return [
            {"boxes": torch.rand(3, 4), "labels": labels, "scores": self.scores(logits)}
            for logits in self.parts(x)["logits"]
        ]


def test_the_best_box_of_a_detector(images: Tensor) -> None:
    network = Detector()

    def best(of_class: int | None) -> Callable[[dict[str, Tensor]], Tensor]:
        places = {None: [0, 1, 2], 1: [0, 2], 2: [1]}[of_class]
        return lambda parts: torch.stack(
            [network.scores(logits)[places].max() for logits in parts["logits"]]
        )

    for name, of_class in (("scores", None), ("scores.1", 1), ("scores.2", 2)):
        found = kernel_saliency(network, images, None, "strongest", output=name)
        assert_same(found, gradient(network, images, best(of_class)))
        assert found.names == [f"output.{name}"] * 2
    # An image without such a box has nothing to explain.
    found = kernel_saliency(network, images, None, "strongest", output="scores.3")
    assert not found.maps.any()
    assert not found.values.any()


@pytest.mark.parametrize("name", [None, "boxes"])
def test_detectors_say_what_can_be_named(name: str | None, images: Tensor) -> None:
    message = 'Detector returns .* for each image.*output="scores" .*output="scores.17"'
    with pytest.raises(ValueError, match=message):
        kernel_saliency(Detector(), images, None, "strongest", output=name)


def test_an_output_without_a_known_layout_is_refused_by_its_name(images: Tensor) -> None:
    class Sorted(nn.Module):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return {"ordered": images.flatten(2).gather(2, images.flatten(2).argsort(2))}

    with pytest.raises(ValueError, match=r'which dimension of output "ordered".*set_layout'):
        kernel_saliency(Sorted(), images, None, 0, output="ordered")


def test_nothing_is_left_on_the_network(images: Tensor) -> None:
    network = Network(STRUCTURES["tuple"]).train()
    state = torch.get_rng_state()
    target = LayerTarget.find(network, None, images)
    assert target.output == "1"
    assert network.training
    assert torch.equal(state, torch.get_rng_state())
    assert not any(len(module._forward_hooks) for module in network.modules())


def test_pictures_are_explained_by_the_output_that_is_named() -> None:
    network, spec = Network(lambda embedding, logits, **_: (embedding, logits)), InputSpec.rgbd(12)
    pictures = torch.rand(2, 4, 12, 12)
    explainer = PictureExplainer(network, None, "1", "gradcam", input_spec=spec, output="0")
    assert explainer.layer == "output.0"
    for found in explainer(pictures):
        (row,) = found.rows()
        assert (row["layer"], row["kernel"], row["gradcam_layer"]) == ("output.0", 1, "body.0")
        assert found.tag == "saliency/gradcam/output.0"
    assert explainer.title == "gradcam of output.0 at body.0"
