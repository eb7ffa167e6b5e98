"""What is read from a layer, against closed forms and Lucid's formulas written out."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pytest
import torch
from climbing import Climber
from jsonargparse import ArgumentParser
from PIL import Image
from torch import Tensor, nn

from neurovis import ActivationMaximization
from neurovis.inputs import InputSpec
from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.objectives import (
    NAMED_OBJECTIVES,
    Center,
    CustomReadout,
    DeepDream,
    Direction,
    Inversion,
    Max,
    Mean,
    Objective,
    ObjectiveName,
    Position,
    as_objective,
)
from neurovis.modality import Modality
from neurovis.readouts import READOUTS, spatial_max

GRAY = InputSpec((Modality("gray", 1),), size=(8, 8))
SHAPES = [(3, 5), (3, 5, 7), (3, 5, 4, 6)]


def read_twice(activation: Tensor) -> Tensor:
    return 2 * activation.flatten(2).mean(-1)


def activation_of(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def response_of(network: nn.Module, layer: str, spec: InputSpec = GRAY) -> LayerResponse:
    return LayerResponse(network.eval().requires_grad_(False), layer, spec)


def literal_direction(
    activation: Tensor, vector: Tensor, cosine_power: float, over: str
) -> list[float]:
    """Lucid's ``_dot_cossim``, position by position; without its additions to the lengths."""
    numbers = []
    for image in activation.double().flatten(2).numpy():
        products = []
        for position in range(image.shape[1]):
            column, own = image[:, position], vector.double().numpy()
            dot = float((column * own).sum())
            cosine = dot / math.sqrt((column**2).sum()) / math.sqrt((own**2).sum())
            products.append(dot * max(0.1, cosine) ** cosine_power)
        sizes = activation.shape[2:]
        middle = (sizes[0] // 2) * sizes[1] + sizes[1] // 2
        numbers.append(
            {"mean": np.mean(products), "max": max(products), "center": products[middle]}[over]
        )
    return numbers


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("objective", "name"), [(Mean(), "mean"), (Center(), "center"), (Max(), "max")]
)
def test_classic_objectives_are_the_readouts(
    objective: Objective, name: str, shape: tuple[int, ...]
) -> None:
    activation = activation_of(shape)
    assert torch.equal(objective(activation), READOUTS[name](activation))
    assert torch.equal(objective.maps(activation), activation)
    assert as_objective(name) == objective
    assert (objective.noun, objective.silent_at_zero) == ("kernel", True)


def test_a_position_is_one_unit() -> None:
    activation = activation_of((2, 3, 4, 6))
    assert torch.equal(Position(3, 1)(activation), activation[:, :, 3, 1])
    assert torch.equal(Position(0, 5)(activation[:, :, 0]), activation[:, :, 0, 5])
    assert torch.equal(Position(0, 0)(activation[:, :, 0, 0]), activation[:, :, 0, 0])


def test_a_position_outside_of_the_maps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"row 4, column 1 is outside .* 4 x 6 units"):
        Position(4, 1)(torch.zeros(1, 2, 4, 6))
    with pytest.raises(ValueError, match=r"row 0, column 6 is outside .* 4 x 6 units"):
        Position(0, 6)(torch.zeros(1, 2, 4, 6))
    response = response_of(nn.Sequential(nn.Conv2d(1, 3, 3)), "0")
    with pytest.raises(ValueError, match=r"row 6, column 0 is outside .* 6 x 6 units"):
        Position(6, 0).prepared(response)
    assert Position(5, 5).prepared(response) == Position(5, 5)
    with pytest.raises(ValueError, match=r"column must be an integer of at least 0; got -1"):
        Position(1, -1)
    with pytest.raises(ValueError, match=r"row must be an integer of at least 0; got 1.5"):
        Position(1.5, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("over", ["mean", "center", "max"])
@pytest.mark.parametrize("cosine_power", [0, 0.5, 1, 2, 4])
def test_directions_against_lucids_formula(
    cosine_power: float, over: Literal["mean", "center", "max"]
) -> None:
    activation, vectors = activation_of((3, 5, 4, 6)), activation_of((2, 5), seed=1)
    values = Direction(vectors, cosine_power, over)(activation)
    assert values.shape == (3, 2)
    for number, vector in enumerate(vectors):
        expected = literal_direction(activation, vector, cosine_power, over)
        assert values[:, number].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_directions_of_layers_without_two_dimensions_of_positions() -> None:
    activation, vector = activation_of((3, 5)), [0.5, -1.0, 2.0, 0.0, 1.0]
    dots = activation @ torch.tensor(vector)
    torch.testing.assert_close(Direction(vector)(activation), dots[:, None])
    sequences = activation[:, :, None].expand(-1, -1, 7)
    torch.testing.assert_close(Direction(vector)(sequences), dots[:, None])
    assert Direction(vector).maps(sequences).shape == (3, 1, 7)


def test_a_direction_along_one_kernel_is_that_kernel() -> None:
    activation = activation_of((3, 5, 4, 6))
    directions = Direction(torch.eye(5), over="center")
    torch.testing.assert_close(directions(activation), Center()(activation))
    torch.testing.assert_close(directions.maps(activation), activation)


def test_the_image_of_a_direction_is_the_sum_of_its_kernels() -> None:
    """The analytic optimum of linear units under an L2 constraint is the gradient's direction."""
    layer = nn.Conv2d(1, 4, 8, bias=False)
    vector = torch.tensor([1.0, -2.0, 0.0, 0.5])
    image = torch.rand(1, 1, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(Direction(vector)(layer(image)).sum(), image)
    optimum = (vector[:, None, None] * layer.weight[:, 0]).sum(0)
    torch.testing.assert_close(gradient[0, 0], optimum.detach())


@pytest.mark.parametrize("cosine_power", [0.0, 1.0, 3.0])
def test_a_silent_layer_has_the_gradient_of_its_direction(cosine_power: float) -> None:
    vector = torch.tensor([1.0, -2.0, 0.5])
    activation = torch.zeros(1, 3, 2, 2, requires_grad=True)
    value = Direction(vector, cosine_power)(activation)
    (gradient,) = torch.autograd.grad(value.sum(), activation)
    assert value.item() == 0
    expected = 0.1**cosine_power * vector / 4
    torch.testing.assert_close(gradient[0], expected[:, None, None].expand(3, 2, 2))


def test_cosines_do_not_depend_on_how_faint_a_layer_is() -> None:
    activation, vector = activation_of((2, 5, 3, 3)).double(), activation_of((5,), seed=1)
    plain = Direction(vector, 2.0)(activation.float())
    faint = Direction(vector, 2.0)(activation.float() * 1e-9)
    torch.testing.assert_close(faint * 1e9, plain, rtol=1e-5, atol=0)


def test_a_higher_power_asks_for_the_direction_rather_than_for_size() -> None:
    pure, large = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    assert Direction([1.0, 0.0])(pure) < Direction([1.0, 0.0])(large)
    assert Direction([1.0, 0.0], 1)(pure) > Direction([1.0, 0.0], 1)(large)


@pytest.mark.parametrize("suffix", [".npy", ".pt"])
def test_directions_are_read_from_files(tmp_path: Path, suffix: str) -> None:
    vectors = activation_of((2, 5)).double()
    path = tmp_path / f"vectors{suffix}"
    if suffix == ".npy":
        np.save(path, vectors.numpy())
    else:
        torch.save(vectors, path)
    assert Direction(path) == Direction(str(path)) == Direction(vectors.tolist())
    assert Direction(path) != Direction(vectors + 1)


def test_files_that_hold_no_directions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'no file ".*nothing.npy"'):
        Direction(tmp_path / "nothing.npy")
    torch.save({"weight": torch.ones(3)}, tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r'state.pt" must hold one tensor; it holds a dict'):
        Direction(tmp_path / "state.pt")
    for name, said in (("text.pt", "damaged, or no"), ("text.npy", "not a NumPy file")):
        (tmp_path / name).write_text("1 2 3")
        with pytest.raises(ValueError, match=f'{name}" is {said}'):
            Direction(tmp_path / name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vectors": []}, r"one vector \(K,\) or several .* got shape \(1, 0\)"),
        ({"vectors": [[[1.0]]]}, r"got shape \(1, 1, 1\)"),
        ({"vectors": [[1.0, 2.0], [1.0]]}, "all of one length"),
        ({"vectors": ["much"]}, "must be lists of numbers"),
        ({"vectors": [1.0, math.nan]}, "finite"),
        ({"vectors": [[1.0, 0.0], [0.0, 0.0]]}, "all zero; number 1 is"),
        ({"vectors": [1.0], "cosine_power": -1}, "cosine_power .* got -1"),
        ({"vectors": [1.0], "cosine_power": "2"}, "cosine_power .* got '2'"),
        ({"vectors": [1.0], "over": "median"}, "got 'median'"),
    ],
)
def test_unusable_directions_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Direction(**options)  # type: ignore[arg-type]


def test_a_direction_must_have_the_layers_number_of_kernels() -> None:
    response = response_of(nn.Sequential(nn.Conv2d(1, 3, 3)), "0")
    with pytest.raises(ValueError, match="the layer's 3 kernels; vectors have 2"):
        Direction([1.0, 2.0]).prepared(response)
    assert Direction([1.0, 2.0, 3.0]).prepared(response) == Direction([1.0, 2.0, 3.0])


def test_what_is_read_is_float32_also_under_autocast() -> None:
    activation, objective = activation_of((2, 64, 5, 5)), Direction(activation_of((64,)), 1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = objective(activation)
    assert torch.equal(under_autocast, objective(activation))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_deep_dream_is_the_mean_square_of_the_layer(shape: tuple[int, ...]) -> None:
    activation = activation_of(shape).requires_grad_(True)
    values = DeepDream()(activation)
    expected = [np.mean(image.numpy() ** 2) for image in activation.detach()]
    assert values.flatten().tolist() == pytest.approx(expected, rel=1e-5)
    assert values.shape == (3, 1)
    maps = DeepDream().maps(activation)
    assert maps.shape == (3, 1, *shape[2:])
    torch.testing.assert_close(maps.flatten(1).mean(1), values[:, 0])
    (gradient,) = torch.autograd.grad(values.sum(), activation)
    torch.testing.assert_close(gradient, 2 * activation.detach() / activation[0].numel())
    assert as_objective("deep_dream") == DeepDream()
    assert DeepDream().noun == "layer"


def orthogonal_network() -> nn.Module:
    """A layer that turns 2 x 2 patches, and keeps all distances."""
    layer = nn.Conv2d(1, 4, 2, stride=2, bias=False)
    nn.init.orthogonal_(layer.weight, generator=torch.Generator().manual_seed(0))
    return nn.Sequential(layer)


def test_an_inversion_is_minus_the_relative_squared_distance() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    response = response_of(network, "1")
    picture, images = torch.rand(GRAY.shape), torch.rand(2, *GRAY.shape)
    objective = Inversion(picture).prepared(response)
    wanted, reached = response(picture[None])[0], response(images)
    expected = [-float(((own - wanted) ** 2).sum() / (wanted**2).sum()) for own in reached]
    assert objective(reached).shape == (2, 1)
    assert objective(reached)[:, 0].tolist() == pytest.approx(expected, rel=1e-5)
    assert objective(response(picture[None])).item() == 0
    assert objective(torch.zeros_like(reached)).flatten().tolist() == pytest.approx([-1.0, -1.0])
    maps = objective.maps(reached)
    assert maps.shape == (2, 1, 6, 6)
    torch.testing.assert_close(maps.flatten(1).sum(1), objective(reached)[:, 0])
    assert (objective.noun, objective.silent_at_zero) == ("picture", False)


def test_an_ascent_finds_the_picture_that_a_layer_keeps_all_of() -> None:
    response = response_of(orthogonal_network(), "0")
    picture = torch.rand(GRAY.shape, generator=torch.Generator().manual_seed(1))
    objective = Inversion(picture).prepared(response)
    images = torch.full((1, *GRAY.shape), 0.5, requires_grad=True)
    relative = ((0.5 - picture) ** 2).sum() / (picture**2).sum()
    with torch.no_grad():
        assert objective(response(images)).item() == pytest.approx(-float(relative), rel=1e-4)
    optimizer = torch.optim.Adam([images], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        (-objective(response(images))).sum().backward()
        optimizer.step()
    torch.testing.assert_close(images.detach()[0], picture, atol=1e-3, rtol=0)


def test_a_picture_to_invert_is_read_from_its_path(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(levels).save(tmp_path / "picture.png")
    response = response_of(orthogonal_network(), "0")
    prepared = Inversion(tmp_path / "picture.png").prepared(response)
    of_tensor = Inversion(torch.from_numpy(levels)[None].float() / 255).prepared(response)
    assert prepared == of_tensor
    assert repr(prepared) == repr(of_tensor)
    assert prepared(response(torch.rand(1, *GRAY.shape))) < 0
    # Another layer's activation of the same picture.
    other = response_of(nn.Sequential(nn.Conv2d(1, 2, 3)), "0")
    again = prepared.prepared(other)
    assert again == prepared
    assert again(other(torch.from_numpy(levels)[None, None].float() / 255)).item() == 0


def test_pictures_that_cannot_be_inverted_are_refused(tmp_path: Path) -> None:
    response = response_of(orthogonal_network(), "0")
    with pytest.raises(FileNotFoundError, match=r'no picture ".*nothing.png"'):
        Inversion(tmp_path / "nothing.png").prepared(response)
    with pytest.raises(ValueError, match=r"input's shape \(1, 8, 8\); got \(1, 9, 8\)"):
        Inversion(torch.rand(1, 9, 8)).prepared(response)
    with pytest.raises(ValueError, match=r"got torch.int64 of shape \(1, 8, 8\)"):
        Inversion(torch.zeros(1, 8, 8, dtype=torch.long))
    with pytest.raises(ValueError, match=r"in \[0, 1\]; got 0 to 2"):
        Inversion(torch.tensor([[[0.0, 2.0]]]))
    with pytest.raises(ValueError, match='layer "0" is silent for the picture'):
        Inversion(torch.zeros(GRAY.shape)).prepared(response)
    with pytest.raises(RuntimeError, match=r"call prepared\(response\)"):
        Inversion(torch.rand(GRAY.shape))(torch.rand(1, 4, 4, 4))
    prepared = Inversion(torch.rand(GRAY.shape)).prepared(response)
    with pytest.raises(ValueError, match=r"activation of shape \(4, 4, 4\); the images .*\(4, 5"):
        prepared(torch.rand(1, 4, 5, 4))


def test_functions_of_the_user() -> None:
    objective = as_objective(read_twice)
    activation = activation_of((2, 3, 4, 4))
    assert torch.equal(objective(activation), 2 * activation.flatten(2).mean(-1))
    assert repr(objective).endswith("test_objectives.read_twice)")
    assert objective == CustomReadout(read_twice) != CustomReadout(spatial_max)


@pytest.mark.parametrize(
    ("function", "came"),
    [
        (lambda activation: activation.mean(), r"\(\)"),
        (lambda activation: activation, r"\(2, 3, 4, 4\)"),
        (lambda _: 3.0, "float"),
    ],
)
def test_functions_that_return_another_shape_are_refused(
    function: Callable[[Tensor], Tensor], came: str
) -> None:
    with pytest.raises(ValueError, match=rf"each image and kernel, \(2, 3\); it returned {came}"):
        as_objective(function)(torch.zeros(2, 3, 4, 4))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("centr", 'objective must be "mean", .*; got \'centr\'; did you mean "center"'),
        ("median", "got 'median'"),
        (3, "a function; got 3"),
        (None, "a function; got None"),
        (Direction, r"an object, as in Direction\(...\); got the class"),
    ],
)
def test_what_is_no_objective_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_objective(value)  # type: ignore[arg-type]


def test_an_objective_is_taken_as_it_is() -> None:
    objective = Position(1, 2)
    assert as_objective(objective) is objective


OBJECTIVES = [
    Mean(),
    Position(1, 2),
    DeepDream(),
    CustomReadout(read_twice),
    Direction([[1.0, 2.0], [0.1, 3.0]], 2, "max"),
    Inversion(torch.linspace(0, 1, 64).reshape(GRAY.shape)),
    Inversion(torch.linspace(0, 1, 64).reshape(GRAY.shape)).prepared(
        response_of(orthogonal_network(), "0")
    ),
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: type(objective).__name__)
def test_objectives_survive_pickling_and_say_what_they_are(objective: Objective) -> None:
    copy = pickle.loads(pickle.dumps(objective))
    assert copy == objective
    assert repr(copy) == repr(objective)
    assert hash(copy) == hash(objective)
    assert [other for other in OBJECTIVES if other == objective] == [objective]
    assert " at 0x" not in repr(objective)


def test_a_prepared_inversion_still_knows_its_picture_after_pickling() -> None:
    prepared = OBJECTIVES[-1]
    activation = torch.rand(2, 4, 4, 4)
    assert torch.equal(pickle.loads(pickle.dumps(prepared))(activation), prepared(activation))


def test_what_a_direction_was_made_of_may_change_afterwards() -> None:
    vectors = torch.ones(1, 2)
    objective = Direction(vectors)
    vectors.zero_()
    assert objective(torch.ones(1, 2)).item() == 2.0


def test_constants_made_in_inference_mode_can_be_climbed() -> None:
    with torch.inference_mode():
        objective = Direction(torch.ones(1, 2), 1.0)
    activation = torch.ones(1, 2, requires_grad=True)
    objective(activation).sum().backward()
    assert activation.grad is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("center", "center"),
        (
            "{class_path: neurovis.maximization.objectives.Direction, "
            "init_args: {vectors: [1, 0.5, -2]}}",
            Direction([1.0, 0.5, -2.0]),
        ),
        (
            "{class_path: neurovis.maximization.objectives.Direction, init_args: "
            "{vectors: [[1, 0.5], [3, 4]], cosine_power: 2, over: center}}",
            Direction([[1.0, 0.5], [3.0, 4.0]], 2.0, "center"),
        ),
        (
            "{class_path: neurovis.maximization.objectives.Position, "
            "init_args: {row: 1, column: 2}}",
            Position(1, 2),
        ),
        ("{class_path: neurovis.maximization.objectives.DeepDream}", DeepDream()),
        (
            "{class_path: neurovis.maximization.objectives.Inversion, "
            "init_args: {picture: cat.png}}",
            Inversion("cat.png"),
        ),
        (
            "{class_path: neurovis.maximization.objectives.CustomReadout, "
            "init_args: {function: neurovis.readouts.spatial_max}}",
            CustomReadout(spatial_max),
        ),
    ],
)
def test_objectives_are_written_in_yaml(tmp_path: Path, text: str, expected: object) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--objective", type=ObjectiveName | Objective)  # type: ignore[arg-type]
    (tmp_path / "config.yaml").write_text(f"objective: {text}\n")
    options = parser.parse_args(["--config", str(tmp_path / "config.yaml")])
    assert parser.instantiate(options).objective == expected
    (tmp_path / "again.yaml").write_text(parser.dump(options))
    again = parser.parse_args(["--config", str(tmp_path / "again.yaml")])
    assert parser.instantiate(again).objective == expected


class TestSums:
    ACTIVATION = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))

    @pytest.mark.parametrize(
        ("objective", "expected"),
        [
            (Mean() + Max(), lambda a: a.mean((2, 3)) + a.amax((2, 3))),
            (Mean() - 0.5 * Max(), lambda a: a.mean((2, 3)) - 0.5 * a.amax((2, 3))),
            (-Max() / 4, lambda a: -a.amax((2, 3)) / 4),
            (1 - Mean() * 3, lambda a: 1 - 3 * a.mean((2, 3))),
            (Mean() + 2 - Max() - 1, lambda a: a.mean((2, 3)) + 1 - a.amax((2, 3))),
            (Mean() + DeepDream(), lambda a: a.mean((2, 3)) + a.square().mean((1, 2, 3))[:, None]),
            (sum([Mean(), Max()]), lambda a: a.mean((2, 3)) + a.amax((2, 3))),
        ],
    )
    def test_are_those_of_the_numbers(self, objective: Objective, expected: Any) -> None:
        torch.testing.assert_close(objective(self.ACTIVATION), expected(self.ACTIVATION))
        assert objective.maps(self.ACTIVATION).shape == self.ACTIVATION.shape

    def test_of_the_same_terms_are_equal_and_say_them(self) -> None:
        assert Mean() - 0.5 * Max() == Mean() + Max() * -0.5
        assert "0.5, Max()" in repr(Mean() + 0.5 * Max())
        assert (Mean() + DeepDream()).noun == "kernel"
        assert (2 * DeepDream()).noun == "layer"
        assert (Mean() + Max()).silent_at_zero
        assert not (Mean() - Max()).silent_at_zero

    def test_an_ascent_is_that_of_the_sum(self, climb: Climber) -> None:
        """Two halves of a number are the number, bit for bit; so are their gradients."""
        network = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU())
        images = []
        for objective in (0.5 * Max() + Max() / 2, Max()):
            am = ActivationMaximization(
                network, layer="1", input_spec=GRAY, steps=6, objective=objective
            )
            climb(am)
            images.append(am.results.images)
        assert torch.equal(*images)

    def test_what_does_not_fit(self) -> None:
        with pytest.raises(TypeError, match="unsupported operand"):
            Mean() + "max"  # type: ignore[operator]
        with pytest.raises(ValueError, match="must be finite"):
            math.inf * Mean()
        network = nn.Conv2d(3, 4, 5)
        both = Mean() + Direction([[1.0] * 4, [2.0] * 4])
        with pytest.raises(ValueError, match=r"read \[2, 4\] numbers"):
            both.prepared(LayerResponse(nn.Sequential(network), "0", InputSpec.rgb(9)))


def test_every_objective_without_arguments_is_a_choice() -> None:
    assert get_args(ObjectiveName) == tuple(NAMED_OBJECTIVES)
