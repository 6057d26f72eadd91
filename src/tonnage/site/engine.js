// Answers in the browser where no server does: started by the first touch, or by a question in the address.
(() => {
  const form = document.forms.ask, out = document.getElementById("out"), here = new URL(".", document.currentScript.src), waiting = new Map();
  if (!form || !out) return;
  const base = new URL("../..", here).pathname.replace(/\/$/, "");
  let worker, count = 0, ready;
  window.tonnageReady = new Promise((done) => (ready = done));
  const start = () => {
    if (worker) return worker;
    worker = new Worker(new URL("worker.mjs", here), { type: "module" });
    worker.onmessage = ({ data }) => {
      if (data.ready) return ready(performance.now());
      if (data.failed) return waiting.forEach(([, no]) => no(Error(data.failed)));
      const [ok, no] = waiting.get(data.i);
      waiting.delete(data.i);
      data.error ? no(Error(data.error)) : ok(data.html ?? data.model);
    };
    worker.postMessage({ base, q: "", i: 0 });
    waiting.set(0, [() => {}, () => {}]);
    return worker;
  };
  const send = (asked) => new Promise((ok, no) => { waiting.set(++count, [ok, no]); start().postMessage({ ...asked, i: count }); });
  // there is no server that could answer the API
  window.tonnage = (q) => send({ q }).then((html) => html.replace(/<a href="[^"]*\/api\/v1\/[^"]*"[^>]*>[^<]*<\/a>/g, ""));
  for (const kind of ["pointerdown", "keydown", "focusin", "dragenter"]) addEventListener(kind, start, { once: true, passive: true });

  const put = (name, value) => {
    let field = form.elements[name];
    if (!field) {
      field = Object.assign(document.createElement("input"), { type: "hidden", name });
      form.append(field);
    }
    if (field.tagName == "SELECT" && ![...field.options].some((one) => one.value == value)) field.add(new Option(value));
    field.value = value;
  };
  const ask = () => form.requestSubmit();
  const asked = new URLSearchParams(location.search);
  if (asked.has("m")) {
    for (const field of form.elements) if (field.name && !asked.has(field.name)) put(field.name, "");
    asked.forEach((value, name) => put(name, value));
    ask();
  }

  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    if (!files.length) return;
    try {
      put("m", await send({ files }));
      if (files[0].name.endsWith(".gguf")) put("q", "");
      ask();
    } catch (error) {
      const words = document.createElement("p");
      words.className = "lead";
      words.setAttribute("role", "alert");
      words.textContent = error.message.replace(/^[\w.]*Error: /, "");
      out.prepend(words);
    }
  });
})();
