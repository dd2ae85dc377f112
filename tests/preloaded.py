"""What the programs of the tests need, imported once (tests/forked.py)."""

import os

# Read at the import of DeepSpeed
os.environ.setdefault("DS_ACCELERATOR", "cpu")

import accelerate  # noqa: F401
import deepspeed  # noqa: F401

import training.commands.train
import training.stages.answers
import training.stages.contrastive  # noqa: F401
