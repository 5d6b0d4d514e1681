"""Small models on features, behind one protocol."""
