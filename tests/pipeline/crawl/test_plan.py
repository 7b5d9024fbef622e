"""The plan of a crawl, and the classes of drift."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.crawl.drift import Drift, compare, drift_of
from pipeline.crawl.plan import plan_of, text_of
from pipeline.crawl.politeness import Politeness
from pipeline.crawl.record import Facts, Record
from pipeline.crawl.turns import Job
from pipeline.stage import Drop


def test_the_busiest_host_decides_how_long_it_takes():
    jobs = [Job(str(i), f"http://{host}.test/{i}") for host, count in (("a", 99), ("b", 10)) for i in range(count)]
    plan = plan_of(150, jobs, Politeness(requests_per_s=2.0), 1000.0, frozenset())
    assert (plan.total, plan.seconds, plan.bytes, plan.not_asked) == (109 + 4, 50.5, 109_000, 41)
    text = text_of(plan)
    assert "99  http://a.test" in text
    assert "50 seconds" in text
    assert plan_of(9, jobs, Politeness(), 1.0, frozenset({"http://a.test", "http://b.test"})).seconds == 0


def picture(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


SMOOTH = np.dstack([np.add.outer(np.arange(64), np.arange(64)) + shift for shift in (0, 40, 80)]).astype(np.uint8)


@pytest.mark.parametrize(
    ("new", "kind"),
    [
        (picture(SMOOTH, "PNG", compress_level=1), Drift.SAME_PIXELS),
        (picture(SMOOTH, "JPEG", quality=80), Drift.SIMILAR),
        (picture(SMOOTH[::2, ::2], "PNG"), Drift.SIMILAR),
        (picture(255 - SMOOTH, "PNG"), Drift.ANOTHER),
        (b"no picture", Drift.ANOTHER),
    ],
)
def test_pictures_of_other_bytes_are_compared(new, kind):
    assert compare(picture(SMOOTH, "PNG"), new, 10**6) is kind


def test_the_other_classes_need_no_picture():
    facts = Facts("a" * 64, 1, "PNG", 1, 1)
    assert drift_of(None, "a" * 64) is Drift.NOT_REACHED
    assert drift_of(Record("1", facts), "a" * 64) is Drift.SAME_BYTES
    assert drift_of(Record("1", facts), "b" * 64) is None
    assert drift_of(Record("1", Drop("http_error", 404)), "a" * 64) is Drift.GONE
    assert drift_of(Record("1", Drop("opted_out")), "a" * 64) is Drift.WITHDRAWN
