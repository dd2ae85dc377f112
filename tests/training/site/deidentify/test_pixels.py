import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from training.site.deidentify.pixels import holds_text


def chest(slices: int = 20) -> np.ndarray:
    """A body with lungs and a vertebra, and noise as a scanner has it."""
    y, x = np.mgrid[:256, :256]
    image = np.full((256, 256), -1000.0)
    image[((x - 128) / 100) ** 2 + ((y - 128) / 75) ** 2 < 1] = 40
    for centre in (90, 165):
        image[((x - centre) / 30) ** 2 + ((y - 125) / 45) ** 2 < 1] = -850
    image[((x - 128) / 12) ** 2 + ((y - 180) / 12) ** 2 < 1] = 400
    noise = np.random.default_rng(0).normal(0, 20, (slices, 256, 256))
    return image + noise


def write(volume: np.ndarray, text: str, slices: slice, value: float) -> None:
    mask = Image.new("L", volume.shape[:0:-1])
    ImageDraw.Draw(mask).text((6, 6), text, fill=255, font=ImageFont.load_default(13))
    volume[slices, np.array(mask) > 100] = value


def test_a_series_without_text_is_none():
    assert not holds_text(chest())


@pytest.mark.parametrize(
    ("text", "slices", "value"),
    [("WHITFIELD MARGARET", slice(None), 3000), ("00773412", slice(18, 19), 800)],
)
def test_text_on_all_slices_or_on_one_is_seen(text, slices, value):
    volume = chest()
    write(volume, text, slices, value)
    assert holds_text(volume)
