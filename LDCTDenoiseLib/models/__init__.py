"""Models: networks, the cascade of them, the files that hold one, and those that come with the package."""
