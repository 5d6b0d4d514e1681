"""Labels of a picture: any number of them."""
