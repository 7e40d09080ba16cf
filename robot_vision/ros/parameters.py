"""ROS parameters from the definitions in `robot_vision.params`: declared, described, validated and changed live."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from robot_vision.errors import InvalidValueError
from robot_vision.params import STAGES, Setting, StageParams, check_names, settings, updated

INT64_LIMIT = 2**63 - 1


class StageParameters:
    """The settings of some stages as parameters `<stage>.<name>` of one node."""

    def __init__(
        self,
        node: Node,
        stages: Sequence[str],
        on_change: Callable[[str, StageParams], None],
        check: Callable[[str, StageParams], None] = lambda _stage, _params: None,
    ) -> None:
        """Declare, read and check the parameters.

        Args:
            node: Node that owns the parameters.
            stages: Keys of `robot_vision.params.STAGES`.
            on_change: Called with a stage's name and its new settings after an accepted change; must not fail.
            check: Called with the same before a change is accepted; raises InvalidValueError to refuse what only the
                running stage can judge, such as a class that its model does not have.

        Raises:
            InvalidValueError: If a value given at start is outside its contract, or a name is no setting's.
        """
        self._on_change = on_change
        self._check = check
        check_names(node._parameter_overrides)
        self._values: dict[str, StageParams] = {}
        for stage in stages:
            with _naming(stage):
                self._values[stage] = STAGES[stage](**_declare(node, stage))
        node.add_on_set_parameters_callback(self._validate)
        node.add_post_set_parameters_callback(self._apply)

    def __getitem__(self, stage: str) -> Any:
        """The present settings of one stage."""
        return self._values[stage]

    def _validate(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            for stage, params in self._with_changes(parameters).items():
                self._check(stage, params)
        except InvalidValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self, parameters: list[Parameter]) -> None:
        for stage, params in self._with_changes(parameters).items():
            self._values[stage] = params
            self._on_change(stage, params)

    def _with_changes(self, parameters: list[Parameter]) -> dict[str, StageParams]:
        changes: dict[str, dict[str, Any]] = {}
        for parameter in parameters:
            stage, _, name = parameter.name.partition(".")
            if stage in self._values and name:
                changes.setdefault(stage, {})[name] = _from_ros(parameter.value)
        changed = {}
        for stage, values in changes.items():
            with _naming(stage):
                changed[stage] = updated(self._values[stage], values)
        return changed


@contextmanager
def _naming(stage: str) -> Iterator[None]:
    """Say in an error which stage's setting it is about."""
    try:
        yield
    except InvalidValueError as error:
        raise InvalidValueError(f"parameter {stage}.{error}") from error


def _declare(node: Node, stage: str) -> dict[str, Any]:
    values = {}
    for setting in settings(STAGES[stage]):
        try:
            declared = node.declare_parameter(f"{stage}.{setting.name}", _to_ros(setting.default), descriptor(setting))
        except InvalidParameterValueException as error:
            raise InvalidValueError(f"{setting.name} ({describe(setting)}): {error}") from error
        values[setting.name] = _from_ros(declared.value)
    return values


def describe(setting: Setting) -> str:
    """A setting in words, as shown by `ros2 param describe`.

    Args:
        setting: Its definition.

    Returns:
        Description with unit and choices.
    """
    unit = f" [{setting.unit}]" if setting.unit else ""
    choices = f"; one of {', '.join(setting.choices)}" if setting.choices else ""
    return f"{setting.description}{unit}{choices}"


def descriptor(setting: Setting) -> ParameterDescriptor:
    """The ROS descriptor of a setting.

    Args:
        setting: Its definition.

    Returns:
        Descriptor with description, range, and read-only for a setting that needs a restart.
    """
    # Typed by `Setting.check` alone, which takes 1 for 1.0 and [] for an empty list; rclpy would take neither.
    ros_descriptor = ParameterDescriptor(description=describe(setting), read_only=not setting.live, dynamic_typing=True)
    if setting.kind is float and setting.low is not None and setting.high is not None:
        ros_descriptor.floating_point_range = [FloatingPointRange(from_value=setting.low, to_value=setting.high)]
    if setting.kind is int and (setting.low is not None or setting.high is not None):
        low = -INT64_LIMIT if setting.low is None else int(setting.low)
        high = INT64_LIMIT if setting.high is None else int(setting.high)
        ros_descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return ros_descriptor


def _to_ros(value: Any) -> Any:
    # An empty list has no element type, which ROS needs: [""] stands for it.
    return (list(value) or [""]) if isinstance(value, tuple) else value


def _from_ros(value: Any) -> Any:
    if value is None:
        return ()  # how an empty list arrives
    return tuple(text for text in value if text) if isinstance(value, (list, tuple)) else value
