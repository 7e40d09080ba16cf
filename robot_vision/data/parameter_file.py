"""ROS parameter files, read as a node would read them, for programs that are no node."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from robot_vision.errors import InvalidValueError

_KEY = "ros__parameters"


def read_parameters(path: Path, node: str) -> dict[str, Any]:
    """What a parameter file says to a node without a namespace; later entries win.

    Args:
        path: YAML file, as `--params-file` takes it.
        node: Name of the node, such as `perception_node`.

    Returns:
        Values by parameter name, with dots between the parts of nested names.

    Raises:
        InvalidValueError: If the file is missing or no parameter file.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise InvalidValueError(f"{path}: the parameter file cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    entries = [content[name] for name in content if _addresses(str(name), node)] if isinstance(content, dict) else []
    values: dict[str, Any] = {}
    for entry in entries:
        parameters = entry.get(_KEY) if isinstance(entry, dict) else None
        if not isinstance(parameters, dict):
            raise InvalidValueError(f"{path}: expected `{_KEY}:` with parameters below the name of a node")
        values.update(_flat(parameters))
    if not entries:
        raise InvalidValueError(f"{path}: holds nothing for {node}; expected `/**:` or `{node}:`, then `{_KEY}:`")
    return values


def _addresses(name: str, node: str) -> bool:
    """Whether an entry of a parameter file is meant for a node in the root namespace."""
    return name.strip("/") in ("**", "*", node, f"**/{node}")


def _flat(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            # ROS has no empty list of texts: nodes take one that holds an empty text for it.
            yield f"{prefix}{name}", [entry for entry in value if entry != ""] if isinstance(value, list) else value


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a name that is there twice: ROS would join both, YAML keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"{', '.join(twice)} is there twice; write it once", node.start_mark
            )
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


# ROS reads 1e-1 as a number, YAML 1.1 only 1.0e-1.
_UniqueKeys.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+\.?[0-9]*[eE][-+]?[0-9]+$"), "-+0123456789"
)
