"""Make .venv ready. Any Python 3.6 can read this file, which looks at the version and hands over to environment.py."""

import sys

if not (3, 10) <= sys.version_info[:2] <= (3, 14):
    sys.exit(
        f"set-up: robot_vision needs Python 3.10 to 3.14, {sys.executable} is {sys.version.split()[0]}: install one "
        "(sudo apt install python3.12 python3.12-venv python3.12-dev) and name it (make PYTHON=python3.12 ...)"
    )

from environment import main

sys.exit(main())
