"""Comparison of message definitions by what decides how bytes are read: order and types of the fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from rosbags.interfaces import Nodetype

Fields = tuple[tuple[str, str], ...]
"""Name and type of each field in order, the type as in `sequence<geometry_msgs/Point>`, without bounds."""

FieldsOf = Callable[[str], Fields | None]
"""Gives the fields of a type such as `sensor_msgs/msg/Image`; None where they are not known."""

_ROSIDL_NAMES = {"float32": "float", "float64": "double", "bool": "boolean", "byte": "octet", "char": "uint8"}
# How rosidl fills a message without fields.
_PLACEHOLDER = "structure_needs_at_least_one_member"
_HEADER = "std_msgs/msg/Header"


def fields_of_rosbags(definition: Any) -> Fields:
    """Fields of a definition of rosbags.

    Args:
        definition: A value of `Typestore.fielddefs`.

    Returns:
        The fields.
    """
    return tuple((name, _text(kind)) for name, kind in definition[1] if name != _PLACEHOLDER)


def without_bounds(text: str) -> str:
    """A type without the limits of its length, which are not in the bytes.

    Args:
        text: Type as rosidl writes it, e.g. `sequence<string<5>, 3>`.

    Returns:
        The same without bounds, e.g. `sequence<string>`.
    """
    return re.sub(r", \d+>", ">", re.sub(r"string<\d+>", "string", text))


def difference(msgtype: str, recorded: FieldsOf, installed: FieldsOf, *, ros1: bool = False) -> str:
    """Where two definitions of a type, nested ones included, would read the same bytes differently.

    Args:
        msgtype: Type as in `sensor_msgs/msg/Image`.
        recorded: Fields by type as recorded; what it does not know is taken as equal.
        installed: Fields by type as installed.
        ros1: Whether the recorded definitions are those of ROS 1, where names are spelt otherwise and the header has
            one field more, which the conversion leaves out.

    Returns:
        The first difference in words, empty if there is none.
    """
    before, now = recorded(msgtype), installed(msgtype)
    if before is None or now is None or (ros1 and msgtype == _HEADER):
        return ""
    for (old_name, old_type), (new_name, new_type) in zip(before, now, strict=False):
        if old_type != new_type or (not ros1 and old_name != new_name):
            return f"{msgtype} has `{old_type} {old_name}` in the recording, `{new_type} {new_name}` as installed"
        nested = nested_type(old_type)
        if nested and (found := difference(nested, recorded, installed, ros1=ros1)):
            return found
    if len(before) != len(now):
        return f"{msgtype} has {len(before)} fields in the recording, {len(now)} as installed"
    return ""


def nested_type(text: str) -> str:
    """The message type within the type of a field.

    Args:
        text: Type as in `sequence<geometry_msgs/Point>`.

    Returns:
        E.g. `geometry_msgs/msg/Point`, empty for a primitive.
    """
    found = re.search(r"(\w+)/(\w+)", text)
    return f"{found[1]}/msg/{found[2]}" if found else ""


def _text(kind: Any) -> str:
    node, value = kind
    if node == Nodetype.BASE:
        primitive = str(value[0])
        return _ROSIDL_NAMES.get(primitive, primitive)
    if node == Nodetype.NAME:
        package, _, name = value.partition("/msg/")
        # rosbags takes this primitive for a message of the same package.
        return "wstring" if name == "wstring" else f"{package}/{name}"
    element = _text(value[0])
    return f"{element}[{value[1]}]" if node == Nodetype.ARRAY else f"sequence<{element}>"
