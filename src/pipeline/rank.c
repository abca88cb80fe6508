/* rank.c - a later rank: a step comes with the residual that the ranks before left, goes through the layers
 * here, and on. The last rank has the head and the sampler. Messages go on in the order in which they came.
 * On a GPU several steps are under way: the next is recorded while the one before runs. */
#include "rank.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include <string.h>

static const uint8_t *body_of(const goss_pipe_head *h) { return (const uint8_t *)(h + 1); }

void goss_pipe_opened_by(goss_pipe_opened *o, const goss_backend *b)
{
    goss_backend_stats st = { 0 };
    *o = (goss_pipe_opened){ 0 };
    b->vt->stats(b, &st);
    goss_fmt(o->level, sizeof o->level, "%s", b->vt->level(b));
    for (int c = 0; c < GOSS_KV_CLASSES; c++) o->page_bytes[c] = b->vt->kv_bytes(b, c);
    o->is_gpu = !strcmp(b->vt->name, "gpu");
    o->decode_rows = b->decode_rows;
    o->kv_bytes = st.kv_bytes;
    o->weight_bytes = st.weight_bytes;
    o->bytes_allocated = st.bytes_allocated;
}

int goss_rank_open(goss_rank *r, const goss_ring *ring, goss_backend *b, const goss_pipe_open *o)
{
    const goss_pipe_shape shape = { .n_embd = b->model->hp.n_embd,
                                    .n_vocab = b->model->hp.n_vocab,
                                    .max_rows = o->max_rows,
                                    .max_slots = o->max_slots,
                                    .max_kv = o->max_kv,
                                    .n_pages = { o->n_pages[0], o->n_pages[1] } };
    *r = (goss_rank){ .ring = ring, .backend = b, .is_last = ring->rank == ring->n - 1 };
    r->most = b->vt->in_flight;
    r->out = GOSS_BUF(SIZE_MAX / 2);
    r->picks = goss_mem_array((size_t)o->max_rows, sizeof *r->picks);
    int rc = r->picks ? 0 : GOSS_ENOMEM;
    for (int i = 0; i < r->most && !rc; i++) {
        r->flights[i].message = GOSS_BUF(SIZE_MAX / 2);
        rc = goss_pipe_room_open(&r->flights[i].room, &shape);
    }
    return rc;
}

void goss_rank_close(goss_rank *r)
{
    for (int i = 0; i < r->most; i++) {
        goss_pipe_room_close(&r->flights[i].room);
        goss_buf_free(&r->flights[i].message);
    }
    goss_mem_free(r->picks);
    goss_buf_free(&r->out);
    *r = (goss_rank){ 0 };
}

/* ---- sending on ---------------------------------------------------------------------------------------- */
/* The message in b, or why there is none. */
static int send_on(const goss_rank *r, goss_buf *b, int kind, int ticket, int rc, const goss_error *own,
                   goss_error *err)
{
    goss_error said = { .code = rc };
    if (!rc && b->failed) said.code = GOSS_ENOMEM;
    if (said.code) {
        goss_fmt(said.text, sizeof said.text, "rank %d (%s): %s", r->ring->rank, r->ring->host,
                 own->code ? own->text : goss_error_name(said.code));
        goss_buf_free(b);
        goss_pipe_fail(b, kind, ticket, &said);
    }
    goss_pipe_end(b);
    return r->ring->send(r->ring->ctx, b->data, b->len, err);
}

/* ---- a step -------------------------------------------------------------------------------------------- */
static int add_residual(const goss_rank *r, goss_step *s, goss_buf *b)
{
    goss_backend *be = r->backend;
    const size_t n = sizeof(float) * (size_t)s->n_rows * (size_t)be->model->hp.n_embd;
    if (goss_buf_reserve(b, n)) return GOSS_ENOMEM;
    const int rc = be->vt->left(be, s, (float *)(void *)(b->data + b->len));
    b->len += n;
    return rc;
}

/* Picks, logits and residual of a step that the last rank has computed. */
static int put_result(goss_rank *r, goss_rank_flight *f)
{
    goss_backend *b = r->backend;
    goss_step *s = &f->room.step;
    const size_t n_vocab = (size_t)b->model->hp.n_vocab;
    goss_pipe_result n = { .n_residual = f->room.keep ? s->n_rows : 0 };
    int rc = 0;
    for (int i = 0; i < s->n_rows; i++) {
        n.n_picks += (s->rows[i].want & GOSS_ROW_SAMPLE) != 0;
        n.n_logits += (s->rows[i].want & GOSS_ROW_LOGITS) != 0;
    }
    goss_buf_append(&f->message, &n, sizeof n);
    goss_buf_append(&f->message, r->picks, (size_t)n.n_picks * sizeof *r->picks);
    for (int i = 0; i < s->n_rows && !rc; i++) {
        if (!(s->rows[i].want & GOSS_ROW_LOGITS) || goss_buf_reserve(&f->message, n_vocab * sizeof(float)))
            continue;
        rc = b->vt->logits(b, s, i, (float *)(void *)(f->message.data + f->message.len));
        f->message.len += n_vocab * sizeof(float);
    }
    return n.n_residual && !rc ? add_residual(r, s, &f->message) : rc;
}

static int run_stages(goss_rank *r, goss_rank_flight *f)
{
    goss_backend *b = r->backend;
    goss_step *s = &f->room.step;
    s->stage = 0;
    int rc = b->vt->put(b, s, f->room.x);
    if (rc == 0) rc = goss_forward_layers(b, s, 0, b->model->hp.n_layer);
    for (int i = 0, wants = 0; i < s->n_rows && r->is_last && b->arriving && !wants && !rc; i++)
        if ((wants = s->rows[i].want)) rc = goss_need_head(b);
    if (rc == 0 && r->is_last) rc = b->vt->head(b, s);
    if (rc == 0 && r->is_last && b->vt->sample) rc = b->vt->sample(b, s);
    if (rc == 0 && (!r->is_last || f->room.keep)) rc = b->vt->leave(b, s);
    return rc;
}

/* Begins a step; when it is done is seen later. */
static int begin_step(goss_rank *r, goss_rank_flight *f, const goss_pipe_head *h, goss_error *err)
{
    goss_backend *b = r->backend;
    goss_step *s = &f->room.step;
    if (goss_pipe_get_step(&f->room, body_of(h), (size_t)h->n_body))
        return goss_fail(err, GOSS_EFORMAT, -1, "a step came that does not fit the model");
    int rc = b->vt->begin(b, s, err);
    if (rc < 0) return rc;
    rc = run_stages(r, f);
    if (rc == GOSS_EIO) goss_fail(err, rc, -1, "bytes of the model can't be had");
    else if (rc < 0) goss_fail(err, rc, -1, "a stage of the forward pass failed: %s", goss_error_name(rc));
    else rc = b->vt->submit(b, s, err);
    if (rc < 0) b->vt->release(b, s);
    else if (!r->is_last) goss_buf_append(&f->message, body_of(h), f->room.n_said);
    return rc;
}

int goss_rank_advance(goss_rank *r, int timeout_ms, goss_error *err)
{
    goss_rank_flight *f = &r->flights[r->first];
    goss_error own = { .position = -1 };
    if (!r->n) return 0;
    goss_step *s = &f->room.step;
    int rc = r->backend->vt->poll(r->backend, s, timeout_ms, r->picks, &own);
    if (rc == GOSS_EAGAIN) return rc;
    if (!rc) rc = r->is_last ? put_result(r, f) : add_residual(r, s, &f->message);
    r->backend->vt->release(r->backend, s);
    r->first = (r->first + 1) % r->most;
    r->n--;
    return send_on(r, &f->message, GOSS_PIPE_STEP, f->ticket, rc, &own, err);
}

/* What is sent from here on comes behind the steps that came before. */
static int advance_to(goss_rank *r, int n, goss_error *err)
{
    int rc = 0;
    while (!rc && r->n > n) {
        rc = goss_rank_advance(r, 1000, err);
        if (rc == GOSS_EAGAIN) rc = 0;
    }
    return rc;
}

static int step(goss_rank *r, const goss_pipe_head *h, goss_error *err)
{
    goss_error own = { .position = -1 };
    int rc = advance_to(r, r->most - 1, err);
    if (rc) return rc;
    goss_rank_flight *f = &r->flights[(r->first + r->n) % r->most];
    f->ticket = h->ticket;
    goss_pipe_begin(&f->message, h->kind, h->ticket);
    const int failed = begin_step(r, f, h, &own);
    if (!failed && ++r->n && r->most > 1) return 0;
    rc = advance_to(r, 0, err);
    if (!failed) return rc; /* one at a time: it is done */
    return rc ? rc : send_on(r, &f->message, h->kind, h->ticket, failed, &own, err);
}

/* ---- pages --------------------------------------------------------------------------------------------- */
static int page(goss_rank *r, const goss_pipe_head *h, goss_error *err)
{
    goss_backend *b = r->backend;
    goss_pipe_page p;
    if (h->n_body < sizeof p) return goss_fail(err, GOSS_EFORMAT, -1, "a page came without its name");
    memcpy(&p, body_of(h), sizeof p);
    const int *n_pages = r->flights[0].room.shape.n_pages,
              known = (p.cls == GOSS_KV_FULL || p.cls == GOSS_KV_WINDOW) && p.from >= 0 && p.to >= 0 &&
                      p.from < n_pages[p.cls] && p.to < n_pages[p.cls];
    const size_t n = known ? b->vt->kv_bytes(b, p.cls) : 0, rest = (size_t)h->n_body - sizeof p;
    if (!known || (h->kind == GOSS_PIPE_WRITE && rest < n))
        return goss_fail(err, GOSS_EFORMAT, -1, "a page came that is not there");
    const uint8_t *bytes = body_of(h) + sizeof p;
    int rc = 0;
    goss_buf_append(&r->out, &p, sizeof p);
    if (h->kind == GOSS_PIPE_COPY && n) b->vt->kv_copy(b, p.cls, p.from, p.to);
    if (h->kind == GOSS_PIPE_WRITE) {
        if (n) rc = b->vt->kv_write(b, p.cls, p.to, bytes);
        goss_buf_append(&r->out, bytes + n, rest - n);
    }
    if (h->kind != GOSS_PIPE_READ) return rc;
    goss_buf_append(&r->out, bytes, rest);
    if (!n) return 0;
    if (goss_buf_reserve(&r->out, n)) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a page");
    while ((rc = b->vt->kv_read(b, p.cls, p.from, r->out.data + r->out.len, 1000)) == GOSS_EAGAIN) {}
    r->out.len += n;
    return rc;
}

int goss_rank_drain(goss_rank *r, goss_error *err) { return advance_to(r, 0, err); }

int goss_rank_handle(goss_rank *r, const goss_pipe_head *h, goss_error *err)
{
    goss_error own = { .position = -1 };
    if (h->kind == GOSS_PIPE_STEP && !h->status) return step(r, h, err);
    int rc = advance_to(r, 0, err);
    if (rc) return rc;
    if (h->status) return r->ring->send(r->ring->ctx, h, sizeof *h + (size_t)h->n_body, err);
    goss_pipe_begin(&r->out, h->kind, h->ticket);
    rc = page(r, h, &own);
    return send_on(r, &r->out, h->kind, h->ticket, rc, &own, err);
}
