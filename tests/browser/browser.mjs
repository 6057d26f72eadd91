// node browser.mjs SERVED STATIC HEAD BYTES: drives Chromium over the pages of a server, then over those of a static site, and prints a line of
// JSON for each check: {"name", "ok", "told"}. test_browser.py starts it and turns the lines into tests.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [served, site, gguf, bytes] = process.argv.slice(2);
const require = createRequire(`${process.env.BROWSER_MODULES}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const KINDS = ["/", "/m/", "/m/qwen3-0.6b/", "/m/qwen3-0.6b/Q4_K_M/", "/on/", "/on/rtx-4090/", "/compare", "/accuracy/", "/how/llama.cpp/", "/tools/", "/tools/ram/",
  "/tools/power/", "/tools/transfer/", "/tools/reads/", "/embed?m=qwen3-0.6b", "/?m=qwen3-0.6b&e=vllm&d=2x%20H100%20SXM%2080GB&tensor_parallel=2", "/?m=qwen3-0.6b&e=mlx&d=RTX%204090", "/no/such/page", "/?m=oops"];
const SMALL = "/?m=qwen3-0.6b&q=Q4_K_M&c=8192";

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS });

async function check(name, options, body) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const said = [];
  page.on("pageerror", (error) => said.push(`error: ${error.message}`));
  page.on("console", (line) => line.type() == "error" && !/status of 40[04]/.test(line.text()) && said.push(line.text()));
  try {
    const told = (await body(page, context)) || [];
    const wrong = [...told, ...said];
    console.log(JSON.stringify({ name, ok: !wrong.length, told: wrong.slice(0, 8) }));
  } catch (error) {
    console.log(JSON.stringify({ name, ok: false, told: [String(error.message || error).slice(0, 600), ...said] }));
  }
  await context.close();
}

const wants = (what, holds) => (holds ? [] : [what]);
const headline = (page) => page.locator("#out .lead").first().innerText();
const changed = (page, before) => page.waitForFunction((old) => document.querySelector("#out .lead").innerText !== old, before, { timeout: 60000 });

// --- what a server sends ---

await check("the first answer needs no script", { javaScriptEnabled: false }, async (page) => {
  await page.goto(served + SMALL);
  const first = await headline(page);
  await page.fill("[name=c]", "32768");
  await page.locator("form[name=ask] button").last().click();
  await page.waitForLoadState();
  return [...wants(`no answer: ${first}`, /\d GiB/.test(first)), ...wants("the form asks nothing", (await headline(page)) != first), ...wants("the address holds nothing", page.url().includes("c=32768"))];
});

await check("the slider, the quant, the model and the device change the answer", {}, async (page) => {
  await page.goto(served + SMALL);
  for (const change of [
    () => page.locator("#stops").evaluate((slider) => { slider.value = 15; slider.dispatchEvent(new Event("input", { bubbles: true })); }),
    () => page.selectOption("[name=q]", "Q8_0"),
    () => page.fill("[name=m]", "qwen3-1.7b").then(() => page.press("[name=m]", "Enter")),
  ]) {
    const before = await headline(page);
    await change();
    await changed(page, before);
  }
  const before = await page.locator("#out").innerText();
  await page.fill("[name=d]", "RTX 4090");
  await page.press("[name=d]", "Enter");
  await page.waitForFunction((old) => document.querySelector("#out").innerText !== old, before);
  const asked = new URL(page.url()).searchParams;
  return wants(`the address says ${asked}`, asked.get("m") == "qwen3-1.7b" && asked.get("q") == "Q8_0" && asked.get("c") == "32768" && asked.get("d") == "RTX 4090");
});

await check("the latest question wins", {}, async (page) => {
  await page.goto(served + SMALL);
  await page.locator("#stops").evaluate((slider) => { for (let stop = 10; stop < 16; stop++) { slider.value = stop; slider.dispatchEvent(new Event("input", { bubbles: true })); } });
  await page.waitForURL(/c=32768/);
  await page.waitForTimeout(500);
  return wants(`the address says ${page.url()}`, /c=32768/.test(page.url()));
});

await check("the address is the whole state", {}, async (page, context) => {
  await page.goto(served + SMALL);
  const before = await headline(page);
  await page.selectOption("[name=q]", "Q6_K");
  await changed(page, before);
  const other = await context.newPage();
  await other.goto(page.url());
  const fields = (where) => where.locator("form[name=ask]").evaluate((form) => [...new FormData(form)].filter(([, value]) => value).join());
  return [
    ...wants("another answer", (await headline(page)) == (await headline(other))),
    ...wants("other fields", (await fields(page)) == (await fields(other))),
    ...wants("another page", (await page.locator("#out").innerHTML()).trim() == (await other.locator("#out").innerHTML()).trim()),
  ];
});

await check("the command is copied", { permissions: ["clipboard-read", "clipboard-write"] }, async (page) => {
  await page.goto(served + SMALL);
  const button = page.locator(".copy").first();
  const words = await button.evaluate((found) => found.previousElementSibling.textContent);
  await button.click();
  await page.waitForFunction(() => document.querySelector(".copy").textContent == "Copied");
  return wants("something else was copied", (await page.evaluate(() => navigator.clipboard.readText())) == words && words.includes("llama"));
});

await check("every engine has a tab that needs no script", { javaScriptEnabled: false }, async (page) => {
  const wrong = [];
  await page.goto(served + SMALL);
  const names = await page.locator("nav.tabs a").allInnerTexts();
  for (const name of names) {
    await page.locator("nav.tabs a", { hasText: new RegExp(`^${name}$`) }).click();
    if ((await page.locator("nav.tabs [aria-current]").innerText()) != name) wrong.push(`${name} is not the current one`);
    if (!/\d GiB/.test(await headline(page))) wrong.push(`${name} does not answer`);
    if ((await page.inputValue("[name=c]")) != "8K") wrong.push(`${name} forgets the context`);
  }
  return [...wrong, ...wants(`tabs: ${names}`, names.length == 6)];
});

await check("every program has a command that needs no script", { javaScriptEnabled: false }, async (page) => {
  await page.goto(served + SMALL);
  const shown = () => page.locator("fieldset.tabs pre:visible").allInnerTexts();
  const first = await shown();
  await page.locator("fieldset.tabs label", { hasText: "Ollama" }).click();
  const second = await shown();
  await page.keyboard.press("ArrowRight");
  const third = await shown();
  return [...wants(`first ${first}`, first.length == 1 && /^llama-server/.test(first[0])), ...wants(`second ${second}`, second.length == 1 && /ollama serve/.test(second[0])),
    ...wants(`by keyboard ${third}`, third.length == 1 && /^lms load/.test(third[0])), ...wants("a button without a script", !(await page.locator(".copy:visible, .theme:visible, #mine:visible").count()))];
});

for (const colorScheme of ["light", "dark"])
  await check(`the theme is chosen, kept, and there before the first paint, ${colorScheme}`, { colorScheme }, async (page, context) => {
    await page.goto(served + SMALL);
    const ground = (where) => where.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const button = page.getByRole("button", { name: /^Theme/ });
    const seen = [[await button.innerText(), await ground(page)]];
    for (let i = 0; i < 3; i++) {
      await button.click();
      seen.push([await button.innerText(), await ground(page)]);
    }
    const [auto, light, dark, again] = seen;
    await button.click();
    const other = await context.newPage();
    await other.addInitScript(() => document.addEventListener("DOMContentLoaded", () => (window.early = document.documentElement.dataset.theme)));
    await other.goto(served + "/accuracy/");
    return [
      ...wants(`words ${seen.map(([words]) => words)}`, seen.map(([words]) => words).join() == "Theme: auto,Theme: light,Theme: dark,Theme: auto"),
      ...wants(`grounds ${seen.map(([, colour]) => colour)}`, light[1] != dark[1] && again[1] == auto[1] && auto[1] == (colorScheme == "dark" ? dark : light)[1]),
      ...wants("not kept", (await other.evaluate(() => window.early)) == "light" && (await ground(other)) == light[1]),
      ...wants("a cookie", !(await context.cookies()).length),
    ];
  });

await check("my machine is offered where the address names none", {}, async (page) => {
  await page.goto(served + SMALL);
  if (await page.locator("#mine").isVisible()) return ["offered before it is known"];
  await page.fill("[name=d]", "RTX 4090");
  await page.press("[name=d]", "Enter");
  await page.waitForURL(/d=RTX/);
  const named = await page.goto(served + SMALL + "&d=24GB").then(() => page.locator("#mine").isVisible());
  const held = await page.inputValue("[name=d]");
  await page.goto(served + "/m/qwen3-1.7b/Q4_K_M/");
  const words = await page.locator("#mine").innerText();
  await page.locator("#mine").click();
  await page.waitForURL(/d=RTX/);
  await page.waitForFunction(() => /usable/.test(document.querySelector("#out").textContent));
  return [...wants("an address was overridden", !named && held == "24GB"), ...wants(words, words == "My machine: RTX 4090"), ...wants("not asked", (await page.inputValue("[name=d]")) == "RTX 4090")];
});

for (const colorScheme of ["light", "dark"])
  for (const kind of KINDS)
    await check(`axe finds nothing on ${kind}, ${colorScheme}`, { colorScheme, bypassCSP: true, viewport: { width: 1100, height: 900 } }, async (page) => {
      await page.goto(served + kind);
      await page.evaluate(axe);
      const found = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
      return found.violations.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.target.join(" ")).join(", ")} (${one.nodes.length})`);
    });

for (const kind of KINDS)
  await check(`no sideways scroll at 320 px on ${kind}`, { viewport: { width: 320, height: 700 } }, async (page) => {
    await page.goto(served + kind);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    const wider = await page.evaluate(() => [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".scroll, pre, svg, select, datalist")).slice(0, 4).map((one) => one.tagName + "." + one.className));
    return wants(`${wide} px wide: ${wider}`, wide <= 320);
  });

await check("nothing shifts as the page loads", {}, async (page) => {
  await page.addInitScript(() => {
    window.shift = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shift += entry.value))).observe({ type: "layout-shift", buffered: true });
  });
  await page.goto(served + SMALL, { waitUntil: "networkidle" });
  return wants(`shift ${await page.evaluate(() => window.shift)}`, (await page.evaluate(() => window.shift)) == 0);
});

// --- a static site ---

if (site && site != "-") {
  const times = {};
  await check("the engine says what the server says", {}, async (page) => {
    await page.goto(site + "/m/qwen3-0.6b/Q4_K_M/");
    const start = Date.now();
    await page.evaluate(() => window.tonnage("m=qwen3-0.6b&q=Q4_K_M&c=8192"));
    times.first_ms = Date.now() - start;
    const asked = [];
    for (const model of ["qwen3-0.6b", "gpt-oss-20b", "llama-3.1-8b-instruct", "gemma-3-4b-it", "qwen3-30b-a3b"])
      for (const rest of ["q=Q4_K_M&c=8192", "q=Q8_0&c=32768", "q=Q4_K_M&c=8192&d=RTX 4090", "q=Q4_K_M&c=20000&u=4", "q=Q5_K_M&c=4096&d=24GB&ram=64GB", "q=oops"]) asked.push(`m=${model}&${rest}`);
    const wrong = [];
    for (const query of asked) {
      const there = await (await page.request.get(`${served}/fragment?${query.replaceAll(" ", "%20")}`)).text();
      const same = await page.evaluate(async ([query, there]) => {
        const [one, other] = [document.createElement("div"), document.createElement("div")];
        one.innerHTML = await window.tonnage(query);
        other.innerHTML = there;
        other.querySelectorAll('a[href*="/api/v1/"]').forEach((link) => link.remove());
        return one.isEqualNode(other);
      }, [query, there]);
      if (!same) wrong.push(query);
    }
    const spent = await page.evaluate(async () => {
      const times = [];
      for (let i = 0; i < 21; i++) { const start = performance.now(); await window.tonnage(`m=qwen3-0.6b&q=Q4_K_M&c=${4096 + 512 * i}`); times.push(performance.now() - start); }
      return times.sort((a, b) => a - b)[10];
    });
    console.log(JSON.stringify({ figures: { ...times, recomputation_ms: Math.round(spent * 10) / 10 } }));
    return wrong;
  });

  await check("the static page answers as it is asked, and by its address", {}, async (page) => {
    await page.goto(site + "/m/qwen3-0.6b/Q4_K_M/");
    const before = await headline(page);
    await page.selectOption("[name=q]", "Q8_0");
    await changed(page, before);
    const there = await headline(page);
    await page.goto(page.url());
    await page.waitForFunction((words) => document.querySelector("#out .lead").innerText == words, there, { timeout: 60000 });
  });

  if (gguf && existsSync(gguf))
    await check("a dropped GGUF is answered, and nothing is sent", {}, async (page) => {
      await page.goto(site + "/");
      await page.evaluate(() => window.tonnage("m=qwen3-0.6b"));
      const sent = [];
      page.on("request", (request) => sent.push(request.url()));
      const data = readFileSync(gguf).toString("base64");
      const transfer = await page.evaluateHandle(([text, size]) => {
        const head = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), zeros = new Blob([new Uint8Array(1 << 20)]), all = new DataTransfer();
        const rest = size - head.length; // the file's own size, its data all the same zeros
        all.items.add(new File([head, ...Array(rest >> 20).fill(zeros), zeros.slice(0, rest % (1 << 20))], "dropped.gguf"));
        return all;
      }, [data, Number(bytes)]);
      const before = await headline(page);
      await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
      await changed(page, before);
      const named = await page.inputValue("[name=m]");
      const alarm = await page.locator("#out [role=alert]").allInnerTexts();
      return [...alarm, ...wants(`the model is ${named}`, named == "dropped.gguf"), ...sent.map((url) => `asked for ${url}`), ...wants("no file", /file/.test(await page.locator("#out").innerText()))];
    });

  await check("a dropped file that is no model is refused in words", {}, async (page) => {
    await page.goto(site + "/");
    const transfer = await page.evaluateHandle(() => {
      const all = new DataTransfer();
      all.items.add(new File(["hello"], "notes.txt"));
      return all;
    });
    await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
    await page.waitForSelector("#out [role=alert]", { timeout: 60000 });
    const words = await page.locator("#out [role=alert]").innerText();
    return wants(words, /neither a GGUF file nor JSON/.test(words));
  });
}

await browser.close();
