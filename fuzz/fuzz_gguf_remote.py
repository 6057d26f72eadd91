"""Coverage-guided fuzzing of the remote GGUF reader: however wrong its guess, the answer is what reading through gives.

usage: python fuzz/fuzz_gguf_remote.py [-atheris_runs=1000000] [-max_len=4096] [-rss_limit_mb=256] [-timeout=1] [corpus folder ...]

Needs `atheris`. New inputs are written to the first folder given, so give a scratch folder before fuzz/corpus/gguf_remote.
"""

import sys

import atheris

with atheris.instrument_imports(include=["tonnage"]):
    import rules

if __name__ == "__main__":
    rules.small_ranges()
    atheris.Setup(sys.argv, rules.gguf_far_away)
    atheris.Fuzz()
