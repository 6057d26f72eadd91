"""How fast a model runs: what one token reads and computes, against what each device can."""
