"""Judge pictures of stars: is one sharp enough to keep?"""

from __future__ import annotations

from collections.abc import Sequence

SHARP_PIXELS = 3.2  # a wider star means bad air, bad focus, or somebody walking about in the dome


def star_width(profile: Sequence[float]) -> float:
    """The full width at half maximum of a star, in pixels, from the brightness along one line through it."""
    half = (max(profile) + min(profile)) / 2
    above = [place for place, value in enumerate(profile) if value >= half]
    return float(above[-1] - above[0] + 1)


def is_sharp(profiles: Sequence[Sequence[float]]) -> bool:
    """Whether a picture is sharp: the middle one of its stars' widths is small enough."""
    widths = sorted(star_width(profile) for profile in profiles)
    return widths[len(widths) // 2] <= SHARP_PIXELS
