"""What is fuzzed: the wrappers around the decoders, each with its seeds and the one exception that it may raise.

`python -m tests.fuzz.decoders NAME CORPUS [libFuzzer's options]` fuzzes one, guided by the branches that its bytes
take through the wrapper and, for pictures, through Pillow's own parsers (needs the package atheris).
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_PIXELS = 4_000_000
MAX_DURATION_S = 20.0
_GUIDES = ("PIL", "pipeline.images", "pipeline.speech", "soundfile")  # whose branches guide the search
_SEED_BYTES = 60_000  # longer seeds only slow the search down


@dataclass(frozen=True)
class Target:
    """A wrapper under test: it returns, or raises `documented`; anything else is a defect."""

    look: Callable[[bytes], object]
    documented: type[Exception]
    seeds: Callable[[], Mapping[str, bytes]]


def _look_at_picture(data: bytes) -> object:
    from pipeline import images

    found = images.header(data, MAX_PIXELS)
    pixels = images.decode(data, MAX_PIXELS)
    assert pixels.shape == (found.height, found.width, 3), f"{pixels.shape} pixels, {found} promised"
    return pixels


def _listen(data: bytes) -> object:
    from pipeline import speech

    recording = speech.decode(data, MAX_DURATION_S)
    assert 0 < len(recording.samples) <= MAX_DURATION_S * speech.SAMPLE_RATE + 1
    return recording


def _small_pictures() -> Mapping[str, bytes]:
    from PIL import Image

    from tests.faults import pictures

    small = Image.fromarray(pictures.face()).resize((48, 40))
    kinds = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
    modes = ("RGB", "L", "P", "1")
    made = {
        f"{kind}_{mode}": pictures.saved(small.convert(mode), kind)
        for kind in kinds
        for mode in modes
        if not (kind == "JPEG" and mode in "P1")
    }
    made["cmyk"] = pictures.saved(small.convert("CMYK"), "JPEG")
    made["deep"] = pictures.saved(small.convert("I;16"), "PNG")
    made["alpha"] = pictures.saved(small.convert("RGBA"), "PNG")
    made["packed_tiff"] = pictures.saved(small, "TIFF", compression="tiff_lzw")
    made["exif"] = pictures.saved(small, "JPEG", exif=_exif())
    made["animated"] = pictures.saved(small, "GIF", save_all=True, append_images=[small.rotate(90)])
    return made | {name: data for name, (data, _) in pictures.broken().items() if len(data) <= _SEED_BYTES}


def _exif() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    return exif.tobytes()


def _short_recordings() -> Mapping[str, bytes]:
    from tests.faults import recordings

    whole = {**recordings.usable(), **{name: data for name, (data, _) in recordings.broken().items()}}
    return {name: data[:_SEED_BYTES] for name, data in whole.items()}


def targets() -> dict[str, Target]:
    """The wrappers by name."""
    from pipeline import images, speech

    return {
        "pictures": Target(_look_at_picture, images.Unreadable, _small_pictures),
        "recordings": Target(_listen, speech.Unreadable, _short_recordings),
    }


def _fuzz(name: str, options: list[str]) -> None:
    import atheris

    def try_one(data: bytes) -> None:
        try:
            target.look(data)
        except target.documented:
            return

    with atheris.instrument_imports(include=list(_GUIDES)):
        target = targets()[name]
        for seed in target.seeds().values():  # Pillow imports a parser when the first picture of its kind comes
            try_one(seed)
    atheris.Setup([sys.argv[0], *options], try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    Path(sys.argv[2]).mkdir(exist_ok=True)
    _fuzz(sys.argv[1], sys.argv[2:])
