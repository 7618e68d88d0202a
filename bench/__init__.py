"""What `./dev bench` measures: ratios against peers, candidates interleaved in one run."""
