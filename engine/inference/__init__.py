"""The engine that runs a checkpoint in this process: prompts, generation, answers, quantization.

The contract that all engines keep is `engine.protocol`.
"""
