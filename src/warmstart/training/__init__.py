"""Training what is right of the cut, from stored activations: one loop that yields events, and the parts it is made of."""
