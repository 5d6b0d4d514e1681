"""The assembled, self-contained predictor: build, save, load, predict."""
