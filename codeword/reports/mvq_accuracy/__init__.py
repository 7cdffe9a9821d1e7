"""MVQ Table 3 on ResNet-20, and the shipped networks."""
