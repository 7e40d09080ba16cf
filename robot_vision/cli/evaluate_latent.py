"""`robot_vision evaluate latent`: encoders side by side on the same frames."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tqdm import tqdm

from robot_vision.errors import InvalidValueError
from robot_vision.params import EncoderParams, SessionParams

if TYPE_CHECKING:
    from robot_vision.evaluation.latent_data import FrameSet
    from robot_vision.evaluation.latent_encoding import Encodings
    from robot_vision.latent.encoder import Encoder


def evaluate_latent(args: argparse.Namespace, session_params: SessionParams) -> int:
    """Evaluate the encoders of a parsed command line and write the report.

    Args:
        args: With `models`, `data`, `novel`, `every` and `out`.
        session_params: How the networks run.

    Returns:
        Exit status.

    Raises:
        RobotVisionError: If a network or data is wrong, or the report cannot be written.
    """
    from robot_vision.evaluation.latent_data import open_all  # noqa: PLC0415
    from robot_vision.evaluation.latent_figures import model_figures, smoothness_gaps  # noqa: PLC0415
    from robot_vision.evaluation.latent_report import latent_table, write_latent_report  # noqa: PLC0415
    from robot_vision.evaluation.latent_state import probed_states  # noqa: PLC0415

    encoders = _encoders(args.models, session_params)
    sets, novel_sets = open_all(args.data, args.every), open_all(args.novel, args.every)
    encodings = _encoded(encoders, sets, "frames")
    novel = _encoded(encoders, novel_sets, "novel frames").models if novel_sets else (None,) * len(encoders)
    probed, gaps = probed_states(encodings.state)
    names = [entry.name for entry in sets]
    figures = [
        model_figures(entry, encodings.state, probed, names, unlike)
        for entry, unlike in zip(encodings.models, novel, strict=True)
    ]
    notes = [*(note for entry in (*sets, *novel_sets) for note in entry.notes), *gaps]
    notes += smoothness_gaps(encodings.state, names)
    if not novel_sets:
        notes.append("novelty: no AUROC; give frames that are new to the encoder with --novel")
    facts = _facts(args, encoders, encodings)
    written = write_latent_report(figures, encodings, probed, args.out, facts, notes)
    print(f"\n{latent_table(figures)}\n\nwrote {', '.join(map(str, written))}")
    return 0


def _encoders(models: Sequence[str], session_params: SessionParams) -> dict[str, Encoder]:
    """Encoders by the names of their cards, with a number where several have the same."""
    from robot_vision.latent.encoder import Encoder  # noqa: PLC0415
    from robot_vision.runtime.card import load_card  # noqa: PLC0415

    if len(set(models)) < len(models):
        raise InvalidValueError(f"the same encoder is given twice: {' '.join(models)}; give each once")
    encoders: dict[str, Encoder] = {}
    for model in models:
        card = load_card(model)
        name, number = card.name, 2
        while name in encoders:
            name, number = f"{card.name} {number}", number + 1
        encoders[name] = Encoder(card, session_params, EncoderParams(model=model, novelty=True))
    return encoders


def _encoded(encoders: Mapping[str, Encoder], sets: Sequence[FrameSet], what: str) -> Encodings:
    from robot_vision.evaluation.latent_encoding import encode_frames, frames_of  # noqa: PLC0415

    total = sum(entry.count for entry in sets)
    return encode_frames(encoders, sets, tqdm(frames_of(sets), total=total, desc=what, unit="frame"))


def _facts(args: argparse.Namespace, encoders: Mapping[str, Encoder], encodings: Encodings) -> dict[str, str]:
    cards = {name: f"{encoder.card.onnx_path.name}, sha256 {encoder.card.sha256}" for name, encoder in encoders.items()}
    return {
        **cards,
        "device": ", ".join(dict.fromkeys(encoder.session.device for encoder in encoders.values())),
        "data": ", ".join(map(str, args.data)),
        "novel": ", ".join(map(str, args.novel)) or "none",
        "every": str(args.every),
        "frames": str(len(encodings.state.sources)),
    }
