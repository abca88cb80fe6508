// app.js - the page: makes its parts, wires them, and does what the address asks. Each part is a file:
// messages.js, backend.js, chats.js, loading.js, use_server.js, views.js, frames.js, report.js; and, fetched
// last, instrument.js.
// What they share is in shared.js; what the panels show comes from telemetry lines only.
import { Backend } from "./backend.js";
import { Chats } from "./chats.js";
import { $, el, nextTask } from "./dom.js";
import { wireDrawers } from "./drawers.js";
import { Frames } from "./frames.js";
import { Keeper } from "./keeper.js";
import { Library } from "./library.js";
import { Loading } from "./loading.js";
import { Messages } from "./messages.js";
import { Models } from "./models.js";
import * as offline from "./offline.js";
import { wireMoment } from "./moment.js";
import { DEMO, fillControls, resolveSource, unknownParams, urlParams } from "./params.js";
import { wirePresets } from "./presets.js";
import { wireSchema } from "./schema.js";
import { wireReport } from "./report.js";
import { Shared } from "./shared.js";
import { ServerTools } from "./server_tools.js";
import { TabTools } from "./tab_tools.js";
import { ToolSources } from "./tool_sources.js";
import { UseServer } from "./use_server.js";
import { Views } from "./views.js";

const shared = globalThis.gossamer = new Shared(urlParams(location.search));
const messages = new Messages(shared), backend = new Backend(shared, messages);
const views = new Views(shared, backend);

function refresh() {
  loading.refresh();
  chats.update();
}

function drawPanels() {
  views.sliders();
  loading.progress();
  shown?.panels.draw();
}

const frames = new Frames(shared, drawPanels);
const drawAll = () => frames.drawAll(), load = () => loading.load(), useServer = url => server.use(url);
const measure = () => backend.measure();
const keeper = new Keeper();
const serverTools = new ServerTools(), tabTools = new TabTools(shared);
const toolSources = new ToolSources(serverTools, tabTools);
const chats = new Chats(shared,
  { messages, keeper, toolSources, refresh, load, drawAll, measure, offers });
const server = new UseServer(shared, { messages, backend, chats, serverTools, refresh });
const play = async (source, how) => (await instrument()).recordings.open(source, how);
const loading = new Loading(shared, { messages, backend, chats, refresh, useServer, play });

const close = () => drawers.close(), cancel = () => loading.cancel();

/** What stands around the chat. */
async function instrument() {
  const { Instrument } = await import("./instrument.js");
  await nextTask();
  return shown ??= new Instrument(shared, { messages, backend, chats, cancel, close });
}
let shown = null;                    // it, once it is there

/** What can be looked at without a model: where a chat is empty. */
function offers() {
  const button = (name, onclick) => el("button.quiet", { type: "button", onclick }, name);
  return [el("div.watch", null,
    button("Watch a recording", async () => (await instrument()).recordings.openFirst()),
    button("A tour in two minutes", async () => (await instrument()).tour.begin()))];
}

const library = new Library(keeper, { messages, chats, close });
const models = new Models(shared, { messages, refresh, load, close });
const drawers = wireDrawers({ "p-library": () => library.show(), "p-models": () => models.show(),
  "p-settings": () => tabTools.show() });

/** Served by `gossamer serve`, which has /models/ and says so in a Server-Timing header. */
function servedByUs() {
  const timing = performance.getEntriesByType("navigation")[0]?.serverTiming ?? [];
  return /\/gptoss\/?$/.test(location.pathname) || timing.some(t => t.name === "gossamer");
}

/** The controls as the address asks for them. */
function fill({ gguf = servedByUs() ? DEMO : "", prompt }) {
  const bad = [...unknownParams(location.search), ...fillControls(shared.params)];
  for (const text of bad) messages.error(text);
  $("source").value = gguf === "demo" ? DEMO : gguf;
  if (prompt) chats.first.input.value = prompt;
  refresh();
}

/** What can be read, typed in and pressed first. */
function begin() {
  for (const part of [messages, loading, server, chats, views]) part.wire();
  chats.add();
  fill(shared.params);
  frames.ask();
}

/** What the drawers hold, the keys, and what was shown before. */
function goOn() {
  for (const part of [library, models, tabTools]) part.wire();
  wirePresets();
  wireSchema(() => shared.model);
  wireReport(shared, messages);
  wireMoment(shared);
  chats.restore();
  if (isSecureContext) return;
  messages.banner("Opened over plain HTTP from another machine: browsers give such pages no WebGPU, "
    + "OPFS or crypto. Use https or localhost.", "bad");
}

async function start() {
  const { params } = shared;
  begin();
  await nextTask();
  goOn();
  await nextTask();
  offline.keep();
  await nextTask();
  if (params.data) return play(params.data, { at: params.at });
  await Promise.all([backend.start(), instrument()]);
  document.body.dataset.ready = "1";
  performance.mark("ready");
  const { kind } = resolveSource($("source").value, location.href);
  if (kind === "server" || (params.autostart && kind !== "none")) loading.load();
}

start().catch(e => messages.error(e.message));
