/* choice.c - see choice.h. */
#include "choice.h"
#include "layout.h"
#include "base/embedded.h"
#include "base/error.h"
#include <string.h>

static const char *const kinds[GOSS_CHOICE_KINDS] = { "dense", "experts", "few" };
static const char *const operands[GOSS_TILE_OPERANDS] = { "floats", "bytes", "halves" };
static const char *const layouts[GOSS_N_LAYOUTS] = { "mx4", "q8", "i8", "f16", "bf16", "f32" };
static const uint32_t most[2][GOSS_CHOICE_STEPS] = { { 32, 64, 128, 256, 512, 0 },
                                                     { 8, 16, 32, 64, 128, 0 } };
static const double TIE = 1.03;

uint32_t goss_choice_rows(int kind, int step) { return most[kind == GOSS_CHOICE_EXPERTS][step]; }

int goss_choice_step(int kind, uint32_t rows)
{
    int i = 0;
    while (i < GOSS_CHOICE_STEPS - 1 && rows > goss_choice_rows(kind, i)) i++;
    return i;
}

int goss_choice_best(const double *times, int n)
{
    double best = 0;
    for (int i = 0; i < n; i++)
        if (times[i] > 0 && (best <= 0 || times[i] < best)) best = times[i];
    for (int i = 0; i < n; i++)
        if (times[i] > 0 && times[i] <= best * TIE) return i;
    return -1;
}

/* ---- lines --------------------------------------------------------------------------------------------- */
int goss_choice_same(const goss_choice_line *a, const goss_choice_line *b)
{
    return a->kind == b->kind && a->layout == b->layout && a->n_in == b->n_in && a->n_out == b->n_out;
}

const char *goss_choice_operands(int o) { return o == GOSS_TILE_FIXED ? "fixed" : operands[o]; }

int goss_choice_knows(const goss_choice *c, const goss_choice_line *like)
{
    for (int i = 0; i < c->n; i++)
        if (goss_choice_same(&c->line[i], like)) return 1;
    return 0;
}

int goss_choice_add(goss_choice *c, const goss_choice_line *l)
{
    if (c->n == GOSS_CHOICE_LINES) return GOSS_EFULL;
    c->line[c->n++] = *l;
    return 0;
}

const goss_choice_line *goss_choice_find(goss_choice *c, int kind, int layout, uint32_t n_in, uint32_t n_out)
{
    const goss_choice_line like = { .kind = kind, .layout = layout, .n_in = n_in, .n_out = n_out };
    if (c->tries && goss_choice_same(&c->trial, &like)) return &c->trial;
    for (int i = 0; i < c->n; i++) {
        goss_choice_line *l = &c->line[i];
        if (!goss_choice_same(l, &like)) continue;
        l->used = 1;
        return l->operands == GOSS_TILE_FIXED ? NULL : l;
    }
    return NULL;
}

/* How many numbers a line has. */
static int n_sizes(const goss_choice_line *l)
{
    if (l->operands == GOSS_TILE_FIXED) return 0;
    return l->kind == GOSS_CHOICE_FEW ? 1 : l->operands == GOSS_TILE_HALVES ? GOSS_CHOICE_STEPS : 0;
}

void goss_choice_product_text(goss_buf *out, const goss_choice_line *l)
{
    goss_buf_printf(out, "%s %s %ux%u", kinds[l->kind], layouts[l->layout], l->n_in, l->n_out);
}

void goss_choice_line_text(goss_buf *out, const goss_choice_line *l)
{
    goss_choice_product_text(out, l);
    goss_buf_printf(out, " %s", goss_choice_operands(l->operands));
    for (int i = 0; i < n_sizes(l); i++) goss_buf_printf(out, " %u", l->size[i]);
}

static uint32_t hash(uint32_t h, const void *bytes, size_t n)
{
    for (const unsigned char *p = bytes; n > 0; p++, n--) h = (h ^ *p) * 16777619u;
    return h;
}

/* The order of lines does not matter. */
uint32_t goss_choice_mark(const goss_choice *c)
{
    uint32_t sum = 0;
    for (int i = 0; i < c->n; i++) {
        goss_buf text = GOSS_BUF(256);
        if (!c->line[i].used || c->line[i].operands == GOSS_TILE_FIXED) continue;
        goss_choice_line_text(&text, &c->line[i]);
        sum += hash(2166136261u, text.data, text.len) | 1;
        goss_buf_free(&text);
    }
    return sum;
}

uint32_t goss_choice_kernels(void)
{
    uint32_t h = hash(2166136261u, GOSS_VERSION, sizeof GOSS_VERSION);
    for (const struct goss_embedded *f = goss_wgsl; f->name; f++) {
        size_t i = 0;
        for (; i + 4 <= f->size; i += 4) {
            uint32_t w;
            memcpy(&w, f->bytes + i, 4);
            h = (h ^ w) * 16777619u;
            h ^= h >> 15;
        }
        h = hash(h, f->bytes + i, f->size - i);
    }
    return h;
}

/* ---- judging ------------------------------------------------------------------------------------------- */
/* The best time of one kind of operands in a step (of few: rows), negative: it can't be done. */
static double best_of(const goss_choice_time *t, int n, int made_of, int step)
{
    double best = 0;
    for (int i = 0; i < n; i++) {
        if (t[i].operands != made_of || t[i].step != step || t[i].many) continue;
        if (t[i].ms > 0 && (best <= 0 || t[i].ms < best)) best = t[i].ms;
        if (t[i].ms < 0 && best <= 0) best = -1;
    }
    return best;
}

/* What the product takes, in parts of what it takes today; negative: it can't be done. */
static double share_of(const goss_choice_time *t, int n, int made_of)
{
    double sum = 0;
    for (int i = 0; i < GOSS_CHOICE_STEPS; i++) {
        const double today = best_of(t, n, t[0].operands, i), ms = best_of(t, n, made_of, i);
        if (ms < 0) return -1;
        if (today > 0 && ms > 0) sum += ms / today;
    }
    return sum;
}

/* The size of halves' tiles in a step: today's, where it is unknown. */
static uint32_t size_of(const goss_choice_time *t, int n, int step, uint32_t today)
{
    double times[8] = { 0 };
    uint32_t sizes[8] = { today };
    int k = 1;
    for (int i = 0; i < n; i++) {
        if (t[i].operands != GOSS_TILE_HALVES || t[i].step != step || t[i].many) continue;
        if ((uint32_t)t[i].size == today) times[0] = t[i].ms;
        else if (k < 8) {
            times[k] = t[i].ms;
            sizes[k++] = (uint32_t)t[i].size;
        }
    }
    const int best = goss_choice_best(times, k);
    return best < 0 ? today : sizes[best];
}

/* The most rows up to which the kernels for few are no slower than those for many. */
static uint32_t border_of(const goss_choice_time *t, int n, uint32_t today)
{
    enum { LEAST = 16 };
    uint32_t border = LEAST;
    int known = 0;
    for (int i = 0; i + 1 < n; i++) {
        const goss_choice_time *few = &t[i], *many = &t[i + 1];
        if (few->rows <= LEAST || few->many || !many->many || many->rows != few->rows) continue;
        if (few->ms <= 0 || many->ms <= 0) continue;
        known = 1;
        if (few->ms > many->ms * TIE) break;
        border = few->rows;
    }
    return known ? border : today;
}

void goss_choice_judge(goss_choice_line *l, const goss_choice_time *t, int n)
{
    int order[GOSS_TILE_OPERANDS] = { t[0].operands }, k = 1;
    double share[GOSS_TILE_OPERANDS] = { share_of(t, n, t[0].operands) };
    for (int o = GOSS_TILE_HALVES; o >= GOSS_TILE_FLOATS; o--) {
        if (o == order[0]) continue;
        share[k] = share_of(t, n, o);
        order[k++] = o;
    }
    const int best = goss_choice_best(share, k);
    int same = best <= 0;
    l->operands = order[best < 0 ? 0 : best];
    for (int i = 0; i < n_sizes(l); i++) {
        const uint32_t today = l->size[i];
        l->size[i] = l->kind != GOSS_CHOICE_FEW ? size_of(t, n, i, today)
                     : best <= 0                ? border_of(t, n, today)
                                                : 16;
        same &= l->size[i] == today;
    }
    if (same) l->operands = GOSS_TILE_FIXED;
}

/* ---- reading ------------------------------------------------------------------------------------------- */
/* The words of a line, one by one. */
typedef struct words {
    const char *at, *end;
} words;

static size_t next_word(words *w, const char **word)
{
    while (w->at < w->end && *w->at == ' ') w->at++;
    *word = w->at;
    while (w->at < w->end && *w->at != ' ') w->at++;
    return (size_t)(w->at - *word);
}

static int word_of(words *w, const char *const *list, int n)
{
    const char *word;
    const size_t len = next_word(w, &word);
    for (int i = 0; i < n; i++)
        if (strlen(list[i]) == len && !memcmp(list[i], word, len)) return i;
    return len == 5 && !memcmp(word, "fixed", 5) && list == operands ? GOSS_TILE_FIXED : -2;
}

/* A number of up to nine digits; 1: there is none. */
static int number(const char **at, const char *end, uint32_t *out)
{
    const char *from = *at;
    *out = 0;
    while (*at < end && **at >= '0' && **at <= '9' && *at - from < 9)
        *out = *out * 10 + (uint32_t)(*(*at)++ - '0');
    return *at == from;
}

static int shape_of(words *w, goss_choice_line *l)
{
    const char *word;
    const size_t len = next_word(w, &word);
    const char *end = word + len;
    if (number(&word, end, &l->n_in) || word == end || *word++ != 'x') return 1;
    return number(&word, end, &l->n_out) || word != end || !l->n_in || !l->n_out;
}

static int sizes_of(words *w, goss_choice_line *l)
{
    const uint32_t least = l->kind == GOSS_CHOICE_FEW ? 16 : 0, top = l->kind == GOSS_CHOICE_FEW ? 64 : 3;
    const char *word;
    for (int i = 0; i < n_sizes(l); i++) {
        const size_t len = next_word(w, &word);
        const char *end = word + len;
        if (number(&word, end, &l->size[i]) || word != end || l->size[i] < least || l->size[i] > top)
            return 1;
    }
    return next_word(w, &word) != 0;
}

static int read_line(words w, goss_choice_line *l)
{
    *l = (goss_choice_line){ .kind = word_of(&w, kinds, GOSS_CHOICE_KINDS) };
    l->layout = l->kind < 0 ? -1 : word_of(&w, layouts, GOSS_N_LAYOUTS);
    if (l->kind < 0 || l->layout < 0 || shape_of(&w, l)) return 1;
    l->operands = word_of(&w, operands, GOSS_TILE_OPERANDS);
    if (l->operands < GOSS_TILE_FIXED || (l->kind == GOSS_CHOICE_FEW && l->operands == GOSS_TILE_HALVES))
        return 1;
    return sizes_of(&w, l);
}

/* Where a text is: between sections, in one. take: it is the wanted one; section: where it began. */
typedef struct reader {
    goss_choice *c;
    int inside, take, found;
    const char *section;
    goss_buf *others;
    int n_others; /* goss_choice_write: copies of the sections of other devices */
} reader;

static int begins(words w, const char *word)
{
    const size_t n = strlen(word);
    return (size_t)(w.end - w.at) >= n && !memcmp(w.at, word, n);
}

static void end_section(reader *r, const char *end)
{
    r->inside = 0;
    if (!r->others || r->take || r->n_others + 1 >= GOSS_CHOICE_SECTIONS) return;
    goss_buf_append(r->others, r->section, (size_t)(end - r->section));
    goss_buf_str(r->others, "\n");
    r->n_others++;
}

/* 1: the line is broken. */
static int read_any(reader *r, words w)
{
    goss_choice_line l;
    const size_t n = (size_t)(w.end - w.at);
    if (!r->inside) {
        if (!begins(w, "device ") || n <= 7) return 1;
        const size_t len = n - 7;
        const int same = len == strlen(r->c->device) && !memcmp(w.at + 7, r->c->device, len),
                  any = len == 1 && w.at[7] == '*' && !r->others;
        r->inside = 1;
        r->section = w.at;
        r->take = (same || any) && !r->found;
        r->found |= r->take;
        return 0;
    }
    if (n == 3 && begins(w, "end")) {
        end_section(r, w.end);
        return 0;
    }
    if (read_line(w, &l)) return 1;
    return r->take && !r->others && (goss_choice_knows(r->c, &l) || goss_choice_add(r->c, &l));
}

/* The number of the first broken line, 0: there is none; -1: the last section has no end. */
static int read_text(reader *r, const char *text)
{
    int number_of = 0;
    for (const char *at = text; *at;) {
        const char *end = at + strcspn(at, "\n");
        words w = { at, end };
        number_of++;
        at = end + (*end == '\n');
        if (w.end > w.at && w.end[-1] == '\r') w.end--;
        while (w.at < w.end && *w.at == ' ') w.at++;
        while (w.end > w.at && w.end[-1] == ' ') w.end--;
        if (w.at < w.end && *w.at != '#' && read_any(r, w)) return number_of;
    }
    return r->inside ? -1 : 0;
}

int goss_choice_read(goss_choice *c, const char *text, goss_error *err)
{
    reader r = { .c = c };
    c->n = 0;
    const int broken = read_text(&r, text);
    if (!broken && r.found) return 0;
    c->n = 0;
    if (broken < 0)
        return goss_fail(err, GOSS_EFORMAT, -1, "the choice of kernels lacks its last line, \"end\"");
    if (broken)
        return goss_fail(err, GOSS_EFORMAT, -1, "line %d of the choice of kernels is not understood", broken);
    return goss_fail(
        err, GOSS_ENOENT, -1,
        "the choice of kernels has no section that begins with \"device *\" (any device) or with this "
        "one's name, \"device %s\"",
        c->device);
}

void goss_choice_write(goss_buf *out, const goss_choice *c, const char *old)
{
    goss_choice ours = { .n = 0 };
    goss_buf others = GOSS_BUF(GOSS_CHOICE_TEXT);
    reader r = { .c = &ours, .others = &others };
    memcpy(ours.device, c->device, sizeof ours.device);
    goss_buf_str(out, "# Which kernels a GPU takes, as it was measured (docs/gpu-performance.md).\n");
    goss_buf_printf(out, "device %s\n", c->device);
    for (int i = 0; i < c->n; i++) {
        goss_choice_line_text(out, &c->line[i]);
        goss_buf_str(out, "\n");
    }
    goss_buf_str(out, "end\n");
    if (old && !read_text(&r, old)) goss_buf_append(out, others.data, others.len);
    goss_buf_free(&others);
}
