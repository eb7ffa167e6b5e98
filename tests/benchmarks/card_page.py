"""How long a page of thousands of cards takes to open, to sort and to scroll.

    PYTHONPATH=tests:tests/cards python tests/benchmarks/card_page.py [cards]

Needs playwright and Chromium. Prints medians over five runs, in milliseconds of the browser's own
clock. The pictures are noise, which takes several times the room of real ones.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

from browser import browser_page
from many_cards import many_cards

_RUNS = 5
_TIMED = """async () => {
    const begin = performance.now();
    %s;
    // What was changed is on the screen after two frames.
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    return performance.now() - begin;
}"""
_ACTIONS = {
    "sort by orientation": "change({ sort: 'orientation', up: false })",
    "filter to half": "change({ sort: 'kernel', up: true, layer: page.layers[0].name })",
    "all again": "reset()",
    "jump to the end": "scrollTo(0, document.body.scrollHeight)",
}


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    times: dict[str, list[float]] = {"open": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        many_cards(count).save(file)
        print(f"{count} cards, {file.stat().st_size / 2**20:.1f} MiB")
        for _ in range(_RUNS):
            with browser_page() as page:
                page.goto(file.as_uri())
                page.locator("article img").first.wait_for()
                entry = "performance.getEntriesByType('navigation')[0]"
                times["open"].append(page.evaluate(f"{entry}.loadEventEnd"))
                for name, action in _ACTIONS.items():
                    times.setdefault(name, []).append(page.evaluate(_TIMED % action))
    for name, values in times.items():
        print(f"{name:>20}: {median(values):6.0f} ms")


if __name__ == "__main__":
    main()
