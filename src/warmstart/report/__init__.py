"""Pictures of what a run found, for people: files that open anywhere and look the same everywhere."""
