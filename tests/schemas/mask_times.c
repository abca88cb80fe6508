/* mask_times.c - what masks cost over real answers: each is cut by a tokenizer, and the mask before each of
 * its tokens is timed (this thread's own time). Every answer has schemas of its own, as a request has, so
 * that first visits of states count.
 *   mask_times VOCAB.gguf [most mean us [most us in 99.9 % of steps [check every so many masks]]] < LINES
 * LINES: {"schema": ..., "texts": [...]}, as try.c reads them. A text is followed as far as it is let
 * through. Prints mean and quantiles by where in the text the token stands, and the slowest places. A mask
 * is checked by walking each word of the vocabulary on its own. */
#include "tests/text/open_vocab.h"
#include "engine/schema/grammar.c" /* its statics: masks are compared with plain ones */
#include "tests/text/plain_mask.h"
#include <math.h>
#include <string.h>
#include <time.h>

enum { STRING, NAME, NUMBER, BETWEEN, KINDS, SLOW = 12, MOST_TOKENS = 4000 };
static const char *const kind_names[] = { "in a string", "in a name", "in a number", "between", "all" };
typedef struct slow { double us; int line, text, token; char where[64]; } slow;
typedef struct figures {
    goss_buf us[KINDS + 1], open;    /* float */
    slow slow[SLOW]; int n_slow;
    int answers, refused, cut;
    int every, checked, wrong;
} figures;

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* ---- where a token stands ------------------------------------------------------------------------------ */
/* Of a JSON text: its containers, one a bit (1: an object), and whether the next string is a name. */
typedef struct place { uint64_t objects; int string, name, escaped, number; } place;

static void step(place *p, char c)
{
    if (p->string) {
        if (!p->escaped && c == '"') p->string = 0;
        p->escaped = !p->escaped && c == '\\';
        return;
    }
    p->number = (c >= '0' && c <= '9') || c == '-' || (p->number && strchr("+.eE", c));
    if (c == '"') p->string = 1;
    else if (c == '{' || c == '[') p->objects = p->objects << 1 | (c == '{');
    else if (c == '}' || c == ']') p->objects >>= 1;
    if (c == '{' || c == ',') p->name = (int)(p->objects & 1);
    if (c == ':' || c == '[') p->name = 0;
}

static int kind_of(const place *p)
{
    return p->string ? p->name ? NAME : STRING : p->number ? NUMBER : BETWEEN;
}

/* ---- figures ------------------------------------------------------------------------------------------- */
static void add(figures *f, int kind, double us)
{
    const float x = (float)us;
    goss_buf_append(&f->us[kind], &x, sizeof x);
    goss_buf_append(&f->us[KINDS], &x, sizeof x);
}

static void keep_slow(figures *f, double us, int line, int text, int token, const char *s, size_t at)
{
    int i = f->n_slow;
    if (i == SLOW && f->slow[SLOW - 1].us >= us) return;
    if (i < SLOW) f->n_slow++;
    else i--;
    for (; i > 0 && f->slow[i - 1].us < us; i--) f->slow[i] = f->slow[i - 1];
    f->slow[i] = (slow){ .us = us, .line = line, .text = text, .token = token };
    const size_t from = at > 40 ? at - 40 : 0;
    snprintf(f->slow[i].where, sizeof f->slow[i].where, "%.*s", (int)(at - from), s + from);
}

static int compare(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static double mean_of(const goss_buf *b)
{
    const float *x = (const float *)(const void *)b->data;
    const size_t n = b->len / sizeof *x;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i];
    return n ? sum / (double)n : 0;
}

static double print_row(const char *name, goss_buf *b)
{
    float *x = (float *)(void *)b->data;
    const size_t n = b->len / sizeof *x;
    if (!n) return 0;
    qsort(x, n, sizeof *x, compare);
    size_t above = 0;
    while (above < n && x[n - 1 - above] > 1000) above++;
    const double most = (double)x[n - 1 - n / 1000];
    printf("%-12s %9zu masks, mean %7.1f us, half %6.1f, 99 %% %8.1f, 99.9 %% %8.1f, worst %8.1f, "
           "above 1 ms %.3f %%\n",
           name, n, mean_of(b), (double)x[n / 2], (double)x[n - 1 - n / 100], most, (double)x[n - 1],
           100.0 * (double)above / (double)n);
    return most;
}

/* ---- checking ------------------------------------------------------------------------------------------ */
static void check(figures *f, const goss_grammar *g, int line, int text, int token)
{
    static uint32_t plain[1 << 13];
    const goss_schemas *s = g->schemas;
    const uint32_t *mask = goss_token_mask(&s->masks, g->state);
    plain_mask(s->dfa, g->state, s->room->vocab, INT64_MAX, plain);
    f->checked++;
    if (mask && !memcmp(mask, plain, (size_t)(s->room->n_vocab + 31) / 32 * 4)) return;
    f->wrong++;
    for (int32_t id = 0; mask && id < s->room->n_vocab; id++) {
        if (!((mask[id >> 5] ^ plain[id >> 5]) >> (id & 31) & 1)) continue;
        const goss_str t = goss_vocab_bytes(s->room->vocab, id, 0);
        printf("WRONG: line %d, text %d, token %d: \"%.*s\" is %s\n", line, text, token, (int)t.n, t.s,
               mask[id >> 5] >> (id & 31) & 1 ? "let through" : "kept out");
        break;
    }
}

/* ---- answers ------------------------------------------------------------------------------------------- */
static void follow(figures *f, const goss_vocab *v, goss_grammar *g, const char *s, size_t n, int line,
                   int text)
{
    static uint32_t mask[1 << 13];
    goss_buf ids = GOSS_BUF(1 << 24);
    goss_error err = { 0 };
    place p = { 0 };
    size_t at = 0;
    goss_vocab_encode(v, s, n, 0, &ids);
    const int32_t *id = (const int32_t *)(const void *)ids.data;
    const int count = (int)(ids.len / sizeof *id);
    for (int i = 0; i <= count && i < MOST_TOKENS; i++) {
        const double t0 = cpu_us();
        const int rc = goss_grammar_think(g, NULL, INFINITY, mask, &err);
        const double us = cpu_us() - t0;
        add(f, kind_of(&p), us);
        keep_slow(f, us, line, text, i, s, at);
        if (rc == 1 && f->every && f->us[KINDS].len / sizeof(float) % (size_t)f->every == 0)
            check(f, g, line, text, i);
        if (rc != 1 || i == count) break;
        if (!(mask[id[i] >> 5] >> (id[i] & 31) & 1)) {
            f->cut++;
            break;
        }
        goss_grammar_push(g, NULL, id[i]);
        const goss_str t = goss_vocab_bytes(v, id[i], 0);
        for (uint64_t k = 0; k < t.n; k++) step(&p, t.s[k]);
        at += (size_t)t.n;
    }
    goss_buf_free(&ids);
    f->answers++;
}

static void answer(figures *f, goss_schema_room *room, const char *schema, const goss_buf *text, int line,
                   int nth)
{
    goss_schemas *all = NULL;
    goss_grammar *g = NULL;
    goss_error err = { 0 };
    const double t0 = cpu_us();
    const int rc = goss_schemas_compile(&all, room, schema, NULL, 0, &err);
    const float us = (float)(cpu_us() - t0);
    if (rc || goss_grammar_open(&g, all)) {
        f->refused++;
        return;
    }
    goss_buf_append(&f->open, &us, sizeof us);
    goss_schemas_release(&all);
    follow(f, room->vocab, g, (const char *)text->data, text->len, line, nth);
    goss_grammar_close(&g);
}

static void read_line(figures *f, goss_schema_room *room, const char *line, size_t n, int number)
{
    goss_json j = { 0 };
    goss_error err = { 0 };
    int nth = 0;
    if (goss_json_parse(&j, line, n, NULL, &err)) return;
    const goss_str schema = goss_json_source(&j, goss_json_get(&j, 0, "schema"));
    char *copy = strndup(schema.s, (size_t)schema.n);
    const int texts = goss_json_get(&j, 0, "texts");
    for (int t = goss_json_first(&j, texts); t >= 0 && copy; t = goss_json_next(&j, t)) {
        goss_buf text = GOSS_BUF(1 << 24);
        goss_json_string(&j, t, &text);
        answer(f, room, copy, &text, number, nth++);
        goss_buf_free(&text);
    }
    free(copy);
    goss_json_free(&j);
}

static int report(figures *f, double most_mean, double most_late)
{
    double late = 0;
    const double mean = mean_of(&f->us[KINDS]);
    for (int k = 0; k <= KINDS; k++) late = print_row(kind_names[k], &f->us[k]);
    print_row("compiling", &f->open);
    printf("%d answers, %d of them followed only in part; %d schemas refused\n", f->answers, f->cut,
           f->refused);
    for (int i = 0; i < f->n_slow; i++)
        printf("%9.1f us: line %d, text %d, token %d, behind %s\n", f->slow[i].us, f->slow[i].line,
               f->slow[i].text, f->slow[i].token, f->slow[i].where);
    if (f->every) printf("%d masks compared with plain walks, %d differ\n", f->checked, f->wrong);
    const int good = !f->wrong && (!most_mean || mean <= most_mean) && (!most_late || late <= most_late);
    printf("mask times: %d passed, %d failed\n", good, !good);
    return !good;
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    static figures f;
    f.every = argc > 4 ? atoi(argv[4]) : 0;
    goss_schema_room room = { 0 };
    goss_vocab *v = open_vocab(argv[1], NULL);
    goss_schema_room_open(&room, v, goss_vocab_size(v), 0, 0, 0);
    f.open = GOSS_BUF(1 << 30);
    for (int k = 0; k <= KINDS; k++) f.us[k] = GOSS_BUF(1 << 30);
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    for (int number = 1; (n = getline(&line, &cap, stdin)) > 0; number++)
        read_line(&f, &room, line, (size_t)n, number);
    free(line);
    const int bad = report(&f, argc > 2 ? atof(argv[2]) : 0, argc > 3 ? atof(argv[3]) : 0);
    for (int k = 0; k <= KINDS; k++) goss_buf_free(&f.us[k]);
    goss_buf_free(&f.open);
    goss_schema_room_close(&room);
    goss_vocab_close(&v);
    return bad;
}
