"""Many series with one model: what there is to do, what is done already, and the doing."""
