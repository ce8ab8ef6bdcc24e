"""Draw training pages with exact truth: layout, ink, paper, camera.

draw_challenge_page   the Challenge generator's own clean page
draw_picture          that page, or one of any layout, as a scan, photograph or screen picture
"""

from ecgpage.synth.challenge_picture import draw_challenge_page
from ecgpage.synth.mixes import MIXES, Mix, any_look, mixes_hash, small_page
from ecgpage.synth.page.challenge import challenge_page
from ecgpage.synth.picture import draw_picture
from ecgpage.synth.scene.page_map import PageMap
from ecgpage.synth.truth import DrawnPage, PageTruth, SegmentTruth

__all__ = [
    "MIXES",
    "DrawnPage",
    "Mix",
    "PageMap",
    "PageTruth",
    "SegmentTruth",
    "any_look",
    "challenge_page",
    "draw_challenge_page",
    "draw_picture",
    "mixes_hash",
    "small_page",
]
