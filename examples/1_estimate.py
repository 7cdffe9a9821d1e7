"""What does ResNet-18 cost on six machines? The closed form answers in a second."""

import codeword

for name in ("ws-64", "ews-64", "ews-c-64", "ews-cm-64", "ews-cms-64", "ews-cms-32"):
    cost = codeword.estimate("resnet18", name).cost
    print(
        f"{name:11} {cost.cycles:>9,} cycles  {cost.tops:.2f} TOPS  "
        f"{cost.tops_per_watt:5.2f} TOPS/W  {cost.total_mm2:5.2f} mm2"
    )
