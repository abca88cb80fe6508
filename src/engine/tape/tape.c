/* tape.c - collects tokens and steps, and makes a block of them when there are enough.
 *
 * Tokens lie in columns by their place in the block to come. A token stays open until its row has gone
 * through the model (or its turn is done): of each slot at most the newest one, since what was drafted
 * goes through in the same step. A cut takes all that is not open; what is open moves to the front. */
#include "tape.h"
#include "tape_block.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include <math.h>
#include <string.h>

enum {
    BLOCK_TOKENS = 64,
    BLOCK_STEPS = 256,
    TIMED_MOST = 8,
    CHANNELS = 64,
    CHANNEL_BYTES = 144,
    ENDS = 3,
    NO_ROW = -1,
    NO_TURN = -1,
    JSON_FIRST = 1 << 14,
    JSON_MOST = 1 << 26
};

/* The columns of a token: name and type, values a row (0: from the model, see dimensions()). */
#define COLUMNS(X)                                                                                     \
    X(TURN, "turn", "u32", 1)                                                                          \
    X(POSITION, "position", "u32", 1) X(ID, "id", "i32", 1) X(KIND, "kind", "u8", 1)                   \
        X(CHANNEL, "channel", "u8", 1) X(LOGPROB, "logprob", "f32", 1) X(ENTROPY, "entropy", "f32", 1) \
            X(STEP, "step", "u32", 1) X(TOP_ID, "top_id", "i32", GOSS_TOP_SHOWN)                       \
                X(TOP_LOGPROB, "top_logprob", "f32", GOSS_TOP_SHOWN) X(ROW_STEP, "row_step", "u32", 1) \
                    X(WATCH, "watch", "u16", 2) X(LOOK, "look", "u32", GOSS_LOOKS)                     \
                        X(LOOK_WEIGHT, "look_weight", "u16", GOSS_LOOKS) X(EXPERT, "expert", "u8", 0)  \
                            X(EXPERT_WEIGHT, "expert_weight", "u16", 0)
#define COLUMN_ENUM(id, name, type, n) id,
#define COLUMN_ROW(id, name, type, n) { name, type, n },
enum { COLUMNS(COLUMN_ENUM) N_COLUMNS };
static const struct {
    const char *name, *type;
    int n;
} column_of[N_COLUMNS] = { COLUMNS(COLUMN_ROW) };

typedef struct step_columns {
    double ms[BLOCK_STEPS];
    float took[BLOCK_STEPS];
    uint16_t rows[BLOCK_STEPS], prompt_rows[BLOCK_STEPS], sessions[BLOCK_STEPS], drafted[BLOCK_STEPS],
        accepted[BLOCK_STEPS];
} step_columns;

typedef struct tape_slot {
    int turn, of, from; /* its newest turn, and what that one begins with */
    int open;           /* the place of its newest token, where its row is still to come; NO_ROW */
    int n_written;      /* positions of the prompt that are written, or needn't be */
    goss_buf request;
} tape_slot;

struct goss_tape {
    goss_record_config config;
    const goss_model *model;
    const goss_vocab *vocab;
    int n_slots, block_tokens, cap, used, refused;
    tape_slot *slots;
    uint8_t *column[N_COLUMNS];
    size_t row_bytes[N_COLUMNS];
    int per[N_COLUMNS][2];
    uint16_t *chosen; /* (n_layer, n_expert_used) of one row */
    uint32_t *order;
    int n;                               /* tokens that wait */
    uint32_t n_tokens, n_steps, n_turns; /* written; begun */
    step_columns steps;
    int n_waiting; /* steps that wait */
    float *stage_us, *ends_us, *timing;
    uint32_t stage_step[TIMED_MOST];
    int n_timed, timed_now;
    uint64_t timed_next;         /* the number of a step: from then on the next that can is timed */
    char channels[CHANNELS][CHANNEL_BYTES];
    int n_channels;
    goss_buf turns, ends; /* JSON objects with commas between */
    uint32_t *seen;
    int32_t *word_id;
    uint16_t *word_size;
    goss_buf words;
    int n_words;
    goss_tape_block block;
};

/* ---- opening ------------------------------------------------------------------------------------------- */
static void dimensions(goss_tape *t)
{
    const goss_hparams *h = &t->model->hp;
    for (int c = 0; c < N_COLUMNS; c++) {
        const int routed = c == EXPERT || c == EXPERT_WEIGHT;
        t->per[c][0] = routed ? h->n_layer : column_of[c].n == 1 ? 0 : column_of[c].n;
        t->per[c][1] = routed ? h->n_expert_used : 0;
        const size_t values = routed ? (size_t)h->n_layer * (size_t)h->n_expert_used : (size_t)column_of[c].n;
        t->row_bytes[c] =
            values * (c == EXPERT && h->n_expert > 256 ? 2 : goss_tape_type_bytes(column_of[c].type));
    }
    if (!h->n_expert) t->row_bytes[EXPERT] = t->row_bytes[EXPERT_WEIGHT] = 0;
}

static size_t timed_values(const goss_tape *t)
{
    return (size_t)t->model->hp.n_layer * GOSS_LAYER_STAGES + ENDS;
}

static int take_memory(goss_tape *t)
{
    const size_t cap = (size_t)t->cap, layers = (size_t)t->model->hp.n_layer * GOSS_LAYER_STAGES,
                 words = cap * (GOSS_TOP_SHOWN + 1);
    size_t bytes = sizeof t->steps + words * 32;
    int ok = 1;
    for (int c = 0; c < N_COLUMNS; c++) {
        bytes += cap * t->row_bytes[c];
        if (t->row_bytes[c]) ok &= (t->column[c] = goss_mem_array(cap, t->row_bytes[c])) != NULL;
    }
    if (t->row_bytes[EXPERT_WEIGHT]) ok &= (t->chosen = goss_mem_alloc(t->row_bytes[EXPERT_WEIGHT])) != NULL;
    ok &= (t->order = goss_mem_array(cap, sizeof *t->order)) != NULL;
    ok &= (t->slots = goss_mem_array((size_t)t->n_slots, sizeof *t->slots)) != NULL;
    ok &= (t->stage_us = goss_mem_array(TIMED_MOST * layers + 1, sizeof *t->stage_us)) != NULL;
    ok &= (t->ends_us = goss_mem_array(TIMED_MOST * ENDS, sizeof *t->ends_us)) != NULL;
    ok &= (t->timing = goss_mem_array(timed_values(t), sizeof *t->timing)) != NULL;
    ok &= (t->seen = goss_mem_array((size_t)goss_vocab_size(t->vocab) / 32 + 1, sizeof *t->seen)) != NULL;
    ok &= (t->word_id = goss_mem_array(words, sizeof *t->word_id)) != NULL;
    ok &= (t->word_size = goss_mem_array(words, sizeof *t->word_size)) != NULL;
    t->turns = t->ends = GOSS_BUF(JSON_MOST);
    t->words = GOSS_BUF(JSON_MOST);
    return ok && !goss_buf_reserve(&t->turns, JSON_FIRST) && !goss_buf_reserve(&t->ends, JSON_FIRST) &&
                   !goss_buf_reserve(&t->words, words * 16) && !goss_tape_block_open(&t->block, bytes)
               ? 0
               : GOSS_ENOMEM;
}

int goss_tape_open(goss_tape **out, const goss_record_config *c, const goss_model *m, const goss_vocab *v,
                   int max_sessions)
{
    goss_tape *t = *out = goss_mem_alloc(sizeof *t);
    if (!t) return GOSS_ENOMEM;
    t->config = *c;
    t->model = m;
    t->vocab = v;
    t->n_slots = max_sessions;
    t->block_tokens = c->block_tokens > 0 ? c->block_tokens : BLOCK_TOKENS;
    t->cap = t->block_tokens + max_sessions + 1;
    t->n_channels = 1; /* "" */
    dimensions(t);
    if (take_memory(t)) {
        goss_tape_close(out);
        return GOSS_ENOMEM;
    }
    for (int i = 0; i < max_sessions; i++)
        t->slots[i] =
            (tape_slot){ .turn = NO_TURN, .of = NO_TURN, .open = NO_ROW, .request = GOSS_BUF(JSON_MOST) };
    return 0;
}

void goss_tape_close(goss_tape **tape)
{
    goss_tape *t = *tape;
    if (!t) return;
    *tape = NULL;
    for (int c = 0; c < N_COLUMNS; c++) goss_mem_free(t->column[c]);
    for (int i = 0; t->slots && i < t->n_slots; i++) goss_buf_free(&t->slots[i].request);
    void *const parts[] = { t->chosen, t->order, t->slots,   t->stage_us, t->ends_us,
                            t->timing, t->seen,  t->word_id, t->word_size };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) goss_mem_free(parts[i]);
    goss_buf_free(&t->turns);
    goss_buf_free(&t->ends);
    goss_buf_free(&t->words);
    goss_tape_block_close(&t->block);
    goss_mem_free(t);
}

/* ---- handing out --------------------------------------------------------------------------------------- */
static void hand_out(goss_tape *t, uint32_t n_tokens)
{
    const goss_buf *b = goss_tape_block_end(&t->block);
    if (t->refused) return;
    t->refused = b ? t->config.block(t->config.ctx, b->data, b->len, t->n_tokens, n_tokens) : GOSS_ENOMEM;
}

static void text_field(goss_buf *b, const char *name, const char *text)
{
    goss_buf_printf(b, "%s\"%s\":", name[0] == '{' ? "" : ",", name);
    goss_buf_json_string(b, text, strlen(text));
}

static void model_object(goss_buf *b, const goss_model_info *i)
{
    goss_buf_str(b, ",\"model\":{\"name\":");
    goss_buf_json_string(b, i->name, strlen(i->name));
    text_field(b, "arch", i->arch);
    text_field(b, "type", i->type);
    text_field(b, "backend", i->backend);
    text_field(b, "level", i->level);
    text_field(b, "chat", i->chat);
    text_field(b, "kv", i->kv);
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        { "n_layer", (uint64_t)i->n_layer },
        { "n_embd", (uint64_t)i->n_embd },
        { "n_head", (uint64_t)i->n_head },
        { "n_head_kv", (uint64_t)i->n_head_kv },
        { "head_dim", (uint64_t)i->head_dim },
        { "n_ff", (uint64_t)i->n_ff },
        { "n_expert", (uint64_t)i->n_expert },
        { "n_expert_used", (uint64_t)i->n_expert_used },
        { "n_vocab", (uint64_t)i->n_vocab },
        { "n_ctx", (uint64_t)i->n_ctx },
        { "window", (uint64_t)i->window },
        { "max_kv", (uint64_t)i->max_kv },
        { "n_threads", (uint64_t)i->n_threads },
        { "n_params", (uint64_t)i->n_params },
        { "file_bytes", i->file_bytes },
        { "resident_bytes", i->resident_bytes },
        { "kv_bytes", i->kv_bytes },
        { "step_bytes", i->step_bytes },
        { "step_expert_bytes", i->step_expert_bytes },
    };
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        goss_buf_printf(b, ",\"%s\":%llu", numbers[k].name, (unsigned long long)numbers[k].value);
    goss_buf_str(b, "}");
}

void goss_tape_head(goss_tape *t, const goss_model_info *info, int layer, int head)
{
    if (!t) return;
    goss_buf *b = &t->block.head;
    goss_tape_block_begin(&t->block, "head");
    goss_buf_printf(b, ",\"program\":\"gossamer %s\",\"t0_ms\":%.3f", GOSS_VERSION, goss_os_now_ms());
    model_object(b, info);
    for (int l = 0; l < t->model->hp.n_layer; l++)
        goss_buf_printf(b, "%s%d", l ? "," : ",\"windowed\":[", t->model->layers[l].windowed);
    goss_buf_printf(b, "%s,\"n_top\":%d,\"n_looks\":%d,\"watch\":[%d,%d],\"stages\":[",
                    t->model->hp.n_layer ? "]" : "", GOSS_TOP_SHOWN, GOSS_LOOKS, layer, head);
    for (int s = GOSS_STAGE_ATTN_IN; s <= GOSS_STAGE_FFN; s++)
        goss_buf_printf(b, "%s\"%s\"", s == GOSS_STAGE_ATTN_IN ? "" : ",", goss_stage_name((goss_stage)s));
    goss_buf_str(b, "]");
    hand_out(t, 0);
}

/* The texts of all ids that the tokens of `order` name, each once. */
static void take_word(goss_tape *t, int32_t id)
{
    if (id < 0 || id >= goss_vocab_size(t->vocab) || (t->seen[id / 32] >> (id % 32) & 1)) return;
    const goss_str text = goss_vocab_bytes(t->vocab, id, 1);
    const size_t n = text.n < UINT16_MAX ? (size_t)text.n : UINT16_MAX;
    t->seen[id / 32] |= 1u << (id % 32);
    t->word_id[t->n_words] = id;
    t->word_size[t->n_words++] = (uint16_t)n;
    goss_buf_append(&t->words, text.s, n);
}

static void take_words(goss_tape *t, int n)
{
    const int32_t *id = (const int32_t *)(const void *)t->column[ID],
                  *top = (const int32_t *)(const void *)t->column[TOP_ID];
    t->n_words = 0;
    goss_buf_clear(&t->words);
    for (int i = 0; i < n; i++) {
        take_word(t, id[t->order[i]]);
        for (int k = 0; k < GOSS_TOP_SHOWN; k++)
            take_word(t, top[t->order[i] * GOSS_TOP_SHOWN + (uint32_t)k]);
    }
    for (int i = 0; i < t->n_words; i++) t->seen[t->word_id[i] / 32] = 0;
}

/* The tokens that are not open go to the front of `order`; returns how many they are. Open ones behind
 * them. */
static int choose(goss_tape *t)
{
    int n = 0, n_open = 0;
    for (int i = 0; i < t->n; i++) {
        int open = 0;
        for (int s = 0; s < t->n_slots; s++) open |= t->slots[s].open == i;
        if (!open) t->order[n++] = (uint32_t)i;
        else t->order[t->cap - ++n_open] = (uint32_t)i;
    }
    return n;
}

/* What is open moves to the front, in its order. */
static void keep_open(goss_tape *t, int n_open)
{
    for (int k = 0; k < n_open; k++) {
        const uint32_t from = t->order[t->cap - 1 - k];
        for (int c = 0; c < N_COLUMNS; c++)
            memmove(t->column[c] + (size_t)k * t->row_bytes[c], t->column[c] + from * t->row_bytes[c],
                    t->row_bytes[c]);
        for (int s = 0; s < t->n_slots; s++)
            if (t->slots[s].open == (int)from) {
                t->slots[s].open = k;
                break;
            }
    }
    t->n = n_open;
}

static void add_tokens(goss_tape *t, int n)
{
    for (int c = 0; c < N_COLUMNS; c++) {
        const char *type = c == EXPERT && t->model->hp.n_expert > 256 ? "u16" : column_of[c].type;
        if (t->row_bytes[c])
            goss_tape_block_column(&t->block, column_of[c].name, type, t->per[c], t->column[c], t->order,
                                   (size_t)n);
    }
    take_words(t, n);
    goss_tape_block_column(&t->block, "word_id", "i32", NULL, t->word_id, NULL, (size_t)t->n_words);
    goss_tape_block_column(&t->block, "word_size", "u16", NULL, t->word_size, NULL, (size_t)t->n_words);
    goss_tape_block_column(&t->block, "word", "u8", NULL, t->words.data, NULL, t->words.len);
}

static void add_steps(goss_tape *t)
{
    const step_columns *s = &t->steps;
    const struct {
        const char *name, *type;
        const void *rows;
    } all[] = {
        { "step_ms", "f64", s->ms },
        { "step_took", "f32", s->took },
        { "step_rows", "u16", s->rows },
        { "step_prompt_rows", "u16", s->prompt_rows },
        { "step_sessions", "u16", s->sessions },
        { "step_drafted", "u16", s->drafted },
        { "step_accepted", "u16", s->accepted },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        goss_tape_block_column(&t->block, all[i].name, all[i].type, NULL, all[i].rows, NULL,
                               (size_t)t->n_waiting);
    if (!t->n_timed) return;
    const int layers[2] = { t->model->hp.n_layer, GOSS_LAYER_STAGES }, ends[2] = { ENDS, 0 };
    goss_tape_block_column(&t->block, "stage_step", "u32", NULL, t->stage_step, NULL, (size_t)t->n_timed);
    if (layers[0])
        goss_tape_block_column(&t->block, "stage_us", "f32", layers, t->stage_us, NULL, (size_t)t->n_timed);
    goss_tape_block_column(&t->block, "ends_us", "f32", ends, t->ends_us, NULL, (size_t)t->n_timed);
}

static void add_lists(goss_tape *t, const goss_stats *stats)
{
    goss_buf *b = &t->block.head;
    goss_buf_printf(b, ",\"first\":%u,\"first_step\":%u,\"channels\":[", t->n_tokens,
                    t->n_steps - (uint32_t)t->n_waiting);
    for (int i = 0; i < t->n_channels; i++) {
        if (i) goss_buf_str(b, ",");
        goss_buf_json_string(b, t->channels[i], strlen(t->channels[i]));
    }
    goss_buf_str(b, "],\"turns\":[");
    if (t->turns.len) goss_buf_append(b, t->turns.data, t->turns.len);
    goss_buf_str(b, "],\"ends\":[");
    if (t->ends.len) goss_buf_append(b, t->ends.data, t->ends.len);
    goss_buf_str(b, "]");
    if (stats)
        goss_buf_printf(
            b,
            ",\"memory\":{\"kv_used\":%llu,\"kv_shared\":%llu,\"gpu\":%llu,\"sessions\":%d,\"active\":%d,"
            "\"ms\":%.3f}",
            (unsigned long long)stats->kv_bytes_used, (unsigned long long)stats->kv_bytes_shared,
            (unsigned long long)stats->gpu_bytes, stats->n_sessions, stats->n_active, goss_os_now_ms());
}

int goss_tape_cut(goss_tape *t, const goss_stats *stats)
{
    if (!t) return 0;
    const int n = choose(t), n_open = t->n - n;
    if (!n && !t->n_waiting && !t->turns.len && !t->ends.len) return t->refused;
    goss_tape_block_begin(&t->block, "tokens");
    add_lists(t, stats);
    add_tokens(t, n);
    add_steps(t);
    hand_out(t, (uint32_t)n);
    keep_open(t, n_open);
    t->n_tokens += (uint32_t)n;
    t->n_waiting = t->n_timed = 0;
    goss_buf_clear(&t->turns);
    goss_buf_clear(&t->ends);
    return t->refused;
}

int goss_tape_full(const goss_tape *t)
{
    return t && (t->n >= t->block_tokens || t->n_waiting >= BLOCK_STEPS - 1 || t->n_timed >= TIMED_MOST - 1);
}

void goss_tape_end(goss_tape *t)
{
    if (!t) return;
    for (int i = 0; i < t->n_slots; i++) t->slots[i].open = NO_ROW;
    goss_tape_cut(t, NULL);
    goss_tape_block_begin(&t->block, "end");
    goss_buf_printf(&t->block.head, ",\"tokens\":%u,\"steps\":%u,\"ms\":%.3f", t->n_tokens, t->n_steps,
                    goss_os_now_ms());
    hand_out(t, 0);
}

/* ---- turns --------------------------------------------------------------------------------------------- */
void goss_tape_session(goss_tape *t, int slot, int from)
{
    if (!t) return;
    tape_slot *s = &t->slots[slot];
    s->open = NO_ROW;
    s->turn = from >= 0 ? t->slots[from].turn : NO_TURN;
    goss_buf_clear(&s->request);
}

void goss_tape_request(goss_tape *t, int slot, const char *json, size_t n)
{
    if (!t) return;
    t->slots[slot].request.failed = 0;
    goss_buf_clear(&t->slots[slot].request);
    goss_buf_append(&t->slots[slot].request, json, n);
}

void goss_tape_prompt(goss_tape *t, int slot, const int32_t *ids, int n, const int32_t *old, int n_old)
{
    if (!t) return;
    tape_slot *s = &t->slots[slot];
    int same = 0;
    while (s->turn != NO_TURN && same < n && same < n_old && ids[same] == old[same]) same++;
    s->of = same ? s->turn : NO_TURN;
    s->from = s->n_written = same;
    s->turn = (int)t->n_turns++;
    s->open = NO_ROW;
}

/* Room for one more token; its place. */
static int add_token(goss_tape *t, tape_slot *s, int pos, int32_t id, int kind)
{
    if (t->n == t->cap || goss_tape_full(t)) goss_tape_cut(t, NULL);
    const int at = t->n++;
    for (int c = 0; c < N_COLUMNS; c++)
        memset(t->column[c] + (size_t)at * t->row_bytes[c],
               c == STEP || c == ROW_STEP || c == TOP_ID || c == LOOK ? 0xff : 0, t->row_bytes[c]);
    ((uint32_t *)(void *)t->column[TURN])[at] = (uint32_t)s->turn;
    ((uint32_t *)(void *)t->column[POSITION])[at] = (uint32_t)pos;
    ((int32_t *)(void *)t->column[ID])[at] = id;
    t->column[KIND][at] = (uint8_t)kind;
    ((float *)(void *)t->column[LOGPROB])[at] = ((float *)(void *)t->column[ENTROPY])[at] = NAN;
    return at;
}

void goss_tape_begin(goss_tape *t, int slot, const int32_t *ids, int n, int n_reused)
{
    if (!t) return;
    tape_slot *s = &t->slots[slot];
    if (s->turn == NO_TURN) return;
    goss_buf_printf(
        &t->turns,
        "%s{\"turn\":%d,\"session\":%d,\"of\":%d,\"from\":%d,\"prompt\":%d,\"reused\":%d,\"ms\":%.3f",
        t->turns.len ? "," : "", s->turn, slot, s->of, s->from, n, n_reused, goss_os_now_ms());
    if (s->request.len && !s->request.failed) {
        goss_buf_str(&t->turns, ",\"request\":");
        goss_buf_append(&t->turns, s->request.data, s->request.len);
    }
    goss_buf_str(&t->turns, "}");
    goss_buf_clear(&s->request);
    for (; s->n_written < n_reused; s->n_written++) add_token(t, s, s->n_written, ids[s->n_written], 0);
}

static uint8_t channel_of(goss_tape *t, const char *channel, const char *recipient)
{
    char name[CHANNEL_BYTES];
    goss_fmt(name, sizeof name, "%s%s%s", channel, *recipient ? " to=" : "", recipient);
    for (int i = 0; i < t->n_channels; i++)
        if (!strcmp(t->channels[i], name)) return (uint8_t)i;
    if (t->n_channels == CHANNELS) return 0;
    memcpy(t->channels[t->n_channels], name, sizeof name);
    return (uint8_t)t->n_channels++;
}

void goss_tape_token(goss_tape *t, int slot, int pos, const goss_pick *pick, int drafted, const char *channel,
                     const char *recipient)
{
    if (!t || t->slots[slot].turn == NO_TURN) return;
    tape_slot *s = &t->slots[slot];
    const int at = add_token(t, s, pos, pick->token, drafted ? 2 : 1);
    ((float *)(void *)t->column[LOGPROB])[at] = pick->logprob;
    ((float *)(void *)t->column[ENTROPY])[at] = pick->entropy;
    ((uint32_t *)(void *)t->column[STEP])[at] = t->n_steps - 1;
    t->column[CHANNEL][at] = channel_of(t, channel, recipient);
    for (int k = 0; k < pick->n_top && k < GOSS_TOP_SHOWN; k++) {
        ((int32_t *)(void *)t->column[TOP_ID])[at * GOSS_TOP_SHOWN + k] = pick->top[k].token;
        ((float *)(void *)t->column[TOP_LOGPROB])[at * GOSS_TOP_SHOWN + k] = pick->top[k].logprob;
    }
    s->open = at;
}

void goss_tape_done(goss_tape *t, int slot, const char *stop, int n_generated)
{
    if (!t || t->slots[slot].turn == NO_TURN) return;
    t->slots[slot].open = NO_ROW;
    goss_buf_printf(&t->ends, "%s{\"turn\":%d,\"stop\":\"%s\",\"generated\":%d,\"ms\":%.3f}",
                    t->ends.len ? "," : "", t->slots[slot].turn, stop, n_generated, goss_os_now_ms());
}

/* ---- steps --------------------------------------------------------------------------------------------- */
float *goss_tape_timed(goss_tape *t)
{
    t->timed_now = 0;
    if (t->n_steps < t->timed_next || t->n_timed == TIMED_MOST) return NULL;
    memset(t->timing, 0, timed_values(t) * sizeof *t->timing);
    t->timed_now = 1;
    return t->timing;
}

static void keep_timing(goss_tape *t)
{
    const size_t layers = (size_t)t->model->hp.n_layer * GOSS_LAYER_STAGES, k = (size_t)t->n_timed++;
    memcpy(t->stage_us + k * layers, t->timing, layers * sizeof *t->timing);
    memcpy(t->ends_us + k * ENDS, t->timing + layers, ENDS * sizeof *t->timing);
    t->stage_step[k] = t->n_steps;
    t->timed_next = t->n_steps + GOSS_TIMED_EVERY;
    t->timed_now = 0;
}

void goss_tape_step(goss_tape *t, double t0, double ms, const goss_step *s, int n_prompt_rows)
{
    if (!t) return;
    if (t->n_waiting == BLOCK_STEPS || t->n_timed == TIMED_MOST) goss_tape_cut(t, NULL);
    const int i = t->n_waiting++;
    t->steps.ms[i] = t0;
    t->steps.took[i] = (float)ms;
    t->steps.rows[i] = (uint16_t)s->n_rows;
    t->steps.prompt_rows[i] = (uint16_t)n_prompt_rows;
    t->steps.sessions[i] = (uint16_t)s->n_seqs;
    t->steps.drafted[i] = t->steps.accepted[i] = 0;
    if (t->timed_now && s->stage_us) keep_timing(t);
    t->n_steps++;
}

void goss_tape_drafts(goss_tape *t, int drafted, int accepted)
{
    if (!t || !t->n_waiting) return;
    t->steps.drafted[t->n_waiting - 1] = (uint16_t)(t->steps.drafted[t->n_waiting - 1] + drafted);
    t->steps.accepted[t->n_waiting - 1] = (uint16_t)(t->steps.accepted[t->n_waiting - 1] + accepted);
}

/* What the backend saw of the row, into the token at `at`. */
static void keep_seen(goss_tape *t, int at, goss_backend *b, const goss_step *step, int row)
{
    const size_t values = t->row_bytes[EXPERT_WEIGHT] / 2;
    goss_seen seen = { .expert = t->chosen,
                       .weight = (uint16_t *)(void *)(t->column[EXPERT_WEIGHT] + (size_t)at * values * 2) };
    if (!b->vt->seen) return;
    const int got = b->vt->seen(b, step, row, &seen);
    if (values && (got & GOSS_SEEN_EXPERTS)) {
        uint8_t *to = t->column[EXPERT] + (size_t)at * t->row_bytes[EXPERT];
        if (t->row_bytes[EXPERT] > values) memcpy(to, t->chosen, values * 2);
        else
            for (size_t i = 0; i < values; i++) to[i] = (uint8_t)t->chosen[i];
    }
    if (!(got & GOSS_SEEN_LOOKS)) return;
    memcpy(t->column[WATCH] + (size_t)at * t->row_bytes[WATCH], seen.watch, sizeof seen.watch);
    memcpy(t->column[LOOK] + (size_t)at * t->row_bytes[LOOK], seen.look,
           (size_t)seen.n_looks * sizeof *seen.look);
    memcpy(t->column[LOOK_WEIGHT] + (size_t)at * t->row_bytes[LOOK_WEIGHT], seen.look_weight,
           (size_t)seen.n_looks * sizeof *seen.look_weight);
}

void goss_tape_row(goss_tape *t, int slot, int pos, int32_t id, goss_backend *b, const goss_step *s, int row)
{
    if (!t || t->slots[slot].turn == NO_TURN) return;
    tape_slot *own = &t->slots[slot];
    int at = own->open;
    if (id >= 0) {
        if (pos != own->n_written) return;
        own->n_written++;
        at = add_token(t, own, pos, id, 0);
    } else if (at == NO_ROW || ((uint32_t *)(void *)t->column[POSITION])[at] != (uint32_t)pos) return;
    ((uint32_t *)(void *)t->column[ROW_STEP])[at] = t->n_steps - 1;
    keep_seen(t, at, b, s, row);
    if (id < 0) own->open = NO_ROW;
}
