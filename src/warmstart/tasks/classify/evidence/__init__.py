"""What is measured on a data set before a recipe is advised."""
