// A real browser that does what it is told: one JSON command a line on standard input, one JSON answer a line on standard
// output. Chromium is driven over the pipe of its DevTools protocol, so nothing listens.
//
//   {"open": URL, "width": 390, "height": 844}   goes there, as wide as that
//   {"evaluate": "1 + 1"}                        answers {"value": …}, once a promise is kept
//   {"axe": true}                                answers {"violations": […]} of WCAG 2.2 A and AA and best practices
//   {"screenshot": PATH}                         the page, 6,000 pixels of it at the most
//   {"seen": true}                               answers {"problems": […], "requests": […]} since the last time
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "isotel-browser-"));
const chromium = spawn(process.argv[2], [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--remote-debugging-pipe", "--user-data-dir=" + folder, "about:blank",
], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
chromium.on("exit", () => {
  // Its helpers end a little later, and write until then.
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  process.exit(0);
});

let last = 0;
const waiting = new Map();
const listeners = [];
const send = (method, params = {}, sessionId) => new Promise((resolve, reject) => {
  waiting.set(++last, { resolve, reject, method });
  chromium.stdio[3].write(JSON.stringify({ id: last, method, params, sessionId }) + "\0");
});
let rest = "";
chromium.stdio[4].setEncoding("utf8").on("data", (text) => {
  const parts = (rest + text).split("\0");
  rest = parts.pop();
  for (const part of parts) {
    const message = JSON.parse(part);
    const asked = waiting.get(message.id);
    waiting.delete(message.id);
    if (!asked) listeners.forEach((listener) => listener(message.method, message.params));
    else if (message.error) asked.reject(new Error(asked.method + ": " + message.error.message));
    else asked.resolve(message.result);
  }
});

let problems = [];
let requests = [];
let loaded = () => {};
listeners.push((method, params) => {
  if (method === "Page.loadEventFired") loaded();
  if (method === "Network.requestWillBeSent") requests.push(params.request.url);
  if (method === "Runtime.exceptionThrown") problems.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
  if (method === "Runtime.consoleAPICalled" && params.type !== "log") problems.push(params.args.map((one) => one.value).join(" "));
  if (method === "Log.entryAdded" && params.entry.level !== "verbose") problems.push(params.entry.text + " " + (params.entry.url ?? ""));
});

const { targetInfos } = await send("Target.getTargets");
const { targetId } = targetInfos.find((target) => target.type === "page");
const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
const page = (method, params) => send(method, params, sessionId);
// Without it a page without a window has no focus, and nothing in it can lose it.
await page("Emulation.setFocusEmulationEnabled", { enabled: true });
for (const domain of ["Page", "Network", "Runtime", "Log"]) await page(domain + ".enable");

const evaluate = async (expression) => {
  const { result, exceptionDetails } = await page("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value ?? null;
};

async function obey(command) {
  if (command.open) {
    await page("Emulation.setDeviceMetricsOverride", {
      width: command.width, height: command.height ?? 900, deviceScaleFactor: 1, mobile: command.width < 600,
    });
    await page("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: command.scheme ?? "light" }] });
    const load = new Promise((resolve) => { loaded = resolve; });
    const { errorText } = await page("Page.navigate", { url: command.open });
    if (errorText) throw new Error(command.open + ": " + errorText);
    await load;
    return {};
  }
  if (command.evaluate) return { value: await evaluate(command.evaluate) };
  if (command.axe) {
    await page("Runtime.evaluate", { expression: axe });
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const found = JSON.parse(await evaluate(
      `axe.run({ runOnly: ${JSON.stringify(tags)} }).then((found) => JSON.stringify(found.violations.map((one) =>
        one.id + ": " + one.nodes.slice(0, 3).map((node) => node.html + " " + node.failureSummary).join(" | "))))`));
    return { violations: found };
  }
  if (command.screenshot) {
    const { cssContentSize: { width, height } } = await page("Page.getLayoutMetrics");
    const clip = { x: 0, y: 0, width, height: Math.min(height, 6000), scale: 1 };
    const { data } = await page("Page.captureScreenshot", { captureBeyondViewport: true, clip });
    writeFileSync(command.screenshot, Buffer.from(data, "base64"));
    return {};
  }
  const seen = { problems, requests };
  problems = [];
  requests = [];
  return seen;
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await obey(JSON.parse(line)).catch((error) => ({ error: String(error.message ?? error) }));
  process.stdout.write(JSON.stringify(answer) + "\n");
}
await send("Browser.close");
