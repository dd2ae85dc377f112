"""A volume becomes a model's input: reoriented, cropped, resized, windowed, as a checkpoint says.

Training and service prepare inputs through this room alone: a change here changes what every
model sees.
"""
