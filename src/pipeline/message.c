/* message.c - messages into bytes and back. Whatever is read is checked against the shape that both sides
 * agreed on: a message that doesn't fit is refused, and touches nothing.
 *
 * A step's body: step_head; rows; of each sequence: seq_head, its pages of both classes from the first that
 * is there, and where one of its rows is sampled: the sampler without its biases, the biases, the mask and
 * the tokens of the penalties' window; then, at a multiple of 16 bytes, the residual. */
#include "message.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include <stddef.h>
#include <string.h>

typedef struct step_head {
    int32_t n_rows, n_seqs, many, keep;
} step_head;
typedef struct seq_head {
    int32_t slot, n, base[GOSS_KV_CLASSES], n_pages[GOSS_KV_CLASSES];
    int32_t sampled, masked, window_at, n_window;
} seq_head;
enum { PLAIN = offsetof(goss_sampler, bias_token) }; /* of a sampler without biases */

static int pages_for(int n) { return (n + GOSS_KV_PAGE - 1) / GOSS_KV_PAGE; }

/* ---- heads --------------------------------------------------------------------------------------------- */
void goss_pipe_begin(goss_buf *b, int kind, int ticket)
{
    goss_pipe_head h = { .kind = kind, .ticket = ticket };
    goss_fmt(h.version, sizeof h.version, "%s", GOSS_VERSION);
    goss_buf_clear(b);
    goss_buf_append(b, &h, sizeof h);
}

void goss_pipe_end(goss_buf *b)
{
    const uint64_t n = b->len - sizeof(goss_pipe_head);
    if (!b->failed) memcpy(b->data + offsetof(goss_pipe_head, n_body), &n, sizeof n);
}

const goss_pipe_head *goss_pipe_head_of(const void *bytes, size_t n)
{
    const goss_pipe_head *h = bytes;
    if (n < sizeof *h || h->n_body != n - sizeof *h || strncmp(h->version, GOSS_VERSION, sizeof h->version))
        return NULL;
    return h;
}

void goss_pipe_fail(goss_buf *b, int kind, int ticket, const goss_error *why)
{
    goss_pipe_begin(b, kind, ticket);
    if (b->failed) return;
    goss_pipe_head *h = (goss_pipe_head *)(void *)b->data;
    h->status = why->code ? why->code : GOSS_EIO;
    goss_fmt(h->why, sizeof h->why, "%s", why->text);
}

/* ---- a step into bytes --------------------------------------------------------------------------------- */
static void put_sampling(goss_buf *b, const goss_pipe_shape *shape, const goss_seq *q, const seq_head *h)
{
    const goss_sampler *s = q->sampler;
    goss_buf_append(b, s, PLAIN);
    goss_buf_append(b, s->bias_token, sizeof *s->bias_token * (size_t)s->n_bias);
    goss_buf_append(b, s->bias, sizeof *s->bias * (size_t)s->n_bias);
    if (h->masked) goss_buf_append(b, q->mask, ((size_t)shape->n_vocab + 31) / 32 * 4);
    goss_buf_append(b, q->tokens + h->window_at, sizeof *q->tokens * (size_t)h->n_window);
}

/* What of a sequence goes along: i is its number. */
static seq_head head_of(const goss_step *s, int i)
{
    const goss_seq *q = &s->seqs[i];
    seq_head h = { .slot = q->slot, .n = q->kv->n };
    int first = -1, last = -1;
    for (int c = 0; c < GOSS_KV_CLASSES; c++) {
        h.base[c] = q->kv->base[c];
        if (c == GOSS_KV_WINDOW && !(q->kv->pool->window && q->kv->pool->n_pages[c])) continue;
        h.n_pages[c] = pages_for(h.n) - h.base[c] / GOSS_KV_PAGE;
    }
    for (int r = 0; r < s->n_rows; r++) {
        if (s->rows[r].seq != i || !(s->rows[r].want & GOSS_ROW_SAMPLE)) continue;
        if (first < 0) first = s->rows[r].pos;
        last = s->rows[r].pos;
    }
    h.sampled = first >= 0;
    if (!h.sampled) return h;
    h.masked = q->mask != NULL;
    h.window_at = first + 1 > q->sampler->last_n ? first + 1 - q->sampler->last_n : 0;
    h.n_window = q->sampler->last_n ? last + 1 - h.window_at : 0;
    return h;
}

void goss_pipe_put_step(goss_buf *b, const goss_pipe_shape *shape, const goss_step *s, int keep)
{
    static const uint8_t zeros[16];
    const step_head h = { s->n_rows, s->n_seqs, s->many, keep };
    goss_buf_append(b, &h, sizeof h);
    goss_buf_append(b, s->rows, sizeof *s->rows * (size_t)s->n_rows);
    for (int i = 0; i < s->n_seqs; i++) {
        const goss_seq *q = &s->seqs[i];
        const seq_head sh = head_of(s, i);
        goss_buf_append(b, &sh, sizeof sh);
        for (int c = 0; c < GOSS_KV_CLASSES; c++)
            if (sh.n_pages[c])
                goss_buf_append(b, q->kv->page[c] + sh.base[c] / GOSS_KV_PAGE, 4 * (size_t)sh.n_pages[c]);
        if (sh.sampled) put_sampling(b, shape, q, &sh);
    }
    goss_buf_append(b, zeros, (16 - (b->len - sizeof(goss_pipe_head)) % 16) % 16);
}

/* ---- and back ------------------------------------------------------------------------------------------ */
int goss_pipe_room_open(goss_pipe_room *r, const goss_pipe_shape *shape)
{
    const size_t slots = (size_t)shape->max_slots, pages = (size_t)pages_for(shape->max_kv) + 1;
    *r = (goss_pipe_room){ .shape = *shape };
    r->rows = goss_mem_array((size_t)shape->max_rows, sizeof *r->rows);
    r->seqs = goss_mem_array(slots, sizeof *r->seqs);
    r->kv = goss_mem_array(slots, sizeof *r->kv);
    r->samplers = goss_mem_array(slots, sizeof *r->samplers);
    for (int c = 0; c < GOSS_KV_CLASSES; c++)
        r->pages[c] = goss_mem_array(slots * pages, sizeof *r->pages[c]);
    r->n_tokens = slots * ((size_t)shape->max_kv + 1) * sizeof *r->tokens;
    r->tokens = goss_mem_reserve(r->n_tokens);
    return r->rows && r->seqs && r->kv && r->samplers && r->pages[0] && r->pages[1] && r->tokens
               ? 0
               : GOSS_ENOMEM;
}

void goss_pipe_room_close(goss_pipe_room *r)
{
    goss_mem_free(r->rows);
    goss_mem_free(r->seqs);
    goss_mem_free(r->kv);
    goss_mem_free(r->samplers);
    for (int c = 0; c < GOSS_KV_CLASSES; c++) goss_mem_free(r->pages[c]);
    if (r->tokens) goss_mem_release(r->tokens, r->n_tokens);
    *r = (goss_pipe_room){ 0 };
}

typedef struct reader {
    const uint8_t *at, *end;
    int failed;
} reader;

static void take(reader *r, void *to, size_t n)
{
    if ((size_t)(r->end - r->at) < n) {
        r->failed = 1;
        return;
    }
    memcpy(to, r->at, n);
    r->at += n;
}

static int fits_seq(const goss_pipe_shape *s, const seq_head *h)
{
    if (h->slot < 0 || h->slot >= s->max_slots || h->n < 0 || h->n > s->max_kv) return 0;
    for (int c = 0; c < GOSS_KV_CLASSES; c++)
        if (h->base[c] < 0 || h->base[c] % GOSS_KV_PAGE || h->n_pages[c] < 0 ||
            h->base[c] / GOSS_KV_PAGE + h->n_pages[c] > pages_for(h->n))
            return 0;
    return h->window_at >= 0 && h->n_window >= 0 && h->window_at + h->n_window <= s->max_kv;
}

/* The pages of a class; those that are not there are -1 for whoever looks. */
static void take_pages(goss_pipe_room *r, reader *in, const seq_head *h, int i, int c)
{
    int32_t *page = r->pages[c] + (size_t)i * ((size_t)pages_for(r->shape.max_kv) + 1),
            *from = page + h->base[c] / GOSS_KV_PAGE;
    take(in, from, 4 * (size_t)h->n_pages[c]);
    for (int p = 0; p < h->n_pages[c] && !in->failed; p++)
        in->failed = from[p] < 0 || from[p] >= r->shape.n_pages[c];
    r->kv[i].page[c] = page;
    r->kv[i].base[c] = h->base[c];
}

static void take_sampling(goss_pipe_room *r, reader *in, const seq_head *h, int i)
{
    goss_sampler *s = &r->samplers[i];
    const size_t n_mask = ((size_t)r->shape.n_vocab + 31) / 32 * 4;
    take(in, s, PLAIN);
    if (in->failed || s->n_bias < 0 || s->n_bias > GOSS_BIAS_MAX || s->n_probs < 0 ||
        s->n_probs > GOSS_TOP_MAX || s->last_n < 0) {
        in->failed = 1;
        return;
    }
    take(in, s->bias_token, sizeof *s->bias_token * (size_t)s->n_bias);
    take(in, s->bias, sizeof *s->bias * (size_t)s->n_bias);
    r->seqs[i].sampler = s;
    if (h->masked && (size_t)(in->end - in->at) >= n_mask) {
        r->seqs[i].mask = (const uint32_t *)(const void *)in->at;
        in->at += n_mask;
    } else if (h->masked) in->failed = 1;
    int32_t *tokens = r->tokens + (size_t)h->slot * ((size_t)r->shape.max_kv + 1);
    take(in, tokens + h->window_at, sizeof *tokens * (size_t)h->n_window);
    r->seqs[i].tokens = tokens;
}

static void take_seq(goss_pipe_room *r, reader *in, int i)
{
    seq_head h = { 0 };
    take(in, &h, sizeof h);
    if (in->failed || !fits_seq(&r->shape, &h)) {
        in->failed = 1;
        return;
    }
    r->kv[i] = (goss_kv){ .n = h.n, .cap = r->shape.max_kv };
    r->seqs[i] = (goss_seq){ .kv = &r->kv[i], .slot = h.slot };
    for (int c = 0; c < GOSS_KV_CLASSES && !in->failed; c++) take_pages(r, in, &h, i, c);
    if (h.sampled && !in->failed) take_sampling(r, in, &h, i);
}

/* Every row's position is one that its sequence has pages for, and who samples has a sampler. */
static int fits_rows(const goss_pipe_room *r)
{
    for (int i = 0; i < r->step.n_rows; i++) {
        const goss_row *row = &r->rows[i];
        if (row->seq < 0 || row->seq >= r->step.n_seqs) return 0;
        const goss_seq *q = &r->seqs[row->seq];
        if (row->pos < 0 || row->pos >= q->kv->n || ((row->want & GOSS_ROW_SAMPLE) && !q->sampler)) return 0;
    }
    return 1;
}

int goss_pipe_get_step(goss_pipe_room *r, const uint8_t *body, size_t n)
{
    reader in = { body, body + n, 0 };
    step_head h = { 0 };
    take(&in, &h, sizeof h);
    if (in.failed || h.n_rows < 1 || h.n_rows > r->shape.max_rows || h.n_seqs < 1 ||
        h.n_seqs > r->shape.max_slots)
        return GOSS_EFORMAT;
    take(&in, r->rows, sizeof *r->rows * (size_t)h.n_rows);
    r->step = (goss_step){
        .rows = r->rows, .n_rows = h.n_rows, .seqs = r->seqs, .n_seqs = h.n_seqs, .many = h.many
    };
    r->keep = h.keep;
    for (int i = 0; i < h.n_seqs && !in.failed; i++) take_seq(r, &in, i);
    const size_t said = ((size_t)(in.at - body) + 15) / 16 * 16;
    if (in.failed || !fits_rows(r) || n != said + sizeof(float) * (size_t)h.n_rows * (size_t)r->shape.n_embd)
        return GOSS_EFORMAT;
    r->n_said = said;
    r->x = (const float *)(const void *)(body + said);
    return 0;
}
