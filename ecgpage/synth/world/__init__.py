"""Draw pages as devices and viewers print them whose looks the Challenge's pages do not have.

draw_world_page   picture of a record with its truth in plain numbers
"""

from ecgpage.synth.world.mixes import WORLD_MIXES, WorldMix, world_hash
from ecgpage.synth.world.picture import WorldPage, draw_world_page
from ecgpage.synth.world.truth import WorldFacts

__all__ = ["WORLD_MIXES", "WorldFacts", "WorldMix", "WorldPage", "draw_world_page", "world_hash"]
