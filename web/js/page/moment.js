// moment.js - which token all panels show: the newest ("live") until one is picked. Kept in the state, so
// that another session begins live. What is known of a moment in words.
import { percent, visible } from "./dom.js";

/** The row that is shown; -1: there is none. */
export const momentOf = ({ moment, history }) => moment ?? history.count - 1;

/** What is drawn of a token (panels.js). */
export const OF_TOKENS = ["tokens", "moment", "strips", "topk", "stats", "hist", "attn", "router", "layers",
  "experts", "map", "steps", "lens", "parity", "lanes"];

/** Shows row n from now on; null: the newest again. */
export function select(shared, n) {
  const { state } = shared, { history } = state;
  const at = n === null ? null : Math.max(history.first, Math.min(history.count - 1, n));
  state.moment = at === null || at < 0 ? null : at;
  for (const name of OF_TOKENS) state.dirty.add(name);
  shared.news();
}

const figure = (x, text) => Number.isFinite(x) ? [text(x)] : [];

/** `#30 " July" · final · 98 % · entropy 0.05 nats · 2.1 ms` */
export function sentence(history, n) {
  if (n < 0) return "no token yet";
  const { columns: c } = history, get = column => history.get(n, column);
  return [`#${n} "${visible(history.text(n))}"`, history.channel(n) || "header",
    ...figure(get(c.p), p => percent(p)), ...figure(get(c.entropy), e => `entropy ${e.toFixed(2)} nats`),
    ...figure(get(c.ms), ms => `${ms.toFixed(1)} ms`)].join(" · ");
}

/** A panel's word beside its name. */
export const tagOf = s => s.moment === null ? "" : `AT #${s.moment}`;

const EDITED = "input:not([type=range]), textarea, select";

/** L is live again, wherever one does not type. */
export function wireMoment(shared) {
  addEventListener("keydown", e => {
    if (e.key.toLowerCase() !== "l" || e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.target instanceof Element && e.target.matches(EDITED)) return;
    select(shared, null);
  });
}
