"""Pretrained networks as declared chains of links: catalogue, weights, cuts, freezing."""
