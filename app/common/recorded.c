/* recorded.c - see recorded.h. */
#include "recorded.h"
#include "base/error.h"
#include <string.h>

enum { MOST_BYTES = 1 << 30, WORDS_MOST = 1 << 21, LAYERS_MOST = 4096, USED_MOST = 256 };

/* What a block's columns are, where they are there with the shape that they must have; else NULL. */
typedef struct columns {
    size_t n, n_top, n_looks, n_steps, n_words;
    const uint32_t *turn, *position, *step, *row_step, *look;
    const int32_t *id, *top_id, *word_id;
    const uint8_t *kind, *channel, *word;
    const float *logprob, *entropy, *top_logprob, *took;
    const uint16_t *watch, *look_weight, *expert16, *weight, *word_size, *rows, *prompt_rows, *sessions,
        *drafted, *accepted;
    const uint8_t *expert8;
    const double *ms;
} columns;

static const void *column(const goss_record_block *b, const char *name, const char *type, size_t n, size_t d1,
                          size_t d2)
{
    const goss_record_column *c = goss_record_find(b, name, type);
    const int dims = 1 + (d1 > 0) + (d2 > 0);
    if (!c || c->n_dims != dims || c->shape[0] != n || (d1 && c->shape[1] != d1) || (d2 && c->shape[2] != d2))
        return NULL;
    return c->values;
}

static size_t rows_of(const goss_record_block *b, const char *name, const char *type)
{
    const goss_record_column *c = goss_record_find(b, name, type);
    return c ? c->shape[0] : 0;
}

static size_t width_of(const goss_record_block *b, const char *name, const char *type)
{
    const goss_record_column *c = goss_record_find(b, name, type);
    return c && c->n_dims == 2 ? c->shape[1] : 0;
}

static void token_columns(columns *c, const goss_recorded *r, const goss_record_block *b)
{
    const size_t n = c->n = rows_of(b, "id", "i32"), layers = (size_t)r->n_layer,
                 used = (size_t)r->n_expert_used;
    c->n_top = width_of(b, "top_id", "i32");
    c->n_looks = width_of(b, "look", "u32");
    c->turn = column(b, "turn", "u32", n, 0, 0);
    c->position = column(b, "position", "u32", n, 0, 0);
    c->id = column(b, "id", "i32", n, 0, 0);
    c->kind = column(b, "kind", "u8", n, 0, 0);
    c->channel = column(b, "channel", "u8", n, 0, 0);
    c->logprob = column(b, "logprob", "f32", n, 0, 0);
    c->entropy = column(b, "entropy", "f32", n, 0, 0);
    c->step = column(b, "step", "u32", n, 0, 0);
    c->row_step = column(b, "row_step", "u32", n, 0, 0);
    c->top_id = c->n_top ? column(b, "top_id", "i32", n, c->n_top, 0) : NULL;
    c->top_logprob = c->n_top ? column(b, "top_logprob", "f32", n, c->n_top, 0) : NULL;
    c->watch = column(b, "watch", "u16", n, 2, 0);
    c->look = c->n_looks ? column(b, "look", "u32", n, c->n_looks, 0) : NULL;
    c->look_weight = c->n_looks ? column(b, "look_weight", "u16", n, c->n_looks, 0) : NULL;
    if (!layers || !used) return;
    c->expert8 = column(b, "expert", "u8", n, layers, used);
    c->expert16 = column(b, "expert", "u16", n, layers, used);
    c->weight = column(b, "expert_weight", "u16", n, layers, used);
}

static void other_columns(columns *c, const goss_record_block *b)
{
    const size_t n = c->n_steps = rows_of(b, "step_ms", "f64"), w = c->n_words = rows_of(b, "word_id", "i32");
    c->ms = column(b, "step_ms", "f64", n, 0, 0);
    c->took = column(b, "step_took", "f32", n, 0, 0);
    c->rows = column(b, "step_rows", "u16", n, 0, 0);
    c->prompt_rows = column(b, "step_prompt_rows", "u16", n, 0, 0);
    c->sessions = column(b, "step_sessions", "u16", n, 0, 0);
    c->drafted = column(b, "step_drafted", "u16", n, 0, 0);
    c->accepted = column(b, "step_accepted", "u16", n, 0, 0);
    c->word_id = column(b, "word_id", "i32", w, 0, 0);
    c->word_size = column(b, "word_size", "u16", w, 0, 0);
    c->word = column(b, "word", "u8", rows_of(b, "word", "u8"), 0, 0);
}

/* ---- tokens -------------------------------------------------------------------------------------------- */
static int64_t step_of(const uint32_t *steps, size_t i)
{
    return steps && steps[i] != UINT32_MAX ? (int64_t)steps[i] : GOSS_RECORDED_NONE;
}

static void take_top(goss_recorded_token *t, const columns *c, size_t i)
{
    for (size_t k = 0; c->top_id && c->top_logprob && k < c->n_top && k < GOSS_RECORDED_TOP; k++) {
        if (c->top_id[i * c->n_top + k] < 0) break;
        t->top_id[t->n_top] = c->top_id[i * c->n_top + k];
        t->top_logprob[t->n_top++] = c->top_logprob[i * c->n_top + k];
    }
    for (size_t k = 0; c->look && c->look_weight && k < c->n_looks && k < GOSS_RECORDED_LOOKS; k++) {
        if (c->look[i * c->n_looks + k] > INT32_MAX) break;
        t->look[t->n_looks] = (int)c->look[i * c->n_looks + k];
        t->look_weight[t->n_looks++] = (float)c->look_weight[i * c->n_looks + k] / 65535.0f;
    }
}

static void take_experts(goss_recorded *r, goss_recorded_token *t, const columns *c, size_t i)
{
    const size_t each = (size_t)r->n_layer * (size_t)r->n_expert_used;
    for (size_t k = 0; k < each; k++) {
        const uint16_t e = c->expert16  ? c->expert16[i * each + k]
                           : c->expert8 ? c->expert8[i * each + k]
                                        : 0,
                       w = c->weight ? c->weight[i * each + k] : 0;
        t->routed |= w > 0;
        goss_buf_append(&r->expert, &e, sizeof e);
        goss_buf_append(&r->expert_weight, &w, sizeof w);
    }
}

static void take_tokens(goss_recorded *r, const columns *c)
{
    for (size_t i = 0; i < c->n; i++) {
        goss_recorded_token t = { .turn = (int)(c->turn[i] & INT32_MAX),
                                  .position = (int)(c->position[i] & INT32_MAX),
                                  .id = c->id[i],
                                  .kind = c->kind ? c->kind[i] : 1,
                                  .channel = c->channel ? c->channel[i] : 0,
                                  .logprob = c->logprob ? c->logprob[i] : 0,
                                  .entropy = c->entropy ? c->entropy[i] : 0,
                                  .step = step_of(c->step, i),
                                  .row_step = step_of(c->row_step, i) };
        if (c->watch) memcpy(t.watch, (const int[]){ c->watch[2 * i], c->watch[2 * i + 1] }, sizeof t.watch);
        take_top(&t, c, i);
        take_experts(r, &t, c, i);
        goss_buf_append(&r->tokens, &t, sizeof t);
    }
}

static int take_words(goss_recorded *r, const columns *c, size_t n_bytes)
{
    size_t at = 0;
    if (!c->word_id || !c->word_size || !c->word) return 0;
    for (size_t i = 0; i < c->n_words; at += c->word_size[i++]) {
        const size_t id = (size_t)c->word_id[i];
        if (c->word_size[i] > n_bytes - at || c->word_id[i] < 0 || id >= WORDS_MOST) return -1;
        const size_t need = (id + 1) * sizeof(goss_str), have = r->words.len;
        if (need > have) {
            if (goss_buf_reserve(&r->words, need - have)) return 0;
            memset(r->words.data + have, 0, need - have);
            r->words.len = need;
        }
        goss_str *word = (goss_str *)(void *)r->words.data + id;
        if (word->s) continue;
        word->s = goss_owned_text(&r->owned, c->word + at, c->word_size[i]);
        word->n = word->s ? c->word_size[i] : 0;
    }
    return 0;
}

static void take_steps(goss_recorded *r, const columns *c)
{
    for (size_t i = 0; c->ms && c->took && i < c->n_steps; i++) {
        const goss_recorded_step s = { c->ms[i],
                                       c->took[i],
                                       c->rows ? c->rows[i] : 0,
                                       c->prompt_rows ? c->prompt_rows[i] : 0,
                                       c->sessions ? c->sessions[i] : 0,
                                       c->drafted ? c->drafted[i] : 0,
                                       c->accepted ? c->accepted[i] : 0 };
        goss_buf_append(&r->steps, &s, sizeof s);
    }
}

/* ---- turns --------------------------------------------------------------------------------------------- */
static int whole_number(const goss_json *j, int object, const char *key, int absent)
{
    const double v = goss_json_number(j, goss_json_get(j, object, key), absent);
    return v >= -1 && v <= INT32_MAX ? (int)v : absent;
}

static const char *text_of(goss_recorded *r, const goss_json *j, int node)
{
    goss_str s;
    if (goss_json_str(j, node, &r->owned, &s)) return "";
    const char *text = goss_owned_text(&r->owned, s.s, (size_t)s.n);
    return text ? text : "";
}

static void take_turns(goss_recorded *r, const goss_json *j)
{
    const int list = goss_json_get(j, 0, "turns"), ends = goss_json_get(j, 0, "ends");
    for (int i = goss_json_first(j, list); i >= 0; i = goss_json_next(j, i)) {
        goss_recorded_turn t = { .turn = whole_number(j, i, "turn", 0),
                                 .session = whole_number(j, i, "session", 0),
                                 .of = whole_number(j, i, "of", -1),
                                 .from = whole_number(j, i, "from", 0),
                                 .n_prompt = whole_number(j, i, "prompt", 0),
                                 .n_reused = whole_number(j, i, "reused", 0),
                                 .stop = "",
                                 .begin_ms = goss_json_number(j, goss_json_get(j, i, "ms"), 0) };
        const goss_str request = goss_json_source(j, goss_json_get(j, i, "request"));
        if (goss_json_kind(j, goss_json_get(j, i, "request")) == GOSS_JSON_OBJECT)
            t.request = goss_owned_text(&r->owned, request.s, (size_t)request.n);
        goss_buf_append(&r->turns, &t, sizeof t);
    }
    for (int i = goss_json_first(j, ends); i >= 0; i = goss_json_next(j, i)) {
        goss_recorded_turn *t = goss_recorded_turn_of(r, whole_number(j, i, "turn", -1));
        if (!t) continue;
        t->stop = text_of(r, j, goss_json_get(j, i, "stop"));
        t->n_generated = whole_number(j, i, "generated", 0);
        t->end_ms = goss_json_number(j, goss_json_get(j, i, "ms"), 0);
    }
}

static void take_channels(goss_recorded *r, const goss_json *j)
{
    const int list = goss_json_get(j, 0, "channels");
    int n = 0;
    const int have = (int)(r->channels.len / sizeof(char *));
    for (int i = goss_json_first(j, list); i >= 0; i = goss_json_next(j, i), n++) {
        if (n < have) continue;
        const char *name = text_of(r, j, i);
        goss_buf_append(&r->channels, &name, sizeof name);
    }
}

/* ---- blocks -------------------------------------------------------------------------------------------- */
static int take_head(goss_recorded *r, const goss_json *j, goss_error *err)
{
    const int model = goss_json_get(j, 0, "model");
    const goss_str all = goss_json_source(j, 0);
    if (r->head) return goss_fail(err, GOSS_EFORMAT, -1, "the recording has two heads");
    r->head = goss_owned_text(&r->owned, all.s, (size_t)all.n);
    goss_json_str(j, goss_json_get(j, model, "name"), &r->owned, &r->name);
    goss_json_str(j, goss_json_get(j, 0, "program"), &r->owned, &r->program);
    r->name.s = goss_owned_text(&r->owned, r->name.s, (size_t)r->name.n);
    r->program.s = goss_owned_text(&r->owned, r->program.s, (size_t)r->program.n);
    r->t0_ms = goss_json_number(j, goss_json_get(j, 0, "t0_ms"), 0);
    r->n_layer = whole_number(j, model, "n_layer", 0);
    r->n_head = whole_number(j, model, "n_head", 0);
    r->n_expert = whole_number(j, model, "n_expert", 0);
    r->n_expert_used = whole_number(j, model, "n_expert_used", 0);
    r->window = whole_number(j, model, "window", 0);
    if (r->n_layer < 0 || r->n_layer > LAYERS_MOST || r->n_expert_used < 0 || r->n_expert_used > USED_MOST ||
        r->n_expert < 0 || r->n_expert > UINT16_MAX)
        return goss_fail(err, GOSS_EFORMAT, -1, "the recording's head is of no model");
    return 0;
}

static int take_block(goss_recorded *r, const goss_record_reader *reader, goss_error *err)
{
    const goss_record_block *b = &reader->block;
    const goss_json *j = &b->head;
    const int kind = goss_json_get(j, 0, "kind");
    columns c = { 0 };
    r->n_blocks++;
    r->whole = goss_json_is(j, kind, "end");
    if (goss_json_is(j, kind, "head")) return take_head(r, j, err);
    if (goss_json_is(j, kind, "lines")) return goss_buf_append(&r->lines, b->data, b->n_data);
    if (!goss_json_is(j, kind, "tokens")) return 0;
    if (!r->head) return goss_fail(err, GOSS_EFORMAT, -1, "the recording begins without its head");
    token_columns(&c, r, b);
    other_columns(&c, b);
    if (c.n && (!c.id || !c.turn || !c.position))
        return goss_fail(err, GOSS_EFORMAT, -1, "the recording's tokens have no id, turn or position");
    take_turns(r, j);
    take_channels(r, j);
    take_tokens(r, &c);
    take_steps(r, &c);
    if (take_words(r, &c, rows_of(b, "word", "u8")))
        return goss_fail(err, GOSS_EFORMAT, -1, "the recording has words that do not lie in it");
    return 0;
}

int goss_recorded_read(goss_recorded *r, const uint8_t *bytes, size_t n, goss_error *err)
{
    goss_record_reader reader;
    int rc;
    *r = (goss_recorded){ .bytes = n };
    goss_buf *const all[] = { &r->tokens,        &r->steps,    &r->turns, &r->expert,
                              &r->expert_weight, &r->channels, &r->words, &r->lines };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) *all[i] = GOSS_BUF(MOST_BYTES);
    goss_record_reader_open(&reader, bytes, n);
    if (n < 4 || (memcmp(bytes, "GREC", 4) && memcmp(bytes, "\x1f\x8b", 2)))
        rc = goss_fail(err, GOSS_EFORMAT, 0, "this is no recording: it begins otherwise");
    else
        while ((rc = goss_record_next(&reader, err)) == 1 && !(rc = take_block(r, &reader, err))) {}
    goss_record_reader_close(&reader);
    for (size_t i = 0; !rc && i < sizeof all / sizeof *all; i++)
        if (all[i]->failed) rc = goss_fail(err, GOSS_ENOMEM, -1, "no memory for the recording");
    if (!rc && !r->head) rc = goss_fail(err, GOSS_EFORMAT, -1, "the recording ends before its head");
    return rc;
}

void goss_recorded_close(goss_recorded *r)
{
    goss_buf *const all[] = { &r->tokens,        &r->steps,    &r->turns, &r->expert,
                              &r->expert_weight, &r->channels, &r->words, &r->lines };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) goss_buf_free(all[i]);
    goss_owned_free(&r->owned);
    *r = (goss_recorded){ 0 };
}

/* ---- looking ------------------------------------------------------------------------------------------- */
const uint16_t *goss_recorded_experts(const goss_recorded *r, int i, int layer, const uint16_t **weights)
{
    const size_t used = (size_t)r->n_expert_used,
                 at = ((size_t)i * (size_t)r->n_layer + (size_t)layer) * used;
    if (!used || !goss_recorded_tokens(r)[i].routed || layer >= r->n_layer) return NULL;
    *weights = (const uint16_t *)(const void *)r->expert_weight.data + at;
    return (const uint16_t *)(const void *)r->expert.data + at;
}

goss_str goss_recorded_word(const goss_recorded *r, int id)
{
    if (id < 0 || (size_t)id >= r->words.len / sizeof(goss_str)) return (goss_str){ "", 0 };
    const goss_str s = ((const goss_str *)(const void *)r->words.data)[id];
    return s.s ? s : (goss_str){ "", 0 };
}

const char *goss_recorded_channel(const goss_recorded *r, int channel)
{
    if (channel < 0 || (size_t)channel >= r->channels.len / sizeof(char *)) return "";
    return ((const char *const *)(const void *)r->channels.data)[channel];
}

goss_recorded_turn *goss_recorded_turn_of(const goss_recorded *r, int turn)
{
    for (int i = goss_recorded_n_turns(r) - 1; i >= 0; i--)
        if (goss_recorded_turns(r)[i].turn == turn) return &goss_recorded_turns(r)[i];
    return NULL;
}
