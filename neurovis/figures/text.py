"""Widths of texts in pixels, measured so that texts on a page do not overlap."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

#: Font sizes in pixels. Digits are about 0.73 of the font size tall.
LABEL, TITLE = 12, 16
#: A power of two, so that pixels divided by it and multiplied again are exact.
DPI = 128


def line_height(size: int) -> int:
    """Pixels from one line of text to the next."""
    return math.ceil(1.35 * size)


def text_width(text: str, size: int = LABEL) -> int:
    """Width of one line in pixels.

    It is the sum of its characters' widths, since to measure a line takes matplotlib a millisecond:
    letters that are drawn closer make the line a few percent narrower, and the ligature of "ffi"
    a pixel wider.
    """
    return math.ceil(sum(_character_width(character, size) for character in text))


@lru_cache(maxsize=4096)
def _character_width(character: str, size: int) -> float:
    """From one character to the next, in pixels."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family="DejaVu Sans", size=size * 72 / DPI)
    one, many = (
        float(_measuring_renderer().get_text_width_height_descent(text, font, False)[0])
        for text in (character, 33 * character)
    )
    return (many - one) / 32


def wrapped(text: str, width: int, size: int = LABEL) -> list[str]:
    """Break text into lines of at most ``width`` pixels: between words, or else within one."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if text_width(longer, size) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while text_width(word, size) > width and len(word) > 1:
            end = _fitting(word, width, size)
            lines.append(word[:end])
            word = word[end:]
        line = word
    return [*lines, line]


def _fitting(word: str, width: int, size: int) -> int:
    """Return the number of characters of a word that fit, at least 1; best up to a dot or dash."""
    end = max(1, len(word) * width // text_width(word, size))
    while end < len(word) and text_width(word[: end + 1], size) <= width:
        end += 1
    while end > 1 and text_width(word[:end], size) > width:
        end -= 1
    natural = max(word.rfind(mark, 0, end) for mark in "._-/") + 1
    return natural if natural > end // 2 else end


@lru_cache(maxsize=1)
def _measuring_renderer() -> Any:
    from matplotlib.backends import backend_agg

    agg: Any = backend_agg  # matplotlib leaves it untyped
    return agg.RendererAgg(1, 1, DPI)
