"""Values in an order, of which a picture has one: low, mid, high."""
