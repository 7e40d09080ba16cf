"""Finds what ships beside the code: models, samples, configuration; in the source tree or where it is installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def shared_folders() -> list[Path]:
    """Folders that may hold shipped files, in order of preference: the source tree, then every installation prefix.

    Returns:
        Paths, which need not exist.
    """
    prefixes = [Path(sys.prefix), *(Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p)]
    source = Path(__file__).resolve().parents[1]
    return list(dict.fromkeys([source, *(prefix / "share" / "robot_vision" for prefix in prefixes)]))


def shared_file(relative: str) -> Path | None:
    """A shipped file or folder.

    Args:
        relative: Path inside the share folder, for example `config/fastdds.xml`.

    Returns:
        The first that exists; None if there is none.
    """
    return next((folder / relative for folder in shared_folders() if (folder / relative).exists()), None)
