// Prints one line of JSON: what a browser found on the pages at the address given.
// Run where playwright-core and axe-core are installed; the executable is a system's Chromium.
import { createRequire } from "module";
import fs from "fs";

const [address, executablePath] = process.argv.slice(2);
const require = createRequire(process.cwd() + "/");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const KINDS = [
  "/", "/m/", "/m/llama-3.1-8b-instruct/", "/m/qwen3.5-122b-a10b/Q4_K_M/?c=256K&d=2x%20RTX%203090&ram=96GB", "/on/", "/on/rtx-4090/", "/compare",
  "/accuracy/", "/how/llama.cpp/", "/how/vllm/", "/data/", "/tools/", "/tools/ram/", "/tools/power/", "/tools/transfer/", "/tools/reads/", "/nowhere", "/?m=nope",
  "/embed?m=llama-3.1-8b",
];
const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

const browser = await chromium.launch({ executablePath, args: ARGS });
const found = { violations: [], overflow: [], errors: [] };

async function opened(settings) {
  const page = await (await browser.newContext(settings)).newPage();
  page.on("pageerror", (error) => found.errors.push(String(error)));
  page.on("console", (line) => line.type() == "error" && !/status of 4/.test(line.text()) && found.errors.push(line.text()));
  return page;
}

for (const colorScheme of ["light", "dark"])
  for (const width of [320, 1280]) {
    const page = await opened({ colorScheme, viewport: { width, height: 900 }, bypassCSP: true });
    for (const kind of KINDS) {
      await page.goto(address + kind);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (over > 0) found.overflow.push([colorScheme, width, kind, over]);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run());
      for (const one of violations) found.violations.push([colorScheme, width, kind, one.id, one.nodes[0].html.slice(0, 120)]);
    }
    await page.context().close();
  }

// with the page's own policy: slider, recipe, model, device, copy, address
const page = await opened({ permissions: ["clipboard-read", "clipboard-write"] });
const said = (selector) => page.textContent(selector);
const waits = (words) => page.waitForFunction((w) => document.querySelector("#out").textContent.includes(w), words, { timeout: 20000 });
await page.goto(address + "/?m=qwen3.6-27b&q=Q4_K_M&c=32K");
await page.locator("#stops").fill("17");
await waits("131,072 tokens");
found.slider = page.url().includes("c=131072") && (await page.getAttribute("#stops", "aria-valuetext")) == "131,072 tokens";
await page.selectOption("select[name=q]", "Q6_K");
await waits("at Q6_K?");
await page.fill("input[name=m]", "gpt-oss-20b");
await page.locator("input[name=m]").blur();
await waits("gpt-oss-20b");
await page.fill("input[name=d]", "RTX 3090");
await page.locator("input[name=d]").blur();
await waits("usable");
found.changed = await said("h1");
found.title = await page.title();
const changed = (await page.innerHTML("#out")).trim();
await page.goto(page.url());
found.round_trip = (await page.innerHTML("#out")).trim() == changed;
await page.click(".copy >> nth=0");
found.copied = await page.evaluate(() => navigator.clipboard.readText());
found.shift = await page.evaluate(() => performance.getEntriesByType("layout-shift").reduce((sum, entry) => sum + entry.value, 0));
await page.fill("input[name=m]", "gpt-oss-20");
await page.locator("input[name=m]").blur();
await waits("Did you mean");

const plain = await opened({ javaScriptEnabled: false });
await plain.goto(address + "/");
found.first = await plain.textContent("#out .lead");
await plain.fill("input[name=m]", "llama-3.1-8b-instruct");
await plain.selectOption("select[name=q]", "Q8_0");
await plain.click("button:has-text('Calculate')");
found.without_script = await plain.textContent("h1");
await browser.close();
console.log(JSON.stringify(found));
