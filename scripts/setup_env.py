"""Starts the set-up of .venv; written so that any Python 3 can at least say that it is too old."""

import sys

OLDEST = (3, 10)

if sys.version_info[:2] < OLDEST:
    sys.exit(
        "set-up: Python %d.%d is too old, 3.10 or newer is needed: sudo apt install python3.12 python3.12-venv "
        "python3.12-dev, then add PYTHON=python3.12 to the make command" % sys.version_info[:2]
    )

from environment import main  # noqa: E402 (an old Python cannot read that file)

sys.exit(main())
