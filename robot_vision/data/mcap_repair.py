"""Finishing of an mcap file whose writer could not, so that readers take what is there."""

from __future__ import annotations

import struct
from io import FileIO
from pathlib import Path

from robot_vision.errors import BagError

_MAGIC = b"\x89MCAP0\r\n"
_RECORD = struct.Struct("<BQ")
_FOOTER, _DATA_END = 0x02, 0x0F
# MCAP format, "Data End" and "Footer": no checksums and no summary, which readers make up by reading all of the file.
_TAIL = _RECORD.pack(_DATA_END, 4) + bytes(4) + _RECORD.pack(_FOOTER, 20) + bytes(20) + _MAGIC


def finish_cut_off(path: Path) -> None:
    """Cut a file behind its last complete record and end it there; what is not complete is lost.

    The end needs 50 bytes, for which complete records are given up if the disk does not have them.

    Args:
        path: An mcap file that nobody writes to any more.

    Raises:
        BagError: If it does not begin as mcap does, or the disk refuses even a shorter file.
    """
    try:
        with path.open("r+b", buffering=0) as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise BagError(f"{path}: does not begin as an mcap file")
            for end in reversed(_record_ends(file)):
                file.truncate(end)
                file.seek(end)
                if _written(file, _TAIL):
                    return
    except OSError as error:
        raise BagError(f"{path}: the file cannot be finished: {error}") from error
    raise BagError(f"{path}: the file cannot be finished, there is no room for its end")


def _record_ends(file: FileIO) -> list[int]:
    """Where each complete record ends, the file's first bytes included, in bytes from the start."""
    size = file.seek(0, 2)
    ends = [len(_MAGIC)]
    while ends[-1] + _RECORD.size <= size:
        file.seek(ends[-1])
        opcode, length = _RECORD.unpack(file.read(_RECORD.size))
        end = ends[-1] + _RECORD.size + length
        if end > size or opcode in (_DATA_END, _FOOTER):
            break
        ends.append(end)
    return ends


def _written(file: FileIO, data: bytes) -> bool:
    try:
        return file.write(data) == len(data)
    except OSError:
        return False
