/* words.c - the step buffer's words, and everything else that the host tells the device for one step.
 * Where experts are paged a step may have to run again: what it was told is kept with its ticket. */
#include "words.h"
#include "base/error.h"
#include <string.h>

typedef struct write_head { uint64_t offset; uint32_t buffer, n; } write_head;

static int tell(goss_gpu_state *s, int buffer, uint64_t offset, const void *data, uint64_t n)
{
    if (!s->weights.slots.on) return goss_gpu_write(s->gpu, buffer, offset, data, n);
    const write_head h = { offset, (uint32_t)buffer, (uint32_t)n };
    goss_buf *w = &s->ticket->writes;
    goss_buf_append(w, &h, sizeof h);
    goss_buf_append(w, data, (size_t)n);
    return w->failed ? GOSS_ENOMEM : 0;
}

int goss_words_play(goss_gpu_state *s, const goss_gpu_ticket *t)
{
    int r = 0;
    for (size_t at = 0; at < t->writes.len && !r;) {
        write_head h;
        memcpy(&h, t->writes.data + at, sizeof h);
        at += sizeof h;
        r = goss_gpu_write(s->gpu, (int)h.buffer, h.offset, t->writes.data + at, h.n);
        at += h.n;
    }
    return r;
}

/* Tokens of a sequence that the device has not seen at their positions, where a penalty will look for
 * them: those before the step's rows, and where no token is embedded, theirs too. */
static int send_history(goss_gpu_state *s, const goss_seq *q, int pos, int last)
{
    const goss_sampler *p = q->sampler;
    if (!p || p->last_n <= 0 || !s->weights.has_head) return 0;
    const size_t stride = (size_t)s->config.max_kv + 1;
    const int from = pos - p->last_n + 1 > 0 ? pos - p->last_n + 1 : 0,
              to = s->weights.embeds ? pos : last + 1;
    if (from >= to || !q->tokens) return 0;
    return tell(s, s->buf.history, ((uint64_t)q->slot * stride + (uint64_t)from) * 4,
                          q->tokens + from, (uint64_t)(to - from) * 4);
}

static uint32_t put_sampler(goss_gpu_state *s, uint32_t at, const goss_sampler *p)
{
    uint32_t *w = s->words.at + at;
    memset(w, 0, GOSS_SAMPLER_BIAS * 4);
    if (!p) {
        w[GOSS_SAMPLER_SCALE] = w[GOSS_SAMPLER_SCALE_POS] = w[GOSS_SAMPLER_SCALE_NEG] =
            goss_float_bits(65536.0f);
        w[GOSS_SAMPLER_GREEDY] = 1;
        w[GOSS_SAMPLER_TOP_P14] = GOSS_SAMPLE_ALL_P14;
        w[GOSS_SAMPLER_MIN_P_D] = 0xffffffffu;
        return at + GOSS_SAMPLER_BIAS;
    }
    w[GOSS_SAMPLER_SCALE] = goss_float_bits(p->scale);
    w[GOSS_SAMPLER_SCALE_POS] = goss_float_bits(p->scale_pos);
    w[GOSS_SAMPLER_SCALE_NEG] = goss_float_bits(p->scale_neg);
    w[GOSS_SAMPLER_PRESENCE] = (uint32_t)p->presence;
    w[GOSS_SAMPLER_FREQUENCY] = (uint32_t)p->frequency;
    w[GOSS_SAMPLER_GREEDY] = (uint32_t)p->greedy;
    w[GOSS_SAMPLER_LAST_N] = (uint32_t)p->last_n;
    w[GOSS_SAMPLER_N_PROBS] = (uint32_t)p->n_probs;
    w[GOSS_SAMPLER_N_BIAS] = (uint32_t)p->n_bias;
    w[GOSS_SAMPLER_TOP_K] = p->top_k;
    w[GOSS_SAMPLER_TOP_P14] = p->top_p14;
    w[GOSS_SAMPLER_MIN_P_D] = p->min_p_d;
    for (int i = 0; i < p->n_bias; i++) {
        w[GOSS_SAMPLER_BIAS + 2 * i] = (uint32_t)p->bias_token[i];
        w[GOSS_SAMPLER_BIAS + 1 + 2 * i] = (uint32_t)p->bias[i];
    }
    return at + GOSS_SAMPLER_BIAS + 2 * (uint32_t)p->n_bias;
}

/* Page tables, sampler and mask of one sequence; the row words that point to them go to head. */
static uint32_t put_sequence(goss_gpu_state *s, uint32_t at, const goss_seq *q, int index, int last_pos,
                             uint32_t *head)
{
    const int pages = last_pos / GOSS_KV_PAGE + 1;
    for (int c = 0; c < GOSS_KV_CLASSES; c++) {
        head[GOSS_ROW_PAGES + c] = at;
        for (int i = 0; i < pages; i++)
            s->words.at[at++] = q->kv->page[c] && q->kv->page[c][i] >= 0 ? (uint32_t)q->kv->page[c][i] : 0;
    }
    head[GOSS_ROW_SAMPLER] = at;
    at = put_sampler(s, at, q->sampler);
    head[GOSS_ROW_MASK] = GOSS_GPU_NONE;
    if (q->mask && s->weights.has_head) {
        const uint32_t words = (uint32_t)(s->base.model->hp.n_vocab + 31) / 32;
        head[GOSS_ROW_MASK] = (uint32_t)index * words;
        tell(s, s->buf.mask, (uint64_t)index * words * 4, q->mask, words * 4ull);
    }
    return at;
}

static void put_list(goss_gpu_state *s, const goss_step *step, goss_gpu_ticket *t, uint32_t at)
{
    t->n_list = t->n_samples = t->n_logits = 0;
    for (int i = 0; i < step->n_rows; i++) {
        t->want[i] = s->weights.has_head ? step->rows[i].want : 0;
        if (!t->want[i]) continue;
        s->words.at[at + (uint32_t)t->n_list] = (uint32_t)i;
        t->list[t->n_list++] = i;
        t->n_samples += (t->want[i] & GOSS_ROW_SAMPLE) != 0;
        t->n_logits += (t->want[i] & GOSS_ROW_LOGITS) != 0;
    }
    for (int g = 0; g < s->calls.head.n_groups; g++) {
        const int left = t->n_list - g * GOSS_DECODE_ROWS;
        s->words.at[GOSS_STEP_GROUPS + g] = (uint32_t)(left < 0 ? 0 : left > GOSS_DECODE_ROWS
                                                       ? GOSS_DECODE_ROWS : left);
    }
}

int goss_words_begin(goss_gpu_state *s, goss_step *step, goss_gpu_ticket *t, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t n = (uint32_t)step->n_rows, rows = GOSS_STEP_HEADER, list = rows + n * GOSS_ROW_WORDS,
                   rope = list + n;
    uint32_t at = rope + n * (uint32_t)hp->rope_dim;
    uint32_t *w = s->words.at;
    memset(w, 0, GOSS_STEP_HEADER * 4);
    w[GOSS_STEP_N_ROWS] = n; w[GOSS_STEP_ROWS] = rows; w[GOSS_STEP_LIST] = list; w[GOSS_STEP_ROPE] = rope;
    w[GOSS_STEP_CHUNKS] = (uint32_t)goss_gpu_chunks(s, step);
    put_list(s, step, t, list);
    uint32_t index = 0;
    for (uint32_t i = 0; i < n;) {
        const int seq = step->rows[i].seq;
        const goss_seq *q = &step->seqs[seq];
        uint32_t end = i, head[GOSS_ROW_WORDS] = { 0 };
        while (end < n && step->rows[end].seq == seq) end++;
        at = put_sequence(s, at, q, seq, step->rows[end - 1].pos, head);
        int r = send_history(s, q, step->rows[i].pos, step->rows[end - 1].pos);
        if (r) return goss_fail(err, r, -1, "the GPU refused a step");
        for (; i < end; i++) {
            const goss_row *row = &step->rows[i];
            if (row->token >= hp->n_vocab || row->token < GOSS_TOKEN_SAMPLED)
                return goss_fail(err, GOSS_EINVAL, -1, "token %d is not in the vocabulary", row->token);
            uint32_t *to = w + rows + i * GOSS_ROW_WORDS;
            memcpy(to, head, sizeof head);
            to[GOSS_ROW_TOKEN] = (uint32_t)row->token;
            to[GOSS_ROW_POSITION] = (uint32_t)row->pos;
            to[GOSS_ROW_SLOT] = (uint32_t)q->slot;
            to[GOSS_ROW_INDEX] = row->want ? index++ : GOSS_GPU_NONE;
            to[GOSS_ROW_RANDOM] = q->sampler
                        ? goss_sample_random(q->sampler->seed_lo, q->sampler->seed_hi, (uint32_t)row->pos + 1)
                        : 0;
            to[GOSS_ROW_LAST] =
                i + 1 == end && (row->want & GOSS_ROW_SAMPLE) && row->pos + 1 <= s->config.max_kv;
            goss_rope_table(hp, row->pos, (float *)(void *)(w + rope + i * (uint32_t)hp->rope_dim));
        }
    }
    s->words.n = at;
    const int r = tell(s, s->buf.step, 0, w, at * 4ull);
    return r ? goss_fail(err, r, -1, "the GPU refused a step") : 0;
}
