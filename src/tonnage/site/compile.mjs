// node compile.mjs PYODIDE SOURCE OUT: compiles SOURCE and what it imports of the standard library, with the Python that will run it.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";

const [pyodide, source, out] = process.argv.slice(2).map((path) => resolve(path));
try {
  const { loadPyodide } = await import(pathToFileURL(`${pyodide}/pyodide.mjs`));
  const python = await loadPyodide({ indexURL: pyodide });
  python.FS.mkdir("/source");
  python.FS.mount(python.FS.filesystems.NODEFS, { root: source }, "/source");
  python.runPython('import sys; sys.path.insert(0, "/source"); from tonnage.site import compiled; compiled.run()');
  for (const name of ["stdlib.zip", "app.zip"]) writeFileSync(`${out}/${name}`, python.FS.readFile(`/${name}`));
  const { info } = JSON.parse(readFileSync(`${pyodide}/pyodide-lock.json`, "utf8"));
  writeFileSync(`${out}/lock.json`, JSON.stringify({ info, packages: {} })); // no other packages: only what the loader checks
  process.exit(0);
} catch (error) {
  console.error(String(error.stack || error));
  process.exit(1);
}
