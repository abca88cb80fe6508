// pictures.mjs - makes the README's pictures of the page, docs/*.png, from the recordings that ship with it,
// in Chromium: node bench/pictures.mjs [FOLDER]
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateSync } from "node:zlib";
import { browser, start } from "../tests/web/harness.mjs";

const to = process.argv[2] ?? fileURLToPath(new URL("../docs", import.meta.url));
const site = await start(), { context, close } = await browser({ gpu: false });

/** Without what is there for looks alone, which makes files large. */
const PLAIN = "html::before, body::before, body::after { display: none; } canvas { background: #060c12; } "
  + "button.primary { background: none; } .turn.user { background: none; }";

/** A page that shows the recording at a token, as large as that. */
async function shown(recording, at, [width, height]) {
  const page = await context.newPage();
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
  await page.goto(`${site.url}/gptoss?data=/data/${recording}&at=${at}`);
  await page.waitForFunction(n => gossamer.state.moment === n, at);
  await page.evaluate(css => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    document.adoptedStyleSheets.push(sheet);
  }, PLAIN);
  await page.evaluate(() => document.fonts.ready);
  return page;
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let i = 0; i < 8; i++) n = n & 1 ? 0xedb88320 ^ n >>> 1 : n >>> 1;
  return n;
});
function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type), data]), size = Buffer.alloc(4), crc = Buffer.alloc(4);
  size.writeUInt32BE(data.length);
  crc.writeUInt32BE(~body.reduce((c, byte) => CRC[(c ^ byte) & 255] ^ c >>> 8, -1) >>> 0);
  return Buffer.concat([size, body, crc]);
}

/** A small PNG: no filters, which serve photographs, and channels in steps of 8, which nobody sees. */
function pngOf(width, height, rgba) {
  const head = Buffer.alloc(13), rows = Buffer.alloc(height * (3 * width + 1));
  head.writeUInt32BE(width);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  for (let y = 0, at = 0; y < height; y++) {
    rows[at++] = 0;
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) rows[at++] = Math.min(255, rgba[4 * (y * width + x) + c] + 4 & ~7);
    }
  }
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head),
    chunk("IDAT", deflateSync(rows, { level: 9, memLevel: 9 })), chunk("IEND", Buffer.alloc(0))]);
}

/** A picture's pixels, by the browser that took it. */
const pixelsOf = (page, png) => page.evaluate(async data => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes]));
  const { width, height } = image, context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(image, 0, 0);
  const reader = new FileReader();
  reader.readAsDataURL(new Blob([context.getImageData(0, 0, width, height).data]));
  await new Promise(resolve => { reader.onload = resolve; });
  return { width, height, data: reader.result.split(",")[1] };
}, png.toString("base64"));

async function keep(page, name) {
  const path = join(to, `${name}.png`);
  await page.waitForTimeout(500);              // what is drawn is there
  const { width, height, data } = await pixelsOf(page, await page.screenshot());
  const png = pngOf(width, height, Buffer.from(data, "base64"));
  writeFileSync(path, png);
  console.log(`${path}: ${png.length} bytes`);
  await page.close();
}

/** What the page is: chat, timeline, panels at a moment. */
const whole = await shown("demo-greeting.grec", 236, [1920, 1080]);
await keep(whole, "page");

/** One layer of the 20b shape, and what a box of it is. */
const map = await shown("shape-20b.grec", 100, [1280, 800]);
await map.locator("#map-layer").fill("4");
await map.locator("#map [data-box=router]").click();
await map.locator("#p-map").evaluate(node => node.scrollIntoView({ block: "start" }));
await keep(map, "map");

/** The tour, at what a token looked at. */
const tour = await shown("demo-tool.grec", 150, [1280, 800]);
await tour.click("[data-drawer=p-recordings]");
await tour.locator("#p-recordings button", { hasText: "TOUR" }).click();
for (let i = 0; i < 4; i++) await tour.click("#tour-next");
await keep(tour, "tour");
await close();
await site.close();
