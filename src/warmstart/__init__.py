"""Turn a folder of images into a tested, saved classifier by reusing a pretrained convolutional network."""
