"""Every table of the data set: columns, Arrow types, units and meanings, said once.

Tables grow along the chain: a stage's table holds the columns of the one it reads, plus its own. Columns that
are not listed here are welcome in a file; a listed column that is missing or of another type is an error.
"""

from dataclasses import dataclass

import pyarrow as pa

SCHEMA_VERSION = "1.0.0"

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # FER-2013 order


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, Arrow type, meaning (with unit) and whether it may be null."""

    name: str
    type: pa.DataType
    meaning: str
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name, key column and columns in order."""

    name: str
    columns: tuple[Column, ...]
    key: str = "row_id"
    version: str = SCHEMA_VERSION

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    def arrow(self) -> pa.Schema:
        """The Arrow schema, with each column's meaning in its field metadata."""
        return pa.schema(
            pa.field(c.name, c.type, nullable=c.nullable, metadata={"meaning": c.meaning}) for c in self.columns
        )


_STRING, _INT, _LONG, _REAL, _BYTES = pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.binary()
_REALS = pa.list_(_REAL)

_PERSON = (
    Column("identity_id", _STRING, "VoxCeleb id (id10001) or the user's own"),
    Column("name", _STRING, "as in the metadata", nullable=True),
    Column("gender", _STRING, "m or f, as in the metadata", nullable=True),
    Column("nationality", _STRING, "as in the metadata", nullable=True),
)
_ORIGIN = (
    Column("row_id", _STRING, "hash of identity and source address or path: exists before any byte does"),
    Column("sample_id", _STRING, "hash of identity and content: stable, independent of order"),
    Column("source", _STRING, "URL or file it came from"),
    Column("licence", _STRING, "as the source states it", nullable=True),
    Column("sha256", _STRING, "of the source bytes"),
)

_CRAWL_FACTS = (
    *_PERSON,
    *_ORIGIN,
    Column("page", _STRING, "page the picture was found on", nullable=True),
    Column("bytes", _LONG, "size of the source file"),
    Column("format", _STRING, "JPEG, PNG, ... read from the bytes, never from the name"),
    Column("source_width", _INT, "pixels, EXIF-upright"),
    Column("source_height", _INT, "pixels, EXIF-upright"),
)
CRAWL = Table("crawl", (*_CRAWL_FACTS, Column("image", _BYTES, "the source bytes, unchanged")))

_LANDMARK_SCORES = (
    Column("n_faces", _INT, "faces found"),
    Column("detection_score", _REAL, "detector's score of the main face", nullable=True),
    Column("rival_area", _REAL, "area of the largest other face as a share of the main one's", nullable=True),
    Column("face_box", _REALS, "left, top, right, bottom of the main face, pixels", nullable=True),
    Column("landmarks", _REALS, "68 points, x0 y0 x1 y1 ..., 0-based pixels of the upright original", nullable=True),
    Column(
        "landmark_spread",
        _REAL,
        "landmarks of the picture against its mirror image's, share of the pupil distance",
        True,
    ),
    Column("pupils", _REALS, "left x, y, right x, y as seen in the picture, pixels", nullable=True),
    Column("pupil_px", _REAL, "distance between the pupils, pixels of the original", nullable=True),
    Column("yaw_deg", _REAL, "head turn, positive towards the picture's right", nullable=True),
    Column("pitch_deg", _REAL, "head nod, positive upwards", nullable=True),
    Column("roll_deg", _REAL, "in-plane tilt, positive clockwise in the picture", nullable=True),
    Column("alignment_residual", _REAL, "left/right landmark asymmetry, share of the pupil distance", nullable=True),
    Column("colourfulness", _REAL, "0 for a grey picture (Hasler and Suesstrunk 2003)", nullable=True),
    Column("light_imbalance", _REAL, "left against right brightness of the face, 0 is even", nullable=True),
    Column("light_contrast", _REAL, "strongest local step of the low-pass face, 0 is even", nullable=True),
    Column("sharpness", _REAL, "0..1, high-frequency energy of the face at a fixed size", nullable=True),
)
FACE_SCORES = Table(
    "scores/landmarks",
    (
        Column("row_id", _STRING, "as in crawl"),
        Column("fault", _STRING, "why no face could be scored", nullable=True),
        Column("fault_detail", _STRING, "the decoder's or detector's words", nullable=True),
        *(Column(c.name, c.type, c.meaning, nullable=True) for c in _LANDMARK_SCORES),
        Column("chip", _BYTES, "JPEG, 192 x 192, square of 1.5 x the face box: what the emotion stage sees", True),
    ),
)
LANDMARKS = Table("landmarks", (*_CRAWL_FACTS, *_LANDMARK_SCORES))

IDENTITY_SCORES = Table(
    "scores/identity",
    (
        Column("row_id", _STRING, "as in crawl"),
        Column("phash", _BYTES, "64 bits of the whole picture, lowest cosine frequencies; big-endian", True),
        Column("dhash", _BYTES, "64 bits of the whole picture, each cell against its left neighbour", True),
        Column("face_hash", _BYTES, "256 bits of the upright face alone, lowest cosine frequencies", nullable=True),
        Column("embedding", _BYTES, "128 little-endian float32, dlib's face network", nullable=True),
    ),
)
_IDENTITY_FACTS = (
    Column("agreeing", _INT, "pictures in the person's largest group of faces that agree", nullable=True),
    Column("own_distance", _REAL, "embedding distance from the centre of that group, the picture left out", True),
    Column("own_norm", _REAL, "the same in standard deviations among its distances from all others' centres", True),
    Column("other_identity", _STRING, "the other person of the data set whose centre is nearest", nullable=True),
    Column("other_distance", _REAL, "embedding distance from that centre", nullable=True),
    Column("repeats", _STRING, "row_id of the person's better picture of the same photograph", nullable=True),
    Column("shared_with", _STRING, "another person under whose name the same photograph stands", nullable=True),
    Column("shared_distance", _REAL, "`own_distance` of the photograph there", nullable=True),
)
IDENTITY = Table("identity", (*LANDMARKS.columns, *_IDENTITY_FACTS))

_EMOTION_SCORES = tuple(
    Column(f"p_{name}", _REAL, f"probability of {name}, mini-XCEPTION", nullable=True) for name in EMOTIONS
)
EMOTION_SCORES = Table(
    "scores/emotion",
    (
        Column("row_id", _STRING, "as in crawl"),
        Column("fault", _STRING, "why nothing could be scored", nullable=True),
        *_EMOTION_SCORES,
    ),
)
EMOTION = Table("emotion", (*IDENTITY.columns, *_EMOTION_SCORES))

_ALIGN_SCORES = (
    Column("transform", _REALS, "2 x 3 similarity, row by row, original pixels to aligned pixels"),
    Column("side", _INT, "pixels, side of the square aligned picture"),
    Column("scale", _REAL, "aligned pixels per original pixel"),
    Column("outside", _REAL, "share of the aligned square that lies outside the original picture"),
)
ALIGN_SCORES = Table("scores/align", (Column("row_id", _STRING, "as in crawl"), *_ALIGN_SCORES))
_IMAGE_FACTS = (
    Column("width", _INT, "pixels of `image`"),
    Column("height", _INT, "pixels of `image`"),
    Column("image_sha256", _STRING, "of the bytes of `image`"),
)
_IMAGE = Column("image", _BYTES, "PNG")
_ALIGN_FACTS = (*EMOTION.columns, *_ALIGN_SCORES, *_IMAGE_FACTS)
ALIGN = Table("align", (*_ALIGN_FACTS, _IMAGE))

_WHITEN_SCORES = (
    Column("coverage", _REAL, "share of the picture that is person", nullable=True),
    Column("edge_quality", _REAL, "0..1, how sharply the matte falls from person to background", nullable=True),
    Column("face_coverage", _REAL, "share of the face that the matte keeps", nullable=True),
)
WHITEN_SCORES = Table(
    "scores/whiten",
    (
        Column("row_id", _STRING, "as in crawl"),
        Column("matte", _BYTES, "PNG, 8-bit: the network's person probability", nullable=True),
        *_WHITEN_SCORES,
    ),
)
_WHITEN_FACTS = (*_ALIGN_FACTS, *_WHITEN_SCORES)
_MASK = Column("mask", _BYTES, "PNG, 8-bit: 255 person, 0 background, soft between")
WHITEN = Table("whiten", (*_WHITEN_FACTS, _IMAGE, _MASK))

REVIEW = Table(
    "review",
    (
        *_WHITEN_FACTS,
        Column("shard", _STRING, "the shard that holds `image` and `mask`, relative to the data folder"),
        Column("row", _LONG, "row in that shard"),
        Column("quality", _REAL, "0..1, what the automatic choice ranks by"),
        Column("decided_by", _STRING, "`auto`, or the reviewer's name"),
        Column("rank", _INT, "1 for the person's best kept picture"),
    ),
)

REVIEW_TASKS = Table(
    "review_tasks",
    (
        Column("assignment_id", _STRING, "hash of task and batch"),
        Column("task_id", _STRING, "hash of sample, picture and round: the same for all who are asked"),
        Column("batch", _STRING, "the folder beside this file"),
        Column("reviewer", _STRING, "who is asked"),
        Column("round", _INT, "from 1"),
        Column("identity_id", _STRING, "as in whiten"),
        Column("row_id", _STRING, "as in whiten"),
        Column("sample_id", _STRING, "as in whiten"),
        Column("shown_sha256", _STRING, "of the bytes of `image` in whiten"),
        Column("source", _STRING, "as in whiten"),
        Column("suggested", _STRING, "keep or reject: the automatic choice"),
        Column("quality", _REAL, "0..1, what the automatic choice ranks by"),
        Column("gold", pa.bool_(), "a known answer exists"),
    ),
    key="assignment_id",
)

VOICES = Table(
    "voices",
    (
        *_PERSON,
        *_ORIGIN,
        Column("video_id", _STRING, "from the VoxCeleb path", nullable=True),
        Column("utterance", _STRING, "from the VoxCeleb path, or the file's name"),
        Column("source_rate", _INT, "Hz"),
        Column("source_duration_s", _REAL, "seconds of the recording"),
        Column("duration_s", _REAL, "voiced seconds by the first profile's VAD"),
        Column("n_frames", _INT, "mel frames of the first profile"),
        Column("audio", _BYTES, "FLAC, 16 kHz mono, the voiced part", nullable=True),
    ),
)

MANIFEST = Table(
    "hq_voxceleb",
    (
        *_PERSON,
        Column("split", _STRING, "train, val or test; identity-disjoint"),
        Column("kind", _STRING, "face or speech"),
        _ORIGIN[0],
        _ORIGIN[1],
        Column("shard", _STRING, "the shard with the payload, relative to the manifest's folder"),
        Column("row", _LONG, "row in that shard"),
        Column("width", _INT, "pixels, faces only", nullable=True),
        Column("height", _INT, "pixels, faces only", nullable=True),
        Column("source_width", _INT, "pixels, faces only", nullable=True),
        Column("source_height", _INT, "pixels, faces only", nullable=True),
        Column("video_id", _STRING, "speech only, from the VoxCeleb path", nullable=True),
        Column("utterance", _STRING, "speech only", nullable=True),
        Column("duration_s", _REAL, "voiced seconds, speech only", nullable=True),
        Column("n_frames", _INT, "mel frames of the first profile, speech only", nullable=True),
        *_ORIGIN[2:],
    ),
    key="row_id",
)

DROPS = Table(
    "drops",
    (
        Column("identity_id", _STRING, "as in the input"),
        Column("row_id", _STRING, "as in the input"),
        Column("sample_id", _STRING, "null before bytes exist", nullable=True),
        Column("source", _STRING, "URL or file"),
        Column("stage", _STRING, "the stage that dropped it"),
        Column("reason", _STRING, "the rule"),
        Column("value", _REAL, "what was measured", nullable=True),
        Column("limit", _REAL, "what was allowed", nullable=True),
        Column("detail", _STRING, "in words", nullable=True),
    ),
)

TABLES = (
    CRAWL, FACE_SCORES, LANDMARKS, IDENTITY_SCORES, IDENTITY, EMOTION_SCORES, EMOTION, ALIGN_SCORES, ALIGN,
    WHITEN_SCORES, WHITEN, REVIEW, REVIEW_TASKS, VOICES, MANIFEST, DROPS,
)  # fmt: skip


def mel_column(profile: str) -> Column:
    """The column that holds one profile's log-mel frames."""
    return Column(f"mel_{profile}", _BYTES, "little-endian float16, frames x bands")


def segments_column(vad: str) -> Column:
    """The column that holds the voiced segments found by one VAD setting."""
    return Column(f"segments_{vad}", _REALS, "start, end, start, end ... seconds of the recording")
