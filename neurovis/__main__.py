"""``python -m neurovis`` is the ``neurovis`` command."""

import sys

from neurovis.cli import main

if __name__ == "__main__":
    sys.exit(main())
