"""RTN, GPTQ, GPTAQ, ResComp and W* on language models."""
