"""Looking at data and networks before anything is trained on them: the evidence that advice is made of."""
