"""Judges whose classes and partners are known, and judges that cannot judge."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from neurovis import InputSpec
from neurovis.analysis import judge_images
from neurovis.class_names import match_classes
from neurovis.modality import Modality

SPEC = InputSpec(Modality("gray", 1), 8)
#: Of another size, mean and standard deviation.
JUDGE_SPEC = InputSpec(Modality("gray", 1, mean=(0.5,), std=(0.25,)), 4)
#: What the classes of the judge look like, in its own numbers: -2 is black, 2 white.
LEVELS = torch.tensor([-2.0, -1.0, 1.0, 2.0])


class OfLevels(nn.Module):
    """Scores of gray levels: the class whose level is nearest has the highest."""

    def __init__(self, levels: Tensor = LEVELS, size: int = 4) -> None:
        super().__init__()
        self.size = size
        self.head = nn.Linear(1, len(levels))
        self.head.weight.data, self.head.bias.data = 2 * levels[:, None], -(levels**2)

    def forward(self, images: Tensor) -> Tensor:
        assert images.shape[1:] == (1, self.size, self.size)
        scores: Tensor = self.head(images.mean((2, 3)))
        return scores


def maker(classes: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


def levels(*values: float) -> dict[int, Tensor]:
    """An even image of each class."""
    return {kernel: torch.full((1, 1, 8, 8), value) for kernel, value in enumerate(values)}


def test_ranks_and_probabilities_are_those_of_the_judge_with_its_own_preprocessing() -> None:
    images = levels(0.05, 0.3, 0.3, 0.8)
    found = judge_images(
        maker(), "1", images, OfLevels(), input_spec=SPEC, judge_spec=JUDGE_SPEC, name="levels"
    )
    # The images in the judge's numbers: -1.8, -0.8, -0.8, 1.2.
    distances = [[(value - level) ** 2 for level in (-2, -1, 1, 2)] for value in (-1.8, -0.8, 1.2)]
    black, dark, light = (torch.tensor(one).neg().softmax(0).tolist() for one in distances)
    assert found.measures["rank"].tolist() == [1, 1, 3, 2]
    expected = [black[0], dark[1], dark[2], light[3]]
    assert found.measures["probability"].tolist() == pytest.approx(expected, rel=1e-5)
    assert found.counterparts == ["class 0", "class 1", "class 2", "class 3"]
    assert found.remark(2) == "levels: class 2, 3rd"
    assert found.notes == ["the 4 classes of levels are taken to be in the same order"]
    # In the maker's numbers all images would be of the class in the middle.
    wrong = judge_images(maker(), "1", images, OfLevels(size=8), input_spec=SPEC)
    assert wrong.measures["rank"].tolist() != [1, 1, 3, 2]


def test_variants_are_judged_one_by_one() -> None:
    images = {2: torch.stack([torch.full((1, 8, 8), value) for value in (0.75, 0.0)])}
    found = judge_images(maker(), "1", images, OfLevels(), input_spec=SPEC, judge_spec=JUDGE_SPEC)
    assert [(row["kernel"], row["rank"]) for row in found.rows()] == [(2, 1.0), (2, 3.0)]


def test_classes_are_found_by_their_names() -> None:
    network, judge = maker(3), OfLevels()
    network.class_names = ["white", "Black", "blue"]  # type: ignore[assignment]
    judge.class_names = ["black, dark as night", "dark", "light", "white"]  # type: ignore[assignment]
    found = judge_images(
        network, "1", levels(1.0, 0.3, 0.5), judge, input_spec=SPEC, judge_spec=JUDGE_SPEC, name="J"
    )
    assert found.measures["rank"][:2].tolist() == [1, 2]
    assert found.measures["rank"][2].isnan()
    assert found.counterparts == ["white (3)", "black (0)", ""]
    assert found.remark(2) == "J: no such class"
    assert found.notes == ["J has no class of the name of kernel 2"]


@pytest.mark.parametrize(
    ("names", "others", "places"),
    [
        (["a", "b", "c"], ["a", "b", "see"], [0, 1, 2]),
        # Two that changed places are no spellings.
        (["a", "b", "c", "d", "e"], ["a", "b", "c", "e", "d"], [0, 1, 2, 4, 3]),
        (["a", "b", "c", "x", "d"], ["a", "b", "c", "d", "y"], [0, 1, 2, None, 3]),
        # Names that occur twice are told apart by their places.
        (["crane", "b", "crane"], ["crane", "b", "crane"], [0, 1, 2]),
        (["crane", "b"], ["b", "crane", "crane"], [None, 0]),
        (["great_white shark"], ["x", "great white shark, man-eater"], [1]),
        (["a", "b"], ["x", "y"], [None, None]),
    ],
)
def test_matched_names(names: list[str], others: list[str], places: list[int | None]) -> None:
    assert match_classes(names, others) == places


def test_a_judge_that_sees_no_difference_guesses_the_class_last() -> None:
    judge = OfLevels(torch.zeros(4))
    found = judge_images(
        maker(), "1", levels(0.1, 0.4), judge, input_spec=SPEC, judge_spec=JUDGE_SPEC
    )
    assert found.measures["rank"].tolist() == [4, 4]
    assert found.measures["probability"].tolist() == [0.25, 0.25]


def test_probabilities_are_left_as_they_are() -> None:
    judge = nn.Sequential(OfLevels(), nn.Softmax(1))
    images = levels(0.05, 0.3)
    found, logits = (
        judge_images(maker(), "1", images, one, input_spec=SPEC, judge_spec=JUDGE_SPEC)
        for one in (judge, OfLevels())
    )
    assert found.measures["probability"].tolist() == pytest.approx(
        logits.measures["probability"].tolist(), rel=1e-5
    )


def pictures(number: int, channels: int = 3) -> Tensor:
    return torch.rand(number, channels, 8, 8, generator=torch.Generator().manual_seed(1))


def test_partners_of_kernels_and_where_the_image_stands_among_held_out_pictures() -> None:
    spec = replace(SPEC, modalities=(Modality("rgb", 3),))
    judge_spec = replace(spec, modalities=(Modality("rgb", 3, mean=(0.2,) * 3, std=(0.5,) * 3),))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.ReLU(), nn.Conv2d(4, 2, 1))
    judge = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Sigmoid(), nn.Conv2d(5, 4, 1, bias=False))
    # The judge has the kernels in another order, one of them twice as strong, and a stranger.
    order = [3, 1, 0, 2]
    judge[0].weight.data[:4] = (
        network[0].weight.data[order] * torch.tensor([1, 2, 1, 1])[:, None, None, None]
    )
    images = {kernel: pictures(6)[kernel, None] for kernel in (0, 2, 3)}
    shown = pictures(60)
    found = judge_images(
        network, "0", images, judge, shown, input_spec=spec, judge_spec=judge_spec, name="J"
    )
    places = [order.index(kernel) for kernel in images]
    assert found.counterparts == [f"0 kernel {place}" for place in places]
    for image, (kernel, place) in enumerate(zip(images, places, strict=True)):
        with torch.no_grad():
            by_picture = [
                judge[0]((one[None] - 0.2) / 0.5)[0, place].mean().item() for one in shown[1::2]
            ]
            by_image = judge[0]((images[kernel] - 0.2) / 0.5)[0, place].mean().item()
        below = sum(value < by_image for value in by_picture)
        assert found.measures["percentile"][image].item() == pytest.approx(100 * below / 30)
    assert found.measures["correlation"].tolist() == pytest.approx([1, 1, 1])
    percentile = found.measures["percentile"][0].item()
    assert found.remark(0) == f"J: partner above {percentile:.0f} % of pictures"


def test_one_half_chooses_the_partner_and_the_other_places_it() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 2, 1))
    judge = nn.Sequential(nn.Conv2d(1, 400, 3), nn.Tanh(), nn.AvgPool2d(6), nn.Conv2d(400, 400, 1))
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(24, 1, 8, 8, generator=generator).mul(0.2).add(0.5).clamp(0, 1)
    images = {0: torch.full((1, 1, 8, 8), 0.9)}
    network[0].weight.data.fill_(1.0)
    found = judge_images(network, "0", images, judge, noise, input_spec=SPEC)
    own = noise.mean((1, 2, 3))
    with torch.no_grad():
        theirs = torch.cat([judge[0](noise).mean((2, 3)), judge(noise).mean((2, 3))], 1)
    correlations = [
        torch.corrcoef(torch.stack([own[::2], column[::2]]))[0, 1].item() for column in theirs.T
    ]
    best = max(range(800), key=correlations.__getitem__)
    layer, place = ("0", best) if best < 400 else ("3", best - 400)
    assert found.counterparts == [f"{layer} kernel {place}"]
    held_out = torch.corrcoef(torch.stack([own[1::2], theirs[1::2, best]]))[0, 1]
    assert found.measures["correlation"].item() == pytest.approx(held_out.item(), abs=1e-4)
    # Chosen among 800, it is better where it was chosen.
    assert held_out < correlations[best]


def test_a_kernel_that_pictures_do_not_move_has_no_partner() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1))
    network[0].weight.data.zero_()
    judge = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    found = judge_images(
        network, "0", levels(0.5), judge, pictures(20, 1), input_spec=SPEC, name="J"
    )
    assert found.counterparts == [""]
    assert found.measures["percentile"].isnan().all()
    assert found.remark(0) == "J: no partner"


def test_a_judge_of_color_is_shown_the_color_of_rgbd_images() -> None:
    spec = InputSpec.rgbd(8)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4 * 64, 3))
    judge = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 3))
    images = {kernel: image[None] for kernel, image in enumerate(pictures(3, 4))}
    found = judge_images(network, "1", images, judge, input_spec=spec, judge_spec=InputSpec.rgb(8))
    with torch.no_grad():
        scores = judge(InputSpec.rgb(8).to_network(pictures(3, 4)[:, :3])).softmax(1)
    assert found.measures["probability"].tolist() == pytest.approx(scores.diag().tolist(), rel=1e-5)
    with pytest.raises(ValueError, match="is shown rgb, depth, and the images have rgb"):
        judge_images(
            judge, "1", {0: pictures(1)}, network, input_spec=InputSpec.rgb(8), judge_spec=spec
        )


def test_a_network_does_not_judge_its_own_images() -> None:
    network = maker()
    for judge in (network, copy.deepcopy(network), nn.Sequential(copy.deepcopy(network))):
        with pytest.raises(ValueError, match='judge "J" has the weights of the network that made'):
            judge_images(network, "1", levels(0.5), judge, input_spec=SPEC, name="J")


def test_what_a_judge_cannot_judge() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 4))
    judge = OfLevels(torch.tensor([0.0, 1.0, 2.0]), 8)
    for layer in ("0", "2"):
        with pytest.raises(
            ValueError, match=f'kernels of layer "{layer}" stand for; give pictures'
        ):
            judge_images(network, layer, levels(0.5), judge, input_spec=SPEC)
    with pytest.raises(ValueError, match="at least 20 pictures; got 19"):
        judge_images(network, "0", levels(0.5), judge, pictures(19, 1), input_spec=SPEC)
    with pytest.raises(ValueError, match=r'kernel 3 is out of range: layer "0" has 2 kernels'):
        judge_images(network, "0", {3: pictures(1, 1)}, judge, pictures(20, 1), input_spec=SPEC)
