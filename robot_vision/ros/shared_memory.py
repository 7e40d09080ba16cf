"""What Fast DDS leaves in shared memory when a process is killed; otherwise it stays until the machine restarts."""

from __future__ import annotations

import fcntl
import re
import time
from contextlib import suppress
from pathlib import Path

FOLDER = Path("/dev/shm")
SETTLED_S = 60.0
_LOCK_FILE = re.compile("(fastdds|fastrtps)_[0-9a-z]{16}_el")


def dead_segments(folder: Path = FOLDER, settled_s: float = SETTLED_S) -> list[Path]:
    """Segments of Fast DDS participants whose processes are gone.

    Fast DDS holds a lock on a segment's file `…_el` as long as its process lives.

    Args:
        folder: Where shared memory is.
        settled_s: Files younger than this are left out, in seconds: between creation and lock they look dead.

    Returns:
        The segments, without those of other users that this one may not write.
    """
    found = []
    for lock_file in sorted(folder.glob("fast*_el")):
        with suppress(OSError):  # somebody else is cleaning, or may
            if _LOCK_FILE.fullmatch(lock_file.name) and _is_dead(lock_file, settled_s):
                found.append(lock_file.with_name(lock_file.name.removesuffix("_el")))
    return found


def remove_dead_segments(folder: Path = FOLDER, settled_s: float = SETTLED_S) -> int:
    """Free the memory of Fast DDS participants whose processes are gone, as `fastdds shm clean` does.

    With `config/fastdds.xml` a killed process leaves 70 MB, so a node that is killed again and again would fill the
    memory.

    Args:
        folder: Where shared memory is.
        settled_s: As for `dead_segments`.

    Returns:
        Number of segments removed; those of other users are left.
    """
    removed = 0
    for segment in dead_segments(folder, settled_s):
        with suppress(OSError):  # somebody else is cleaning, or may
            segment.unlink(missing_ok=True)
            segment.with_name(f"{segment.name}_el").unlink()
            removed += 1
    return removed


def _is_dead(lock_file: Path, settled_s: float) -> bool:
    if time.time() - lock_file.stat().st_mtime < settled_s:
        return False
    with lock_file.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
