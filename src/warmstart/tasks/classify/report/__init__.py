"""What a run of classification looks like as a page."""
