"""Speed: of the engine, the closed form and k-means, as ratios against references."""
