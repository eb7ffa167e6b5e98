"""Interface of the results of one picture, which are drawn, tabulated and kept alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PictureResult(Protocol):
    """Result of one picture and one layer.

    Attributes:
        COLUMNS: Columns of the table.
        DESCRIPTION: Markdown that explains the figure, in TensorBoard.
    """

    COLUMNS: ClassVar[tuple[str, ...]]
    DESCRIPTION: ClassVar[str]

    @property
    def tag(self) -> str:
        """Tag of the figure in logs, and the folder of its files."""
        ...

    def rows(self) -> Iterator[dict[str, object]]:
        """Rows of the table."""
        ...

    def figure(self, name: str, count: int) -> Figure:
        """Draw the result.

        Args:
            name: Name of the picture, for the title.
            count: Maximum number of kernels that are drawn.
        """
        ...

    def arrays(self) -> Mapping[str, Any]:
        """Everything that was found, as arrays by name."""
        ...
