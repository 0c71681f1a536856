"""A model applied to a volume: engine, tiles, backends."""
