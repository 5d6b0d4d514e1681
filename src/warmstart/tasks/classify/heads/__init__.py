"""Small classifiers on features."""
