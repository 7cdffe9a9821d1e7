"""MobileNetV2 and EfficientNet-Lite0 with their ImageNet weights, by every method."""
