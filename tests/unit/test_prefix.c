/* test_prefix.c - prefixes that are not computed again: the second turn of a long chat, and entries of a
 * store that outlive their engine: whole, bounded, of the same model and KV only, never believed when
 * damaged.
 *     test_prefix [gpu]    (gpu: only the store, with pages that come back from the device) */
#include "net/prefix_dir.h"
#include "engine_util.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const MODEL = "models/demo-gptoss.gguf", *const DRAFT = "models/demo-gptoss-draft.gguf";
static char folder[64];

static goss_engine *open_as(const goss_engine_config *c)
{
    goss_engine *e = NULL;
    goss_error err = { 0 };
    int rc = goss_engine_open(&e, c, &err);
    while (!rc && goss_engine_state(e) == GOSS_ENGINE_LOADING) {
        rc = goss_engine_poll(e, 100, &err);
        if (rc > 0) rc = 0;
    }
    if (rc) { printf("open: %s\n", err.text); exit(1); }
    return e;
}

static goss_engine *open_engine(const char *path, const char *backend, const char *kv,
                                const goss_store *store, uint64_t most)
{
    return open_as(&(goss_engine_config){ .model_path = path,
                                          .backend = backend,
                                          .kv_type = kv,
                                          .max_kv = 3000,
                                          .max_sessions = 3,
                                          .prefix_store = store,
                                          .prefix_store_bytes = most,
                                          .webgpu_path = getenv("GOSSAMER_WEBGPU") });
}

static void idle(goss_engine *e)
{
    goss_error err;
    while (goss_engine_poll(e, 100, &err) > 0) { }
}

typedef struct result { char text[4096]; int n_text, n_reused, n_prompt, stop; double ms; } result;

static void ask(goss_engine *e, const int32_t *ids, int n, const goss_params *p, result *r)
{
    goss_session *s = NULL;
    goss_error err = { 0 };
    goss_event ev;
    memset(r, 0, sizeof *r);
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    CHECK_INT(goss_session_prompt(s, ids, n, p, &err), 0);
    for (int done = 0; !done;) {
        CHECK(goss_engine_poll(e, 100, &err) >= 0);
        while (!done && goss_session_event(s, &ev)) {
            if (ev.kind != GOSS_EVENT_PREFILL && r->n_text + ev.n_text < (int)sizeof r->text) {
                memcpy(r->text + r->n_text, ev.text, (size_t)ev.n_text);
                r->n_text += ev.n_text;
            }
            if (ev.kind != GOSS_EVENT_DONE) continue;
            r->n_reused = ev.n_reused;
            r->n_prompt = ev.n_prompt;
            r->ms = ev.prefill_ms;
            r->stop = ev.stop;
            done = 1;
        }
    }
    goss_session_close(&s);
}

/* ---- the second turn ----------------------------------------------------------------------------------- */
static const char LINE[] =
    "The crow listened to the wind above the forest and counted the clouds until the evening. ";

static int render(const goss_engine *e, const char *messages, const char *more, int32_t *ids, int cap)
{
    static char json[60000];
    goss_error err = { 0 };
    snprintf(json, sizeof json, "{\"date\":\"2025-06-28\",\"messages\":[%s]}", messages);
    int n = goss_chat_render(e, json, strlen(json), ids, cap, &err);
    CHECK(n > 0);
    if (*more) n += goss_tokenize(e, more, strlen(more), GOSS_TOKENIZE_SPECIAL, ids + n, cap - n);
    return n;
}

/* 2,000 tokens of history, an answer of 300 behind reasoning of 100: the second turn shares all but the
 * reasoning, and must start in under a tenth of the cold time, with the cold run's answer. */
static void second_turn(void)
{
    static char text[3][20000], messages[60000], more[50000];
    static int32_t ids[6000];
    static result first, warm, cold;
    /* history's half, answer, reasoning */
    const int times[] = { unit_small() ? 4 : 25, unit_small() ? 2 : 15, 5 };
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < times[k]; i++) strcat(text[k], LINE);
    goss_engine *e = open_engine(MODEL, "cpu", NULL, NULL, 0);
    int at = 0;
    for (int i = 0; i < 4; i++)
        at += snprintf(messages + at, sizeof messages - (size_t)at, "{\"role\":\"%s\",\"content\":\"%s\"},",
                       i % 2 ? "assistant" : "user", text[0]);
    at += snprintf(messages + at, sizeof messages - (size_t)at,
                   "{\"role\":\"user\",\"content\":\"And then?\"}");
    snprintf(more, sizeof more,
             "<|channel|>analysis<|message|>%s<|end|><|start|>assistant<|channel|>final<|message|>%s", text[2],
             text[1]);
    int32_t stop[4];
    CHECK_INT(goss_tokenize(e, "<|return|>", 10, GOSS_TOKENIZE_SPECIAL, stop, 4), 1);
    goss_params p = greedy_params(1), q = greedy_params(60);
    const goss_logit_bias bias = { stop[0], 1000 };
    p.chat = q.chat = 1;
    p.bias = &bias;
    p.n_bias = 1;
    int n = render(e, messages, more, ids, 6000);
    ask(e, ids, n, &p, &first);
    CHECK_INT(first.stop, GOSS_STOP_EOS);
    idle(e);
    snprintf(messages + at, sizeof messages - (size_t)at,
             ",{\"role\":\"assistant\",\"content\":\"%s\"},"
             "{\"role\":\"user\",\"content\":\"Which month comes after June?\"}",
             text[1]);
    n = render(e, messages, "", ids, 6000);
    if (!unit_small()) CHECK(n > 2200 && n < 2600);
    ask(e, ids, n, &q, &warm);
    goss_engine_close(&e);
    e = open_engine(MODEL, "cpu", NULL, NULL, 0);
    ask(e, ids, n, &q, &cold);
    goss_engine_close(&e);
    printf("second turn of %d tokens: %d reused, %.1f ms, cold %.1f ms\n", n, warm.n_reused, warm.ms,
           cold.ms);
    CHECK_INT(cold.n_reused, 0);
    CHECK(warm.n_reused >= n - 24);
    CHECK(unit_small() || warm.ms < cold.ms / 10);
    CHECK_STR(warm.text, cold.text);
    CHECK(strlen(cold.text) > 10);
}

/* ---- the store ----------------------------------------------------------------------------------------- */
typedef struct entries { char name[64][340]; int n; long long bytes; } entries;

static entries list_folder(void)
{
    static entries out;
    out.n = 0;
    out.bytes = 0;
    DIR *d = opendir(folder);
    for (struct dirent *f; (f = readdir(d)) != NULL && out.n < 64;) {
        struct stat st;
        if (!strcmp(f->d_name, ".") || !strcmp(f->d_name, "..")) continue;
        snprintf(out.name[out.n], sizeof out.name[0], "%s/%s", folder, f->d_name);
        stat(out.name[out.n++], &st);
        out.bytes += st.st_size;
    }
    closedir(d);
    return out;
}

static void clear_folder(void)
{
    const entries all = list_folder();
    for (int i = 0; i < all.n; i++) unlink(all.name[i]);
}

static int n_said;
static void say(void *ctx, const char *sentence)
{
    (void)ctx;
    n_said++;
    CHECK(strlen(sentence) > 30 && strchr(sentence, '.'));
}

/* One life of the program: opens, asks, idles, closes. */
static void life(const char *path, const char *backend, const char *kv, uint64_t most, const char *messages,
                 result *r)
{
    static int32_t ids[3000];
    goss_prefix_dir dir;
    goss_error err;
    CHECK_INT(goss_prefix_dir_open(&dir, folder, &err), 0);
    dir.store.say = say;
    goss_engine *e = open_engine(path, backend, kv, &dir.store, most);
    goss_params p = greedy_params(40);
    p.chat = 1;
    const int n = render(e, messages, "", ids, 3000);
    ask(e, ids, n, &p, r);
    idle(e);
    goss_engine_close(&e);
    goss_prefix_dir_close(&dir);
}

static const char *chat_of(const char *instructions, const char *question)
{
    static char out[9000];
    snprintf(out, sizeof out,
             "{\"role\":\"system\",\"content\":\"%s\"},{\"role\":\"user\",\"content\":\"%s\"}", instructions, question);
    return out;
}

static const char *instructions(void)
{
    static char text[4000];
    text[0] = 0;
    for (int i = 0; i < 14; i++) strcat(text, LINE);
    return text;
}

/* The instructions come back after a restart, for the same model and KV; another's are left alone. Returns
 * what the life answered whose entry the folder has, where there were no others behind it. */
static const result *restarts(const char *backend, const char *kv, int others)
{
    static result a, b, c;
    const char *long_text = instructions();
    clear_folder();
    n_said = 0;
    life(DRAFT, backend, kv, 0, chat_of(long_text, "What is the capital of France?"), &a);
    CHECK_INT(a.n_reused, 0);
    CHECK(list_folder().n >= 1);
    life(DRAFT, backend, kv, 0, chat_of(long_text, "Which month comes after June?"), &b);
    CHECK(b.n_reused > 200 && b.n_reused < b.n_prompt - 5);
    clear_folder();
    life(DRAFT, backend, kv, 0, chat_of(long_text, "Which month comes after June?"), &c);
    CHECK_INT(c.n_reused, 0);
    CHECK_STR(b.text, c.text);
    CHECK_INT(n_said, 0);
    if (!others) return &c;
    life(DRAFT, backend, kv && !strcmp(kv, "q8") ? "f16" : "q8", 0,
         chat_of(long_text, "Which month comes after June?"), &c);
    CHECK_INT(c.n_reused, 0);
    life(MODEL, backend, kv, 0, chat_of(long_text, "Which month comes after June?"), &c);
    CHECK_INT(c.n_reused, 0);
    life(DRAFT, backend, kv, 0, chat_of(long_text, "What colour is the sky?"), &c);
    CHECK(c.n_reused > 200);
    CHECK_INT(n_said, 0);
    return NULL;
}

/* A flipped byte anywhere, a cut file, another's entry under our name: a sentence, no reuse, the right
 * answer. there: the folder has the question's entry of a life before, which answered with *there */
static void damaged(const char *backend, int step, const result *there)
{
    static result clean, r;
    const char *chat = chat_of(instructions(), "Which month comes after June?");
    if (!there) {
        clear_folder();
        life(DRAFT, backend, NULL, 0, chat, &clean);
        there = &clean;
    }
    for (int k = 0; k < 7; k += step) {
        const entries all = list_folder();
        for (int i = 0; i < all.n; i++) {
            size_t n;
            char *bytes = read_all(all.name[i], &n);
            const size_t at[] = { 3, 20, 44, 120, n / 2, n - 3, 0 };
            if (k < 6) bytes[at[k]] ^= 0x10;
            FILE *f = fopen(all.name[i], "wb");
            fwrite(bytes, 1, k < 6 ? n : n / 2, f);
            fclose(f);
            free(bytes);
        }
        n_said = 0;
        life(DRAFT, backend, NULL, 0, chat, &r);
        if (r.n_reused || !n_said) printf("damage %d: %d reused, %d sentences\n", k, r.n_reused, n_said);
        CHECK_INT(r.n_reused, 0);
        CHECK(n_said > 0);
        CHECK_STR(r.text, there->text);
    }
    n_said = 0;
    life(DRAFT, backend, NULL, 0, chat, &r); /* what was removed is there again */
    CHECK(r.n_reused > 200);
    CHECK_INT(n_said, 0);
}

/* The folder keeps to its size, the least recently used goes; names that are no entries stay. */
static void bounded(void)
{
    static result r;
    char text[4000], path[100];
    clear_folder();
    snprintf(path, sizeof path, "%s/notes.txt", folder);
    FILE *f = fopen(path, "w");
    fputs("mine", f);
    fclose(f);
    enum { MOST = 3 << 20 };
    for (int k = 0; k < 6; k++) {
        const int n = snprintf(text, sizeof text, "You are number %d. ", k);
        text[n] = 0;
        for (int i = 0; i < 10; i++) strcat(text, LINE);
        life(DRAFT, "cpu", NULL, MOST, chat_of(text, "What is the capital of France?"), &r);
        CHECK(list_folder().bytes <= MOST + 4);
    }
    CHECK(list_folder().n >= 2);
    life(DRAFT, "cpu", NULL, MOST, chat_of(text, "What colour is the sky?"), &r);
    CHECK(r.n_reused > 100); /* the newest is there */
    CHECK(access(path, R_OK) == 0);
    unlink(path);
    clear_folder();
    life(DRAFT, "cpu", NULL, 1000, chat_of(text, "What colour is the sky?"), &r);
    CHECK_INT(list_folder().n, 0);
}

/* A store that fails at every place: the engine works as without it. */
typedef struct flaky { goss_prefix_dir dir; int calls, fail_at; } flaky;
static int flaky_get(void *ctx, const char *name, uint64_t at, void *dst, size_t n)
{
    flaky *f = ctx;
    return ++f->calls == f->fail_at ? GOSS_EIO : f->dir.store.get(&f->dir, name, at, dst, n);
}
static int flaky_put(void *ctx, const char *name, const void *bytes, size_t n, int last)
{
    flaky *f = ctx;
    return last >= 0 && ++f->calls == f->fail_at ? (f->dir.store.put(&f->dir, name, NULL, 0, -1), GOSS_EFULL)
                                                 : f->dir.store.put(&f->dir, name, bytes, n, last);
}
static int flaky_list(void *ctx, void (*entry)(void *, const char *, uint64_t, uint64_t), void *to)
{
    flaky *f = ctx;
    return f->dir.store.list(&f->dir, entry, to);
}
static int flaky_touch(void *ctx, const char *name)
{
    flaky *f = ctx;
    return f->dir.store.touch(&f->dir, name);
}
static int flaky_drop(void *ctx, const char *name)
{
    flaky *f = ctx;
    return f->dir.store.drop(&f->dir, name);
}

static void failing(void)
{
    static int32_t ids[3000];
    static result clean, r;
    char long_text[4000] = "";
    for (int i = 0; i < 6; i++) strcat(long_text, LINE);
    clear_folder();
    for (int fail = 0; fail < 15; fail++) {
        flaky f = { .fail_at = fail };
        goss_error err;
        CHECK_INT(goss_prefix_dir_open(&f.dir, folder, &err), 0);
        const goss_store store = { &f, flaky_list, flaky_get, flaky_put, flaky_touch, flaky_drop, say, NULL };
        goss_engine *e = open_engine(DRAFT, "cpu", NULL, &store, 0);
        goss_params p = greedy_params(20);
        p.chat = 1;
        const int n = render(e, chat_of(long_text, "Which month comes after June?"), "", ids, 3000);
        ask(e, ids, n, &p, fail ? &r : &clean);
        idle(e);
        goss_engine_close(&e);
        goss_prefix_dir_close(&f.dir);
        if (fail) CHECK_STR(r.text, clean.text);
        const entries all = list_folder();
        for (int i = 0; i < all.n; i++) CHECK(!strstr(all.name[i], "/."));
        if (fail % 3 == 0) clear_folder();
    }
}

/* ---- several engines, one folder ----------------------------------------------------------------------- */
typedef struct member { goss_prefix_dir dir; goss_engine *e; } member;

static void join(member *m, uint64_t most)
{
    goss_error err;
    CHECK_INT(goss_prefix_dir_open(&m->dir, folder, &err), 0);
    m->dir.store.say = say;
    m->e = open_engine(DRAFT, "cpu", NULL, &m->dir.store, most);
}

static void leave(member *m)
{
    goss_engine_close(&m->e);
    goss_prefix_dir_close(&m->dir);
}

static const char *numbered(int number)
{
    static char text[4000];
    snprintf(text, sizeof text, "You are number %d. ", number);
    for (int i = 0; i < 10; i++) strcat(text, LINE);
    return text;
}

static void ask_member(member *m, int number, const char *question, result *r)
{
    static int32_t ids[3000];
    goss_params p = greedy_params(20);
    p.chat = 1;
    ask(m->e, ids, render(m->e, chat_of(numbered(number), question), "", ids, 3000), &p, r);
    idle(m->e);
}

/* What one computed is read by all that were there before it, and is the same answer. An entry that another
 * took away is no damage: nothing is said. */
static void shared(void)
{
    static result a, r;
    member m[3];
    n_said = 0;
    clear_folder();
    for (int i = 0; i < 3; i++) join(&m[i], 0);
    ask_member(&m[0], 1, "Which month comes after June?", &a);
    CHECK_INT(a.n_reused, 0);
    for (int i = 1; i < 3; i++) {
        ask_member(&m[i], 1, "Which month comes after June?", &r);
        CHECK(r.n_reused > 150);
        CHECK_STR(r.text, a.text);
    }
    ask_member(&m[2], 2, "What colour is the sky?", &a);
    ask_member(&m[0], 2, "What colour is the sky?", &r);
    CHECK(r.n_reused > 150);
    CHECK_STR(r.text, a.text);
    CHECK_INT(list_folder().n, 2);
    ask_member(&m[0], 3, "What colour is the sky?", &a);
    clear_folder();
    ask_member(&m[1], 3, "What colour is the sky?", &r);
    CHECK(r.n_reused < 100);
    for (int i = 0; i < 3; i++) leave(&m[i]);
    CHECK_INT(n_said, 0);
}

/* Entries that go after they were listed, where nobody says so: of the one that was read last the file is
 * still open. */
static void vanished(void)
{
    static result r[2];
    member m;
    goss_error err;
    n_said = 0;
    clear_folder();
    join(&m, 0);
    for (int i = 0; i < 2; i++) ask_member(&m, i, "What colour is the sky?", &r[i]);
    leave(&m);
    CHECK(list_folder().n >= 2);
    CHECK_INT(goss_prefix_dir_open(&m.dir, folder, &err), 0);
    m.dir.store.say = say;
    m.dir.store.changed = NULL;
    m.e = open_engine(DRAFT, "cpu", NULL, &m.dir.store, 0);
    clear_folder();
    for (int i = 0; i < 2; i++) ask_member(&m, i, "What colour is the sky?", &r[i]);
    CHECK(r[0].n_reused < 100 || r[1].n_reused < 100);
    leave(&m);
    CHECK_INT(n_said, 0);
}

/* Three writers keep to the bound that each was given, and what anyone used last stays. */
static void bounded_together(void)
{
    enum { MOST = 3 << 20 };
    static result r;
    member m[3];
    n_said = 0;
    clear_folder();
    for (int i = 0; i < 3; i++) join(&m[i], MOST);
    for (int k = 0; k < 9; k++) {
        ask_member(&m[k % 3], k, "What is the capital of France?", &r);
        CHECK(list_folder().bytes <= MOST);
    }
    CHECK(list_folder().n >= 2);
    for (int i = 0; i < 3; i++) leave(&m[i]);
    CHECK(list_folder().bytes <= MOST);
    CHECK_INT(n_said, 0);
    join(&m[0], MOST);
    ask_member(&m[0], 8, "What colour is the sky?", &r);
    CHECK(r.n_reused > 150);
    leave(&m[0]);
}

/* More entries than an engine knows: the oldest go. */
static void too_many(void)
{
    static result r;
    char path[120];
    member m;
    int n = 0;
    clear_folder();
    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof path, "%s/0123456789abcdef-%d.kv", folder, i);
        FILE *f = fopen(path, "w");
        const struct timespec t[2] = { { 1000 + i, 0 }, { 1000 + i, 0 } };
        futimens(fileno(f), t);
        fclose(f);
    }
    join(&m, 0);
    ask_member(&m, 1, "What colour is the sky?", &r);
    leave(&m);
    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof path, "%s/0123456789abcdef-%d.kv", folder, i);
        const int there = !unlink(path);
        n += there;
        if (i >= 60) CHECK(there);
    }
    CHECK(n < 256);
    CHECK(list_folder().n >= 1);
}

/* What a killed process left goes when the next one begins; what is still being written stays. */
static void swept(void)
{
    char left[100], busy[100];
    goss_prefix_dir d;
    goss_error err;
    clear_folder();
    snprintf(left, sizeof left, "%s/.0123456789abcdef-1.kv.77", folder);
    snprintf(busy, sizeof busy, "%s/.0123456789abcdef-1.kv.78", folder);
    const int fd = open(busy, O_CREAT | O_RDWR, 0600);
    close(open(left, O_CREAT | O_RDWR, 0600));
    CHECK_INT(flock(fd, LOCK_EX), 0);
    CHECK_INT(goss_prefix_dir_open(&d, folder, &err), 0);
    CHECK(access(left, F_OK) != 0);
    CHECK_INT(access(busy, F_OK), 0);
    goss_prefix_dir_close(&d);
    close(fd);
    CHECK_INT(goss_prefix_dir_open(&d, folder, &err), 0);
    CHECK(access(busy, F_OK) != 0);
    goss_prefix_dir_close(&d);
}

static int is_writing(void)
{
    const entries all = list_folder();
    for (int i = 0; i < all.n; i++) if (strstr(all.name[i], "/.")) return 1;
    return 0;
}

/* An engine whose KV is nearly full: what writes an entry gives its pages back, and nobody fails. */
static void pressed(const char *backend)
{
    static int32_t ids[3000];
    static result clean, r;
    char text[6000] = "";
    int began = 0;
    goss_prefix_dir dir;
    goss_error err;
    for (int i = 0; i < 12; i++) strcat(text, LINE);
    clear_folder();
    goss_plan_info plan;
    goss_engine_config asks = { .model_path = DRAFT, .backend = backend };
    CHECK_INT(goss_plan(&asks, NULL, &plan, &err), 0);
    for (int most = 0; most < 2; most++) {
        const goss_engine_config c = { .model_path = DRAFT,
                                       .backend = backend,
                                       .max_kv = 448,
                                       .max_sessions = 2,
                                       .max_rows = 64,
                                       .prefix_store = most ? &dir.store : NULL,
                                       .kv_cap = most ? 12 * (plan.page_bytes[0] + plan.page_bytes[1]) : 0,
                                       .webgpu_path = getenv("GOSSAMER_WEBGPU") };
        CHECK_INT(goss_prefix_dir_open(&dir, folder, &err), 0);
        dir.store.say = say;
        goss_engine *e = open_as(&c);
        goss_params p = greedy_params(30);
        p.chat = 1;
        for (int turn = 0; turn < 3; turn++) {
            text[0] = (char)('A' + turn);
            const int n = render(e, chat_of(text, "Which month comes after June?"), "", ids, 3000);
            ask(e, ids, n, &p, turn == 2 && !most ? &clean : &r);
            /* the next turn comes into it */
            while (most && !is_writing() && goss_engine_poll(e, 2, &err) > 0) { }
            began += most && is_writing();
        }
        goss_engine_close(&e);
        goss_prefix_dir_close(&dir);
    }
    CHECK(began > 0);
    CHECK_STR(r.text, clean.text);
    CHECK(r.n_text > 5);
    const entries all = list_folder();
    for (int i = 0; i < all.n; i++) CHECK(!strstr(all.name[i], "/."));
}

int main(int argc, char **argv)
{
    const int gpu = argc > 1 && !strcmp(argv[1], "gpu");
    snprintf(folder, sizeof folder, "/tmp/gossamer-prefix-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    if (gpu) {
        pressed("gpu");
        damaged("gpu", 5, restarts("gpu", NULL, 0));
    } else {
        second_turn();
        restarts("cpu", NULL, 1);
        if (!unit_small()) restarts("cpu", "q8", 1);
        if (!unit_small()) restarts("ref", NULL, 0);
        damaged("cpu", 1, NULL);
        bounded();
        shared();
        vanished();
        bounded_together();
        too_many();
        swept();
        failing();
        pressed("cpu");
    }
    clear_folder();
    rmdir(folder);
    return unit_done("prefix");
}
