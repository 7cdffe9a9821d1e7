"""What a weight may be while it trains: grouping, clustering, codebooks, signs, masks, bits."""
