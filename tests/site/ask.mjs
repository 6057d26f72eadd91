// node ask.mjs ENGINE < questions.json > answers.json: what the engine of a built site answers, run under node instead of a browser.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
try {
  const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide.mjs`));
  const python = await loadPyodide({ indexURL: `${folder}/`, stdLibURL: `${folder}/stdlib.zip`, lockFileURL: `${folder}/lock.json` });
  python.FS.writeFile("/app.zip", readFileSync(`${folder}/app.zip`));
  python.runPython("import sys; sys.path.insert(0, '/app.zip'); from tonnage.pages import local");
  const answer = python.runPython("local.answer");
  process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map((query) => answer(query))), () => process.exit(0));
} catch (error) {
  console.error(String(error.stack || error).slice(-2000)); // not the source line, which is all of Pyodide
  process.exit(1);
}
