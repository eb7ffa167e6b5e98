"""Runs that are stopped at any moment and started again: nothing is lost, redone or mixed in."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import math
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from climbing import GRAY, STILL, Climber, make_small_network
from torch import Tensor, nn

from neurovis import files
from neurovis.maximization import (
    ActivationMaximization,
    GroupActivationMaximization,
    network,
    target_maximization,
)
from neurovis.maximization.fingerprints import described
from neurovis.maximization.layer_ascent import LayerAscent
from neurovis.maximization.manifest import Manifest
from neurovis.maximization.preferred_image import PreferredImage

#: Six images, two at a time, that stop after different numbers of steps.
OPTIONS: dict[str, Any] = {
    **{"input_spec": GRAY, "steps": 24, "batch_size": 2},
    **{"style": "maximal", "patience": 4, "min_improvement": 0.02},
}
KERNELS = [0, 1, 2, 3, 4, 5]


class StoppedError(Exception):
    """What stops a run."""


class StopAfter(pl.Callback):
    """Raises after some steps of a run."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.global_step >= self.steps:
            raise StoppedError


def module(network: nn.Module, kernels: object = KERNELS, **options: Any) -> ActivationMaximization:
    return ActivationMaximization(network, "3", kernels, **{**OPTIONS, **options})


def stop(climb: Climber, am: ActivationMaximization, steps: int = 30) -> int:
    """Stop a run in the middle; how many images are finished then."""
    with pytest.raises(StoppedError):
        climb(am, callbacks=[StopAfter(steps)])
    return am.finished_count


def manifest_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return content


def assert_equal_images(one: PreferredImage, other: PreferredImage) -> None:
    for name, value in vars(one).items():
        same = getattr(other, name)
        if isinstance(value, Tensor):
            assert torch.equal(value, same), f"{name} of {one.label}"
        else:
            assert value == same, f"{name} of {one.label}"


def assert_same(one: ActivationMaximization, other: ActivationMaximization) -> None:
    """That two runs came to the same images with the same evidence, bit by bit."""
    assert [item.label for item in one.results.items] == [
        item.label for item in other.results.items
    ]
    for ours, theirs in zip(one.results.items, other.results.items, strict=True):
        assert_equal_images(ours, theirs)


@pytest.fixture(autouse=True)
def _figures_where_a_disk_is_full_only(request: pytest.FixtureRequest) -> None:
    if "full_disk" not in request.fixturenames:
        request.getfixturevalue("without_figures")


@pytest.fixture(scope="module")
def whole_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def uninterrupted(whole_folder: Path) -> ActivationMaximization:
    am = module(make_small_network())
    Climber(whole_folder)(am)
    assert len({len(item.curve) for item in am.results.items}) > 2, "they stop together"
    return am


@pytest.fixture
def complete(uninterrupted: ActivationMaximization, whole_folder: Path, tmp_path: Path) -> None:
    """The files of the uninterrupted run, in the test's own folder."""
    assert uninterrupted.finished_count == len(KERNELS)
    shutil.copytree(whole_folder, tmp_path, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    folder = tmp_path_factory.mktemp("stopped")
    return folder, stop(Climber(folder), module(make_small_network()))


@pytest.fixture
def stopped(stopped_run: tuple[Path, int], tmp_path: Path) -> int:
    """The files of a run that was stopped in the middle, in the test's own folder.

    Returns:
        How many images are finished.
    """
    folder, finished = stopped_run
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return finished


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The kernels whose ascents have begun, one entry for each time."""
    kernels: list[int] = []
    original = LayerAscent._fill

    def fill(self: LayerAscent, slot: int, *state: Any) -> None:
        kernels.append(self._batch.jobs[slot].target.kernels[0])
        original(self, slot, *state)

    monkeypatch.setattr(LayerAscent, "_fill", fill)
    return kernels


@pytest.mark.sampled(2)
@pytest.mark.parametrize("steps", [1, 26, 34, 45])
def test_after_an_exception_it_goes_on_and_comes_to_the_same(
    small_network: nn.Module,
    climb: Climber,
    tmp_path: Path,
    uninterrupted: ActivationMaximization,
    whole_folder: Path,
    begun: list[int],
    steps: int,
) -> None:
    finished = stop(climb, module(small_network), steps)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("finished/*/*")}
    assert len(kept) == finished < len(KERNELS)
    assert (finished > 0) == (steps > 1)
    assert not manifest_of(tmp_path)["complete"]
    begun.clear()
    rest = module(small_network)
    climb(rest)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    first = {int(path.stem.removeprefix("kernel_")) for path in kept}
    assert sorted(set(begun)) == sorted(set(KERNELS) - first)
    assert_same(rest, uninterrupted)
    assert manifest_of(tmp_path) == manifest_of(whole_folder)


def test_the_same_module_goes_on_after_an_exception(
    small_network: nn.Module, climb: Climber, uninterrupted: ActivationMaximization
) -> None:
    am = module(small_network)
    stop(climb, am)
    climb(am)
    assert_same(am, uninterrupted)


def test_stopped_again_and_again(
    small_network: nn.Module, climb: Climber, uninterrupted: ActivationMaximization
) -> None:
    counts = [stop(climb, module(small_network), steps) for steps in (30, 5, 30, 12)]
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[-1] < len(KERNELS)
    rest = module(small_network)
    climb(rest)
    assert_same(rest, uninterrupted)


def test_max_steps_stop_it_and_it_goes_on(
    small_network: nn.Module,
    climb: Climber,
    tmp_path: Path,
    uninterrupted: ActivationMaximization,
) -> None:
    first = module(small_network)
    with pytest.warns(UserWarning, match=r"of 6 images were finished.*makes the others"):
        climb(first, max_steps=30)
    ended = [item.ended for item in first.results.items]
    assert "cut short" in ended
    assert len(ended) > first.finished_count > 0
    assert not manifest_of(tmp_path)["complete"]
    rest = module(small_network)
    climb(rest)
    assert_same(rest, uninterrupted)
    assert manifest_of(tmp_path)["complete"]


def test_a_checkpoint_brings_finished_images_into_another_folder(
    small_network: nn.Module,
    climb: Climber,
    tmp_path: Path,
    uninterrupted: ActivationMaximization,
    begun: list[int],
) -> None:
    first = module(small_network)
    trainer = climb(first, max_steps=30)
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    finished = first.finished_count
    assert finished > 0
    begun.clear()
    rest = module(small_network)
    options = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    second = pl.Trainer(
        accelerator="cpu", max_epochs=-1, default_root_dir=tmp_path / "second", **options
    )  # fmt: skip
    second.fit(rest, ckpt_path=tmp_path / "kept.ckpt", weights_only=True)
    assert len(set(begun)) == len(KERNELS) - finished
    assert_same(rest, uninterrupted)


def test_groups_go_on(small_network: nn.Module, climb: Climber, tmp_path: Path) -> None:
    def groups() -> GroupActivationMaximization:
        return GroupActivationMaximization(
            small_network, "3", "0,1;2,3;4,5", joint="min", suppressed="6;7;6,7", zscore=True,
            **OPTIONS,
        )  # fmt: skip

    whole, rest = groups(), groups()
    climb(whole, default_root_dir=tmp_path / "whole")
    with pytest.raises(StoppedError):
        climb(groups(), callbacks=[StopAfter(26)])
    assert len(list(tmp_path.glob("finished/3/group_*.npz"))) in (1, 2)
    climb(rest)
    for ours, theirs in zip(rest.results.items, whole.results.items, strict=True):
        assert_equal_images(ours, theirs)


def test_variants_go_on(small_network: nn.Module, climb: Climber, tmp_path: Path) -> None:
    options: dict[str, Any] = {"kernels": [0, 1, 2], "variants": 2, "diversity": 0.5}
    whole, rest = module(small_network, **options), module(small_network, **options)
    climb(whole, default_root_dir=tmp_path / "whole")
    assert stop(climb, module(small_network, **options), 40) in (1, 2)
    climb(rest)
    assert len(rest.results) == 6
    assert_same(rest, whole)


def test_other_kernels_in_the_same_folder_are_added(
    small_network: nn.Module, climb: Climber, tmp_path: Path, begun: list[int]
) -> None:
    climb(module(small_network, [0, 1], steps=4))
    begun.clear()
    more = module(small_network, [1, 4, 5], steps=4)
    climb(more)
    assert set(begun) == {4, 5}
    assert [item.kernels for item in more.results.items] == [(1,), (4,), (5,)]
    assert [item.index for item in more.results.items] == [0, 1, 2]
    assert {path.stem for path in tmp_path.glob("finished/3/*")} == {
        *("kernel_0000", "kernel_0001", "kernel_0004", "kernel_0005")
    }


def test_other_kernels_are_added_to_an_unfinished_run(
    small_network: nn.Module, climb: Climber, stopped: int, begun: list[int]
) -> None:
    more = module(small_network, [*KERNELS, 6])
    climb(more)
    assert len(set(begun)) == 7 - stopped
    assert len(more.results) == 7


# What shapes images may not change under way.


def _louder(images: Tensor) -> Tensor:
    return images.mean((1, 2, 3)) * 2


def _weighted(images: Tensor, weight: float) -> Tensor:
    return images.mean((1, 2, 3)) * weight


def _penalty(weight: float) -> Callable[[Tensor], Tensor]:
    return lambda images: images.mean((1, 2, 3)) * weight


def _with_default(weight: float) -> Callable[[Tensor], Tensor]:
    return lambda images, weight=weight: images.mean((1, 2, 3)) * weight


class _Weighting:
    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3)) * self.weight

    def apply(self, images: Tensor) -> Tensor:
        return self(images)


class _NetworkPenalty(nn.Module):
    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3)) * self.weight.detach()


def _image(value: float) -> Tensor:
    return torch.linspace(0.2, value, 256).reshape(1, 16, 16)


CHANGES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"seed": 1}, r"settings\.seed \(1 here, 0 there\)"),
    ({}, {"steps": 25}, r"settings\.steps \(25 here, 24 there\)"),
    ({}, {"tv": 0.5}, r"settings\.tv \(0\.5 here, 0\.0 there\)"),
    ({}, {"objective": "max"}, r"settings\.objective \(\"max\" here, \"mean\" there\)"),
    ({}, {"parametrization": "pixel"}, r"settings\.parametrization"),
    ({}, {"contrast": 0.1}, r"settings\.contrast"),
    ({}, {"transforms": []}, r"settings\.transforms"),
    ({}, {"input_spec": GRAY.resized((18, 16))}, r"input\.size"),
    ({"init": _image(0.8)}, {"init": _image(0.9)}, r"settings\.init"),
    ({"regularizers": [_penalty(0.1)]}, {"regularizers": [_louder]}, r"settings\.regularizers"),
    ({"regularizers": [_penalty(0.1)]}, {"regularizers": [_penalty(0.2)]}, "regularizers"),
    ({"regularizers": [_Weighting(0.1)]}, {"regularizers": [_Weighting(0.2)]}, "regularizers"),
    (
        {"regularizers": [_NetworkPenalty(0.1)]},
        {"regularizers": [_NetworkPenalty(0.2)]},
        "regularizers",
    ),
    (
        {"regularizers": [_with_default(0.1)]},
        {"regularizers": [_with_default(0.2)]},
        "regularizers",
    ),
    (
        {"regularizers": [_Weighting(0.1).apply]},
        {"regularizers": [_Weighting(0.2).apply]},
        "regularizers",
    ),
    (
        {"regularizers": [functools.partial(_weighted, weight=0.1)]},
        {"regularizers": [functools.partial(_weighted, weight=0.2)]},
        "regularizers",
    ),
    (
        {"regularizers": [lambda images: (lambda x: x * 0.1)(images.mean((1, 2, 3)))]},
        {"regularizers": [lambda images: (lambda x: x * 0.2)(images.mean((1, 2, 3)))]},
        "regularizers",
    ),
]
NAMES = [
    *("seed", "steps", "tv", "objective", "parametrization", "contrast", "transforms", "size"),
    *("init", "function", "closure", "callable", "module", "default", "method", "partial"),
    "nested",
]


@pytest.mark.parametrize(("before", "after", "message"), CHANGES, ids=NAMES)
def test_what_shapes_images_is_told_apart(
    small_network: nn.Module,
    tmp_path: Path,
    before: dict[str, Any],
    after: dict[str, Any],
    message: str,
) -> None:
    module(small_network, **before).manifest().write(tmp_path)
    there = Manifest.read(tmp_path)
    assert there is not None
    assert not module(small_network, **before).manifest().differences(there)
    changed = module(small_network, **{**before, **after}).manifest()
    assert re.search(message, "; ".join(changed.differences(there)))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        pytest.param(
            *change, id=name, marks=() if name in ("seed", "closure") else pytest.mark.slow
        )
        for change, name in zip(CHANGES, NAMES, strict=True)
    ],
)
def test_a_changed_setting_is_refused_for_an_unfinished_run(
    small_network: nn.Module,
    climb: Climber,
    tmp_path: Path,
    before: dict[str, Any],
    after: dict[str, Any],
    message: str,
) -> None:
    before = {"kernels": [0, 1], "batch_size": 1, **before}
    assert stop(climb, module(small_network, **before), 25) == 1
    there = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    with pytest.raises(ValueError, match=f"unfinished run that differs in .*{message}"):
        climb(module(small_network, **{**before, **after}))
    assert {path: path.read_bytes() for path in there} == there


def test_what_was_begun_in_bfloat16_does_not_go_on_in_float32(
    small_network: nn.Module, climb: Climber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on another machine."""
    options: dict[str, Any] = {"kernels": [0, 1], "steps": 3, "batch_size": 1}
    monkeypatch.setattr(network, "computes_in_bfloat16", lambda _device: True)
    assert stop(climb, module(small_network, **options), 4) == 1
    assert manifest_of(tmp_path)["computed_in"] == "bfloat16"
    monkeypatch.setattr(network, "computes_in_bfloat16", lambda _device: False)
    differs = r"differs in computed_in \(.*float32.*bfloat16"
    with pytest.raises(ValueError, match=differs):
        climb(module(small_network, **options))
    with pytest.raises(ValueError, match=r"differs in .*precision"):
        climb(module(small_network, precision="float32", **options))
    monkeypatch.setattr(network, "computes_in_bfloat16", lambda _device: True)
    climb(module(small_network, **options))
    assert manifest_of(tmp_path)["complete"]


@pytest.mark.parametrize("stops", [True, False])
def test_freed_memory_is_given_back_also_after_an_exception(
    small_network: nn.Module, climb: Climber, monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    calls: list[str] = []
    for name in ("keep_freed_memory", "give_back_freed_memory"):
        monkeypatch.setattr(target_maximization, name, lambda name=name: calls.append(name))
    am = module(small_network, [0], steps=3)
    if stops:
        stop(climb, am, 2)
        assert am.current_layer is None
    else:
        climb(am)
    assert calls[0] == "keep_freed_memory"
    assert set(calls[1:]) == {"give_back_freed_memory"}


def _functions() -> list[Callable[[Tensor], Tensor]]:
    return [
        *(_louder, _penalty(0.1), _with_default(0.1), functools.partial(_weighted, weight=0.1)),
        *(_Weighting(0.3), _Weighting(0.1).apply, _NetworkPenalty(0.1)),
        lambda images: (lambda x: x * 0.1)(images.mean((1, 2, 3))),
    ]


def test_functions_go_by_their_source_not_by_how_python_compiles_it() -> None:
    function = _penalty(0.1)
    before = described(function)
    compiled = function.__code__
    function.__code__ = compiled.replace(co_consts=(*compiled.co_consts, "of another Python"))
    assert described(function) == before
    assert before["function"] == f"{__name__}._penalty.<locals>.<lambda>"
    assert before != described(_penalty(0.2))
    assert before["source"] != described(_louder)["source"]


def test_functions_without_source_go_by_their_names() -> None:
    made: dict[str, Any] = {"__name__": "typed"}
    exec("def penalty(images): return images.mean((1, 2, 3))", made)
    assert described(made["penalty"])["function"] == "typed.penalty"
    assert described(made["penalty"])["source"] is None
    assert described(math.sqrt)["function"] == "math.sqrt"


def test_the_same_functions_made_again_are_no_change(
    small_network: nn.Module, climb: Climber
) -> None:
    options: dict[str, Any] = {"kernels": [0, 1, 2], "steps": 4, "batch_size": 1}
    finished = stop(climb, module(small_network, regularizers=_functions(), **options), 6)
    assert finished == 1
    assert climb(module(small_network, regularizers=_functions(), **options)).global_step == 8


@pytest.mark.usefixtures("stopped")
def test_changed_weights_are_refused_for_an_unfinished_run(
    small_network: nn.Module, climb: Climber
) -> None:
    with torch.no_grad():
        small_network[8].bias[1] += 1e-3
    with pytest.raises(ValueError, match=r"differs in network\.sha256"):
        climb(module(small_network))


@pytest.mark.usefixtures("stopped")
def test_changed_running_statistics_are_a_changed_network(
    small_network: nn.Module, climb: Climber
) -> None:
    small_network[1].running_mean[0] += 1e-3
    with pytest.raises(ValueError, match=r"differs in network\.sha256"):
        climb(module(small_network))


@pytest.mark.usefixtures("stopped")
def test_a_changed_structure_is_a_changed_network(small_network: nn.Module, climb: Climber) -> None:
    small_network[3].dilation = (2, 2)
    with pytest.raises(ValueError, match=r"differs in network\.sha256"):
        climb(module(small_network))


@pytest.mark.parametrize("change", ["seed", "weights"])
def test_a_complete_run_of_something_else_is_replaced_with_a_warning(
    small_network: nn.Module, climb: Climber, tmp_path: Path, begun: list[int], change: str
) -> None:
    climb(module(small_network, [0, 1, 2], steps=5))
    begun.clear()
    named = {"seed": r"settings\.seed \(1 here, 0 there\)", "weights": r"network\.sha256"}
    if change == "weights":
        with torch.no_grad():
            small_network[0].weight.mul_(1.5)
    again = module(small_network, [1, 2], steps=5, seed=int(change == "seed"))
    with pytest.warns(UserWarning, match=rf"are replaced; they differ in {named[change]}"):
        climb(again)
    assert set(begun) == {1, 2}
    # Nothing is left of what was made otherwise.
    assert {path.stem for path in tmp_path.glob("finished/3/*")} == {"kernel_0001", "kernel_0002"}
    fresh = module(small_network, [1, 2], steps=5, seed=int(change == "seed"))
    climb(fresh, default_root_dir=tmp_path / "fresh")
    assert_same(again, fresh)


# Files that are not what they should be.


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("not an archive")


def _flip_a_byte_of_the_image(path: Path) -> None:
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("levels_gray_0.npy").header_offset
    content[start + 100] ^= 0xFF
    path.write_bytes(content)


def _without_the_curve(path: Path) -> None:
    with np.load(path) as arrays:
        kept = {name: arrays[name] for name in arrays.files if not name.startswith("curve")}
    with open(path, "wb") as file:
        np.savez(file, **kept)


def _of_another_kernel(path: Path) -> None:
    shutil.copy(path.with_name("kernel_0003.npz"), path)


DAMAGES = [
    *(_truncate, _empty, _text, _flip_a_byte_of_the_image, _without_the_curve),
    _of_another_kernel,
]


@pytest.mark.usefixtures("complete")
@pytest.mark.sampled(2)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_as_if_it_were_not_there(
    small_network: nn.Module,
    climb: Climber,
    tmp_path: Path,
    uninterrupted: ActivationMaximization,
    begun: list[int],
    damage: Callable[[Path], None],
) -> None:
    damage(tmp_path / "finished/3/kernel_0002.npz")
    again = module(small_network)
    climb(again)
    assert set(begun) == {2}
    assert_same(again, uninterrupted)


@pytest.mark.usefixtures("complete")
def test_with_a_damaged_file_a_run_is_not_complete(
    small_network: nn.Module, climb: Climber, tmp_path: Path
) -> None:
    assert manifest_of(tmp_path)["complete"]
    _text(tmp_path / "finished/3/kernel_0005.npz")
    climb(module(small_network), max_steps=2)
    assert not manifest_of(tmp_path)["complete"]


def test_files_of_other_settings_count_for_nothing_without_a_manifest(
    small_network: nn.Module, climb: Climber, tmp_path: Path, begun: list[int]
) -> None:
    climb(module(small_network, [0, 1], steps=3, seed=1))
    (tmp_path / "manifest.json").unlink()
    begun.clear()
    climb(module(small_network, [0, 1], steps=3))
    assert set(begun) == {0, 1}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("content", ["", "{", "[]", '{"complete": tr'])
def test_a_damaged_manifest_does_not_cost_finished_images(
    small_network: nn.Module,
    climb: Climber,
    tmp_path: Path,
    uninterrupted: ActivationMaximization,
    stopped: int,
    begun: list[int],
    content: str,
) -> None:
    (tmp_path / "manifest.json").write_text(content)
    rest = module(small_network)
    climb(rest)
    assert len(set(begun)) == len(KERNELS) - stopped
    assert_same(rest, uninterrupted)
    assert manifest_of(tmp_path)["complete"]


def test_half_written_files_are_cleared_away(
    small_network: nn.Module, climb: Climber, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"kernels": [0, 1], "steps": 3, "batch_size": 1}
    assert stop(climb, module(small_network, **options), 4) == 1
    left = [tmp_path / "finished/3/.0123.77.partial", tmp_path / ".4567.77.partial"]
    for path in left:
        path.write_bytes(b"half")
    climb(module(small_network, **options))
    assert not list(tmp_path.rglob("*.partial"))


# A full disk.


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """From the given file on, files are written by half, and then there is no space left."""
    state = {"files": 0, "full_from": 10**9}
    original = files._flush

    def flush(path: Path) -> None:
        state["files"] += 1
        if state["files"] >= state["full_from"]:
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        original(path)

    monkeypatch.setattr(files, "_flush", flush)
    return state


def test_a_disk_that_fills_up_at_any_file_leaves_whole_files_only(
    small_network: nn.Module,
    climb: Climber,
    tmp_path: Path,
    full_disk: dict[str, int],
    begun: list[int],
) -> None:
    kernels = [0, 1, 2]
    options: dict[str, Any] = {"kernels": kernels, "steps": 4}
    counter = module(small_network, **options)
    climb(counter, default_root_dir=tmp_path / "counted")
    written = full_disk["files"]
    # A manifest at the start and at the end, three images, and what is saved at the end.
    assert written == 2 + 3 + 4 + 2 * 3
    for number in (1, 3, 5, written):
        folder = tmp_path / f"full_{number}"
        full_disk.update(files=0, full_from=number)
        with pytest.raises(OSError, match="No space left"):
            climb(module(small_network, **options), default_root_dir=folder)
        assert not list(folder.rglob("*.partial"))
        for path in folder.rglob("*.npz"):
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None
        kept = len(list(folder.glob("finished/3/*")))
        assert kept == min(max(number - 2, 0), 3)
        full_disk["full_from"] = 10**9
        begun.clear()
        rest = module(small_network, **options)
        climb(rest, default_root_dir=folder)
        assert len(set(begun)) == 3 - kept
        assert_same(rest, counter)
        assert manifest_of(folder) == manifest_of(tmp_path / "counted")


# What the manifest says.


def test_the_manifest_says_what_made_each_image(
    small_network: nn.Module, climb: Climber, tmp_path: Path
) -> None:
    am = module(small_network, [4, 1], seed=7, tv=0.25, steps=3)
    climb(am)
    manifest = manifest_of(tmp_path)
    assert manifest["complete"] is True
    assert manifest["network"]["class"] == "Sequential"
    assert len(manifest["network"]["sha256"]) == 64
    assert manifest["input"]["size"] == [16, 16]
    assert {name: manifest["settings"][name] for name in ("seed", "tv", "steps")} == {
        **{"seed": 7, "tv": 0.25, "steps": 3}
    }
    assert manifest["settings"]["objective"] == "mean"
    assert list(manifest["layers"]) == ["3"]
    assert [(image["layer"], image["kernels"], image["seed"]) for image in manifest["images"]] == [
        ("3", [4], 7),
        ("3", [1], 7),
    ]
    for image, item in zip(manifest["images"], am.results.items, strict=True):
        with np.load(tmp_path / image["file"]) as arrays:
            values = arrays["levels_gray_0"] / np.float32(65535)
        np.testing.assert_array_equal(values, item.image)


def test_the_hash_of_a_network_is_that_of_its_weights(
    small_network: nn.Module, climb: Climber, tmp_path: Path
) -> None:
    def digest_of(network: nn.Module, name: str) -> str:
        folder = tmp_path / name
        climb(module(network, [0], steps=1), default_root_dir=folder)
        digest: str = manifest_of(folder)["network"]["sha256"]
        return digest

    before = digest_of(small_network, "before")
    copied = nn.Sequential(*small_network)
    copied.load_state_dict(small_network.state_dict())
    for parameter in copied.parameters():
        parameter.requires_grad_(False)
    # Neither a copy, nor training mode, nor frozen weights, nor their layout in memory matter.
    copied.to(memory_format=torch.channels_last)
    assert digest_of(copied.train(), "copied") == before
    with torch.no_grad():
        copied[0].weight[0, 0, 0, 0].add_(1e-4)
    assert digest_of(copied, "changed") != before


def test_two_runs_of_the_same_command_make_the_same_files(
    small_network: nn.Module, climb: Climber, tmp_path: Path
) -> None:
    digests = []
    for name in ("one", "two"):
        climb(module(small_network, [0, 3], steps=8, **STILL), default_root_dir=tmp_path / name)
        arrays = [
            np.load(path)["levels_gray_0"].tobytes()
            for path in sorted((tmp_path / name).glob("finished/3/*.npz"))
        ]
        digests.append([hashlib.sha256(array).hexdigest() for array in arrays])
    assert digests[0] == digests[1]


# What is refused leaves nothing, and what has no images is in nobody's way.


def test_a_run_that_fails_in_its_first_step_leaves_nothing(
    small_network: nn.Module, climb: Climber, tmp_path: Path
) -> None:
    def fails(images: Tensor) -> Tensor:
        if len(images) > 1:
            raise ValueError("one at a time")
        return images.mean((1, 2, 3))

    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="one at a time"):
        climb(module(small_network, regularizers=[fails], steps=3))
    assert sorted(tmp_path.rglob("*")) == before
    climb(module(small_network, [0], steps=3))
    assert manifest_of(tmp_path)["complete"]


def test_a_complete_run_is_replaced_when_the_next_one_has_made_a_step(
    small_network: nn.Module, climb: Climber, tmp_path: Path
) -> None:
    climb(module(small_network, [0, 1], steps=2))
    there = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    with (
        pytest.warns(UserWarning, match=r"are replaced; they differ in .*settings\.seed"),
        pytest.raises(StoppedError),
    ):
        climb(module(small_network, [0], steps=2, seed=1), callbacks=[StopAtStart()])
    assert {path: path.read_bytes() for path in there} == there
    changed = module(small_network, [0], steps=2, seed=1)
    with pytest.warns(UserWarning, match="are replaced"):
        climb(changed)
    assert changed.finished_count == 1
    assert [path.name for path in tmp_path.glob("finished/3/*.npz")] == ["kernel_0000.npz"]


def test_a_run_that_made_no_image_does_not_stand_in_the_way(
    small_network: nn.Module, climb: Climber, tmp_path: Path
) -> None:
    assert stop(climb, module(small_network), 1) == 0
    assert not manifest_of(tmp_path)["complete"]
    other = module(small_network, [0], steps=2, seed=1)
    climb(other)
    assert len(other.results) == 1


class StopAtStart(pl.Callback):
    """Raises before the first step."""

    def on_train_start(self, *_: object) -> None:
        raise StoppedError
