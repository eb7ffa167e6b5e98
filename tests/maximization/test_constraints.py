from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import optimize, special
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.maximization.constraints import Constraints, measured
from neurovis.maximization.contrast import ContrastMemory, match_contrast_and_luminance
from neurovis.maximization.parametrizations import FixedMagnitude, Fourier, Parametrization, Pixel
from neurovis.modality import Modality

RGBD = InputSpec.rgbd((12, 9))
GRAY = InputSpec((Modality("gray", 1),), size=(12, 12))


def random_images(spec: InputSpec, count: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, *spec.shape, generator=generator)


class TestLevels:
    @pytest.mark.parametrize("contrast", [0.01, 0.2, 0.4])
    @pytest.mark.parametrize("luminance", [0.3, 0.5, 0.7])
    @pytest.mark.parametrize("skew", [0.3, 1, 6])
    def test_are_exact_in_every_modality(
        self, contrast: float, luminance: float, skew: float
    ) -> None:
        images = Constraints(contrast, luminance)(random_images(RGBD) ** skew, RGBD)
        for channels in (images[:, :3], images[:, 3:]):
            values = channels.double().numpy().reshape(3, -1)
            np.testing.assert_allclose(values.std(1), contrast, atol=1e-5)
            np.testing.assert_allclose(values.mean(1), luminance, atol=1e-5)
        assert images.min() >= 0
        assert images.max() <= 1

    def test_are_those_that_scipy_finds(self) -> None:
        image = random_images(GRAY, 1)
        logits = special.logit(image.double().numpy().ravel())

        def missing(unknown: Any) -> Any:
            matched = special.expit(unknown[0] * logits + unknown[1])
            return matched.mean() - 0.4, matched.std() - 0.3

        gain, shift = optimize.fsolve(missing, (1, 0), xtol=1e-12)
        expected = special.expit(gain * logits + shift)
        matched = Constraints(0.3, 0.4)(image, GRAY)
        np.testing.assert_allclose(matched.numpy().ravel(), expected, atol=1e-5)

    def test_of_large_pictures_too(self) -> None:
        # Larger than what the solution is first sought on, with a pattern and a rare bright spot.
        spec = InputSpec.rgb(128)
        images = random_images(spec, 2) * 0.2
        images[:, :, ::2, ::2] += 0.3
        images[:, :, 40:43, 40:43] = 1
        matched = Constraints(0.25, 0.45)(images, spec)
        contrast, luminance = measured(matched, spec)["rgb"]
        torch.testing.assert_close(contrast, torch.full_like(contrast, 0.25), atol=1e-5, rtol=0)
        torch.testing.assert_close(luminance, torch.full_like(luminance, 0.45), atol=1e-5, rtol=0)

    def test_of_one_modality_leave_the_others(self) -> None:
        images = random_images(RGBD)
        matched = Constraints(contrast={"depth": 0.1}, luminance={"depth": 0.6})(images, RGBD)
        assert torch.equal(matched[:, :3], images[:, :3])
        contrast, luminance = measured(matched, RGBD)["depth"]
        assert contrast.tolist() == pytest.approx([0.1] * 3, abs=1e-5)
        assert luminance.tolist() == pytest.approx([0.6] * 3, abs=1e-5)

    def test_contrast_alone_keeps_the_mean(self) -> None:
        images = random_images(GRAY) ** 2
        matched = Constraints(contrast=0.1)(images, GRAY)
        torch.testing.assert_close(matched.mean((1, 2, 3)), images.mean((1, 2, 3)))

    def test_contrast_alone_moves_a_mean_that_does_not_allow_it(self) -> None:
        images = 0.02 * random_images(GRAY)
        contrast, luminance = measured(Constraints(contrast=0.3)(images, GRAY), GRAY)["gray"]
        assert contrast.tolist() == pytest.approx([0.3] * 3, abs=1e-5)
        assert all(0.05 < mean < 0.2 for mean in luminance.tolist())

    def test_luminance_alone_keeps_differences_of_logits(self) -> None:
        images = random_images(GRAY)
        matched = Constraints(luminance=0.2)(images, GRAY)
        assert matched.mean((1, 2, 3)).tolist() == pytest.approx([0.2] * 3, abs=1e-5)
        shift = (torch.logit(matched) - torch.logit(images)).flatten(1)
        torch.testing.assert_close(shift, shift[:, :1].expand_as(shift), atol=1e-3, rtol=0)

    def test_that_are_out_of_reach_are_measured(self) -> None:
        # One bright pixel of 144: even white on black has a contrast of 0.08 only.
        images = torch.full((1, *GRAY.shape), 0.2)
        images[0, 0, 3, 3] = 0.9
        matched = Constraints(0.4, 0.3)(images, GRAY)
        contrast, luminance = measured(matched, GRAY)["gray"]
        assert matched.isfinite().all()
        assert 0 < contrast.item() < 0.1
        assert luminance.item() == pytest.approx(0.3, abs=1e-3)

    def test_an_image_does_not_depend_on_its_neighbors(self) -> None:
        # Bitwise at sizes that fill a register: torch.sigmoid rounds what is left over otherwise.
        spec = RGBD.resized(16)
        images = random_images(spec, 5) ** 3
        images[1] = (images[1] > 0.1).float()  # out of reach, and so found in another way
        constraints = Constraints(0.4, 0.3)
        shown = constraints(images, spec)
        assert torch.equal(constraints(images.flip(0), spec).flip(0), shown)
        others = images.clone()
        others[1:] = random_images(spec, 4, seed=9)
        assert torch.equal(constraints(others, spec)[0], shown[0])
        alone = torch.cat([constraints(image[None], spec) for image in images])
        torch.testing.assert_close(shown, alone, atol=1e-6, rtol=0)

    @pytest.mark.parametrize(("contrast", "luminance"), [(0.2, 0.4), (0.2, None), (None, 0.4)])
    def test_have_the_gradient_of_finite_differences(
        self, contrast: float | None, luminance: float | None
    ) -> None:
        images = (0.1 + 0.8 * random_images(InputSpec.rgb(2), 2)).double().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda values: match_contrast_and_luminance(values, contrast, luminance),
            images,
            atol=1e-5,
        )

    def test_an_image_without_contrast_finds_a_way_out(self) -> None:
        images = torch.full((1, *GRAY.shape), 0.5, requires_grad=True)
        matched = Constraints(0.2, 0.5)(images, GRAY)
        (matched * random_images(GRAY, 1)).sum().backward()
        assert images.grad is not None
        assert images.grad.isfinite().all()
        assert images.grad.abs().max() > 0

    def test_stay_float32_under_autocast(self) -> None:
        images = random_images(GRAY)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            matched = Constraints(0.2, 0.5)(images, GRAY)
        assert torch.equal(matched, Constraints(0.2, 0.5)(images, GRAY))

    def test_scale_the_spectrum_of_logits_as_a_whole(self) -> None:
        images = FixedMagnitude().images(1, GRAY)
        images.start_from_noise([torch.Generator().manual_seed(0)])
        matched = Constraints(0.1, 0.4)(images().detach(), GRAY)
        free, held = (
            np.abs(np.fft.rfft2(logits[0, 0].double().numpy())).ravel()[1:]
            for logits in (images.logits().detach(), torch.logit(matched))
        )
        present = free > 1e-3
        ratio = held[present] / free[present]
        assert 0.1 < ratio.mean() < 0.9
        np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-3)


class TestLevelsStepByStep:
    """With a memory, as in an ascent: found from where the last step's were."""

    @staticmethod
    def steps(count: int = 6) -> list[Tensor]:
        """Images that change by a tenth of their logits' spread at each step."""
        generator = torch.Generator().manual_seed(1)
        logits = torch.randn(4, *GRAY.shape, generator=generator)
        made = []
        for _ in range(count):
            logits = logits + 0.1 * torch.randn(logits.shape, generator=generator)
            made.append(torch.sigmoid(logits))
        return made

    @pytest.mark.parametrize(("contrast", "luminance"), [(0.3, 0.6), (0.3, None), (None, 0.3)])
    def test_are_exact_without_a_search(
        self, contrast: float | None, luminance: float | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        memory = ContrastMemory()
        first, *others = self.steps()
        match_contrast_and_luminance(first, contrast, luminance, memory)
        memory.keep()
        memory.asks = False
        monkeypatch.setattr("neurovis.maximization.contrast.searched", None)
        for images in others:
            values = (
                match_contrast_and_luminance(images, contrast, luminance, memory)
                .double()
                .flatten(1)
            )
            assert memory.sure[""].all()
            memory.keep()
            if contrast is not None:
                assert (values.std(1, correction=0) - contrast).abs().max() < 1e-5
            wanted = images.double().flatten(1).mean(1) if luminance is None else luminance
            assert (values.mean(1) - wanted).abs().max() < 1e-5

    def test_of_an_image_that_is_another_are_known_to_be_wrong_and_searched_for(self) -> None:
        memory = ContrastMemory()
        first, second = self.steps(2)
        match_contrast_and_luminance(first, 0.2, 0.5, memory)
        memory.keep()
        second[1] = second[1] ** 30
        memory.asks = False
        match_contrast_and_luminance(second, 0.2, 0.5, memory)
        assert memory.sure[""].tolist() == [True, False, True, True]
        # Tried again before it is kept.
        memory.asks = True
        again = match_contrast_and_luminance(second, 0.2, 0.5, memory).double().flatten(1)
        assert memory.sure[""].all()
        assert (again.std(1, correction=0) - 0.2).abs().max() < 1e-5
        assert (again.mean(1) - 0.5).abs().max() < 1e-5

    def test_of_an_image_depend_on_its_own_steps_alone(self) -> None:
        shown = []
        for jump in (False, True):
            memory = ContrastMemory()
            images = []
            for number, one in enumerate(self.steps()):
                if jump and number == 3:
                    one[0] = one[0] ** 30
                    memory.forget([1])
                images.append(match_contrast_and_luminance(one, 0.2, 0.5, memory)[2:])
                memory.keep()
            shown.append(torch.stack(images))
        assert torch.equal(*shown)

    def test_of_a_forgotten_image_are_as_if_it_were_the_first(self) -> None:
        memory = ContrastMemory()
        *before, last = self.steps()
        for images in before:
            match_contrast_and_luminance(images, 0.2, 0.5, memory)
            memory.keep()
        memory.forget([0, 2])
        shown = match_contrast_and_luminance(last, 0.2, 0.5, memory)
        anew = match_contrast_and_luminance(last, 0.2, 0.5)
        assert torch.equal(shown[[0, 2]], anew[[0, 2]])
        torch.testing.assert_close(shown, anew, atol=1e-5, rtol=0)


class TestLinearUnit:
    """Of all images of a contrast about a mean, the centered kernel itself drives it most."""

    @pytest.mark.parametrize(
        ("parametrization", "spec"),
        [
            pytest.param(Pixel(), GRAY, marks=pytest.mark.slow),
            (Fourier(), GRAY),
            (Pixel(), InputSpec.rgb(10)),
            pytest.param(Fourier(), InputSpec.rgb(10), marks=pytest.mark.slow),
        ],
        ids=["pixel, gray", "fourier, gray", "pixel, rgb", "fourier, rgb"],
    )
    def test_reaches_its_optimum(self, parametrization: Parametrization, spec: InputSpec) -> None:
        contrast, luminance = 0.1, 0.4
        kernel = torch.randn(spec.shape, generator=torch.Generator().manual_seed(4))
        centered = kernel - kernel.mean()
        best = luminance + contrast * centered / centered.square().mean().sqrt()
        assert 0 < best.min() < best.max() < 1
        image = _climbed(parametrization, kernel, Constraints(contrast, luminance), spec)
        assert float((image * kernel).sum()) <= float((best * kernel).sum()) * (1 + 1e-6)
        torch.testing.assert_close(image, best, atol=2e-3, rtol=0)

    def test_reaches_its_optimum_with_a_free_mean(self) -> None:
        # The mean then follows the kernel's sign as far as the contrast allows.
        kernel = 0.3 + torch.randn(GRAY.shape, generator=torch.Generator().manual_seed(4))
        image = _climbed(Pixel(), kernel, Constraints(contrast=0.1), GRAY, iterations=20)
        assert float(image.std(correction=0)) == pytest.approx(0.1, abs=1e-5)
        assert float(image.mean()) > 0.8


def _climbed(
    parametrization: Parametrization,
    kernel: Tensor,
    constraints: Constraints,
    spec: InputSpec,
    iterations: int = 200,
) -> Tensor:
    images = parametrization.images(1, spec)
    images.start_from_noise([torch.Generator().manual_seed(1)])
    optimizer = torch.optim.LBFGS(
        images.parameters(), max_iter=iterations, history_size=50, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = -(constraints(images(), spec) * kernel).mean()
        value.backward()
        return value

    optimizer.step(loss)
    return constraints(images(), spec).detach()[0]


class TestFrozen:
    def test_is_exactly_the_picture_and_passes_no_gradient(self) -> None:
        picture = random_images(RGBD, 1, seed=8)[0, :3]
        images = random_images(RGBD).requires_grad_()
        shown = Constraints(contrast=0.2, frozen={"rgb": picture})(images, RGBD)
        assert torch.equal(shown[:, :3], picture.expand(3, -1, -1, -1))
        assert measured(shown, RGBD)["depth"][0].tolist() == pytest.approx([0.2] * 3, abs=1e-5)
        (shown * random_images(RGBD, seed=5)).sum().backward()
        assert images.grad is not None
        assert not images.grad[:, :3].any()
        assert images.grad[:, 3:].any()

    def test_stays_what_it_is_through_an_ascent(self) -> None:
        picture = random_images(RGBD, 1, seed=8)[0, :3]
        constraints = Constraints(frozen={"rgb": picture})
        kernel = torch.randn(RGBD.shape, generator=torch.Generator().manual_seed(4))
        image = _climbed(Fourier(), kernel, constraints, RGBD)
        assert torch.equal(image[:3], picture)
        # Depth goes where the kernel sends it: white where positive, black where negative.
        assert (image[3:] * kernel[3:].sign()).mean() > 0.3

    def test_is_read_from_a_file(self, tmp_path: Path) -> None:
        values = np.arange(12 * 9 * 3, dtype=np.uint8).reshape(12, 9, 3)
        Image.fromarray(values).save(tmp_path / "scene.png")
        constraints = Constraints(frozen={"rgb": tmp_path / "scene.png"})
        shown = constraints(random_images(RGBD), RGBD)
        expected = torch.from_numpy(values / 255).permute(2, 0, 1).float()
        torch.testing.assert_close(shown[0, :3], expected, atol=1e-6, rtol=0)
        (tmp_path / "scene.png").unlink()
        assert torch.equal(constraints(random_images(RGBD), RGBD), shown), "read once"


def test_without_constraints_images_are_left_alone() -> None:
    images = random_images(RGBD)
    for constraints in (Constraints(), Constraints({}, {}, {})):
        assert constraints.is_none
        assert constraints(images, RGBD) is images


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contrast": 0}, r"contrast must be a number in \(0, 0.475\]; got 0"),
        ({"contrast": 0.6}, r"in \(0, 0.475\]; got 0.6"),
        ({"contrast": True}, "got True"),
        ({"contrast": {"rgb": float("nan")}}, 'contrast of "rgb" must be .*got nan'),
        ({"luminance": 1.0}, r"luminance must be a number in \(0, 1\); got 1.0"),
        ({"contrast": 0.4, "luminance": 0.1}, "0.4 cannot be had at luminance 0.1: at most 0.285"),
        (
            {"contrast": 0.4, "luminance": {"depth": 0.9}},
            'contrast 0.4 of "depth" cannot be had at luminance 0.9',
        ),
        (
            {"frozen": {"rgb": torch.zeros(8, 8)}},
            r"\(channels, H, W\) in \[0, 1\], .*float32",
        ),
        ({"frozen": {"rgb": torch.zeros(3, 8, 8).int()}}, r"got torch.int32 of shape \(3, 8, 8\)"),
        ({"frozen": {"rgb": torch.full((3, 8, 8), 2.0)}}, "got 2 to 2"),
        ({"frozen": {"rgb": torch.full((3, 8, 8), torch.nan)}}, "got nan to nan"),
        ({"frozen": {"rgb": 3}}, "or a file; got int"),
        (
            {"frozen": {"rgb": torch.zeros(3, 8, 8)}, "contrast": {"rgb": 0.2}},
            'contrast is given for "rgb", which is frozen',
        ),
    ],
)
def test_bad_levels_and_pictures_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Constraints(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contrast": {"infrared": 0.2}}, 'contrast names "infrared".*it has rgb, depth'),
        ({"frozen": {"color": "x.png"}}, 'frozen names "color"'),
        (
            {"frozen": {"rgb": torch.zeros(3, 8, 8)}},
            r'frozen "rgb" must have shape \(3, 12, 9\); got \(3, 8, 8\)',
        ),
        (
            {"frozen": {"rgb": torch.zeros(3, 12, 9), "depth": torch.zeros(1, 12, 9)}},
            "nothing is left to optimize",
        ),
    ],
)
def test_what_does_not_fit_the_input_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Constraints(**options).prepared(RGBD)


def test_are_compared_by_what_they_say_and_survive_pickling() -> None:
    picture = random_images(RGBD, 1)[0, :3]
    one = Constraints(0.2, {"depth": 0.4}, {"rgb": picture})
    assert one == Constraints(0.2, {"depth": 0.4}, {"rgb": picture.clone()})
    assert one != Constraints(0.2, {"depth": 0.4}, {"rgb": 0.9 * picture})
    images = random_images(RGBD)
    copy = pickle.loads(pickle.dumps(one))
    assert copy == one
    assert torch.equal(copy(images, RGBD), one(images, RGBD))


def test_colors_are_toned_together() -> None:
    # Mean and contrast are over channels as well: the differences between colors count.
    spec = InputSpec.rgb(8)
    images = torch.tensor([0.8, 0.5, 0.2])[None, :, None, None].expand(1, 3, 8, 8)
    matched = Constraints(0.1, 0.5)(images, spec)
    levels = matched[0, :, 0, 0]
    np.testing.assert_allclose(
        levels.numpy(), 0.5 + 0.1 * np.sqrt(1.5) * np.array([1, 0, -1]), atol=1e-5
    )
