"""Weight formats of few bits on the shipped ResNet-20: error, accuracy, bits, cycles, energy."""
