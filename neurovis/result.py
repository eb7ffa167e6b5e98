"""Base of results, which are short as text and a picture with a table in a notebook."""

from __future__ import annotations

import base64
import html
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Protocol, cast

from torch import Tensor

from neurovis.figures.output import png_bytes
from neurovis.tables import Row, rounded

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

#: Characters of a text, pictures and rows of a page, at most.
_LONGEST, _MOST_PICTURES, _MOST_ROWS = 480, 4, 10


class _Drawn(Protocol):
    def figure(self) -> Figure:
        """Draw the result."""


class Result(ABC):
    """Base of results, which may hold megabytes: their repr is short.

    Notebooks show the pictures and the first rows of a result that is the last line of a cell. A
    subclass has a method ``figure``, or others than that in ``_pictures``.
    """

    @abstractmethod
    def rows(self) -> Iterable[Row]:
        """The rows of the result's table."""

    @abstractmethod
    def _summary(self) -> str:
        """Return what it is of, and the numbers that matter, in a line or a few."""

    def _pictures(self) -> Iterable[Figure | Tensor]:
        """Return figures, or pictures ``(3, H, W)`` in [0, 1]; by default the result's figure."""
        yield cast(_Drawn, self).figure()

    def to_pandas(self) -> DataFrame:
        """Return the rows as a DataFrame.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise ImportError("to_pandas needs pandas; pip install pandas") from error
        return DataFrame(list(self.rows()))

    def __repr__(self) -> str:
        text = f"{type(self).__name__}: {self._summary()}"
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"

    def _repr_html_(self) -> str:
        """Called by notebooks."""
        pictures = [
            f'<img style="max-width: 100%" src="data:image/png;base64,'
            f'{base64.b64encode(png_bytes(picture)).decode()}"/>'
            for picture in islice(self._pictures(), _MOST_PICTURES)
        ]
        text = f'<pre style="white-space: pre-wrap">{html.escape(repr(self))}</pre>'
        return "\n".join([text, *pictures, _table(self.rows())])


def first_of(texts: Sequence[str], count: int = 3) -> str:
    """Join the first of some texts.

    Example:
        >>> first_of(["a", "b", "c", "d"])
        'a, b, c, …'
    """
    return ", ".join([*texts[:count], *["…"][: len(texts) > count]])


def _table(rows: Iterable[Row]) -> str:
    """Return the first rows as a table in HTML that says if there are more."""
    shown = list(islice(rows, _MOST_ROWS + 1))
    columns = list(dict.fromkeys(name for row in shown for name in row))
    lines = [_line("th", columns)]
    lines += [_line("td", [row.get(name) for name in columns]) for row in shown[:_MOST_ROWS]]
    if len(shown) > _MOST_ROWS:
        lines.append(_line("td", ["…"] * len(columns)))
    return f"<table>{''.join(lines)}</table>" if shown else ""


def _line(tag: str, cells: Iterable[object]) -> str:
    texts = ("" if cell is None else html.escape(str(rounded(cell, 4))) for cell in cells)
    return f"<tr>{''.join(f'<{tag}>{text}</{tag}>' for text in texts)}</tr>"
