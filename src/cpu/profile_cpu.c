/* profile_cpu.c - what the parts of a step took, read and computed (kernel_time), one step of few rows in EVERY and
 * every prompt's: a step tells what it did, so bytes and operations are counted, not guessed. The forward pass
 * measures the times (goss_step.stage_us). Bytes are of weights, and of keys and values that rows see, each
 * once; operations are those of products, a multiply and an add two. The roof that rates are shares of is how
 * fast the same threads read the head's matrix and do nothing else, measured once. */
#include "cpu_state.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/rate.h"
#include <string.h>

enum { EVERY = 64, FIRST = 4, ROOF_BYTES = 64 << 20, ROOF_MS = 20 };

typedef struct part {
    goss_stage stage;
    int calls;
    double us, bytes, ops;
} part;

/* ---- the roof ------------------------------------------------------------------------------------------ */
/* Bytes a microsecond; 0: not known. */
static double measure_roof(const cpu *c)
{
    const goss_tensor *w = &c->base.model->output;
    const size_t n = w->n_bytes < (uint64_t)ROOF_BYTES ? (size_t)w->n_bytes : (size_t)ROOF_BYTES;
    return goss_memory_rate(c->pool, w->data, n, (double)ROOF_MS) / 1000;
}

/* ---- what a step did ----------------------------------------------------------------------------------- */
static double bytes_of(const goss_tensor *t) { return t->type < 0 ? 0 : (double)t->n_bytes; }

/* Positions that the step's rows see in a layer: of each row (sum), and of each sequence once (*once). */
static double seen(const goss_step *s, int window, double *once)
{
    double sum = 0;
    *once = 0;
    for (int i = 0, first = 0; i < s->n_rows; i++) {
        const int n = s->rows[i].pos + 1;
        sum += window && n > window ? window : n;
        if (i + 1 < s->n_rows && s->rows[i + 1].seq == s->rows[i].seq) continue;
        const int oldest = window ? s->rows[first].pos + 1 - window : 0;
        *once += n - (oldest > 0 ? oldest : 0);
        first = i + 1;
    }
    return sum;
}

static void count_attention(const cpu *c, const goss_step *s, const goss_layer *l, part *in, part *at,
                            part *out)
{
    const goss_hparams *h = &c->base.model->hp;
    const double rows = s->n_rows, width = h->n_head * h->head_dim, kv = h->n_head_kv * h->head_dim;
    double once;
    const double all = seen(s, l->windowed ? h->window : 0, &once);
    in->bytes += bytes_of(&l->wq) + bytes_of(&l->wk) + bytes_of(&l->wv);
    in->ops += 2 * rows * (double)h->n_embd * (width + 2 * kv);
    at->bytes += once * 2 * (double)h->n_head_kv * (double)c->half_bytes / (double)GOSS_KV_PAGE;
    at->ops += 4 * all * width;
    out->bytes += bytes_of(&l->wo);
    out->ops += 2 * rows * (double)h->n_embd * width;
}

static void count_experts(const cpu *c, const goss_step *s, int layer, part *route, part *experts)
{
    const goss_hparams *h = &c->base.model->hp;
    const goss_layer *l = &c->base.model->layers[layer];
    const double rows = s->n_rows, used = h->n_expert ? h->n_expert_used : 1,
                 n = h->n_expert ? h->n_expert : 1;
    route->bytes += bytes_of(&l->router);
    route->ops += h->n_expert ? 2 * rows * (double)h->n_embd * n : 0;
    experts->bytes += (bytes_of(&l->gate) + bytes_of(&l->up) + bytes_of(&l->down)) / n *
                      (h->n_expert ? c->profile.groups[layer] : 1);
    experts->ops += 2 * rows * used * 3 * (double)h->n_embd * (double)h->n_ff;
}

/* ---- lines --------------------------------------------------------------------------------------------- */
static void tell(cpu *c, const goss_step *s, const part *p, double roof)
{
    const double rate = p->us > 0 ? p->bytes / p->us : 0;
    char line[400];
    if (!p->calls || !(p->us > 0)) return;
    const size_t n =
        goss_fmt(line, sizeof line,
                 "{\"type\":\"inference_event\",\"event\":{\"type\":\"kernel_time\",\"kernel\":\"%s%s\","
                 "\"dispatches\":%d,"
                 "\"gpu_us\":%.1f,\"bytes\":%.0f,\"ops\":%.0f,\"gb_per_s\":%.3f,\"roofline\":%.4f,\"steps\":"
                 "1,\"rows\":%d},"
                 "\"ts_ms\":%.1f}",
                 goss_stage_name(p->stage), goss_step_many(s) ? " many" : "", p->calls, p->us, p->bytes,
                 p->ops, rate / 1e3, roof > 0 ? rate / roof : 0, s->n_rows, goss_os_now_ms());
    c->profile.report(c->profile.report_ctx, line, n);
}

static void report(cpu *c, const goss_step *s)
{
    const goss_hparams *h = &c->base.model->hp;
    const float *us = s->stage_us;
    part parts[GOSS_N_STAGES] = { { 0 } };
    for (int i = 0; i < GOSS_N_STAGES; i++) parts[i].stage = (goss_stage)i;
    for (int layer = 0; layer < h->n_layer; layer++) {
        for (int i = 0; i < GOSS_LAYER_STAGES; i++) {
            part *p = &parts[GOSS_STAGE_ATTN_IN + i];
            p->us += (double)us[layer * GOSS_LAYER_STAGES + i];
            p->calls += us[layer * GOSS_LAYER_STAGES + i] > 0;
        }
        count_attention(c, s, &c->base.model->layers[layer], &parts[GOSS_STAGE_ATTN_IN],
                        &parts[GOSS_STAGE_ATTEND], &parts[GOSS_STAGE_ATTN_OUT]);
        count_experts(c, s, layer, &parts[GOSS_STAGE_ROUTE],
                      &parts[h->n_expert ? GOSS_STAGE_EXPERTS : GOSS_STAGE_FFN]);
    }
    part *head = &parts[GOSS_STAGE_HEAD];
    head->us = (double)us[h->n_layer * GOSS_LAYER_STAGES + 1];
    head->calls = c->desks[0].n_want > 0;
    head->bytes = bytes_of(&c->base.model->output);
    head->ops = 2.0 * c->desks[0].n_want * h->n_embd * h->n_vocab;
    if (!(c->profile.roof > 0) && head->calls) c->profile.roof = measure_roof(c);
    for (int i = GOSS_STAGE_ATTN_IN; i <= GOSS_STAGE_HEAD; i++) tell(c, s, &parts[i], c->profile.roof);
}

/* ---- around a step ------------------------------------------------------------------------------------- */
void goss_cpu_profile(goss_backend *b, unsigned mask)
{
    cpu *c = (cpu *)b;
    const size_t layers = (size_t)b->model->hp.n_layer;
    c->profile.on = c->profile.report && (mask & GOSS_TELEMETRY_KERNELS);
    if (!c->profile.on || c->profile.us) return;
    c->profile.us = goss_mem_array(layers * GOSS_LAYER_STAGES + 3, sizeof *c->profile.us);
    c->profile.groups = goss_mem_array(layers + 1, sizeof *c->profile.groups);
    c->profile.on = c->profile.us && c->profile.groups;
}

void goss_cpu_profile_close(cpu *c)
{
    goss_mem_free(c->profile.us);
    goss_mem_free(c->profile.groups);
}

void goss_cpu_profile_begin(cpu *c, goss_step *s)
{
    if (s->ticket != 1) return;
    c->profile.now = 0;
    if (!c->profile.on || (!goss_step_many(s) && c->profile.n_few++ % EVERY != FIRST)) return;
    c->profile.now = 1;
    memset(c->profile.us, 0,
           ((size_t)c->base.model->hp.n_layer * GOSS_LAYER_STAGES + 3) * sizeof *c->profile.us);
    goss_cpu_profile_go_on(c, s);
}

void goss_cpu_profile_go_on(cpu *c, goss_step *s)
{
    if (s->ticket == 1 && c->profile.now && !s->stage_us) s->stage_us = c->profile.us;
}

void goss_cpu_profile_groups(cpu *c, int layer)
{
    if (c->profile.now && c->desk == &c->desks[0]) c->profile.groups[layer] = c->desk->n_groups;
}

void goss_cpu_profile_end(cpu *c, const goss_step *s)
{
    if (s->ticket != 1 || !c->profile.now) return;
    c->profile.now = 0;
    if (s->stage_us) report(c, s);
}
