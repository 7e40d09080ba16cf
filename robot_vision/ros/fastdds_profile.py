"""The Fast DDS profile that large images need: which variable names it, what it holds, how to give it to a program."""

from __future__ import annotations

import importlib.metadata
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from robot_vision.errors import InvalidValueError
from robot_vision.shipped import shared_file

PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
FIRST_RCLPY_WITH_NEW_NAME = 9
TRANSPORT_VARIABLE = "FASTDDS_BUILTIN_TRANSPORTS"
SHIPPED = "config/fastdds.xml"
SEGMENT_BYTES = 512 * 1024
"""Size of Fast DDS' shared-memory segment where nothing is configured."""


@dataclass(frozen=True)
class Profile:
    """What a profile file says about ROS nodes' transport.

    Attributes:
        is_default: Whether it has a default participant; ROS nodes take no other.
        segment_bytes: Size of the shared-memory segment of each process; 0 where it configures none.
    """

    is_default: bool
    segment_bytes: int


def profile_variables() -> tuple[str, str]:
    """Names of the environment variable for the profile: the one that this distribution reads first, then the other.

    Newer distributions (from Kilted) warn about the old name, older ones know no other.
    """
    is_old = int(importlib.metadata.version("rclpy").split(".")[0]) < FIRST_RCLPY_WITH_NEW_NAME
    new, old = PROFILE_VARIABLES
    return (old, new) if is_old else (new, old)


def export_command() -> str:
    """Shell command after which every program started there, such as a camera driver, takes the shipped profile."""
    # A profile goes before built-in transports, whatever they are set to.
    return f"export {profile_variables()[0]}={shlex.quote(str(shared_file(SHIPPED)))}"


def read_profile(path: Path) -> Profile:
    """Read a profile file.

    Args:
        path: The XML file.

    Returns:
        What it says.

    Raises:
        InvalidValueError: If it cannot be read, is no XML or no Fast DDS profile.
    """
    try:
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except ElementTree.ParseError as error:
        raise InvalidValueError(f"{path} is not well-formed XML: {error}") from error
    if _name(root) not in ("dds", "profiles"):
        raise InvalidValueError(f"{path} is no Fast DDS profile: its root is <{_name(root)}>, not <dds>")
    participants = [entry for entry in root.iter() if _name(entry) == "participant"]
    sizes = [_segment_bytes(entry) for entry in root.iter() if _name(entry) == "transport_descriptor"]
    return Profile(
        any(entry.get("is_default_profile") == "true" for entry in participants), max(sizes, default=0)
    )  # fmt: skip


def profile_in_force(environ: Mapping[str, str]) -> Path | None:
    """The profile that a program with this environment takes, whether or not it exists; None for none."""
    value = environ.get(profile_variables()[0])
    return Path(value) if value else None


def _segment_bytes(transport: ElementTree.Element) -> int:
    values = {_name(entry): (entry.text or "").strip() for entry in transport}
    if values.get("type") != "SHM":
        return 0
    size = values.get("segment_size", "")
    return int(size) if size.isdigit() else SEGMENT_BYTES


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
