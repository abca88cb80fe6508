/* pipeline.c - see pipeline.h and message.h.
 *
 * The engine's thread computes this rank's layers, sends the residual on and goes back for the next group of
 * sessions, while the others compute. A CPU's residual is there with submit. A GPU's comes later: what is to
 * be said of the step is written down at once, since its sessions go on living, and the residual is added in
 * a poll. What comes back is taken in poll, too. A step, a page's copy and a page's bytes go the same way
 * round, so that every rank sees them in the order in which they happened here; nothing waits but who wants
 * a result.
 *
 *   flight: IDLE --begin--> OWN (this rank computes) --its residual--> SENT --the result--> DONE --> IDLE
 *
 * load: asks all ranks for their facts, shares out the layers, opens its own part and has the others open
 * theirs. A ring that is lost stays so: every call says GOSS_ELOST, and the engine stops. */
#include "pipeline.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include "rank.h"
#include "split.h"
#include <string.h>

enum { LOAD_HELLO, LOAD_DONE = 5 }; /* pipeline_load's phases */
enum { LOAD_MS = 20, OWN_MS = 1, END_MS = 60000, IDLE = 0, OWN, SENT, DONE };

typedef struct flight {
    int ticket, state;
    goss_step inner; /* the step as this rank's backend knows it */
    goss_error failed;
    goss_buf message; /* the step's, up to its residual */
    goss_buf result;  /* goss_pipe_result and what it counts */
} flight;
typedef struct pipeline {
    goss_backend base;
    goss_backend_vt vt;
    goss_pipeline_config c;
    int phase, lost, n_tickets;
    goss_error why;      /* where lost */
    goss_pipe_open open; /* who has what */
    goss_model part;
    goss_backend *inner;
    goss_pipe_opened *opened; /* (n) */
    size_t page_bytes[GOSS_KV_CLASSES];
    char level[240];
    goss_buf out;
    goss_buf answer;
    int answered;
    goss_error refused; /* the last HELLO or OPEN that came back; its kind */
    struct {
        int cls, page, state;
        goss_error failed;
        goss_buf bytes;
    } read;
    flight flights[GOSS_FLIGHTS];
    goss_tap_fn tap;
    void *tap_ctx;
} pipeline;

static pipeline *pipeline_of(goss_backend *b) { return (pipeline *)b; }

/* ---- the ring ------------------------------------------------------------------------------------------ */
static int lose(pipeline *p, const goss_error *why, goss_error *err)
{
    if (!p->lost) {
        p->lost = 1;
        p->why = *why;
        p->why.code = GOSS_ELOST;
    }
    if (err) *err = p->why;
    return GOSS_ELOST;
}

static int send_message(pipeline *p, goss_buf *b, goss_error *err)
{
    goss_error failed = { .position = -1 };
    if (p->lost) return lose(p, &p->why, err);
    if (b->failed) {
        goss_buf_free(b);
        return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a message to the next rank");
    }
    goss_pipe_end(b);
    return p->c.ring->send(p->c.ring->ctx, b->data, b->len, &failed) ? lose(p, &failed, err) : 0;
}

static int send_out(pipeline *p, goss_error *err) { return send_message(p, &p->out, err); }

/* ---- this rank's part of steps ------------------------------------------------------------------------- */
/* The oldest step that this rank computes; n: how many there are. */
static flight *oldest_own(pipeline *p, int *n)
{
    flight *first = NULL;
    *n = 0;
    for (int i = 0; i < GOSS_FLIGHTS; i++) {
        flight *f = &p->flights[i];
        if (f->state != OWN) continue;
        ++*n;
        if (!first || f->ticket < first->ticket) first = f;
    }
    return first;
}

/* Sends on the oldest step that this rank computes, if its residual is there. 0, GOSS_EAGAIN, or GOSS_ELOST
 * of the ring: what else goes wrong ends the step alone. */
static int hand_on(pipeline *p, int timeout_ms, goss_error *err)
{
    goss_backend *in = p->inner;
    int n;
    flight *f = oldest_own(p, &n);
    if (!f) return 0;
    goss_step *s = &f->inner;
    const size_t bytes = sizeof(float) * (size_t)s->n_rows * (size_t)p->base.model->hp.n_embd;
    int rc = in->vt->poll(in, s, timeout_ms, NULL, &f->failed);
    if (rc == GOSS_EAGAIN) return rc;
    if (!rc && goss_buf_reserve(&f->message, bytes))
        rc = goss_fail(&f->failed, GOSS_ENOMEM, -1, "no memory for a message to the next rank");
    if (!rc) {
        rc = in->vt->left(in, s, (float *)(void *)(f->message.data + f->message.len));
        f->message.len += bytes;
        if (rc) goss_fail(&f->failed, rc, -1, "reading a step's residual back failed");
    }
    in->vt->release(in, s);
    f->state = rc ? DONE : SENT;
    if (rc && !f->failed.code) f->failed.code = rc;
    return rc ? 0 : send_message(p, &f->message, err);
}

/* What is said from here on comes behind all steps that were begun. */
static int hand_on_all(pipeline *p, goss_error *err)
{
    int n, rc = 0;
    while (!rc && oldest_own(p, &n)) {
        rc = hand_on(p, 1000, err);
        if (rc == GOSS_EAGAIN) rc = 0;
    }
    return rc;
}

/* ---- what comes ---------------------------------------------------------------------------------------- */

/* What came into b; what went wrong into *failed. */
static void keep(goss_buf *b, goss_error *failed, const goss_pipe_head *h)
{
    goss_buf_clear(b);
    *failed = (goss_error){ .code = h->status, .position = -1 };
    goss_fmt(failed->text, sizeof failed->text, "%s", h->why);
    const size_t n = (size_t)h->n_body;
    if (!h->status && (goss_buf_reserve(b, n) || goss_buf_append(b, h + 1, n)))
        goss_fail(failed, GOSS_ENOMEM, -1, "no memory for a message of the last rank");
    if (b->failed) goss_buf_free(b);
}

static void sort(pipeline *p, const goss_pipe_head *h)
{
    if (h->kind == GOSS_PIPE_STEP) {
        for (int i = 0; i < GOSS_FLIGHTS; i++) {
            flight *f = &p->flights[i];
            if (f->state != SENT || f->ticket != h->ticket) continue;
            keep(&f->result, &f->failed, h);
            f->state = DONE;
        }
    } else if (h->kind == GOSS_PIPE_READ && p->read.state == SENT) {
        keep(&p->read.bytes, &p->read.failed, h);
        p->read.state = DONE;
    } else if (h->kind == GOSS_PIPE_HELLO || h->kind == GOSS_PIPE_OPEN || h->kind == GOSS_PIPE_CLOSE) {
        keep(&p->answer, &p->refused, h);
        p->answered = h->kind;
    }
}

/* Takes one message: 0, GOSS_EAGAIN or GOSS_ELOST. */
static int take(pipeline *p, int timeout_ms, goss_error *err)
{
    goss_error failed = { .position = -1 };
    const void *bytes;
    size_t n;
    if (p->lost) return lose(p, &p->why, err);
    const int rc = p->c.ring->recv(p->c.ring->ctx, &bytes, &n, timeout_ms, &failed);
    if (rc == GOSS_EAGAIN) return rc;
    if (rc < 0) return lose(p, &failed, err);
    const goss_pipe_head *h = goss_pipe_head_of(bytes, n);
    if (!h) {
        goss_fail(&failed, GOSS_EFORMAT, -1, "the ranks run different versions of gossamer");
        return lose(p, &failed, err);
    }
    sort(p, h);
    return 0;
}

/* Takes messages until the one that is waited for came, and sends on what this rank computes meanwhile. */
static int await(pipeline *p, const int *state, int timeout_ms, goss_error *err)
{
    const double until = goss_os_now_ms() + timeout_ms;
    while (*state == OWN || *state == SENT) {
        int n, rc;
        const int own = oldest_own(p, &n) != NULL;
        const double left = until - goss_os_now_ms();
        rc = own ? hand_on(p, left >= (double)OWN_MS ? OWN_MS : 0, err) : 0;
        if (rc && rc != GOSS_EAGAIN) return rc;
        rc = take(p, own || left <= 0 ? 0 : (int)left + 1, err);
        if (rc && rc != GOSS_EAGAIN) return rc;
        if (rc && goss_os_now_ms() >= until) return (*state == OWN || *state == SENT) ? rc : 0;
    }
    return 0;
}

/* ---- loading ------------------------------------------------------------------------------------------- */
/* The answer to a HELLO or OPEN, with `each` bytes of every rank behind `before`: 0, EAGAIN or an error. */
static int answer(pipeline *p, int kind, size_t before, size_t each, const uint8_t **bytes, goss_error *err)
{
    const int n = p->c.ring->n;
    if (p->answered != kind) {
        const int rc = take(p, LOAD_MS, err);
        if (rc) return rc;
        if (p->answered != kind) return GOSS_EAGAIN;
    }
    p->answered = 0;
    if (p->refused.code) {
        if (err) *err = p->refused;
        return p->refused.code;
    }
    if (p->answer.len != before + each * (size_t)n)
        return goss_fail(err, GOSS_EFORMAT, -1, "a rank did not say what it has");
    *bytes = p->answer.data + before;
    return 0;
}

static int hello(pipeline *p, goss_error *err)
{
    goss_pipe_begin(&p->out, GOSS_PIPE_HELLO, 0);
    goss_buf_append(&p->out, &p->c.facts, sizeof p->c.facts);
    return send_out(p, err);
}

static int heard(pipeline *p, goss_error *err)
{
    const uint8_t *bytes;
    goss_pipe_fact facts[GOSS_PIPE_RANKS];
    const int n = p->c.ring->n;
    int rc = answer(p, GOSS_PIPE_HELLO, 0, sizeof *facts, &bytes, err);
    if (rc) return rc;
    memcpy(facts, bytes, (size_t)n * sizeof *facts);
    rc = goss_split_layers(p->open.first, p->base.model, facts, n, p->c.split, err);
    for (int r = 0; r < n && !rc && p->c.ring->say; r++) {
        char text[200];
        goss_split_say(text, sizeof text, p->base.model, facts, n, p->open.first, r);
        p->c.ring->say(p->c.ring->ctx, text);
    }
    return rc;
}

static int open_parts(pipeline *p, goss_error *err)
{
    const goss_engine_config *e = p->c.backend.engine;
    goss_backend_config own = p->c.backend;
    goss_pipe_open *o = &p->open;
    p->part = goss_split_part(p->base.model, 0, o->first[1]);
    own.model = &p->part;
    own.early = 0;
    own.expert_cache = 0;
    goss_only_part(own.sources, own.n_sources, &p->part);
    const int rc = p->c.open(&p->inner, &own, err);
    if (rc) return rc;
    goss_fmt(o->path, sizeof o->path, "%s", p->c.path);
    o->file_bytes = p->base.model->gguf->file_size;
    o->n_tensors = p->base.model->gguf->n_tensors;
    o->n_layers = p->c.n_layers;
    o->yarn_llamacpp = e->yarn_llamacpp;
    o->attn_dense = e->attn_dense;
    o->moe_fallback = e->moe_fallback;
    o->max_rows = own.max_rows;
    o->max_slots = own.max_slots;
    o->max_kv = own.max_kv;
    o->kv_type = own.kv_type;
    memcpy(o->n_pages, own.n_pages, sizeof o->n_pages);
    goss_pipe_begin(&p->out, GOSS_PIPE_OPEN, 0);
    goss_buf_append(&p->out, o, sizeof *o);
    goss_buf_append(&p->out, p->opened, sizeof *p->opened);
    return send_out(p, err);
}

/* All ranks load at once. */
static int load_own(pipeline *p, goss_error *err)
{
    const goss_backend_config *c = &p->c.backend;
    int rc = p->inner->arriving ? 0 : goss_need_part(c->sources, c->n_sources, &p->part);
    if (rc) return goss_fail(err, rc, -1, "the layers of rank 0 could not be read");
    rc = p->inner->vt->load(p->inner, err);
    if (!rc) goss_pipe_opened_by(&p->opened[0], p->inner);
    return rc;
}

/* One level for all, where it is one; else those of all ranks, and their layers: pages of KV depend on
 * both. */
static int all_opened(pipeline *p, goss_error *err)
{
    const uint8_t *bytes;
    const int n = p->c.ring->n;
    const int rc = answer(p, GOSS_PIPE_OPEN, sizeof p->open, sizeof *p->opened, &bytes, err);
    int same = 1, least = 0;
    size_t at = 0;
    if (rc) return rc;
    memcpy(p->opened + 1, bytes + sizeof *p->opened, (size_t)(n - 1) * sizeof *p->opened);
    for (int r = 0; r < n; r++) {
        const goss_pipe_opened *o = &p->opened[r];
        const int rows = o->decode_rows ? o->decode_rows : GOSS_DECODE_ROWS;
        same &= !strcmp(o->level, p->opened[0].level);
        least = r && least < rows ? least : rows;
        if (o->is_gpu) p->vt.name = "gpu";
        for (int c = 0; c < GOSS_KV_CLASSES; c++) p->page_bytes[c] += (size_t)o->page_bytes[c];
    }
    p->base.decode_rows = least;
    for (int r = 0; r < n && !same && at < sizeof p->level; r++)
        at += goss_fmt(p->level + at, sizeof p->level - at, "%s%s:%d", r ? "+" : "", p->opened[r].level,
                       (int)(p->open.first[r + 1] - p->open.first[r]));
    if (same) goss_fmt(p->level, sizeof p->level, "%s", p->opened[0].level);
    return 0;
}

static int pipeline_load(goss_backend *b, goss_error *err)
{
    static int (*const phases[])(pipeline *, goss_error *) = { hello, heard, open_parts, load_own,
                                                               all_opened };
    pipeline *p = pipeline_of(b);
    for (; p->phase < LOAD_DONE; p->phase++) {
        const int rc = phases[p->phase](p, err);
        if (rc) return rc;
    }
    return 0;
}

/* ---- a step -------------------------------------------------------------------------------------------- */
static flight *flight_of(pipeline *p, const goss_step *s)
{
    for (int i = 0; i < GOSS_FLIGHTS; i++)
        if (p->flights[i].state && p->flights[i].ticket == s->ticket) return &p->flights[i];
    return NULL;
}

static void pipeline_release(goss_backend *b, goss_step *s)
{
    pipeline *p = pipeline_of(b);
    flight *f = flight_of(p, s);
    if (f && f->state == OWN) p->inner->vt->release(p->inner, &f->inner);
    if (f) f->state = IDLE;
}

static int pipeline_begin(goss_backend *b, goss_step *s, goss_error *err)
{
    pipeline *p = pipeline_of(b);
    flight *f = p->flights;
    while (f < p->flights + GOSS_FLIGHTS && f->state) f++;
    if (f == p->flights + GOSS_FLIGHTS)
        return goss_fail(err, GOSS_ESTATE, -1, "more than %d steps are in flight", (int)GOSS_FLIGHTS);
    if (p->lost) return lose(p, &p->why, err);
    int n, rc = 0;
    while (!rc && oldest_own(p, &n) && n >= p->inner->vt->in_flight) {
        rc = hand_on(p, 1000, err);
        if (rc == GOSS_EAGAIN) rc = 0;
    }
    f->inner = *s;
    if (!rc) rc = p->inner->vt->begin(p->inner, &f->inner, err);
    if (rc) return rc;
    f->ticket = s->ticket = ++p->n_tickets;
    f->failed = (goss_error){ .position = -1 };
    f->state = OWN;
    return 0;
}

static int pipeline_embed(goss_backend *b, goss_step *s)
{
    pipeline *p = pipeline_of(b);
    goss_step *inner = &flight_of(p, s)->inner;
    const int rc = p->inner->arriving ? goss_need_embed(p->inner, inner) : 0;
    return rc ? rc : p->inner->vt->embed(p->inner, inner);
}

#define STAGE(name)                                                                                      \
    static int pipeline_##name(goss_backend *b, goss_step *s, int layer)                                 \
    {                                                                                                    \
        pipeline *p = pipeline_of(b);                                                                    \
        return layer < p->part.hp.n_layer ? p->inner->vt->name(p->inner, &flight_of(p, s)->inner, layer) \
                                          : 0;                                                           \
    }
STAGE(attend)
STAGE(attn_out)
STAGE(route)
STAGE(experts)
STAGE(ffn)
#undef STAGE

static int pipeline_attn_in(goss_backend *b, goss_step *s, int layer)
{
    pipeline *p = pipeline_of(b);
    if (layer >= p->part.hp.n_layer) return 0;
    const int rc = p->inner->arriving ? goss_need_layer(p->inner, layer) : 0;
    return rc ? rc : p->inner->vt->attn_in(p->inner, &flight_of(p, s)->inner, layer);
}

static int pipeline_head(goss_backend *b, goss_step *s)
{
    (void)b;
    (void)s;
    return 0;
} /* the last rank's */

static int pipeline_submit(goss_backend *b, goss_step *s, goss_error *err)
{
    pipeline *p = pipeline_of(b);
    const goss_hparams *hp = &b->model->hp;
    flight *f = flight_of(p, s);
    goss_backend *in = p->inner;
    const goss_pipe_shape shape = { .n_embd = hp->n_embd, .n_vocab = hp->n_vocab };
    int rc = in->vt->leave(in, &f->inner);
    if (rc) return goss_fail(err, rc, -1, "no room to read %d rows back", s->n_rows);
    rc = in->vt->submit(in, &f->inner, err);
    if (rc) return rc;
    goss_pipe_begin(&f->message, GOSS_PIPE_STEP, f->ticket);
    goss_pipe_put_step(&f->message, &shape, s, p->tap != NULL);
    rc = hand_on(p, 0, err);
    return rc == GOSS_EAGAIN ? 0 : rc;
}

/* The parts of a result, NULL where its bytes are not those that the step is to have. */
static const goss_pipe_result *result_of(const flight *f, const goss_step *s, const goss_hparams *hp)
{
    const goss_pipe_result *r = (const goss_pipe_result *)(const void *)f->result.data;
    int picks = 0, logits = 0;
    for (int i = 0; i < s->n_rows; i++) {
        picks += (s->rows[i].want & GOSS_ROW_SAMPLE) != 0;
        logits += (s->rows[i].want & GOSS_ROW_LOGITS) != 0;
    }
    if (f->result.len < sizeof *r || r->n_picks != picks || r->n_logits != logits ||
        (r->n_residual && r->n_residual != s->n_rows) ||
        f->result.len != sizeof *r + sizeof(goss_pick) * (size_t)picks +
                             sizeof(float) * ((size_t)hp->n_vocab * (size_t)logits +
                                              (size_t)hp->n_embd * (size_t)r->n_residual))
        return NULL;
    return r;
}

static int pipeline_poll(goss_backend *b, goss_step *s, int timeout_ms, goss_pick *picks, goss_error *err)
{
    pipeline *p = pipeline_of(b);
    flight *f = flight_of(p, s);
    if (!f) return goss_fail(err, GOSS_ESTATE, -1, "the step is not in flight");
    const int rc = await(p, &f->state, timeout_ms, err);
    if (rc) return rc;
    if (f->failed.code) {
        f->state = IDLE;
        if (err) *err = f->failed;
        return f->failed.code;
    }
    const goss_pipe_result *r = result_of(f, s, &b->model->hp);
    if (!r) {
        f->state = IDLE;
        return goss_fail(err, GOSS_EFORMAT, -1, "the last rank's result does not fit the step");
    }
    const uint8_t *at = (const uint8_t *)(r + 1);
    if (r->n_picks) memcpy(picks, at, sizeof *picks * (size_t)r->n_picks);
    at += sizeof *picks * (size_t)r->n_picks +
          sizeof(float) * (size_t)b->model->hp.n_vocab * (size_t)r->n_logits;
    if (p->tap && r->n_residual)
        p->tap(p->tap_ctx, b->model->hp.n_expert ? GOSS_STAGE_EXPERTS : GOSS_STAGE_FFN,
               b->model->hp.n_layer - 1, (const float *)(const void *)at, s->n_rows, b->model->hp.n_embd);
    if (!r->n_logits) f->state = IDLE;
    return 0;
}

static int pipeline_logits(goss_backend *b, goss_step *s, int row, float *out)
{
    const flight *f = flight_of(pipeline_of(b), s);
    const goss_pipe_result *r = f && f->state == DONE ? result_of(f, s, &b->model->hp) : NULL;
    const size_t n = (size_t)b->model->hp.n_vocab * sizeof *out;
    if (!r || row < 0 || row >= s->n_rows || !(s->rows[row].want & GOSS_ROW_LOGITS)) return GOSS_EINVAL;
    const uint8_t *at = (const uint8_t *)(r + 1) + sizeof(goss_pick) * (size_t)r->n_picks;
    for (int i = 0; i < row; i++) at += s->rows[i].want & GOSS_ROW_LOGITS ? n : 0;
    memcpy(out, at, n);
    return 0;
}

/* ---- pages --------------------------------------------------------------------------------------------- */
static void put_page(pipeline *p, int kind, goss_pipe_page page)
{
    goss_pipe_begin(&p->out, kind, 0);
    goss_buf_append(&p->out, &page, sizeof page);
}

static void pipeline_kv_copy(goss_backend *b, int cls, int from, int to)
{
    pipeline *p = pipeline_of(b);
    p->inner->vt->kv_copy(p->inner, cls, from, to);
    put_page(p, GOSS_PIPE_COPY, (goss_pipe_page){ .cls = cls, .from = from, .to = to });
    if (!hand_on_all(p, NULL)) send_out(p, NULL);
}

static size_t pipeline_kv_bytes(const goss_backend *b, int cls)
{
    return ((const pipeline *)b)->page_bytes[cls];
}

/* This rank's bytes are read when the page is asked for, as the others' are when the message passes. */
static int ask_page(pipeline *p, int cls, int page)
{
    const size_t n = p->inner->vt->kv_bytes(p->inner, cls);
    int rc = hand_on_all(p, NULL);
    if (rc) return rc;
    put_page(p, GOSS_PIPE_READ, (goss_pipe_page){ .cls = cls, .from = page });
    if (n && goss_buf_reserve(&p->out, n)) return GOSS_ENOMEM;
    if (n) {
        while ((rc = p->inner->vt->kv_read(p->inner, cls, page, p->out.data + p->out.len, 1000)) ==
               GOSS_EAGAIN) {}
        p->out.len += n;
    }
    if (!rc) rc = send_out(p, NULL);
    if (rc) return rc;
    p->read.cls = cls;
    p->read.page = page;
    p->read.state = SENT;
    return 0;
}

/* A page that is not wanted any more comes nevertheless: the next one is asked for behind it. */
static int pipeline_kv_read(goss_backend *b, int cls, int page, void *dst, int timeout_ms)
{
    pipeline *p = pipeline_of(b);
    if (!dst) return 0;
    if (p->read.state != IDLE && (p->read.cls != cls || p->read.page != page)) {
        const int rc = await(p, &p->read.state, timeout_ms, NULL);
        if (rc) return rc;
        p->read.state = IDLE;
    }
    int rc = p->read.state == IDLE ? ask_page(p, cls, page) : 0;
    if (!rc) rc = await(p, &p->read.state, timeout_ms, NULL);
    if (rc) return rc;
    p->read.state = IDLE;
    if (p->read.failed.code) return p->read.failed.code;
    if (p->read.bytes.len != sizeof(goss_pipe_page) + p->page_bytes[cls]) return GOSS_EIO;
    memcpy(dst, p->read.bytes.data + sizeof(goss_pipe_page), p->page_bytes[cls]);
    return 0;
}

static int pipeline_kv_write(goss_backend *b, int cls, int page, const void *src)
{
    pipeline *p = pipeline_of(b);
    const size_t n = p->inner->vt->kv_bytes(p->inner, cls);
    int rc = hand_on_all(p, NULL);
    if (!rc && n) rc = p->inner->vt->kv_write(p->inner, cls, page, src);
    if (rc) return rc;
    put_page(p, GOSS_PIPE_WRITE, (goss_pipe_page){ .cls = cls, .to = page });
    goss_buf_append(&p->out, (const uint8_t *)src + n, p->page_bytes[cls] - n);
    return send_out(p, NULL);
}

/* ---- the rest ------------------------------------------------------------------------------------------ */
static void pipeline_read_done(goss_backend *b, uint64_t tag, int status)
{
    (void)b;
    (void)tag;
    (void)status;
}

/* Of a step's stages it sees the residual of the last layer alone. */
static void pipeline_tap(goss_backend *b, goss_tap_fn fn, void *ctx)
{
    pipeline_of(b)->tap = fn;
    pipeline_of(b)->tap_ctx = ctx;
}

static void pipeline_stats(const goss_backend *b, goss_backend_stats *out)
{
    const pipeline *p = (const pipeline *)b;
    *out = (goss_backend_stats){ .progress = p->phase / (double)LOAD_DONE };
    for (int r = 0; r < p->c.ring->n && p->phase == LOAD_DONE; r++) {
        out->bytes_allocated += p->opened[r].bytes_allocated;
        out->kv_bytes += p->opened[r].kv_bytes;
        out->weight_bytes += p->opened[r].weight_bytes;
    }
}

static const char *pipeline_level(const goss_backend *b) { return ((const pipeline *)b)->level; }

/* The others close when this has passed them; with its return everything that was under way has. */
static void pipeline_close(goss_backend *b)
{
    pipeline *p = pipeline_of(b);
    goss_pipe_begin(&p->out, GOSS_PIPE_CLOSE, 0);
    if (p->phase > LOAD_HELLO && !send_out(p, NULL))
        while (p->answered != GOSS_PIPE_CLOSE && !take(p, END_MS, NULL)) {}
    if (p->inner) p->inner->vt->close(p->inner);
    for (int i = 0; i < GOSS_FLIGHTS; i++) {
        goss_buf_free(&p->flights[i].message);
        goss_buf_free(&p->flights[i].result);
    }
    goss_buf_free(&p->read.bytes);
    goss_buf_free(&p->answer);
    goss_buf_free(&p->out);
    goss_mem_free(p->opened);
    goss_mem_free(p);
}

static const goss_backend_vt pipeline_vt = {
    .name = "cpu",
    .groups = 1,
    .load = pipeline_load,
    .begin = pipeline_begin,
    .embed = pipeline_embed,
    .attn_in = pipeline_attn_in,
    .attend = pipeline_attend,
    .attn_out = pipeline_attn_out,
    .route = pipeline_route,
    .experts = pipeline_experts,
    .ffn = pipeline_ffn,
    .head = pipeline_head,
    .submit = pipeline_submit,
    .poll = pipeline_poll,
    .logits = pipeline_logits,
    .release = pipeline_release,
    .kv_copy = pipeline_kv_copy,
    .kv_bytes = pipeline_kv_bytes,
    .kv_read = pipeline_kv_read,
    .kv_write = pipeline_kv_write,
    .read_done = pipeline_read_done,
    .tap = pipeline_tap,
    .stats = pipeline_stats,
    .level = pipeline_level,
    .close = pipeline_close,
};

int goss_pipeline_open(goss_backend **out, const goss_pipeline_config *c, goss_error *err)
{
    const goss_ring *ring = c->ring;
    *out = NULL;
    if (ring->rank || ring->n < 2 || ring->n > GOSS_PIPE_RANKS)
        return goss_fail(err, GOSS_EINVAL, -1, "rank %d of %d: rank 0 of 2 to %d opens a model", ring->rank,
                         ring->n, (int)GOSS_PIPE_RANKS);
    if (!c->path || strlen(c->path) >= GOSS_PIPE_PATH)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1,
                         "each rank opens the model itself: name one that all can open");
    pipeline *p = goss_mem_alloc(sizeof *p);
    if (!p) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a pipeline");
    p->vt = pipeline_vt;
    p->vt.in_flight = ring->n < GOSS_FLIGHTS ? ring->n : GOSS_FLIGHTS;
    p->base = (goss_backend){ .vt = &p->vt, .model = c->backend.model };
    p->c = *c;
    goss_buf *const bufs[] = { &p->out, &p->answer, &p->read.bytes };
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) *bufs[i] = GOSS_BUF(SIZE_MAX / 2);
    for (int i = 0; i < GOSS_FLIGHTS; i++)
        p->flights[i].message = p->flights[i].result = GOSS_BUF(SIZE_MAX / 2);
    p->opened = goss_mem_array((size_t)ring->n, sizeof *p->opened);
    *out = &p->base;
    return p->opened ? 0 : goss_fail(err, GOSS_ENOMEM, -1, "no memory for a pipeline");
}

int goss_pipeline_facts(const goss_ring *ring, const goss_pipe_fact *own, goss_pipe_fact *facts,
                        goss_error *err)
{
    goss_buf b = GOSS_BUF(1 << 20);
    const void *bytes = NULL;
    size_t n;
    goss_pipe_begin(&b, GOSS_PIPE_HELLO, 0);
    goss_buf_append(&b, own, sizeof *own);
    goss_pipe_end(&b);
    int rc = b.failed ? GOSS_ENOMEM : ring->send(ring->ctx, b.data, b.len, err);
    if (!rc) rc = ring->recv(ring->ctx, &bytes, &n, -1, err);
    goss_buf_free(&b);
    const goss_pipe_head *h = rc ? NULL : goss_pipe_head_of(bytes, n);
    if (rc) return rc;
    if (h && h->kind == GOSS_PIPE_HELLO && h->status) return goss_fail(err, h->status, -1, "%s", h->why);
    if (!h || h->kind != GOSS_PIPE_HELLO || h->n_body != sizeof *facts * (size_t)ring->n)
        return goss_fail(err, GOSS_EFORMAT, -1, "the ranks run different versions of gossamer");
    memcpy(facts, h + 1, (size_t)h->n_body);
    return 0;
}
