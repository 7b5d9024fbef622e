"""What a photographer of the synthetic world chose: pose, expression, light, size, clothes, background, camera."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Expression = Literal["neutral", "smile", "surprise", "scowl"]
EXPRESSIONS: tuple[Expression, ...] = ("neutral", "smile", "surprise", "scowl")


@dataclass(frozen=True, slots=True)
class Scene:
    """One photograph's circumstances; together with a person it fixes every pixel."""

    seed: int = 0  # clothes, background, skin noise, camera noise
    yaw_deg: float = 0.0  # positive: the face turns towards the right edge of the picture
    pitch_deg: float = 0.0  # positive: the face looks up
    roll_deg: float = 0.0  # positive: the head leans clockwise as the picture is seen
    expression: Expression = "neutral"
    intensity: float = 1.0  # 0..1, strength of the expression
    light_azimuth_deg: float = 20.0  # where the key light stands; positive: right of the camera
    light_elevation_deg: float = 35.0
    light_harshness: float = 0.25  # 0: an overcast day; 1: one bare lamp in a dark room
    light_warmth: float = 0.0  # -1 bluish .. 1 yellowish
    pupil_px: float = 70.0  # distance of the pupils of an average person seen from the front
    width: int = 480
    height: int = 560
    centre_x: float = 0.5  # of the width, where the middle of the head is
    centre_y: float = 0.42  # of the height
    age_offset_years: float = 0.0
    grey: bool = False
    blur_px: float = 0.0  # standard deviation of the lens blur
    noise: float = 2.0  # standard deviation of the sensor noise, grey levels


def draw_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene whose picture should pass every rule: frontal, neutral, evenly lit, large enough."""
    pupil_px = float(rng.uniform(44.0, 88.0))
    return Scene(
        seed=int(rng.integers(2**31)),
        yaw_deg=float(np.clip(rng.normal(0.0, 1.3), -2.5, 2.5)),
        pitch_deg=float(np.clip(rng.normal(0.0, 1.2), -2.5, 2.5)),
        roll_deg=float(rng.normal(0.0, 4.0)),
        intensity=float(rng.uniform(0.8, 1.0)),
        light_azimuth_deg=float(rng.uniform(-25.0, 25.0)),
        light_elevation_deg=float(rng.uniform(25.0, 50.0)),
        light_harshness=float(rng.uniform(0.05, 0.3)),
        light_warmth=float(rng.uniform(-0.6, 0.9)),
        pupil_px=pupil_px,
        width=int(pupil_px * rng.uniform(5.0, 7.0)),
        height=int(pupil_px * rng.uniform(6.0, 7.5)),
        centre_x=float(rng.uniform(0.44, 0.56)),
        centre_y=float(rng.uniform(0.40, 0.46)),
        age_offset_years=float(rng.normal(0.0, 2.0)),
        blur_px=float(rng.uniform(0.0, 0.7)),
        noise=float(rng.uniform(1.0, 3.5)),
    )
