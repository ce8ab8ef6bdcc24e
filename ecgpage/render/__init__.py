"""Draw training pages with exact truth: layout, ink, paper, camera."""

from ecgpage.render.challenge import DrawnPage, challenge_page, draw_challenge_page
from ecgpage.render.truth import PageTruth, SegmentTruth

__all__ = ["DrawnPage", "PageTruth", "SegmentTruth", "challenge_page", "draw_challenge_page"]
