"""Message types by name: the installed class, its definition, and what to do where there is none."""

from __future__ import annotations

import importlib
import os
from functools import cache
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from robot_vision.data.type_layout import Fields, nested_type, without_bounds
from robot_vision.errors import InvalidValueError


@cache
def message_class(msgtype: str) -> Any:
    """The Python class of a message type.

    Args:
        msgtype: Type as in `sensor_msgs/msg/Image`.

    Returns:
        The class, None if it is not installed.
    """
    package, _, name = msgtype.partition("/msg/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name, None)
    except ImportError:
        return None


def installed_fields(msgtype: str) -> Fields | None:
    """Fields of a type as installed.

    Args:
        msgtype: Type as in `sensor_msgs/msg/Image`.

    Returns:
        The fields, None if the type is not installed.
    """
    kind = message_class(msgtype)
    if kind is None:
        return None
    return tuple((name, without_bounds(text)) for name, text in kind.get_fields_and_field_types().items())


def why_missing(msgtype: str) -> str:
    """Why there is no class for a message type, and what to do.

    Args:
        msgtype: Type as in `sensor_msgs/msg/Image`.

    Returns:
        The reason in words; empty if there is a class.
    """
    if message_class(msgtype) is not None:
        return ""
    package = msgtype.partition("/")[0]
    debian = f"ros-{os.environ.get('ROS_DISTRO', '$ROS_DISTRO')}-{package.replace('_', '-')}"
    return f"{msgtype} is not installed; install {package} (`sudo apt install {debian}`, or build it in your workspace)"


def installed_definitions(msgtype: str) -> dict[str, str]:
    """The definition files of an installed type and of all types in it.

    Args:
        msgtype: Type as in `sensor_msgs/msg/Image`.

    Returns:
        Text by type.

    Raises:
        InvalidValueError: If a file is not where packages have it.
    """
    found: dict[str, str] = {}
    waiting = [msgtype]
    while waiting:
        name = waiting.pop()
        if name and name not in found:
            found[name] = _definition(name)
            waiting += [nested_type(text) for _, text in installed_fields(name) or ()]
    return found


def _definition(msgtype: str) -> str:
    package, _, name = msgtype.partition("/msg/")
    try:
        return (Path(get_package_share_directory(package)) / "msg" / f"{name}.msg").read_text(encoding="utf-8")
    except (PackageNotFoundError, OSError) as error:
        raise InvalidValueError(f"the definition of {msgtype} is not installed: {error}") from error
