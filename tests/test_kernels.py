from __future__ import annotations

import numpy as np
import pytest

from neurovis.kernels import KernelSelection, reusable, select_kernels


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("all", list(range(8))),
        ("0-2,5", [0, 1, 2, 5]),
        (" 3 ,\t1-2", [3, 1, 2]),
        ("2,2,1-2", [2, 1]),
        (7, [7]),
        (range(2, 5), [2, 3, 4]),
        (np.array([6, 1]), [6, 1]),
        ([0, np.int64(3)], [0, 3]),
    ],
)
def test_selections(selection: object, expected: list[int]) -> None:
    assert select_kernels(selection, 8, "conv") == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("", "none selected"),
        ([], "none selected"),
        ("8", 'kernel 8 is out of range: layer "conv" has 8 kernels, 0 to 7'),
        ([-1], "kernel -1 is out of range"),
        ("5-2", r'"5-2" runs backwards; write "2-5"'),
        ("1..4", r'cannot read "1\.\.4"'),
        ("-3", 'cannot read "-3"'),
        ("0-999999999999", "longer than any layer"),
    ],
)
def test_unusable_selections_are_named(selection: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select_kernels(selection, 8, "conv")  # type: ignore[arg-type]


@pytest.mark.parametrize("kernel", [1.0, True, "a", None])
def test_kernels_are_integers(kernel: object) -> None:
    with pytest.raises(TypeError, match="kernels are integers"):
        select_kernels([kernel], 8, "conv")  # type: ignore[list-item]


@pytest.mark.parametrize("selection", ["all", "0-3", 5, [2, 1], range(3)])
def test_a_reusable_selection_means_the_same(selection: KernelSelection) -> None:
    kept = reusable(selection)
    assert select_kernels(kept, 8, "conv") == select_kernels(selection, 8, "conv")


def test_an_iterator_can_be_read_again() -> None:
    kept = reusable(kernel for kernel in (4, 2))
    assert select_kernels(kept, 8, "conv") == select_kernels(kept, 8, "conv") == [4, 2]
    with pytest.raises(ValueError, match="at least one kernel"):
        reusable(iter(()))
    with pytest.raises(TypeError, match=r"integers; got 1\.5"):
        reusable([1.5])  # type: ignore[list-item]
