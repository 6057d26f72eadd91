"""Run by Pyodide while a site is built: asks every kind of question, sees what that imports, and writes it as bytecode."""

# ruff: noqa: E402
import importlib._bootstrap_external as external
import json
import os
import sys
import zipfile

SOURCE = "/source"
ASKED = (
    ("/", ""), ("/fragment", "m=qwen3.6-27b&q=Q4_K_M&c=32K&d=RTX 4090&ram=64GB DDR5-6000 x2"), ("/fragment", "m=oops"), ("/fragment", "c=1&c=2"),
    ("/fragment", "m=qwen3.5-122b-a10b&d=2x RTX 3090&ram=128GB&n_cpu_moe=20&price=0.3/kWh"), ("/fragment", "m=params=7B"), ("/fragment", "m=qwen3-0.6b&e=vllm"),
    ("/m/qwen3-0.6b/Q4_K_M/", ""), ("/m/", ""), ("/m/qwen3-0.6b/", ""), ("/on/", ""), ("/on/rtx-4090/", ""), ("/compare", ""), ("/tools/transfer/", ""),
    ("/api/v1/plan", "m=qwen3.5-122b-a10b&d=24GB&ram=96GB&c=32K"), ("/api/v1/best-quant", "m=qwen3-32b&d=24GB"), ("/api/v1/speed", "m=qwen3-32b&d=RTX 4090"),
    ("/badge.svg", "m=qwen3-0.6b"), ("/nothing", ""),
)  # fmt: skip
"""paths and queries that reach what a page may reach"""


def write(path, modules, optimize):
    """A zip of compiled modules: (name in the zip, file of its source)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, file in sorted(modules):
            if not name.endswith(".py"):
                archive.write(file, name)
                continue
            with open(file, "rb") as source:
                code = compile(source.read(), name, "exec", dont_inherit=True, optimize=optimize)
            archive.writestr(zipfile.ZipInfo(name + "c", (1980, 1, 1, 0, 0, 0)), external._code_to_timestamp_pyc(code), zipfile.ZIP_DEFLATED, 9)


def files(package):
    """Every file of a package that a browser may need."""
    for folder, folders, names in os.walk(f"{SOURCE}/{package}"):
        folders[:] = [name for name in folders if name not in ("site", "serve", "__pycache__")]
        for name in names:
            path = os.path.join(folder, name)
            yield os.path.relpath(path, SOURCE), path


from tonnage.model import catalogue
from tonnage.pages import local, reply

for row in catalogue.index():
    if row["architecture"]:
        catalogue.model(row["name"])  # every family is imported
for asked in ASKED:
    reply(*asked)
config = json.dumps(catalogue.row("qwen3-0.6b")["config"]).encode()
local.take("x.json", config, len(config))
local.answer("m=x.json&q=Q4_K_M")

# what stands in the zip of the standard library, and was imported
archive = zipfile.ZipFile(next(path for path in sys.path if path.endswith(".zip")))
held = set(archive.namelist())
archive.extractall("/stdlib")
needed = {name.replace(".", "/") + end for name in sys.modules for end in (".py", "/__init__.py")} & held
needed |= {name for name in held if name.startswith(("encodings/", "_pyodide/", "pyodide/", "_sysconfigdata")) and name.endswith(".py")}
write("/stdlib.zip", [(name, f"/stdlib/{name}") for name in needed], 2)
write("/app.zip", [pair for package in ("tonnage", "jinja2", "markupsafe") for pair in files(package)], 1)
