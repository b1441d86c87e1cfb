"""Is an operator as the settings say, and are the settings what it wants? Asked before the first login does."""
