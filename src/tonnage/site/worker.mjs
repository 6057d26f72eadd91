// The engine: Tonnage's own Python, compiled to WebAssembly by Pyodide. A message {i, q} is answered by {i, html}; {i, files} reads
// the heads of dropped files first, and answers with {i, model}. Nothing leaves the browser.
import { loadPyodide } from "./pyodide.mjs";

const here = new URL(".", import.meta.url).href;

async function begin() {
  const app = fetch(here + "app.zip").then((got) => got.arrayBuffer());
  const python = await loadPyodide({ indexURL: here, stdLibURL: here + "stdlib.zip", lockFileURL: here + "lock.json" });
  python.FS.writeFile("/app.zip", new Uint8Array(await app));
  python.runPython("import sys; sys.path.insert(0, '/app.zip'); from tonnage.pages import local");
  return { answer: python.runPython("local.answer"), take: python.runPython("local.take"), base: python.runPython("local.stand") };
}

const engine = begin();

async function open(files, { take }) {
  let model = "";
  for (const file of files) {
    for (let want = 65536; want; ) {
      const head = new Uint8Array(await file.slice(0, want).arrayBuffer());
      const more = take(file.name, head, file.size);
      model ||= file.name;
      want = more && Math.max(4 * want, more);
    }
  }
  return model;
}

let line = Promise.resolve();
self.onmessage = ({ data }) => {
  line = line.then(async () => {
    try {
      const python = await engine;
      if (data.base !== undefined) python.base(data.base);
      self.postMessage(data.files ? { i: data.i, model: await open(data.files, python) } : { i: data.i, html: python.answer(data.q) });
    } catch (error) {
      self.postMessage({ i: data.i, error: String(error.message || error).trim().split("\n").pop() });
    }
  });
};
engine.then(() => self.postMessage({ ready: true }), (error) => self.postMessage({ failed: String(error) }));
