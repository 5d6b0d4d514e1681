"""Numbers of a picture: one or several."""
