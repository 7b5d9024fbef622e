"""The papers' figures, to print beside ours: never a target to the digit, since data and judge differ."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Published:
    """A row of a paper's table; recall in per cent, in galleries of 100."""

    experiment: str  # ours of the same settings
    table: str  # of the SF2F paper
    seconds: float  # of speech
    fused: bool
    cosine: float
    l1: float
    recall: tuple[float, float, float, float]  # at 1, 2, 5, 10
    vfs: float
    vfs_spread: float | None = None


@dataclass(frozen=True, slots=True)
class PublishedMatching:
    """Per cents of voice2face's section 5."""

    system: str  # experiment of ours of the same settings
    source: str
    voice: str  # whose
    matching: float | None = None
    same_gender: float | None = None
    gender: float | None = None  # of generated faces
    top_1: float | None = None  # closed set, of 924 people
    top_5: float | None = None


@dataclass(frozen=True, slots=True)
class PublishedMatcher:
    """Per cents of a paper on matching. Strata as in `models.matching`."""

    experiment: str  # ours of the same settings
    source: str
    v_f: dict[tuple[int, str], float]  # accuracy by number of candidates and stratum: a voice asks faces
    f_v: dict[tuple[int, str], float] = field(default_factory=dict)
    eer: tuple[float | None, ...] = ()  # U, G, N, GN
    precision: tuple[tuple[str, float], ...] = ()  # mean average precision by way


_FULL = (5.0, True, 0.317, 17.91, (5.75, 9.32, 20.36, 36.65), 19.49, 0.59)

PUBLISHED = (
    Published("voice2face-sf2f", "3", 1.25, False, 0.202, 23.46, (1.77, 3.55, 14.60, 20.33), 15.47, 0.67),
    Published("voice2face-sf2f", "3", 5.0, False, 0.205, 23.17, (1.64, 3.64, 15.12, 20.82), 15.68, 0.64),
    Published("sf2f-64", "3", 1.25, False, 0.304, 19.22, (5.32, 8.10, 19.27, 32.80), 18.59, 0.87),
    Published("sf2f-64", "3", 5.0, False, 0.294, 18.51, (4.11, 8.38, 19.43, 33.97), 18.54, 1.02),
    Published("sf2f-64", "3", *_FULL),
    Published("sf2f-64-paper", "3", *_FULL),
    Published("sf2f-64-0.5-1s", "4", 1.25, False, 0.230, 21.85, (4.67, 8.38, 15.40, 26.05), 18.17, 0.75),
    Published("sf2f-64-1-1.5s", "4", 1.25, False, 0.296, 18.51, (5.02, 8.60, 19.43, 32.25), 18.53, 0.72),
    Published("sf2f-64-1.5-3s", "4", 1.25, False, 0.294, 18.79, (4.96, 8.78, 18.59, 29.88), 18.67, 1.72),
    Published("sf2f-64-3-6s", "4", 1.25, False, 0.274, 19.21, (4.33, 8.43, 17.10, 30.14), 18.05, 1.14),
    Published("sf2f-64-6-10s", "4", 1.25, False, 0.227, 21.92, (3.34, 6.58, 14.73, 26.92), 18.40, 2.03),
    Published("sf2f-128", "5", 5.0, True, 0.278, 18.54, (5.02, 8.60, 19.43, 32.25), 18.53, 1.75),
    Published("sf2f-128-multi", "5", 5.0, True, 0.313, 17.46, (6.10, 9.25, 18.77, 35.38), 20.10, 0.47),
    Published("sf2f-64-no-l1", "7", 5.0, True, 0.310, 21.74, (3.47, 7.26, 18.36, 31.56), 16.84),
    Published("sf2f-64-no-gan", "7", 5.0, True, 0.298, 20.97, (3.23, 8.70, 16.73, 32.36), 18.51),
    Published("sf2f-64-no-identity", "7", 5.0, True, 0.310, 18.13, (5.24, 8.45, 17.30, 34.28), 19.16),
    Published("sf2f-64-no-perceptual", "7", 5.0, True, 0.236, 18.22, (2.73, 5.23, 15.39, 26.37), 18.44),
    Published("sf2f-64-baseline-encoder", "7", 5.0, True, 0.309, 18.47, (5.54, 9.26, 19.18, 34.75), 18.89),
    Published("sf2f-64-baseline-decoder", "7", 5.0, True, 0.311, 18.52, (4.32, 8.56, 19.47, 34.25), 18.46),
)

VOICE2FACE = tuple(
    PublishedMatching(system, f"voice2face, {source}", voice, matching, same_gender, gender, top_1, top_5)
    for system in ("voice2face", "voice2face-paper")
    for source, voice, matching, same_gender, gender, top_1, top_5 in (
        ("Table 3", "unseen people", 76.07, 59.69, 96.45, None, None),
        ("Table 3, closed set of 924", "training people", 96.83, 93.98, None, 61.7, 82.3),
    )
)

# V-F, and DIMNet-IG's any impostor, as voice2face (Table 3) and I2G (Table 2) quote them; the rest is DIMNet's own.
MATCHERS = (
    PublishedMatcher("svhf", "SVHF-Net", {(2, "U"): 81.00, (2, "G"): 65.20}),
    PublishedMatcher("svhf-10", "SVHF-Net, read off a plot", {(10, "U"): 35.0}),
    PublishedMatcher("svhf-fv", "SVHF-Net", {}, {(2, "U"): 79.50}),
    PublishedMatcher(
        "dimnet-i", "DIMNet-I", {(2, "U"): 83.45, (2, "G"): 70.91}, {(2, "U"): 83.52, (2, "G"): 71.78},
        (24.95, 34.95, None, None),
    ),
    PublishedMatcher(
        "dimnet-g", "DIMNet-G", {(2, "U"): 72.90, (2, "G"): 50.32}, {(2, "U"): 72.47, (2, "G"): 50.48}
    ),
    PublishedMatcher(
        "dimnet-ig", "DIMNet-IG", {(2, "U"): 84.12, (2, "G"): 71.32}, {(2, "U"): 84.03, (2, "G"): 71.65},
        (24.56, 34.84, None, None), (("V-F", 4.42), ("F-V", 4.23)),
    ),
)  # fmt: skip
