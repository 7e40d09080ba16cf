"""The trials of a search as CSV, from which an interrupted search goes on."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from robot_vision.errors import EvaluationError
from robot_vision.evaluation.tuning import Measure, Scores, Trial, Values


class TrialLog:
    """Remembers trials in a file: a line each, of its values, its mean HOTA and that of every sequence."""

    def __init__(self, path: Path, parameters: Sequence[str], sequences: Sequence[str]) -> None:
        """Read what is there, or start the file.

        Args:
            path: CSV file.
            parameters: Names of the values.
            sequences: Names of the scores.

        Raises:
            EvaluationError: If the file is of another search or cannot be read or written.
        """
        self._path, self._parameters = path, len(parameters)
        self._known: dict[Values, Scores] = {}
        header = [*parameters, "mean HOTA", *sequences]
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            # A line without its end is one that an interrupted search has not finished.
            whole = text[: text.rfind("\n") + 1]
            if whole != text or not whole:
                path.write_text(whole or _line(header), encoding="utf-8")
        except OSError as error:
            raise EvaluationError(f"{path}: the trials cannot be kept: {error}") from error
        self._read(whole, header)

    def __len__(self) -> int:
        return len(self._known)

    def _read(self, text: str, header: list[str]) -> None:
        for number, cells in enumerate(csv.reader(io.StringIO(text)), start=1):
            if number == 1:
                if cells != header:
                    raise EvaluationError(
                        f"{self._path}: has the trials of another search: other parameters, sequences or seed; give "
                        "another folder"
                    )
                continue
            try:
                values = tuple(map(float, cells))
            except ValueError:
                values = ()
            if len(values) != len(header):
                raise EvaluationError(f"{self._path}:{number}: expected {len(header)} numbers; got {cells}")
            self._known[values[: self._parameters]] = values[self._parameters + 1 :]

    def remembering(self, measure: Measure) -> Measure:
        """A measure that takes what is known from the file and writes what is new to it.

        Args:
            measure: Measures what is not known.

        Returns:
            The measure; it raises `EvaluationError` if the file cannot be written.
        """

        def remembered(batch: Sequence[Values]) -> Iterator[Scores]:
            new = [values for values in dict.fromkeys(batch) if values not in self._known]
            fresh = iter(measure(new))
            for values in batch:
                if values not in self._known:
                    self._append(Trial(values, next(fresh)))
                yield self._known[values]

        return remembered

    def _append(self, trial: Trial) -> None:
        self._known[trial.values] = trial.scores
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line([*map(repr, trial.values), repr(trial.mean), *map(repr, trial.scores)]))
        except OSError as error:
            raise EvaluationError(f"{self._path}: the trials cannot be kept: {error}") from error


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
