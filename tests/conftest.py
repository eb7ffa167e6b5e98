"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from matplotlib.figure import Figure

#: Folders whose tests seldom look at figures.
BLANK = ("callbacks", "cli", "maximization")


@pytest.fixture(autouse=True, scope="class")
def _blank_figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave figures blank where nobody looks at them: drawing their text takes half of the time.

    They are laid out, made into pixels, and saved as ever. Tests that do, or their class, are
    marked ``drawn``.
    """
    with pytest.MonkeyPatch.context() as patched:
        if request.path.parent.name in BLANK and not request.node.get_closest_marker("drawn"):
            patched.setattr(Figure, "draw", lambda *_: None)
        yield
