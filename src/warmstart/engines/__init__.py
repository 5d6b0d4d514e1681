"""Run a frozen prefix as fast as the machine allows, and prove that it computes what PyTorch computes."""
