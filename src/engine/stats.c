/* stats.c - what an engine says about itself: its model and its counts. */
#include "base/fmt.h"
#include "base/os.h"
#include "engine_state.h"
#include "plan.h"
#include <string.h>

void goss_engine_info(const goss_engine *e, goss_model_info *out)
{
    if (out) *out = (goss_model_info){ 0 };
    if (!e || !out) return;
    const goss_loaded *m = &e->loaded;
    if (!m->bound) return;
    goss_plan_describe(&m->model, out);
    if (m->vocab) goss_fmt(out->chat, sizeof out->chat, "%s", goss_chat_format_name(m->format));
    out->max_kv = m->max_kv;
    goss_fmt(out->kv, sizeof out->kv, "%s",
             goss_plan_kv_name(e->config.kv_type, m->backend ? m->backend->vt->name : ""));
    out->n_threads = e->config.n_threads ? e->config.n_threads : goss_os_cores();
    out->resident_bytes = m->plan.resident_bytes;
    out->kv_bytes = m->plan.kv_bytes;
    out->file_bytes = 0;
    for (int i = 0; i < e->load.n_files; i++) out->file_bytes += e->load.files[i].source.size;
    if (!m->backend) return;
    goss_fmt(out->backend, sizeof out->backend, "%s", m->backend->vt->name);
    goss_fmt(out->level, sizeof out->level, "%s", m->backend->vt->level(m->backend));
}

/* Of the KV's pages: those in use, and how much more they would be if nobody shared. */
static void count_pages(const goss_engine *e, goss_stats *out)
{
    for (int c = 0; e->pool_open && c < GOSS_KV_CLASSES; c++) {
        const uint64_t bytes = e->loaded.plan.page_bytes[c];
        out->kv_bytes_used += (uint64_t)(e->pool.n_pages[c] - e->pool.n_free[c]) * bytes;
        out->kv_bytes_shared += goss_kv_pool_shared(&e->pool, c) * bytes;
    }
}

static void ask_backend(goss_backend *backend, int loading, goss_stats *out)
{
    goss_backend_stats b = { 0 };
    backend->vt->stats(backend, &b);
    out->gpu_bytes = strcmp(backend->vt->name, "gpu") ? 0 : b.bytes_allocated;
    out->expert_hits = b.hits;
    out->expert_misses = b.misses;
    out->expert_evictions = b.evictions;
    out->expert_stalls = b.stalls;
    out->expert_stall_ms = b.stall_ms;
    out->expert_bytes = b.fetched_bytes;
    if (loading && b.progress > 0) out->load_progress = b.progress;
}

void goss_engine_stats(const goss_engine *e, goss_stats *out)
{
    if (out) *out = (goss_stats){ 0 };
    if (!e || !out) return;
    const double total = (double)e->load.total;
    *out = e->stats;
    out->load_progress = e->state == GOSS_ENGINE_READY ? 1 : total > 0 ? (double)e->load.done / total : 0;
    for (int i = 0; i < e->prefixes.n_open; i++) {
        const goss_sequence *q = e->prefixes.open[i];
        out->n_sessions += q && !q->closed;
        out->n_active += q && q->active;
    }
    out->schema_bytes = atomic_load(&e->schemas.budget.used);
    out->schema_nodes = atomic_load(&e->schemas.n_nodes);
    out->schemas_refused = atomic_load(&e->schemas.n_refused);
    out->schema_ms = (double)atomic_load(&e->schemas.spent_us) / 1000;
    count_pages(e, out);
    if (e->loaded.backend) ask_backend(e->loaded.backend, e->state == GOSS_ENGINE_LOADING, out);
}

double goss_engine_model_ms(const goss_engine *e) { return e ? e->model_ms : 0; }
