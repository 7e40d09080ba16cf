"""`robot_vision inspect`: what a network is taken for, and from what evidence."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robot_vision.runtime.card import InputSpec
    from robot_vision.runtime.card_diffusion import DiffusionSpec
    from robot_vision.runtime.export import Facts


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision inspect`.
    """
    parser.add_argument("model", help="ONNX file, model card, or name of a shipped model")


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Args:
        args: Parsed arguments.

    Returns:
        Exit status: 0 if the network can be used as it is.

    Raises:
        ModelError: If it cannot; the message then says why, and may hold the card to write.
    """
    from robot_vision.runtime.card import load_card  # noqa: PLC0415
    from robot_vision.runtime.export import facts_of  # noqa: PLC0415

    path = Path(args.model).expanduser()
    # Facts before the card, which a bare export may still lack.
    card = None if path.suffix.lower() == ".onnx" and path.is_file() else load_card(args.model)
    facts = facts_of(card.onnx_path if card else path)
    print("\n".join(_description(facts)))
    card = card or load_card(args.model)
    print(f"file        {card.onnx_path}")
    print(f"task        {card.task}")
    print("\n".join(_generation(card.diffusion) if card.diffusion else _image(card.input)))
    if card.task == "detection":
        print(f"head        {card.head or facts.head or 'told by the shapes of its first run'}")
        print(f"classes     {len(card.class_names)}: {', '.join(card.class_names)}")
    return 0


def _image(spec: InputSpec) -> list[str]:
    """What becomes of an image, or what a decoder's is made of."""
    return [
        f"image       {spec.size_wh[0]}x{spec.size_wh[1]} {spec.colour}, {spec.resize}, padding {spec.pad_value}",
        f"scaling     (pixel * {spec.scale:g} - {list(spec.mean)}) / {list(spec.std)}",
    ]


def _generation(spec: DiffusionSpec) -> list[str]:
    """What a denoiser makes, from which words."""
    return [
        f"latent      {'x'.join(map(str, spec.latent_shape))}",
        f"networks    from images {spec.encoder.name}, to images {spec.decoder.name}",
        f"prediction  {spec.prediction}, {spec.schedule} schedule of {spec.timesteps} time steps",
        f"usual       {spec.steps} steps, guidance {spec.guidance:g}",
        f"prompts     at most {spec.max_words} of {len(spec.words)} words: {', '.join(spec.words)}",
        f"classes     {len(spec.class_names)}: {', '.join(spec.class_names)}",
    ]


def _description(facts: Facts) -> list[str]:
    """What the file says about itself, a line each."""
    lines = [f"input       {text}" for text in facts.inputs]
    lines += [f"output      {output.name} {output}" for output in facts.outputs]
    lines.append(f"metadata    {', '.join(sorted(facts.metadata)) or 'none'}")
    lines.append(f"recognised  {f'{facts.head}: {facts.layout.evidence}' if facts.layout else 'as no detector layout'}")
    return lines
