"""The pages as files, for a host that runs nothing; in the browser the same core answers, compiled to WebAssembly by Pyodide.

- build.py      every page that has an address of its own, by the functions that the server calls
- engine.py     Pyodide's files from npm, the standard library trimmed to what is imported, both compiled ahead
- engine.js     of the page: starts the worker at the first touch, and hands over a file that is dropped
- worker.mjs    of the worker: one function, answer(query) -> HTML
- compile.mjs   run by node while building, and
- compiled.py   by Pyodide in it: Python's bytecode must be made by the Python that runs it
"""
