/* cmd_chat.c - gossamer chat: a conversation in the terminal. The history is kept as the messages of a chat
 * request; each turn is rendered whole and the engine reuses what it has computed. While the user types, the
 * engine uses the idle time to compute the last turn in the form the next prompt will show it. */
#include "commands.h"
#include "sampling_options.h"
#include "session_cli.h"
#include "base/error.h"
#include "base/fmt.h"
#include "mcp/mcp.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct talk {
    goss_cli_engine c;
    goss_session *session;
    goss_params params;
    goss_buf messages, answer, line, last_user;
    size_t before_turn;            /* length of messages before the last user's */
    char effort[8], date[11];
    goss_buf system;
    goss_mcp *mcp;                 /* NULL: no tools */
    goss_buf tools;                /* as the last prompt showed them */
    int n_calls;
    goss_buf thought, call; char tool[65]; /* of this turn: reasoning; the call's arguments,
        and of which tool */
    int show, color, quit, in_reasoning;
    goss_event done;
} talk;

/* ---- a turn -------------------------------------------------------------------------------------------- */
/* with_tools: as a prompt; else as it is saved. */
static void request(const talk *t, int with_tools, goss_buf *out)
{
    goss_buf_printf(out, "{\"date\":\"%s\",\"reasoning_effort\":\"%s\",\"messages\":[", t->date, t->effort);
    if (t->system.len) {
        goss_buf system = GOSS_BUF((size_t)1 << 24);
        goss_cli_message(&system, "system", (const char *)t->system.data, t->system.len);
        goss_buf_append(out, system.data, system.len);
        if (t->messages.len) goss_buf_str(out, ",");
        goss_buf_free(&system);
    }
    goss_buf_append(out, t->messages.data, t->messages.len);
    goss_buf_str(out, "]");
    if (with_tools && t->mcp) goss_buf_printf(out, ",\"tools\":%s", t->params.tools_json);
    goss_buf_str(out, "}");
}

/* The tools that there are now. */
static void find_tools(talk *t)
{
    if (!t->mcp) return;
    goss_buf_clear(&t->tools);
    goss_mcp_write_tools(t->mcp, &t->tools);
    t->params.tools_json = goss_buf_cstr(&t->tools);
}

static int begin_turn(talk *t, goss_error *err)
{
    goss_buf json = GOSS_BUF((size_t)1 << 27);
    find_tools(t);
    request(t, 1, &json);
    int n = goss_chat_render(t->c.engine, (const char *)json.data, json.len, NULL, 0, err),
        rc = n < 0 ? n : 0;
    int32_t *ids = rc ? NULL : malloc(sizeof *ids * (size_t)(n ? n : 1));
    if (!rc && !ids) rc = GOSS_ENOMEM;
    if (!rc)
        rc = goss_chat_render(t->c.engine, (const char *)json.data, json.len, ids, n, err) < 0 ? GOSS_EFORMAT
                                                                                               : 0;
    if (!rc) rc = goss_session_request(t->session, (const char *)json.data, json.len);
    if (!rc) rc = goss_session_prompt(t->session, ids, n, &t->params, err);
    free(ids);
    goss_buf_free(&json);
    return rc;
}

static void reasoning(talk *t, const char *text, int n)
{
    if (!t->show) {
        if (!t->in_reasoning && t->color) fputs("\033[2m(thinking)\033[0m\r", stdout);
        t->in_reasoning = 1;
        return;
    }
    if (!t->in_reasoning && t->color) fputs("\033[2m", stdout);
    t->in_reasoning = 1;
    fwrite(text, 1, (size_t)n, stdout);
}

static void end_reasoning(talk *t)
{
    if (!t->in_reasoning) return;
    if (t->show) fputs(t->color ? "\033[0m\n" : "\n", stdout);
    else if (t->color) fputs("\033[K", stdout);
    t->in_reasoning = 0;
}

static void show_event(talk *t, const goss_event *ev)
{
    if (ev->kind == GOSS_EVENT_DONE) t->done = *ev;
    if (ev->kind == GOSS_EVENT_PREFILL || !ev->n_text) return;
    if (ev->recipient[0] && t->mcp) {
        end_reasoning(t);
        snprintf(t->tool, sizeof t->tool, "%s", goss_function_name(ev->recipient));
        goss_buf_append(&t->call, ev->text, (size_t)ev->n_text);
    } else if (!strcmp(ev->channel, "analysis") && !ev->recipient[0]) {
        goss_buf_append(&t->thought, ev->text, (size_t)ev->n_text);
        reasoning(t, ev->text, ev->n_text);
    } else {
        end_reasoning(t);
        goss_buf_append(&t->answer, ev->text, (size_t)ev->n_text);
        fwrite(ev->text, 1, (size_t)ev->n_text, stdout);
    }
    fflush(stdout);
}

/* Runs the turn to its end; Ctrl-C cancels it and what stands so far is kept. */
static int run_turn(talk *t, goss_error *err)
{
    goss_buf_clear(&t->answer);
    goss_buf_clear(&t->thought);
    goss_buf_clear(&t->call);
    t->tool[0] = 0;
    goss_cli_reset_interrupt();
    int rc = begin_turn(t, err), canceled = 0;
    t->done.kind = 0;
    while (!rc && t->done.kind != GOSS_EVENT_DONE) {
        goss_event ev;
        while (goss_session_event(t->session, &ev)) show_event(t, &ev);
        if (t->done.kind == GOSS_EVENT_DONE) break;
        if (goss_cli_interrupted() && !canceled++) goss_session_cancel(t->session);
        rc = goss_engine_poll(t->c.engine, 100, err);
        if (rc > 0) rc = 0;
    }
    end_reasoning(t);
    if (t->answer.len || !t->tool[0]) putchar('\n');
    if (!rc && t->done.stop == GOSS_STOP_ERROR) { *err = t->done.error; rc = GOSS_EIO; }
    if (canceled) fputs("(stopped)\n", stderr);
    goss_cli_reset_interrupt();
    return rc;
}

/* ---- tools -----------------------------------------------------------------------------------------------
 * */
enum { ROUNDS = 32 };

static int was_interrupted(void *ctx)
{
    (void)ctx;
    return goss_cli_interrupted();
}

/* Control characters in what a server or the model says don't reach the terminal. */
static void print_plain(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) putc((unsigned char)s[i] < ' ' || s[i] == 127 ? ' ' : s[i], stderr);
}

/* Asks the user: 'y', 'n' or 'a' (always this tool). The end of the input is a no. */
static int ask_user(const goss_mcp_tool *tool, const goss_buf *arguments)
{
    char line[64];
    fprintf(stderr, "call %s of ", tool->shown);
    print_plain(tool->server, strlen(tool->server));
    fputs(" with ", stderr);
    print_plain((const char *)arguments->data, arguments->len < 2000 ? arguments->len : 2000);
    fputs("? y(es), n(o), a(lways): ", stderr);
    while (fgets(line, sizeof line, stdin)) {
        if (strchr("ynaYNA", line[0]) && line[0]) return line[0] | 0x20;
        fputs("y, n or a: ", stderr);
    }
    return 'n';
}

/* The call that ended the turn: asked for, made, and what came of it put into `result`. 1: Ctrl-C. */
static int call_tool(talk *t, goss_buf *result)
{
    goss_mcp_tool *tool = goss_mcp_find(t->mcp, t->tool);
    if (!tool) { goss_buf_str(result, "There is no tool of this name."); return 0; }
    const int said = tool->allowed ? 'y' : ask_user(tool, &t->call);
    if (said == 'a') tool->allowed = 1;
    if (said == 'n') { goss_buf_str(result, "The user did not allow this call."); return 0; }
    if (t->color) fputs("\033[2m", stderr);
    fprintf(stderr, "(%s)%s\n", tool->shown, t->color ? "\033[0m" : "");
    const char *arguments = (const char *)t->call.data;
    return goss_mcp_call(t->mcp, tool, arguments, t->call.len, was_interrupted, NULL, result) < 0;
}

/* What the assistant said and called, and the result, become messages. */
static void remember_call(talk *t, const goss_buf *result)
{
    goss_buf *m = &t->messages;
    const int number = ++t->n_calls;
    goss_buf_str(m, ",{\"role\":\"assistant\",\"content\":");
    goss_buf_json_string(m, (const char *)t->answer.data, t->answer.len);
    goss_buf_str(m, ",\"reasoning_content\":");
    goss_buf_json_string(m, (const char *)t->thought.data, t->thought.len);
    goss_buf_printf(m, ",\"tool_calls\":[{\"id\":\"call_%d\",\"type\":\"function\",", number);
    goss_buf_str(m, "\"function\":{\"name\":");
    goss_buf_json_string(m, t->tool, strlen(t->tool));
    goss_buf_str(m, ",\"arguments\":");
    goss_buf_json_string(m, (const char *)t->call.data, t->call.len);
    goss_buf_printf(m, "}}]},{\"role\":\"tool\",\"tool_call_id\":\"call_%d\",\"content\":", number);
    goss_buf_json_string(m, (const char *)result->data, result->len);
    goss_buf_str(m, "}");
}

/* A turn, and while it ends in a call the next one. */
static int run_turns(talk *t, goss_error *err)
{
    int rc = run_turn(t, err);
    for (int i = 0; !rc && t->mcp && t->done.stop == GOSS_STOP_CALL; i++) {
        goss_buf result = GOSS_BUF((size_t)1 << 24);
        if (i == ROUNDS) rc = goss_fail(err, GOSS_ELIMIT, -1,
                                        "The model called tools %d times without an answer.", i);
        else if (call_tool(t, &result)) rc = goss_fail(err, GOSS_ECANCELED, -1, "(stopped)");
        if (!rc) remember_call(t, &result);
        goss_buf_free(&result);
        if (!rc) rc = run_turn(t, err);
    }
    return rc;
}

/* 0, or the engine is beyond use. */
static int answer(talk *t)
{
    goss_error err = { .position = -1 };
    const int rc = run_turns(t, &err);
    if (rc) {
        fprintf(stderr, "%s\n", err.text);
        t->messages.len = t->before_turn;
        return goss_engine_state(t->c.engine) == GOSS_ENGINE_FAILED;
    }
    goss_cli_message(&t->messages, "assistant", (const char *)t->answer.data, t->answer.len);
    return 0;
}

static int say(talk *t, const char *text, size_t n)
{
    t->before_turn = t->messages.len;
    goss_buf_clear(&t->last_user);
    goss_buf_append(&t->last_user, text, n);
    goss_cli_message(&t->messages, "user", text, n);
    return answer(t);
}

/* ---- /commands ----------------------------------------------------------------------------------------- */
static const char *const help_text =
    "/clear              begin a new conversation\n"
    "/effort LEVEL       low, medium or high reasoning\n"
    "/system [TEXT]      set the instructions, or drop them\n"
    "/reasoning          show or fold the reasoning\n"
    "/temp T             temperature\n"
    "/regen              answer the last message again (with another seed)\n"
    "/undo               take back the last message and its answer\n"
    "/save FILE          write the conversation as JSON\n"
    "/load FILE          read it back\n"
    "/stats              what the last answer cost\n"
    "/tools              the tools of --mcp\n"
    "/call TOOL [JSON]   call one yourself\n"
    "/quit               end (Ctrl-D too; Ctrl-C stops an answer)\n"
    "A line that ends in \\ goes on in the next. The demo model answers such as: What is 17 + 25?\n"
    "Which month comes after June? Tell me a story about a fox and a golden key. Tell me a joke.\n";

/* Whole or not at all: it gets its name when it is on the disk. A device has no other name. 0, or -1. */
static int write_file(const char *path, const goss_buf *b)
{
    char part[1100];
    struct stat st;
    const int device = !stat(path, &st) && !S_ISREG(st.st_mode);
    goss_fmt(part, sizeof part, device ? "%s" : "%s.part", path);
    FILE *f = fopen(part, "wb");
    if (!f) return -1;
    int bad = fwrite(b->data, 1, b->len, f) != b->len || fflush(f) || (!device && fsync(fileno(f)));
    bad |= fclose(f) != 0;
    return bad || (!device && rename(part, path)) ? -1 : 0;
}

static void save(const talk *t, const char *path)
{
    goss_buf json = GOSS_BUF((size_t)1 << 27);
    request(t, 0, &json);
    if (write_file(path, &json)) fprintf(stderr, "%s could not be written: %s\n", path, strerror(errno));
    goss_buf_free(&json);
}

/* The part between "messages":[ and the end, as save() writes it. */
static void load(talk *t, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) { fprintf(stderr, "%s cannot be read: %s\n", path, strerror(errno)); return; }
    goss_buf json = GOSS_BUF((size_t)1 << 26);
    char part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof part, f)) > 0) goss_buf_append(&json, part, n);
    fclose(f);
    goss_error err = { .position = -1 };
    const char *text = goss_buf_cstr(&json), *from = strstr(text, "\"messages\":["), *to = strrchr(text, ']');
    if (!from || !to || goss_chat_render(t->c.engine, text, json.len, NULL, 0, &err) < 0)
        fprintf(stderr, "%s is not a saved conversation: %s\n", path, err.text);
    else {
        goss_buf_clear(&t->messages);
        goss_buf_clear(&t->system);
        from += strlen("\"messages\":[");
        goss_buf_append(&t->messages, from, (size_t)(to - from));
    }
    goss_buf_free(&json);
}

static void stats(const talk *t)
{
    goss_stats s;
    goss_engine_stats(t->c.engine, &s);
    fprintf(stderr,
            "last answer: %d prompt tokens (%d reused) in %.0f ms, %d tokens in %.0f ms (%.1f/s); %llu of "
            "%llu drafted tokens accepted\n",
            t->done.n_prompt, t->done.n_reused, t->done.prefill_ms, t->done.n_generated, t->done.decode_ms,
            t->done.decode_ms > 0 ? (t->done.n_generated - 1) * 1000 / t->done.decode_ms : 0.0,
            (unsigned long long)s.n_accepted, (unsigned long long)s.n_drafted);
}

static void show_tools(talk *t)
{
    goss_mcp_tool *list = NULL;
    const int n = t->mcp ? goss_mcp_tools(t->mcp, &list) : 0;
    if (!n) fputs("there are no tools; --mcp FILE names servers that have some\n", stderr);
    for (int i = 0; i < n; i++) {
        fprintf(stderr, "%-24s ", list[i].shown);
        print_plain(list[i].server, strlen(list[i].server));
        fputs(list[i].allowed ? ", always allowed: " : ": ", stderr);
        print_plain(list[i].description, strlen(list[i].description));
        fputc('\n', stderr);
    }
}

/* TOOL [JSON]: the user's own call; the model doesn't hear of it. */
static void call_by_hand(talk *t, char *rest)
{
    goss_buf result = GOSS_BUF((size_t)1 << 24);
    goss_mcp_tool *list;
    char *arguments = rest + strcspn(rest, " ");
    while (*arguments == ' ') *arguments++ = 0;
    if (t->mcp) goss_mcp_tools(t->mcp, &list);
    const goss_mcp_tool *tool = t->mcp ? goss_mcp_find(t->mcp, rest) : NULL;
    goss_cli_reset_interrupt();
    if (!tool) fputs("there is no tool of this name; /tools lists them\n", stderr);
    else if (goss_mcp_call(t->mcp, tool, arguments, strlen(arguments), was_interrupted, NULL, &result) < 0)
        fputs("(stopped)\n", stderr);
    else printf("%s\n", goss_buf_cstr(&result));
    goss_cli_reset_interrupt();
    goss_buf_free(&result);
}

static int regenerate(talk *t)
{
    if (!t->last_user.len) { fputs("there is nothing to answer yet\n", stderr); return 0; }
    t->params.seed++;
    t->messages.len = t->before_turn;
    goss_cli_message(&t->messages, "user", (const char *)t->last_user.data, t->last_user.len);
    return answer(t);
}

static void set_effort(talk *t, const char *level)
{
    if (!strcmp(level, "low") || !strcmp(level, "medium") || !strcmp(level, "high"))
        snprintf(t->effort, sizeof t->effort, "%s", level);
    else fputs("/effort low, medium or high\n", stderr);
}

static int slash(talk *t, char *line)
{
    char *rest = line + strcspn(line, " ");
    while (*rest == ' ') *rest++ = 0;
    if (!strcmp(line, "/help") || !strcmp(line, "/?")) fputs(help_text, stderr);
    else if (!strcmp(line, "/quit") || !strcmp(line, "/exit") || !strcmp(line, "/bye")) t->quit = 1;
    else if (!strcmp(line, "/clear") || !strcmp(line, "/new")) {
        t->messages.len = t->before_turn = t->last_user.len = 0;
        fputs("a new conversation\n", stderr);
    } else if (!strcmp(line, "/effort")) set_effort(t, rest);
    else if (!strcmp(line, "/system")) { goss_buf_clear(&t->system); goss_buf_str(&t->system, rest);
    } else if (!strcmp(line, "/reasoning")) {
        t->show = !t->show;
        fprintf(stderr, "reasoning is %s\n", t->show ? "shown" : "folded");
    } else if (!strcmp(line, "/temp")) t->params.temperature = strtof(rest, NULL);
    else if (!strcmp(line, "/regen")) return regenerate(t);
    else if (!strcmp(line, "/undo")) { t->messages.len = t->before_turn; t->last_user.len = 0; }
    else if (!strcmp(line, "/save") && *rest) save(t, rest);
    else if (!strcmp(line, "/load") && *rest) load(t, rest);
    else if (!strcmp(line, "/stats")) stats(t);
    else if (!strcmp(line, "/tools")) show_tools(t);
    else if (!strcmp(line, "/call") && *rest) call_by_hand(t, rest);
    else fprintf(stderr, "%s is not known here; /help lists what is\n", line);
    return 0;
}

/* ---- input --------------------------------------------------------------------------------------------- */
/* Lets the engine work until input comes. */
static void idle(talk *t)
{
    struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
    goss_error err;
    while (isatty(STDIN_FILENO) && poll(&in, 1, 0) == 0 && !goss_cli_interrupted() &&
           goss_engine_poll(t->c.engine, 0, &err) > 0) {}
}

/* One message, lines that end in \ joined. 1: there is one, 0: the end of the input, -1: interrupted. */
static int read_message(talk *t)
{
    char part[4096];
    goss_buf_clear(&t->line);
    if (isatty(STDIN_FILENO)) { fputs(t->color ? "\033[1m> \033[0m" : "> ", stdout); fflush(stdout); }
    for (;;) {
        idle(t);
        if (!fgets(part, sizeof part, stdin)) {
            if (!goss_cli_interrupted()) return t->line.len > 0;
            clearerr(stdin);
            goss_cli_reset_interrupt();
            fputs("\n(Ctrl-D or /quit ends)\n", stderr);
            return -1;
        }
        size_t n = strlen(part);
        goss_buf_append(&t->line, part, n);
        if (n && part[n - 1] != '\n') continue;
        while (t->line.len &&
               (t->line.data[t->line.len - 1] == '\n' || t->line.data[t->line.len - 1] == '\r'))
            t->line.len--;
        if (!t->line.len || t->line.data[t->line.len - 1] != '\\') return 1;
        t->line.data[t->line.len - 1] = '\n';
    }
}

static int converse(talk *t)
{
    int failed = 0;
    while (!t->quit && !failed) {
        const int got = read_message(t);
        if (!got) break;
        if (got < 0 || !t->line.len) continue;
        char *line = (char *)(uintptr_t)goss_buf_cstr(&t->line);
        failed = line[0] == '/' ? slash(t, line) : say(t, line, t->line.len);
    }
    return failed;
}

static void greet(const talk *t)
{
    if (!isatty(STDIN_FILENO)) return;
    goss_model_info m;
    goss_engine_info(t->c.engine, &m);
    fprintf(stderr, "%s, %s on %s (%s), context %d. /help lists the commands.\n",
            m.name[0] ? m.name : "a model", m.arch, m.backend, m.level, m.max_kv);
}

static void say_mcp(const char *sentence) { fprintf(stderr, "gossamer chat: %s\n", sentence); }

int goss_cmd_chat(int argc, char **argv)
{
    goss_engine_options engine;
    goss_sampling_options sampling;
    const char *system = NULL, *effort = "medium", *date = NULL, *first = NULL, *args[1];
    int show = 0, speculate = 0;
    const char *mcp = NULL;
    const goss_option options[] = {
        { "--prompt,-p", GOSS_OPT_STR, &first, .arg = "TEXT", .help = "the first message" },
        { "--system", GOSS_OPT_STR, &system, .arg = "TEXT", .help = "instructions" },
        { "--effort", GOSS_OPT_STR, &effort, .arg = "LEVEL", .help = "how much it reasons (medium)",
          .choices = "low|medium|high" },
        { "--date", GOSS_OPT_STR, &date, .arg = "YYYY-MM-DD", .help = "the date it is told (today)" },
        { "--show-reasoning", GOSS_OPT_FLAG, &show, .help = "show the reasoning" },
        { "--mcp", GOSS_OPT_STR, &mcp, .arg = "FILE",
          .help = "tools of the MCP servers in an mcp.json (docs/tools.md); each call is asked for" },
        { "--speculate", GOSS_OPT_FLAG, &speculate, .help = "draft tokens ahead (on with --draft)" },
        { 0 }
    };
    goss_engine_options_init(&engine, GOSS_FOR_COMMANDS);
    goss_sampling_options_init(&sampling);
    const goss_usage usage = { "chat", "[MODEL]", "A conversation in the terminal.",
                               0,      1,         { options, sampling.table, engine.table } };
    const int n = goss_options_read(&usage, argc, argv, args);
    if (n < 0) return ~n;
    int status = goss_engine_options_finish(&engine, "chat", n ? args[0] : NULL);
    if (status) return status;
    status = goss_sampling_options_finish(&sampling, "chat");
    if (status) return status;
    talk t = { .params = sampling.params, .show = show, .color = isatty(STDOUT_FILENO) };
    t.params.chat = 1;
    t.params.tools_json = "[]";
    t.params.draft = speculate || engine.config.draft_path;
    t.messages = t.answer = t.line = t.last_user = t.system = t.thought = t.call = GOSS_BUF((size_t)1 << 26);
    t.tools = GOSS_BUF((size_t)1 << 26);
    snprintf(t.effort, sizeof t.effort, "%s", effort);
    goss_cli_today(t.date);
    if (date) snprintf(t.date, sizeof t.date, "%s", date);
    if (system) goss_buf_str(&t.system, system);
    goss_error err;
    if (mcp && goss_mcp_open(&t.mcp, mcp, say_mcp, &err)) return goss_cli_fail("chat", 2, &err);
    status = goss_cli_open(&t.c, &engine, "chat", 0);
    if (status) { goss_mcp_close(&t.mcp); return status; }
    if (goss_session_open(t.c.engine, &t.session, &err)) {
        goss_mcp_close(&t.mcp);
        goss_cli_close(&t.c, "chat");
        return goss_cli_fail("chat", 1, &err);
    }
    goss_cli_catch_interrupts();
    greet(&t);
    int failed = first ? say(&t, first, strlen(first)) : 0;
    if (!failed) failed = converse(&t);
    goss_session_close(&t.session);
    goss_mcp_close(&t.mcp);
    failed |= goss_cli_close(&t.c, "chat");
    goss_buf *all[] = { &t.messages, &t.answer, &t.line, &t.last_user, &t.system, &t.thought, &t.call,
        &t.tools };
    for (int i = 0; i < 8; i++) goss_buf_free(all[i]);
    return failed;
}
