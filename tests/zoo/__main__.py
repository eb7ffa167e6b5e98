"""``python -m zoo [NAME …]``, from the folder of tests: print the table."""

from __future__ import annotations

import sys

from zoo.table import main

sys.exit(1 if main(sys.argv[1:]) else 0)
