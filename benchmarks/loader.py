"""How fast training batches come from a packed corpus, against a plain dataset of the authors' kind. One JSON line.

    python benchmarks/loader.py [--people 400] [--batches 40] [--threads 1]

Batches of 256 people with crops of 125 to 150 frames and faces of 64 pixels. The plain loader reads, for each item, a
pickled dictionary of a whole recording (float64, bands x frames) and decodes and reduces one JPEG with Pillow, under
torch's DataLoader. Both read the same made-up faces and mels, from a warm page cache, in this process.
"""

import argparse
import io
import json
import pickle
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from manifests.schema import MANIFEST, Column, Table, mel_column
from manifests.table import write_table
from models import data
from models.pack import Packed, pack
from models.system import Phase

BATCH, SIDE, BANDS = 256, 64, 40
CROP = (125, 150)  # frames
FACES, CLIPS = 4, 4  # of each person
SOURCE_SIDE = 256  # pixels of a stored face
SECONDS = 6.0  # of a recording
Item = tuple[Tensor, Tensor, int]


def face(rng: np.random.Generator) -> bytes:
    """A JPEG of smooth colours, about as large as a portrait's."""
    small = Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8))
    out = io.BytesIO()
    small.resize((SOURCE_SIDE, SOURCE_SIDE), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def write(folder: Path, people: int) -> Path:
    """The same data twice: a manifest with shards, and a folder of pickles and JPEGs. Returns the manifest."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    held: dict[str, list[dict[str, Any]]] = {"face": [], "speech": []}
    for number in range(people):
        name = f"id{number:05d}"
        (folder / "plain" / name).mkdir(parents=True)
        for kind, count in (("face", FACES), ("speech", CLIPS)):
            for place in range(count):
                row_id = f"{name}-{kind}-{place}"
                row = {c.name: "x" if c.type == pa.string() else 1 for c in MANIFEST.columns} | {
                    "identity_id": name, "gender": "m", "split": "train", "kind": kind, "row_id": row_id,
                    "shard": f"{kind}/part-0000.parquet",
                }  # fmt: skip
                rows.append(row)
                if kind == "face":
                    image = face(rng)
                    (folder / "plain" / name / f"{place}.jpg").write_bytes(image)
                    held[kind].append({"row_id": row_id, "image": image})
                else:
                    mel = (11 + 3 * rng.standard_normal((int(100 * SECONDS), BANDS))).astype("<f2")
                    with (folder / "plain" / name / f"{place}.pickle").open("wb") as out:
                        pickle.dump({"LogMel_Features": mel.T.astype(np.float64), "spkid": name}, out)
                    held[kind].append({"row_id": row_id, "mel_sf2f": mel.tobytes()})
    key = Column("row_id", pa.string(), "as in the manifest")
    made = {"settings": {"profiles": ["sf2f"], "vads": ["sf2f"]}}
    for kind, payload in (("face", Column("image", pa.binary(), "JPEG")), ("speech", mel_column("sf2f"))):
        write_table(folder / kind / "part-0000.parquet", Table(kind, (key, payload)), held[kind], made)
    write_table(folder / "hq_voxceleb.parquet", MANIFEST, rows, {})
    return folder / "hq_voxceleb.parquet"


class Plain(Dataset[Item]):
    """A person at a time: one of their recordings, one of their pictures, both read and prepared when asked for."""

    def __init__(self, folder: Path) -> None:
        self.people = sorted(folder.iterdir())
        self.rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> Item:
        person = self.people[index]
        with (person / f"{self.rng.integers(CLIPS)}.pickle").open("rb") as file:
            mel = pickle.load(file)["LogMel_Features"]
        start = self.rng.integers(0, mel.shape[1] - CROP[1] + 1)
        picture = Image.open(person / f"{self.rng.integers(FACES)}.jpg").convert("RGB")
        pixels = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        image = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 255
        return torch.from_numpy(mel[:, start : start + CROP[1]]).float(), image, index


def collated(items: list[Item]) -> tuple[Tensor, Tensor, Tensor]:
    """Crops of one length for all."""
    frames = int(torch.randint(CROP[0], CROP[1] + 1, ()))
    mels, images, people = zip(*items, strict=True)
    return torch.stack([mel[:, :frames] for mel in mels]), torch.stack(images), torch.tensor(people)


def plain_batches(folder: Path) -> Iterator[Any]:
    """Endless epochs."""
    loader = DataLoader(Plain(folder), BATCH, shuffle=True, drop_last=True, collate_fn=collated)
    while True:
        yield from loader


def ours(packed: Packed, batches: int) -> Iterator[Any]:
    """As the training loop asks for them."""
    device = torch.device("cpu")
    phase = Phase("bench", "paired", batches + 1, BATCH, CROP, {})
    yield from data.batches(data.load(packed, device), phase, 0, 0, 0, (0, 1), device)


def per_second(batches: Iterator[Any], count: int) -> float:
    """Batches per second, after a first one."""
    next(batches)
    started = time.perf_counter()
    for _ in range(count):
        next(batches)
    return count / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--batches", type=int, default=40, help="of ours; the plain loader makes a tenth")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = write(folder, options.people)
        started = time.perf_counter()
        packed = pack(manifest, "train", "sf2f", SIDE, folder / "packed")
        packing_s = time.perf_counter() - started
        plain = per_second(plain_batches(folder / "plain"), max(options.batches // 10, 2))
        fast = per_second(ours(packed, options.batches), options.batches)
    told = {
        "batch": BATCH, "people": options.people, "threads": options.threads, "packing_s": round(packing_s, 2),
        "packed_batches_per_s": round(fast, 1), "plain_batches_per_s": round(plain, 2), "ratio": round(fast / plain, 1),
    }  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main()
