"""Training with monitors ends with bitwise the same weights as without."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from careless import Backward, Careless, DrawsNoise, EvalThenTrain, ForwardInTrainMode
from promise import (
    KINDS,
    MATRIX,
    QUICK,
    differences,
    every_monitor,
    outcome,
    written,
)
from torch import Tensor, nn
from two_processes import train_with_two_processes
from typing_extensions import override

from neurovis.callbacks import Monitor
from neurovis.observation import Observation

Plain = Callable[..., dict[str, Any]]


def marks_of(case: tuple[str, int, bool]) -> list[pytest.MarkDecorator]:
    """Quick cases run by default; figures are drawn in all but the first, which has most."""
    if case == QUICK[0]:
        return []
    return [pytest.mark.drawn] if case in QUICK else [pytest.mark.drawn, pytest.mark.slow]


matrix = pytest.mark.parametrize(
    ("precision", "accumulate", "compiled"),
    [pytest.param(*case, marks=marks_of(case)) for case in MATRIX],
)


def observed_steps(folder: Path) -> dict[str, set[int]]:
    """The steps at which there are pictures, by the kind of monitor that made them."""
    steps: dict[str, set[int]] = {}
    for path in folder.rglob("*.png"):
        kind = path.relative_to(written(folder)).parts[0].removesuffix("_active")
        steps.setdefault(kind, set()).add(int(path.stem.removeprefix("step_")))
    return steps


def assert_all_fired(folder: Path, accumulate: int) -> None:
    """On epochs and on every second step, all monitors."""
    on_epochs, on_steps = ({4, 9}, {1, 3, 5, 7, 9}) if accumulate == 1 else ({2, 5}, {1, 3, 5})
    steps = observed_steps(folder)
    assert len(steps) == len(KINDS)
    assert all(found == on_epochs | on_steps for found in steps.values())


@matrix
def test_watching_does_not_disturb(
    precision: Any, accumulate: int, compiled: bool, tmp_path: Path, plain_outcome: Plain
) -> None:
    arguments: Any = {"precision": precision, "accumulate_grad_batches": accumulate}
    watched = outcome(every_monitor(), tmp_path, compiled, **arguments)
    assert differences(watched, plain_outcome(compiled=compiled, **arguments)) == []
    assert_all_fired(tmp_path, accumulate)


@pytest.mark.slow
def test_watching_two_processes_never_disturbs(tmp_path: Path) -> None:
    for left in train_with_two_processes(tmp_path, "matrix"):
        for precision, accumulate, compiled in MATRIX:
            case = f"{precision}-{accumulate}-{compiled}"
            assert differences(left[f"{case}-True"], left[f"{case}-False"]) == []
    for precision, accumulate, compiled in MATRIX:
        # Each process has half of the batches.
        steps = observed_steps(tmp_path / f"{precision}-{accumulate}-{compiled}-True")
        assert len(steps) == len(KINDS)
        expected = {1, 2, 3, 5} if accumulate == 1 else {1, 3}
        assert all(found == expected for found in steps.values())


@pytest.mark.parametrize(
    ("careless", "accumulate"),
    [(ForwardInTrainMode, 1), (EvalThenTrain, 1), (DrawsNoise, 1), (Backward, 2)],
)
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_careless_monitors_are_found_out(
    careless: type[Careless],
    accumulate: int,
    compiled: bool,
    tmp_path: Path,
    plain_outcome: Plain,
) -> None:
    arguments: Any = {"precision": "32", "accumulate_grad_batches": accumulate}
    watched = outcome([careless()], tmp_path, compiled, **arguments)
    different = differences(watched, plain_outcome(compiled=compiled, **arguments))
    assert [name for name in different if name.startswith("weights.")]


class Clumsy(Monitor):
    """Does all at once what careless monitors do, where nothing of it may matter."""

    @override
    def observe(self, network: nn.Module, images: Tensor, step: int) -> Observation:
        network.train()
        network.requires_grad_(True)
        np.random.rand(3)
        random.random()
        network(images + torch.randn_like(images)).sum().backward()
        network.zero_grad()
        return Observation(scalars={"step": float(step)})


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_base_makes_up_for_what_a_monitor_does(
    accumulate: int, tmp_path: Path, plain_outcome: Plain
) -> None:
    arguments: Any = {"precision": "32", "accumulate_grad_batches": accumulate}
    clumsy = [
        Clumsy(None, on_error="raise"),
        Clumsy(None, every_n_train_steps=1, on_error="raise"),
    ]
    watched = outcome(clumsy, tmp_path, **arguments)
    assert differences(watched, plain_outcome(compiled=False, **arguments)) == []
    assert (written(tmp_path) / "scalars.csv").exists()


def test_training_is_repeatable(tmp_path: Path, plain_outcome: Plain) -> None:
    arguments: Any = {"precision": "32", "accumulate_grad_batches": 1}
    again = outcome([], tmp_path, **arguments)
    assert differences(again, plain_outcome(compiled=False, **arguments)) == []
