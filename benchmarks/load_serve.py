"""What a server carries: questions that are kept and questions that are new, by wrk, on this machine.

    make load                                   starts two workers and asks them
    python benchmarks/load_serve.py --seconds 300    longer, to see that memory stays as it is

Needs wrk (Debian's package of the same name) and the extra `serve`. The machine's load is printed beside the figures:
wrk and the workers share its cores.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PORT = 8937
HOST = f"http://127.0.0.1:{PORT}"
GOALS = {"kept": 500, "distinct": 100}
P99_MS = 150
DISTINCT = """
local n, id, ids = 0, 0, 0
local quants = {"Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "IQ4_XS", "Q3_K_M"}
function setup(thread) thread:set("id", ids); ids = ids + 1 end
function request()
  n = n + 1
  local k = n * 2 + id -- no question is asked twice
  return wrk.format("GET", string.format("/fragment?m=%s&q=%s&c=%d", "MODEL", quants[math.floor(k / 997) % 6 + 1], 4096 + 256 * (k % 997) + SALT))
end
"""


def wait() -> None:
    """Until both workers are likely to answer."""
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{HOST}/healthz", timeout=2).read()
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit("the server did not begin")


def ask(seconds: int, target: str, script: str = "") -> tuple[float, float, int]:
    """Requests per second, the time in ms that 99 of 100 stay below, and how many went wrong."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        words = ["wrk", "-t2", "-c16", f"-d{seconds}s", "--latency", *(["-s", file.name] if script else []), HOST + target]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    rate, p99 = re.search(r"Requests/sec:\s+([\d.]+)", told), re.search(r"99%\s+([\d.]+)(us|ms|s)", told)
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", told)
    assert rate
    assert p99
    scale = {"us": 1e-3, "ms": 1, "s": 1e3}[p99[2]]
    return float(rate[1]), float(p99[1]) * scale, int(wrong[1] if wrong else 0) + sum(map(int, errors.groups() if errors else ()))


def resident() -> dict[str, int]:
    """MiB of each worker."""
    time.sleep(1.2)
    told = urllib.request.urlopen(f"{HOST}/metrics").read().decode()
    return {pid: int(float(n)) >> 20 for pid, n in re.findall(r'tonnage_worker_resident_bytes\{worker="(\d+)"\} (\S+)', told)}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--model", default="qwen3-32b")
    given = parser.parse_args()
    if not shutil.which("wrk"):
        print("wrk is not installed (Debian: apt-get install wrk); nothing was measured")
        return 0
    words = [sys.executable, "-m", "tonnage", "serve", "--workers", "2", "--rate", "0", "--port", str(PORT)]
    server = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        wait()
        time.sleep(2)
        ask(3, f"/fragment?m={given.model}&q=Q4_K_M&c=32768")
        before = resident()
        script = DISTINCT.replace("MODEL", given.model)
        figures = {
            "kept": ask(given.seconds, f"/fragment?m={given.model}&q=Q4_K_M&c=32768"),
            "distinct": ask(given.seconds, "", script.replace("SALT", str(int(time.time()) % 256))),
        }
        after = resident()
    finally:
        server.terminate()
        server.wait(20)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {Path(sys.executable).name} {sys.version.split()[0]}, {given.model}")
    for name, (rate, p99, wrong) in figures.items():
        good = rate >= GOALS[name] and p99 < P99_MS and not wrong
        print(f"{name:9} {rate:8.0f}/s (wanted {GOALS[name]})  p99 {p99:6.1f} ms (wanted {P99_MS})  wrong {wrong}  {'ok' if good else 'NOT MET'}")
    print(f"MiB of the workers before and after: {sorted(before.values())} {sorted(after.values())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
