"""What a server carries: questions that are kept, questions that are new, and those beside searches, by wrk, on this machine.

    make load                                   starts two workers and asks them
    python benchmarks/load_serve.py --minutes 5      asks all kinds of questions, and fails where memory does not stay as it is

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
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tonnage.model import catalogue

PORT = 8937
HOST = f"http://127.0.0.1:{PORT}"
GOALS = {"kept": 500, "distinct": 100}
P99_MS = 150
EVERY_SECONDS = 10
"""between two looks at the memory of the workers"""
MOST_GROWN_MIB = 24
"""that a worker may hold more at the end than at half of the time, when what it remembers is nearly full: 64 MiB of answers, some 80 of models"""
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

SEARCHES = """
local n, id, ids = 0, 0, 0
local models = {"qwen3.5-122b-a10b", "llama-3.3-70b-instruct", "gpt-oss-120b", "qwen3-32b", "deepseek-v4-flash", "gemma-4-31b-it"}
local devices = {"24GB", "RTX%204090", "16GB", "2x%20RTX%203090"}
function setup(thread) thread:set("id", ids); ids = ids + 1 end
function request()
  n = n + 1
  local k = n * 2 + id
  return wrk.format("GET", string.format("/fragment?m=%s&c=%d&d=%s", models[k % 6 + 1], 8192 + 256 * k, devices[math.floor(k / 6) % 4 + 1]))
end
"""
"""questions whose device is too small"""
MIXED = """
local n, id, ids = 0, 0, 0
local models = {MODELS}
local forms = {"/fragment?m=%s&c=%d", "/fragment?m=%s&q=Q8_0&c=%d", "/api/v1/estimate?m=%s&c=%d", "/fragment?m=%s&c=%d&d=H200%%20SXM%%20141GB",
  "/badge.svg?m=%s&c=%d", "/fragment?m=%s&c=%d&d=24GB", "/?m=%s&c=%d", "/m/%s/Q4_K_M/?%d",
  "/api/v1/max-context?m=%s&d=80GB&slots=%d", "/fragment?m=%s&x=%d"}
function setup(thread) thread:set("id", ids); ids = ids + 1 end
function request()
  n = n + 1
  local k = n * 2 + id
  local form = n % 3 == 0 and forms[math.floor(n / 3) % #forms + 1] or forms[n % 3]
  return wrk.format("GET", string.format(form, models[k % #models + 1], n % 3 == 0 and 1 + math.floor(n / 3) % 250 or 4096 + 64 * (k % 1999)))
end
"""
"""questions of every kind about every model, of which few are asked twice"""


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


@contextmanager
def asking(seconds: int, target: str, script: str = "", connections: int = 16) -> Iterator[subprocess.Popen[str]]:
    """wrk at its work."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        words = ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency"]
        words += ["-s", file.name, HOST] if script else [HOST + target]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as wrk:
            yield wrk


def ask(seconds: int, target: str, script: str = "") -> tuple[float, float, int]:
    """Requests per second, the time in ms that 99 of 100 stay below, and how many went wrong."""
    with asking(seconds, target, script) as wrk:
        told = wrk.communicate()[0]
    rate, p99 = re.search(r"Requests/sec:\s+([\d.]+)", told), re.search(r"99%\s+([\d.]+)(us|ms|s)", told)
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", told)
    assert rate
    assert p99
    scale = {"us": 1e-3, "ms": 1, "s": 1e3}[p99[2]]
    return float(rate[1]), float(p99[1]) * scale, int(wrong[1] if wrong else 0) + sum(map(int, errors.groups() if errors else ()))


def metrics() -> str:
    """The counts of both workers; each leaves its own once a second."""
    time.sleep(1.2)
    return str(urllib.request.urlopen(f"{HOST}/metrics").read().decode())


def resident() -> dict[str, int]:
    """MiB of each worker."""
    return {pid: int(float(n)) >> 20 for pid, n in re.findall(r'tonnage_worker_resident_bytes\{worker="(\d+)"\} (\S+)', metrics())}


def statuses() -> Counter[str]:
    """Answers by status."""
    found: Counter[str] = Counter()
    for status, n in re.findall(r'tonnage_requests_total\{.*status="(\d+)"\} (\S+)', metrics()):
        found[status] += int(float(n))
    return found


def soaked(minutes: float) -> int:
    """Questions of every kind for so long: whether each worker holds as much at the end as at half of the time, and none has failed."""
    script = MIXED.replace("MODELS", ", ".join(f'"{row["name"]}"' for row in catalogue.index() if row["architecture"]))
    start, seen = time.monotonic(), []
    with asking(round(60 * minutes), "", script) as wrk:
        while wrk.poll() is None:
            time.sleep(EVERY_SECONDS)
            seen.append((time.monotonic() - start, resident()))
            print(f"{seen[-1][0]:5.0f} s  MiB {sorted(seen[-1][1].values())}", flush=True)
    half = next(held for at, held in seen if at >= seen[-1][0] / 2)
    last = seen[-1][1]
    grown = max(last.get(worker, 0) - nbytes for worker, nbytes in half.items())
    most = max(max(held.values()) for _, held in seen)
    answered = statuses()
    good = grown <= MOST_GROWN_MIB and not answered["500"]
    print(f"load {os.getloadavg()[0]:.1f}; answers by status: {dict(sorted(answered.items()))}")
    print(f"MiB first {sorted(seen[0][1].values())}, at half {sorted(half.values())}, last {sorted(last.values())}, most {most}")
    print(f"grown by {grown} MiB in the second half (wanted {MOST_GROWN_MIB} at most)  {'ok' if good else 'NOT MET'}")
    return int(not good)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--minutes", type=float, default=0, help="ask all kinds of questions for so long, and look at memory alone")
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
        if given.minutes:
            return soaked(given.minutes)
        before = resident()
        script = DISTINCT.replace("MODEL", given.model)
        figures = {
            "kept": ask(given.seconds, f"/fragment?m={given.model}&q=Q4_K_M&c=32768"),
            "distinct": ask(given.seconds, "", script.replace("SALT", str(int(time.time()) % 256))),
        }
        with asking(given.seconds + 2, "", SEARCHES, 4):
            figures["beside"] = ask(given.seconds, "", script.replace("SALT", str(int(time.time()) % 256 + 256)))
        after = resident()
    finally:
        server.terminate()
        server.wait(20)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {Path(sys.executable).name} {sys.version.split()[0]}, {given.model}")
    for name, (rate, p99, wrong) in figures.items():
        good = rate >= GOALS.get(name, 0) and p99 < P99_MS and not wrong
        wanted = f"{rate:8.0f}/s (wanted {GOALS.get(name, '-')})  p99 {p99:6.1f} ms (wanted {P99_MS})"
        print(f"{name:9} {wanted}  wrong {wrong}  {'ok' if good else 'NOT MET'}")
    print(f"MiB of the workers before and after: {sorted(before.values())} {sorted(after.values())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
