"""Pages: every value is escaped, a forgotten value is an error, thumbnails are small square JPEGs."""

import base64
import hashlib
import io
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from PIL import Image, ImageChops

from pipeline.html import csp_hash, page, thumbnail
from pipeline.images import Unreadable


def opened(encoded: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


@pytest.mark.parametrize("size", [(400, 100), (100, 400), (30, 20), (224, 224)])
def test_a_thumbnail_is_a_square_jpeg_on_white_whatever_the_shape(size: tuple[int, int]) -> None:
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(out, "PNG")
    small = opened(thumbnail(out.getvalue(), 10**6, side=64))
    assert (small.format, small.size) == ("JPEG", (64, 64))
    red, green, blue = small.getpixel((32, 32))
    assert (red > 180, green < 60, blue < 60) == (True, True, True)
    if size[0] != size[1]:
        assert small.getpixel((0, 0)) == (255, 255, 255)


def test_a_box_is_outlined_where_the_small_picture_has_it() -> None:
    out = io.BytesIO()
    Image.new("RGB", (400, 200), (200, 30, 30)).save(out, "PNG")
    plain, boxed = (opened(thumbnail(out.getvalue(), 10**6, 100, box)) for box in (None, (100, 50, 300, 150)))
    differs = ImageChops.difference(plain, boxed).convert("L").point(lambda v: 255 * (v > 60)).getbbox()
    assert differs == pytest.approx((25, 25 + 12.5, 75, 25 + 37.5), abs=2)


def test_what_is_no_picture_or_too_large_gives_no_thumbnail() -> None:
    out = io.BytesIO()
    Image.new("RGB", (50, 50)).save(out, "PNG")
    with pytest.raises(Unreadable):
        thumbnail(b"junk", 10**6)
    with pytest.raises(Unreadable):
        thumbnail(out.getvalue(), max_pixels=2499)


def test_values_are_escaped_and_a_missing_value_is_an_error(tmp_path: Path) -> None:
    template = tmp_path / "t.html"
    template.write_text('<p title="{{ name }}">{{ name }}</p>')
    assert page(template, {"name": '"><script>'}) == '<p title="&#34;&gt;&lt;script&gt;">&#34;&gt;&lt;script&gt;</p>'
    with pytest.raises(UndefinedError):
        page(template, {})


def test_the_style_hash_is_the_one_browsers_compute() -> None:
    style = "p { color: red; }\n"
    expected = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode()
    assert csp_hash(style) == f"sha256-{expected}"
