"""Message definitions for reading and writing bags without ROS: the standard ones, vision_msgs and our own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from robot_vision.errors import MissingDependencyError

_PACKAGES = ("vision_msgs", "robot_vision_msgs")
_IDL_SEPARATOR = "=" * 80 + "\n"


@lru_cache(maxsize=1)
def ros_typestore() -> Typestore:
    """The messages of a ROS 2 installation, vision_msgs and robot_vision_msgs.

    The last two are read from their `.msg` files, which are looked for in `share/<package>/msg` of every prefix in
    `AMENT_PREFIX_PATH`, of `sys.prefix`, and in `interfaces/` of the source tree.

    Returns:
        A rosbags type store; it is shared, so nothing may be registered in it.

    Raises:
        MissingDependencyError: If a package's definitions are in none of these places.
    """
    store = get_typestore(Stores.ROS2_JAZZY)
    definitions: dict[str, Any] = {}
    for package in _PACKAGES:
        for path in sorted(_message_folder(package).glob("*.msg")):
            definitions.update(get_types_from_msg(path.read_text(encoding="utf-8"), f"{package}/msg/{path.stem}"))
    store.register(definitions)
    return store


def _message_folder(package: str) -> Path:
    folders = list(_candidate_folders(package))
    for folder in folders:
        if any(folder.glob("*.msg")):
            return folder
    raise MissingDependencyError(
        f"no message definitions of {package}; looked in {', '.join(map(str, folders))}. "
        "Build the interface packages, or set AMENT_PREFIX_PATH to a prefix that has them"
    )


def _candidate_folders(package: str) -> Iterator[Path]:
    prefixes = [Path(entry) for entry in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if entry]
    for prefix in [*prefixes, Path(sys.prefix)]:
        yield prefix / "share" / package / "msg"
    yield Path(__file__).resolve().parents[2] / "interfaces" / package / "msg"


def typestore_for(definitions: Mapping[str, MessageDefinition]) -> Typestore:
    """The store that understands the messages of one bag.

    Message packages change between distributions under the same name, so the definitions that a bag carries decide;
    where they agree with the installed ones, as nearly always, the shared store is used.

    Args:
        definitions: What the bag says about each of its message types.

    Returns:
        The shared store, or one of the bag's own definitions.

    Raises:
        rosbags.typesys.TypesysError: If a definition in the bag is damaged.
    """
    shared = ros_typestore()
    embedded: dict[str, Any] = {}
    for msgtype, definition in definitions.items():
        embedded.update(_parse(msgtype, definition))
    if all(_same_fields(shared.fielddefs.get(name), entry) for name, entry in embedded.items()):
        return shared
    store = get_typestore(Stores.EMPTY)
    store.register(embedded)
    return store


def _parse(msgtype: str, definition: MessageDefinition) -> dict[str, Any]:
    if definition.format == MessageDefinitionFormat.NONE:
        return {}
    if definition.format == MessageDefinitionFormat.MSG:
        return dict(get_types_from_msg(definition.data, msgtype))
    types: dict[str, Any] = {}
    for text in _idl_texts(definition.data):
        types.update(get_types_from_idl(text))
    return types


def _idl_texts(data: str) -> Iterable[str]:
    if not data.startswith(f"{_IDL_SEPARATOR}IDL: "):
        return [data]
    return [section.split("\n", 1)[1] for section in data.split(_IDL_SEPARATOR)[1:]]


def _same_fields(known: Any, embedded: Any) -> bool:
    return known is not None and [tuple(field) for field in known[1]] == [tuple(field) for field in embedded[1]]
