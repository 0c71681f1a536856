"""Apply a model to a volume: engine, tiles, backends."""
