"""Adam with a count of steps for each image, against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from neurovis.maximization.optimizer import (
    _BETA,
    _EPS,
    _KEPT,
    ImageAdam,
    Moments,
    adam_step,
)


def gradients(count: int, *shape: int) -> Tensor:
    """Gradients of very different sizes, some rows faint as those of deep layers are."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(count, *shape, generator=generator)
    sizes = torch.logspace(-9, 2, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return values * sizes


def descend(optimizer: torch.optim.Optimizer, parameter: Tensor, given: Tensor) -> None:
    for gradient in given:
        parameter.grad = gradient.clone()
        optimizer.step()


@pytest.mark.parametrize("shape", [(5, 3, 4, 4), (4, 7), (3,)])
def test_with_equal_steps_it_is_adam(shape: tuple[int, ...]) -> None:
    start = 0.2 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    given = gradients(60, *shape)
    descend(ImageAdam(ours, 0.05), ours, given)
    descend(torch.optim.Adam([theirs], lr=0.05, betas=(0.0, _BETA), eps=_EPS), theirs, given)
    assert (ours - start).abs().max() > 0.2
    assert (ours - theirs).abs().max() < 1e-6


def test_the_first_step_is_the_learning_rate_in_every_direction() -> None:
    values = torch.zeros(4, 2, 3)
    given = gradients(1, 4, 2, 3)[0]
    adam_step(values, given, Moments.none(values), 0.1)
    torch.testing.assert_close(values, -0.1 * given.sign(), rtol=1e-4, atol=0)


def test_every_image_counts_its_own_steps() -> None:
    start = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    parameter = start.clone().requires_grad_()
    optimizer = ImageAdam(parameter, 0.05)
    given = gradients(12, 3, 5)
    descend(optimizer, parameter, given[:4])
    optimizer.moments.forget([1])
    with torch.no_grad():
        parameter[1] = start[1]
    descend(optimizer, parameter, given[4:])
    for row, steps in ((0, given[:, :1]), (1, given[4:, 1:2]), (2, given[:, 2:])):
        alone = start[row : row + 1].clone().requires_grad_()
        adam = torch.optim.Adam([alone], lr=0.05, betas=(0.0, _BETA), eps=_EPS)
        descend(adam, alone, steps)
        torch.testing.assert_close(parameter[row], alone[0], rtol=0, atol=1e-6)


def test_rows_do_not_know_of_each_other() -> None:
    start = torch.randn(6, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    given = gradients(20, 6, 2, 8, 8)
    together = start.clone().requires_grad_()
    descend(ImageAdam(together, 0.05), together, given)
    order = [4, 2, 0, 5, 1, 3]
    shuffled = start[order].clone().requires_grad_()
    descend(ImageAdam(shuffled, 0.05), shuffled, given[:, order])
    assert torch.equal(shuffled, together[order])
    # Neighbors whose gradients are nothing, or not even numbers, change nothing.
    for nonsense in (0.0, torch.nan, 1e30):
        other = given.clone()
        other[:, [0, 5]] = nonsense
        parameter = start.clone().requires_grad_()
        descend(ImageAdam(parameter, 0.05), parameter, other)
        assert torch.equal(parameter[1:5], together[1:5])


def test_what_is_forgotten_starts_anew_and_the_rest_goes_on() -> None:
    start = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    given = gradients(30, 4, 10)
    parameter = start.clone().requires_grad_()
    optimizer = ImageAdam(parameter, 0.05)
    descend(optimizer, parameter, given[:11])
    optimizer.moments.forget([1, 3])
    with torch.no_grad():
        parameter[[1, 3]] = start[[1, 3]]
    descend(optimizer, parameter, given[11:])
    whole = start.clone().requires_grad_()
    descend(ImageAdam(whole, 0.05), whole, given)
    anew = start.clone().requires_grad_()
    descend(ImageAdam(anew, 0.05), anew, given[11:])
    assert torch.equal(parameter[[0, 2]], whole[[0, 2]])
    assert torch.equal(parameter[[1, 3]], anew[[1, 3]])
    assert not torch.equal(parameter[[1, 3]], whole[[1, 3]])


def test_other_images_begin_without_memory() -> None:
    first, second = torch.zeros(2, 3, requires_grad=True), torch.zeros(5, 4, requires_grad=True)
    optimizer = ImageAdam(first, 0.1)
    descend(optimizer, first, gradients(7, 2, 3))
    optimizer.work_on(second, Moments.none(second.detach()))
    descend(optimizer, second, gradients(1, 5, 4))
    torch.testing.assert_close(
        second.detach(), -0.1 * gradients(1, 5, 4)[0].sign(), rtol=1e-4, atol=0
    )
    kept = first.detach().clone()
    descend(optimizer, second, gradients(1, 5, 4))
    assert torch.equal(first, kept)


def test_moments_are_moved_between_rows() -> None:
    values = torch.zeros(3, 4)
    moments = Moments.none(values)
    for gradient in gradients(5, 3, 4):
        adam_step(values, gradient, moments, 0.1)
    some = moments.of([2, 0])
    other = Moments.none(torch.zeros(4, 4))
    other.put([1, 3], some)
    assert other.steps.tolist() == [0, 5, 0, 5]
    assert torch.equal(other.average[1], moments.average[2])
    assert torch.equal(other.second[3], moments.second[0])
    moments.forget([2])
    assert moments.steps.tolist() == [5, 5, 0]
    # What was copied is not forgotten with it.
    assert some.average[0].any()
    assert not moments.average[2].any()
    assert not moments.second[2].any()


def test_averages_are_of_the_last_values_of_each_image() -> None:
    parameter = torch.randn(2, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = ImageAdam(parameter, 0.1)
    assert torch.equal(optimizer.moments.averaged(parameter.detach()), parameter)
    passed: list[list[Tensor]] = [[], []]
    for step, gradient in enumerate(gradients(60, 2, 5)):
        if step == 20:
            optimizer.moments.forget([1])
            passed[1].clear()
            assert torch.equal(optimizer.moments.averaged(parameter.detach())[1], parameter[1])
        descend(optimizer, parameter, gradient[None])
        for row, values in enumerate(passed):
            values.append(parameter[row].detach().clone())
    for row, values in enumerate(passed):
        expected = values[0]
        for count, value in enumerate(values[1:], start=2):
            newest = max(1 - _KEPT, 2 / (count + 1))
            expected = (1 - newest) * expected + newest * value
        torch.testing.assert_close(optimizer.moments.averaged(parameter.detach())[row], expected)


def test_averages_come_closer_than_steps_of_one_size_can() -> None:
    """To the lowest point of a bowl that is seen with noise."""
    generator = torch.Generator().manual_seed(0)
    goal = torch.linspace(-2, 2, 400).repeat(3, 1)
    parameter = torch.zeros_like(goal).requires_grad_()
    optimizer = ImageAdam(parameter, 0.1)
    for _ in range(200):
        noise = torch.randn(goal.shape, generator=generator)
        descend(optimizer, parameter, (parameter.detach() - goal + 0.3 * noise)[None])
    last, averaged = (
        float((one - goal).square().mean().sqrt())
        for one in (parameter.detach(), optimizer.moments.averaged(parameter.detach()))
    )
    assert averaged < 0.6 * last


def test_what_is_not_finite_is_seen_in_each_row() -> None:
    moments = Moments.none(torch.zeros(3, 4))
    moments.average[0, 1] = torch.nan
    moments.second[2, 3] = torch.inf
    assert moments.finite.tolist() == [False, True, False]


def test_a_closure_is_run_with_gradients() -> None:
    parameter = torch.ones(2, 3, requires_grad=True)

    def closure() -> Tensor:
        loss = parameter.square().sum()
        loss.backward()
        return loss

    optimizer = ImageAdam(parameter, 0.5)
    with torch.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 6.0
    torch.testing.assert_close(parameter.detach(), torch.full((2, 3), 0.5))
