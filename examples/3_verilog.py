"""Write the Verilog of a small sparse array and prove it equal on random networks."""

import tempfile

import codeword

with tempfile.TemporaryDirectory() as folder:
    files = codeword.verilog("ews-cms-8", f"{folder}/rtl")
    print(f"{len(files)} modules, top {files[0].name}")
    for seed in range(3):
        found = codeword.verify("ews-cms-8", seed=seed, rtl_dir=f"{folder}/rtl")
        print(
            f"network {seed}: {found.words_compared} words, {found.mismatches} mismatches, "
            f"cycles {found.cycles_rtl} (model {found.cycles_model})"
        )
