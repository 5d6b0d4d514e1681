"""What is wrong with a data set's pictures and labels."""
