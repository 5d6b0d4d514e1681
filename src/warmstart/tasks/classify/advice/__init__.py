"""Which recipe to take, and taking it."""
