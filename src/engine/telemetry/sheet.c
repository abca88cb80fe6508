/* sheet.c - collects rows until somebody takes them; see sheet.h.
 *
 * Each slot has the row of its step under way, NaN where nothing was told. A token makes it whole: it goes
 * behind the rows that wait. What nobody takes is dropped from MOST_ROWS on. Decoding allocates nothing while
 * rows are taken in time. */
#include "sheet.h"
#include "base/buf.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>

enum { MOST_ROWS = 4096, FIRST_ROWS = 64, MAP_HEAD = 3, MOST_MAPS = 1 << 25, FIRST_MAPS = 1 << 16 };

/* last: when a token came; fresh: the channel came behind it, so the prompt ends in an answer. */
typedef struct sheet_slot { int position, channel, fresh; double last; } sheet_slot;

struct goss_sheet {
    int n_layer, n_used, n_slots, width;
    sheet_slot *slots;
    float *open;             /* (n_slots, width): each slot's step */
    goss_buf map;            /* head and weights of the newest step that was watched */
    int map_slot;            /* whose, -1: it was kept */
    goss_buf rows, maps;     /* what waits */
    int n;                   /* rows that wait */
};

enum { TOP_ID = GOSS_COLUMN_FIRSTS, TOP_P = TOP_ID + GOSS_COLUMN_TOPS, LOOK = TOP_P + GOSS_COLUMN_TOPS,
       LOOK_WEIGHT = LOOK + GOSS_COLUMN_LOOKS, LAYERS = LOOK_WEIGHT + GOSS_COLUMN_LOOKS };

static int layer_width(const goss_sheet *s) { return 2 * s->n_used + GOSS_COLUMN_NORMS + GOSS_COLUMN_PARTS; }

static void blank(float *row, int n)
{
    for (int i = 0; i < n; i++) row[i] = NAN;
}

int goss_sheet_open(goss_sheet **out, int n_layer, int n_used, int n_slots)
{
    goss_sheet *s = *out = goss_mem_alloc(sizeof *s);
    if (!s) return GOSS_ENOMEM;
    *s = (goss_sheet){ .n_layer = n_layer, .n_used = n_used, .n_slots = n_slots, .map_slot = -1 };
    s->width = LAYERS + n_layer * layer_width(s);
    const size_t bytes = (size_t)s->width * sizeof(float);
    s->slots = goss_mem_array((size_t)n_slots, sizeof *s->slots);
    s->open = goss_mem_array((size_t)n_slots * (size_t)s->width, sizeof *s->open);
    s->rows = GOSS_BUF(MOST_ROWS * bytes), s->maps = s->map = GOSS_BUF(MOST_MAPS);
    if (s->slots && s->open && !goss_buf_reserve(&s->rows, FIRST_ROWS * bytes) &&
        !goss_buf_reserve(&s->map, FIRST_MAPS) && !goss_buf_reserve(&s->maps, FIRST_MAPS)) {
        blank(s->open, n_slots * s->width);
        return 0;
    }
    goss_sheet_close(out);
    return GOSS_ENOMEM;
}

void goss_sheet_close(goss_sheet **sheet)
{
    goss_sheet *s = *sheet;
    if (!s) return;
    *sheet = NULL;
    goss_buf_free(&s->rows);
    goss_buf_free(&s->maps);
    goss_buf_free(&s->map);
    goss_mem_free(s->slots);
    goss_mem_free(s->open);
    goss_mem_free(s);
}

int goss_sheet_take(goss_sheet *s, goss_rows *out)
{
    const int n = s ? s->n : 0;
    if (out) *out = (goss_rows){ 0 };
    if (!s || !out) return n;
    *out = (goss_rows){ .n = n,
                        .width = s->width,
                        .row = (const float *)(const void *)s->rows.data,
                        .map = (const float *)(const void *)s->maps.data,
                        .n_map = s->maps.len / sizeof(float) };
    goss_buf_clear(&s->rows);
    goss_buf_clear(&s->maps);
    s->n = 0;
    return n;
}

/* ---- a step ------------------------------------------------------------------------------------------- */
static float *row_of(goss_sheet *s, int slot)
{
    return s && slot >= 0 && slot < s->n_slots ? s->open + (size_t)slot * (size_t)s->width : NULL;
}

/* Where a layer's columns begin. */
static float *layer_of(goss_sheet *s, int slot, int layer)
{
    float *row = row_of(s, slot);
    return row && layer >= 0 && layer < s->n_layer ? row + LAYERS + layer * layer_width(s) : NULL;
}

void goss_sheet_ends(goss_sheet *s, int slot, int column, double ms)
{
    float *row = row_of(s, slot);
    if (row) row[column] = (float)ms;
}

void goss_sheet_part(goss_sheet *s, int slot, int layer, int part, double ms)
{
    float *to = layer_of(s, slot, layer);
    if (to) to[2 * s->n_used + GOSS_COLUMN_NORMS + part] = (float)ms;
}

void goss_sheet_experts(goss_sheet *s, int slot, int layer, const int *expert, const float *weight, int n)
{
    float *to = layer_of(s, slot, layer);
    for (int i = 0; to && i < n && i < s->n_used; i++) {
        to[i] = (float)expert[i];
        to[s->n_used + i] = weight[i];
    }
}

void goss_sheet_norms(goss_sheet *s, int slot, int layer, const double norms[GOSS_COLUMN_NORMS])
{
    float *to = layer_of(s, slot, layer);
    for (int i = 0; to && i < GOSS_COLUMN_NORMS; i++) to[2 * s->n_used + i] = (float)norms[i];
}

/* The positions that were looked at most, best first. */
static void keep_looks(float *row, int first, const float *weights, int n)
{
    float *look = row + LOOK, *weight = row + LOOK_WEIGHT;
    int have = 0;
    blank(look, 2 * GOSS_COLUMN_LOOKS);
    for (int i = 0; i < n; i++) {
        const float w = weights[i];
        if (have == GOSS_COLUMN_LOOKS && !(w > weight[have - 1])) continue;
        int k = have < GOSS_COLUMN_LOOKS ? have++ : have - 1;
        for (; k > 0 && weight[k - 1] < w; k--) {
            look[k] = look[k - 1];
            weight[k] = weight[k - 1];
        }
        look[k] = (float)(first + i);
        weight[k] = w;
    }
}

void goss_sheet_map(goss_sheet *s, int slot, int layer, int head, int first, const float *weights, int n)
{
    float *row = row_of(s, slot);
    if (!row) return;
    const float begin[MAP_HEAD] = { 0, (float)n, (float)first };
    row[GOSS_COLUMN_LAYER] = (float)layer;
    row[GOSS_COLUMN_WATCHED] = (float)head;
    keep_looks(row, first, weights, n);
    goss_buf_clear(&s->map);
    s->map.failed = 0;
    goss_buf_append(&s->map, begin, sizeof begin);
    s->map_slot = goss_buf_append(&s->map, weights, (size_t)n * sizeof *weights) ? -1 : slot;
}

/* ---- tokens ------------------------------------------------------------------------------------------- */
/* Of those that wait, the row's map goes behind the others. */
static void keep_map(goss_sheet *s, int slot)
{
    if (s->map_slot != slot) return;
    s->map_slot = -1;
    if (s->maps.len + s->map.len > s->maps.max) return;
    ((float *)(void *)s->map.data)[0] = (float)s->n;
    goss_buf_append(&s->maps, s->map.data, s->map.len);
    s->maps.failed = 0;
}

static void commit(goss_sheet *s, int slot)
{
    float *row = row_of(s, slot);
    if (s->n < MOST_ROWS && !goss_buf_append(&s->rows, row, (size_t)s->width * sizeof *row)) {
        keep_map(s, slot);
        s->n++;
    }
    s->rows.failed = 0;
    blank(row, s->width);
}

void goss_sheet_prompt(goss_sheet *s, int slot, const int32_t *ids, int n)
{
    float *row = row_of(s, slot);
    if (!row) return;
    blank(row, s->width);
    if (s->map_slot == slot) s->map_slot = -1;
    for (int i = n > MOST_ROWS / 2 ? n - MOST_ROWS / 2 : 0; i < n; i++) {
        row[GOSS_COLUMN_SESSION] = (float)slot;
        row[GOSS_COLUMN_ID] = (float)ids[i];
        row[GOSS_COLUMN_POSITION] = (float)i;
        row[GOSS_COLUMN_MADE] = 0;
        commit(s, slot);
    }
    sheet_slot *own = &s->slots[slot];
    own->position = n;
    own->last = NAN;
    if (!own->fresh) own->channel = 0;
}

void goss_sheet_channel(goss_sheet *s, int slot, const char *channel)
{
    static const char *const names[] = { "", "analysis", "commentary", "final" };
    if (!row_of(s, slot)) return;
    int i = (int)(sizeof names / sizeof *names) - 1;
    while (i > 0 && strcmp(names[i], channel) != 0) i--;
    s->slots[slot].channel = i;
    s->slots[slot].fresh = 1;
}

static void keep_pick(float *row, const goss_pick *pick)
{
    row[GOSS_COLUMN_ID] = (float)pick->token;
    row[GOSS_COLUMN_P] = isfinite(pick->logprob) ? expf(pick->logprob) : NAN;
    row[GOSS_COLUMN_ENTROPY] = pick->entropy;
    for (int i = 0; i < pick->n_top && i < GOSS_COLUMN_TOPS; i++) {
        row[TOP_ID + i] = (float)pick->top[i].token;
        row[TOP_P + i] = expf(pick->top[i].logprob);
    }
}

void goss_sheet_token(goss_sheet *s, int slot, const goss_pick *pick, double ts, double rate, int step,
                      int most)
{
    float *row = row_of(s, slot);
    if (!row) return;
    sheet_slot *own = &s->slots[slot];
    const double seconds = floor(ts / 1000);
    keep_pick(row, pick);
    row[GOSS_COLUMN_SESSION] = (float)slot;
    row[GOSS_COLUMN_POSITION] = (float)own->position++;
    row[GOSS_COLUMN_MS] = (float)(ts - own->last);
    row[GOSS_COLUMN_SECONDS] = (float)seconds;
    row[GOSS_COLUMN_MILLI] = (float)(ts - seconds * 1000);
    row[GOSS_COLUMN_RATE] = (float)rate;
    row[GOSS_COLUMN_STEP] = (float)step;
    row[GOSS_COLUMN_MOST] = (float)most;
    row[GOSS_COLUMN_CHANNEL] = (float)own->channel;
    row[GOSS_COLUMN_MADE] = 1;
    own->last = ts;
    own->fresh = 0;
    commit(s, slot);
}
