"""What the engines built on PyTorch share: which format the weights are in, what a matrix takes in it, ranks, and the answer's frame."""
