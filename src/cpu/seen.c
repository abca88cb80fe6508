/* seen.c - see seen.h. */
#include "seen.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>

static size_t choices(const cpu *c)
{
    return (size_t)c->base.model->hp.n_layer * (size_t)c->base.model->hp.n_expert_used;
}

/* Rows of the second desk stand behind those of the first. */
static size_t place_of(const cpu *c, int row)
{
    return (size_t)row + (c->desk == &c->desks[1] ? (size_t)c->desks[0].max_rows : 0);
}

void goss_cpu_seen_close(cpu *c)
{
    goss_mem_free(c->seen.expert);
    goss_mem_free(c->seen.weight);
    goss_mem_free(c->seen.looks);
    c->seen.expert = c->seen.weight = NULL;
    c->seen.looks = NULL;
}

int goss_cpu_record(goss_backend *b, int on)
{
    cpu *c = (cpu *)b;
    const size_t rows = (size_t)(c->desks[0].max_rows + c->desks[1].max_rows), n = rows * choices(c);
    goss_cpu_seen_close(c);
    if (!on) return 0;
    c->seen.looks = goss_mem_array(rows, sizeof *c->seen.looks);
    c->seen.expert = n ? goss_mem_array(n, sizeof *c->seen.expert) : NULL;
    c->seen.weight = n ? goss_mem_array(n, sizeof *c->seen.weight) : NULL;
    if (c->seen.looks && (!n || (c->seen.expert && c->seen.weight))) return 0;
    goss_cpu_seen_close(c);
    return GOSS_ENOMEM;
}

void goss_cpu_watch(goss_backend *b, int layer, int head)
{
    cpu *c = (cpu *)b;
    c->seen.layer = layer;
    c->seen.head = head;
}

/* ---- while a step runs --------------------------------------------------------------------------------- */
void goss_cpu_see_route(cpu *c, int layer, int n_rows)
{
    const size_t used = (size_t)c->base.model->hp.n_expert_used;
    for (int i = 0; i < n_rows; i++) {
        const size_t to = place_of(c, i) * choices(c) + (size_t)layer * used, from = (size_t)i * used;
        for (size_t k = 0; k < used; k++) {
            c->seen.expert[to + k] = (uint16_t)c->desk->chosen[from + k];
            c->seen.weight[to + k] = goss_share(c->desk->weight[from + k]);
        }
    }
}

/* A position that may be among the most looked at so far; the list is kept in order, best first. */
static void offer(cpu_looks *l, float score, int pos)
{
    int at = l->n;
    if (at == GOSS_LOOKS && !(score > l->score[at - 1])) return;
    if (at == GOSS_LOOKS) at--;
    else l->n++;
    for (; at > 0 && score > l->score[at - 1]; at--) {
        l->score[at] = l->score[at - 1];
        l->pos[at] = l->pos[at - 1];
    }
    l->score[at] = score;
    l->pos[at] = pos;
}

void goss_cpu_see_page(cpu *c, int row, const goss_attn_q *q, const float *k, int base)
{
    const int hd = c->base.model->hp.head_dim;
    float s[GOSS_KV_PAGE] = { 0 };
    for (int d = 0; d < hd; d++)
        for (int i = 0; i < GOSS_KV_PAGE; i++) s[i] += q->q[d] * k[d * GOSS_KV_PAGE + i];
    for (int i = q->lo; i < q->hi; i++)
        offer(&c->seen.looks[place_of(c, row)], s[i] * c->base.model->hp.attn_scale, base + i);
}

void goss_cpu_see_begin(cpu *c, int row) { c->seen.looks[place_of(c, row)].n = 0; }

void goss_cpu_see_end(cpu *c, int row, const goss_attn_q *q)
{
    cpu_looks *l = &c->seen.looks[place_of(c, row)];
    for (int i = 0; i < l->n; i++) l->score[i] = expf(l->score[i] - q->m) / q->l;
}

/* ---- after it ------------------------------------------------------------------------------------------ */
int goss_cpu_seen(const goss_backend *b, const goss_step *s, int row, goss_seen *out)
{
    const cpu *c = (const cpu *)b;
    const size_t n = choices(c), at = place_of(c, row);
    (void)s;
    if (!c->seen.looks) return 0;
    if (c->seen.expert) {
        memcpy(out->expert, c->seen.expert + at * n, n * sizeof *out->expert);
        memcpy(out->weight, c->seen.weight + at * n, n * sizeof *out->weight);
    }
    const cpu_looks *l = &c->seen.looks[at];
    out->n_looks = l->n;
    out->watch[0] = (uint16_t)c->seen.layer;
    out->watch[1] = (uint16_t)c->seen.head;
    for (int i = 0; i < l->n; i++) {
        out->look[i] = (uint32_t)l->pos[i];
        out->look_weight[i] = goss_share(l->score[i]);
    }
    return GOSS_SEEN_LOOKS | (c->seen.expert ? GOSS_SEEN_EXPERTS : 0);
}
