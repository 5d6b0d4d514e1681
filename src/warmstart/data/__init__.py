"""Pictures: listing, splitting, decoding, views. Imports no torch."""
