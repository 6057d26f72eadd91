"""Coverage-guided fuzzing of the safetensors readers: any bytes are read or refused, within time and memory.

usage: python fuzz/fuzz_safetensors.py [-atheris_runs=1000000] [-max_len=8192] [-rss_limit_mb=256] [-timeout=1] [corpus folder ...]

Needs `atheris`. New inputs are written to the first folder given, so give a scratch folder before fuzz/corpus/safetensors.
"""

import sys

import atheris

with atheris.instrument_imports(include=["tonnage"]):
    import rules

if __name__ == "__main__":
    atheris.Setup(sys.argv, rules.safetensors_file)
    atheris.Fuzz()
