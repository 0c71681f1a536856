"""Low/normal-dose data: public sets, pairs found on disk, and the CSV that trainer and evaluator read."""
