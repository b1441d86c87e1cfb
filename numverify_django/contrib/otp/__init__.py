"""The other way in: a code by text message, to a number that a SIM proved before. It never counts as such a proof."""
