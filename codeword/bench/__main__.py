"""`python -m codeword.bench`."""

from codeword.bench.suite import main

main()
