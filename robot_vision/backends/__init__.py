"""Image generators that run on libraries which no other part of the pipeline needs, and the choice among all.

Whoever imports this package keeps the libraries of Hugging Face off the network, since models are folders on this
machine, and their hints, which are about the writing of programs with them, off the screen.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
