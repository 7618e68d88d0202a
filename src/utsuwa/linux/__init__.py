"""One file per kernel facility: facts and numbers in the kernel's own spelling, and the few writes without a plan."""
