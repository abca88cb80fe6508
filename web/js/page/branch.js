// branch.js - which answer of which chat a token was in, and another version of that answer that goes on from
// an alternative. What is shown of the common beginning stays (history.js, telemetry.js). Nothing here knows
// Harmony.

/** Of answers that were made in this page: the tokens of their prompt. */
const prompts = new WeakMap();

/** ids: the prompt of an answer (a turn of a conversation), or a promise of it. */
export function rememberPrompt(turn, ids) {
  Promise.resolve(ids).then(all => { if (all) prompts.set(turn, all); }, () => {});
}
export const promptOf = turn => prompts.get(turn);

/** Are the tokens of an answer, up to number `at`, those up to row n? */
function agrees(history, n, tokens, at) {
  const { id } = history.columns;
  for (let i = 0; i <= at; i++) {
    if (!history.has(n - i) || history.get(n - i, id) !== tokens[at - i]?.[0]) return false;
  }
  return true;
}

/** The answer that the token of row n is in, and which of its tokens it is: {chat, turn, at}; or {why}: a
 * sentence that says why nothing can go on from here. */
export function placeOf({ state: { history, session }, chats, server, model }, n) {
  if (server) return { why: "A server answers: branches need the model in this page." };
  if (!model) return { why: "There is no model here that could go on: a recording holds none." };
  if (n < 0 || !history.made(n)) return { why: "A prompt's token: nothing was chosen here." };
  const chat = chats.find(c => c.current?.number === session), at = history.get(n, history.columns.position);
  for (const turn of chat?.talk.turns.toReversed() ?? []) {
    const k = at - promptOf(turn)?.length;
    if (k >= 0 && agrees(history, n, turn.tokens, k)) return { chat, turn, at: k };
  }
  return { why: "The answer that this token was in is not in a chat any more." };
}

/** Goes on from an alternative {id, text, p} of row n. Returns why not, or "". */
export function branchAt(shared, n, { id, text, p }) {
  const { chat, turn, at, why } = placeOf(shared, n);
  if (why) return why;
  const prompt = promptOf(turn), channel = turn.tokens[at][3];
  const said = [...turn.tokens.slice(0, at), [id, text, p, channel]];
  const tokens = [...prompt, ...said.map(t => t[0])];
  chat.branch({ turn, tokens, first: prompt.length, said, row: n, id, p });
  return "";
}

/** The panels go on with a session that was forked at row n, whose token is another one now: the rows before
 * it are the new session's, too. Where the beginning is not there they begin with its prompt. */
export function followFork(state, session, { row, id, p }) {
  const { history } = state, { position } = history.columns, before = row - history.get(row, position);
  const whole = history.has(before) && history.get(before, position) === 0;
  state.session = session;
  state.fork = whole ? { session, before, row, id, p } : null;
}

/** Of a prompt's token at a position: the row that is known of it already, appended once more. False: none
 * is. */
export function repeatRow({ history, fork }, session, position) {
  const old = fork?.session === session ? fork.before + position : Infinity;
  if (old > fork?.row || !history.has(old)) return false;
  const { columns: c } = history, n = history.repeat(old);
  history.set(n, c.session, session);
  history.set(n, c.step, NaN);       // how far this answer is, it does not say
  if (old < fork.row) return true;
  history.set(n, c.id, fork.id);
  history.set(n, c.p, fork.p);
  return true;
}
