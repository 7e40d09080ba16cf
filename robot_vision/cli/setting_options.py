"""Command-line options made from settings."""

from __future__ import annotations

import argparse
from typing import Any, TypeVar

from robot_vision.errors import InvalidValueError
from robot_vision.params import Setting, StageParams, settings

ParamsT = TypeVar("ParamsT", bound=StageParams)


def add_setting_options(
    parser: argparse.ArgumentParser, params_type: type[StageParams], bare: dict[str, float] | None = None
) -> None:
    """Add an option for each setting.

    Args:
        parser: Parser of the command.
        params_type: The settings.
        bare: Values of options that may be given without one, by name of the setting.
    """
    for setting in settings(params_type):
        options = _option(setting)
        if bare and setting.name in bare:
            options |= {"nargs": "?", "const": bare[setting.name]}
        parser.add_argument(f"--{setting.name.replace('_', '-')}", **options)


def _option(setting: Setting) -> dict[str, Any]:
    text = f"{setting.description} (default {setting.default})" if setting.default else setting.description
    if setting.kind is bool:
        return {"action": "store_true", "help": text}
    options: dict[str, Any] = {"default": setting.default, "help": text}
    if setting.kind is tuple:
        return options | {"nargs": "+", "metavar": "TOPIC"}
    return options | {
        "type": setting.kind,
        "metavar": setting.unit.upper() or ("TOPIC" if setting.kind is str else "FACTOR"),
    }


def params_from(args: argparse.Namespace, params_type: type[ParamsT]) -> ParamsT:
    """The settings that a command line gives.

    Args:
        args: Parsed arguments.
        params_type: The settings.

    Returns:
        The checked settings.

    Raises:
        InvalidValueError: If a value is outside its contract.
    """
    try:
        return params_type(**{setting.name: getattr(args, setting.name) for setting in settings(params_type)})
    except InvalidValueError as error:
        raise InvalidValueError(f"--{error}") from error
