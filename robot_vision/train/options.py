"""Command-line options derived from a training's settings, and the command that gives the same weights again."""

from __future__ import annotations

import argparse
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    SettingsT = TypeVar("SettingsT", bound=DataclassInstance)


def about(description: str, **more: Any) -> dict[str, Any]:
    """Metadata of a settings field.

    Args:
        description: One line for people.
        more: `kind` converts the option's text where the default's type cannot, `choices` are the allowed values, and
            `shown=False` marks a setting that the weights do not depend on.

    Returns:
        Metadata for `dataclasses.field`.
    """
    return {"help": description, **more}


def add_arguments(parser: argparse.ArgumentParser, settings_type: type[DataclassInstance]) -> None:
    """Add one option per setting.

    Args:
        parser: Parser to extend.
        settings_type: A dataclass whose fields carry the metadata of `about`.
    """
    for entry in fields(settings_type):
        text = entry.metadata["help"]
        if isinstance(entry.default, bool):
            switch = argparse.BooleanOptionalAction
            parser.add_argument(_option(entry), action=switch, default=entry.default, help=text)
            continue
        kind = entry.metadata.get("kind", type(entry.default))
        choices = entry.metadata.get("choices")
        parser.add_argument(_option(entry), type=kind, default=entry.default, choices=choices, help=text)


def from_arguments(args: argparse.Namespace, settings_type: type[SettingsT]) -> SettingsT:
    """Settings from a parsed command line.

    Args:
        args: Parsed with the options of `add_arguments`.
        settings_type: The same dataclass.

    Returns:
        The settings.

    Raises:
        InvalidValueError: If a value is out of range.
    """
    return settings_type(**{entry.name: getattr(args, entry.name) for entry in fields(settings_type)})


def command_line(command: str, *settings: DataclassInstance) -> str:
    """The command that gives the same weights: every option that matters and is not the default.

    Args:
        command: Its first words.
        settings: What the command was called with.

    Returns:
        One line for the model card.
    """
    words = [command]
    for part in settings:
        for entry in fields(part):
            value = getattr(part, entry.name)
            if value == entry.default or not entry.metadata.get("shown", True):
                continue
            option = _option(entry)
            if isinstance(value, bool):
                words.append(option if value else option.replace("--", "--no-", 1))
            else:
                words.append(f"{option} {value}")
    return " ".join(words)


def _option(entry: Field[Any]) -> str:
    return f"--{entry.name.replace('_', '-')}"
