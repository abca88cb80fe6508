/* plan.c - shares memory among weights, experts and KV.
 *
 * On memory (cpu, ref) the file is mapped and pages of KV that nobody touched cost nothing, so the KV may be
 * reserved generously: a quarter of the free memory unless told otherwise. On a GPU what is reserved is
 * spent: at most 1 GB beside the weights at first (goss_plan_growth: then it grows); where that passes
 * --gpu-memory, --resident-cap or --expert-cache, experts are paged (0.5 GB of KV by default then). A session
 * may use as many positions as the KV holds. How many experts really have room is counted when the device is
 * there (src/gpu/weights/slots_gpu.c); what is said here is what its formulas give. */
#include "plan.h"
#include "format/gguf_split.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include "format/gguf_head.h"
#include "model/stage.h"
#include "prefix/cache.h"
#include <string.h>

static const uint64_t MIB = 1ull << 20, MB = 1000000, /* thresholds in the one, words in the other */
                      BESIDE = 1000 * 1000 * 1000; /* a GPU's memory beside the weights */
enum { MOST_PAGES = 1 << 24 /* that a GPU's KV grows to */ };

static int kv_type_of(const char *name, int *type, goss_error *err)
{
    static const struct {
        const char *name;
        int type;
    } known[] = { { "f16", GOSS_F16 }, { "f32", GOSS_F32 }, { "q8", GOSS_Q8_0 }, { "q4", GOSS_Q4_0 } };
    if (!name) name = "f16";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(name, known[i].name)) { *type = known[i].type; return 0; }
    return goss_fail(err, GOSS_EINVAL, -1, "KV type \"%s\": f16, f32, q8 and q4 are known", name);
}

const char *goss_plan_kv_name(const char *asked, const char *backend)
{
    if (!asked) asked = "f16";
    return !strcmp(backend, "ref") ? "f32" : !strcmp(backend, "gpu") && strcmp(asked, "f32") ? "f16" : asked;
}

static uint64_t page_bytes(const goss_model *m, int cls, int kv_type)
{
    uint64_t layers = 0;
    for (int l = 0; l < m->hp.n_layer; l++) layers += m->layers[l].windowed == (cls == GOSS_KV_WINDOW);
    return layers * 2 * GOSS_KV_PAGE *
           goss_type_row_bytes(kv_type, (int64_t)m->hp.n_head_kv * m->hp.head_dim);
}

/* Of layers [from, end). */
static uint64_t expert_bytes(const goss_model *m, int from)
{
    uint64_t n = 0;
    for (int l = from; m->hp.n_expert && l < m->hp.n_layer; l++)
        n += m->layers[l].gate.n_bytes + m->layers[l].up.n_bytes + m->layers[l].down.n_bytes;
    return n;
}

/* A GPU that has memory is fastest with many rows a step, as long as each of their buffers fits the least
 * binding that WebGPU promises. */
int goss_plan_rows(const goss_model *m, const goss_engine_config *c, int gpu)
{
    const goss_hparams *h = &m->hp;
    const uint64_t wide = h->n_ff > h->n_embd ? (uint64_t)h->n_ff : (uint64_t)h->n_embd,
                   row = 4 * wide * (h->n_expert ? (uint64_t)h->n_expert_used : 1);
    int rows = GOSS_MOST_ROWS;
    if (c->max_rows) return c->max_rows;
    if (!gpu || c->gpu_memory || c->resident_cap || c->expert_cache) return GOSS_ROWS;
    while (rows > GOSS_ROWS && (uint64_t)rows * row > 128 * MIB) rows /= 2;
    return rows;
}

static int sessions_of(const goss_engine_config *c)
{
    return c->max_sessions ? c->max_sessions : GOSS_SESSIONS;
}

/* Activations, logits and staging of a GPU step, as src/gpu/step/build.c makes them, give or take a few
 * MB. */
static uint64_t scratch_bytes(const goss_model *m, const goss_engine_config *c)
{
    const goss_hparams *h = &m->hp;
    const uint64_t rows = (uint64_t)goss_plan_rows(m, c, 1), k = h->n_expert ? (uint64_t)h->n_expert_used : 1,
                   q = (uint64_t)(h->n_head * h->head_dim), kv = (uint64_t)(h->n_head_kv * h->head_dim),
                   embd = (uint64_t)h->n_embd, ff = (uint64_t)h->n_ff, parts = rows > 2048 ? rows : 2048;
    const uint64_t a_row = 2 * embd + 2 * q + 2 * kv + k * (ff + embd) + (k * ff > embd ? k * ff : embd) / 2;
    const uint64_t logits = sessions_of(c) > GOSS_DECODE_ROWS ? GOSS_CROWD_ROWS : GOSS_DECODE_ROWS;
    return 4 * (rows * a_row + parts * q + 2 * logits * (uint64_t)h->n_vocab) + 48 * MIB;
}

/* Activations of a CPU's steps, as src/cpu/stage_cpu.c lays them out: of a step, and of those beside it while
 * it is paused; logits of as many rows as decode. */
static uint64_t cpu_scratch_bytes(const goss_model *m, const goss_engine_config *c)
{
    const goss_hparams *h = &m->hp;
    const uint64_t rows = (uint64_t)goss_plan_rows(m, c, 0), q = (uint64_t)(h->n_head * h->head_dim),
                   beside = rows < GOSS_BESIDE_ROWS ? rows : GOSS_BESIDE_ROWS, embd = (uint64_t)h->n_embd,
                   kv = (uint64_t)(h->n_head_kv * h->head_dim), ff = (uint64_t)h->n_ff,
                   k = h->n_expert ? (uint64_t)h->n_expert_used : 1;
    /* what is multiplied stands there as floats and as bytes with scales */
    const uint64_t floats = embd + q + 2 * kv + k * embd, moe = h->n_expert ? 2 * embd + k * embd : 0,
                   both = embd + q + k * ff + moe, halves = h->n_expert ? embd : 0;
    return (rows + beside) * (4 * floats + 21 * both / 4 + 17 * halves / 8) +
           4 * 2 * GOSS_DECODE_ROWS * (uint64_t)h->n_vocab;
}

/* Does somebody say how much of a GPU's memory there is? */
static int is_capped(const goss_engine_config *c)
{
    return c->kv_cap || c->gpu_memory || c->resident_cap || c->expert_cache;
}

/* What the KV may cost on a GPU, without paging and with it: reserved is spent there, so it stays within
 * BESIDE together with what steps take (goss_plan_make: unless more was asked for), and a small model whose
 * context nobody asked for in full gets half of its weights' size, from 64 MB on. */
static uint64_t kv_cap(const goss_engine_config *c, const goss_plan_info *p, int paged)
{
    const uint64_t half = p->weight_bytes / 2 > 64 * MIB ? p->weight_bytes / 2 : 64 * MIB,
                   left = p->scratch_bytes < BESIDE / 2 ? BESIDE - p->scratch_bytes : BESIDE / 2;
    if (c->kv_cap) return c->kv_cap;
    if (paged) return 512 * MIB;
    return c->max_kv || half > left ? left : half;
}

/* On a GPU: are experts paged, and in how much room? By a cap for them (2 GB when only the resident weights
 * are capped), or by what the GPU's memory leaves. */
static void share_gpu(const goss_model *m, const goss_engine_config *c, goss_plan_info *p)
{
    /* the host's are not on the GPU */
    const uint64_t experts = expert_bytes(m, c->n_cpu_moe > 0 ? c->n_cpu_moe : 0);
    const uint64_t dense = p->weight_bytes - p->expert_bytes, rest = dense + p->scratch_bytes,
                   all = dense + experts;
    const uint64_t round = m->hp.n_expert ? experts / (uint64_t)m->hp.n_expert : 0; /* one of each layer */
    uint64_t room = c->expert_cache ? c->expert_cache
                    : c->resident_cap && all > c->resident_cap ? 2048 * MIB : UINT64_MAX;
    const int tight = c->gpu_memory && all + p->scratch_bytes + kv_cap(c, p, 0) > c->gpu_memory;
    p->resident_bytes = all;
    if (tight) {
        const uint64_t spent = rest + kv_cap(c, p, 1),
                       left = c->gpu_memory > spent ? c->gpu_memory - spent : 0;
        if (left < room) room = left;
    }
    p->n_slots = m->hp.n_expert;
    if (!round) { p->fits = !tight; return; }
    if (room >= experts) return;
    p->n_slots = (int)(room / round);
    p->resident_bytes = dense;
    p->expert_cache_bytes = room > 0 ? room : 1;
    p->fits = p->n_slots >= m->hp.n_expert_used && (!c->resident_cap || dense <= c->resident_cap);
}

/* What the KV may cost, and on a GPU how the weights are split. */
static uint64_t budget(const goss_model *m, const goss_engine_config *c, int gpu, goss_plan_info *p)
{
    p->weight_bytes = m->weight_bytes;
    p->expert_bytes = expert_bytes(m, 0);
    p->resident_bytes = p->weight_bytes;
    p->fits = 1;
    p->n_slots = m->hp.n_expert;
    if (!gpu) {
        p->fits = p->weight_bytes <= p->memory_available;
        p->scratch_bytes = cpu_scratch_bytes(m, c);
        const uint64_t quarter = p->memory_available / 4;
        return c->kv_cap ? c->kv_cap : quarter > 256 * MIB ? quarter : 256 * MIB;
    }
    p->scratch_bytes = scratch_bytes(m, c);
    share_gpu(m, c, p);
    return kv_cap(c, p, p->expert_cache_bytes != 0);
}

/* Whether a GPU's KV may grow, if the device says how much memory it has. */
static int may_grow(const goss_engine_config *c, const goss_plan_info *p)
{
    return !is_capped(c) && !p->expert_cache_bytes && p->fits;
}

/* The plan in sentences. */
static void explain(const goss_model *m, const goss_engine_config *c, int gpu, goss_plan_info *p)
{
    const char *asked = c->kv_type;
    const int n_host = c->n_cpu_moe;
    const unsigned long long mb = MB, weights = (gpu ? p->resident_bytes : p->weight_bytes) / mb,
                             experts = p->expert_bytes / mb;
    size_t n = 0;
    if (!gpu)
        n = goss_fmt(
            p->text, sizeof p->text,
            p->fits ? "All %llu MB of weights stay in memory."
                    : "%llu MB of weights are more than the free memory: they are read from disk as they are "
                      "needed, slowly.",
            weights);
    else if (!p->expert_cache_bytes)
        n = goss_fmt(p->text, sizeof p->text,
                     p->fits ? "All %llu MB of weights stay on the GPU."
                             : "%llu MB of weights are more than the GPU memory allowed: raise --gpu-memory.",
                     weights);
    else
        n = goss_fmt(
            p->text, sizeof p->text,
            "%llu MB of weights stay on the GPU; of %llu MB of experts %d of %d a layer have room at once "
            "(%llu MB), the others are fetched when a token wants them.",
            weights, experts, p->n_slots, m->hp.n_expert, (unsigned long long)p->expert_cache_bytes / mb);
    if (gpu && n_host > 0 && m->hp.n_expert)
        n +=
            goss_fmt(p->text + n, sizeof p->text - n, " The CPU computes the experts of the first %d layers.",
                     n_host < m->hp.n_layer ? n_host : m->hp.n_layer);
    if (gpu && p->expert_cache_bytes && !p->fits)
        n += goss_fmt(p->text + n, sizeof p->text - n,
                      " That does not do: a token wants %d experts a layer, %llu MB; raise --gpu-memory, "
                      "--expert-cache or --resident-cap, or lower --kv-cap.",
                      m->hp.n_expert_used,
                      (unsigned long long)(p->expert_bytes / (uint64_t)m->hp.n_expert) *
                          (unsigned long long)m->hp.n_expert_used / mb);
    n += goss_fmt(p->text + n, sizeof p->text - n,
                  " %llu MB hold the keys and values of all sessions, up to %d positions each.",
                  (unsigned long long)(p->kv_bytes / mb), p->max_kv);
    if (gpu && asked && strcmp(asked, "f16") && strcmp(asked, "f32"))
        n += goss_fmt(p->text + n, sizeof p->text - n, " A GPU keeps them in f16, not in %s.", asked);
    if (p->max_kv < m->hp.n_ctx)
        n += goss_fmt(p->text + n, sizeof p->text - n,
                      " The model's context is %d: %s--max-kv asks for more.", m->hp.n_ctx,
                      gpu && may_grow(c, p) ? "they grow where the GPU says how much memory it has, else "
                                            : "");
    goss_fmt(p->text + n, sizeof p->text - n, " Steps take %llu MB more.",
             (unsigned long long)(p->scratch_bytes / mb));
}

static int pages_for(int positions) { return (positions + GOSS_KV_PAGE - 1) / GOSS_KV_PAGE; }

/* More than the context is the context. */
static int positions_wanted(const goss_model *m, const goss_engine_config *c)
{
    return c->max_kv && c->max_kv < m->hp.n_ctx ? c->max_kv : m->hp.n_ctx;
}

/* What the sessions could fill: pages of the layers that see everything; of windowed layers a few for each
 * session and for each snapshot. */
static int64_t full_pages(const goss_model *m, const goss_engine_config *c)
{
    return (int64_t)sessions_of(c) * (pages_for(positions_wanted(m, c)) + 1) + GOSS_CACHED;
}

static int64_t window_pages(const goss_model *m, const goss_engine_config *c, int rows)
{
    const int live = goss_kv_window_pages(m->hp.window, GOSS_ROLLBACK, rows),
              whole = pages_for(positions_wanted(m, c)) + 1;
    return (int64_t)(sessions_of(c) + 2) * (live < whole ? live : whole) +
           (int64_t)GOSS_CACHED * (pages_for(m->hp.window + GOSS_ROLLBACK) + 1);
}

int goss_plan_growth(const goss_model *m, const goss_engine_config *c, const goss_plan_info *p, int pages[2])
{
    const int64_t full = full_pages(m, c), window = window_pages(m, c, goss_plan_rows(m, c, 1));
    if (!may_grow(c, p) || full > MOST_PAGES || window > MOST_PAGES) return 0;
    pages[GOSS_KV_FULL] = (int)full;
    pages[GOSS_KV_WINDOW] = p->page_bytes[GOSS_KV_WINDOW] ? (int)window : 0;
    return positions_wanted(m, c);
}

int goss_plan_make(const goss_model *m, const goss_engine_config *c, int gpu, goss_plan_info *p, int *kv_type,
                   goss_error *err)
{
    *p = (goss_plan_info){ 0 };
    const int rc = kv_type_of(c->kv_type, kv_type, err);
    if (rc) return rc;
    if (gpu && *kv_type != GOSS_F32) *kv_type = GOSS_F16; /* all that its kernels know */
    p->memory_total = goss_os_memory(&p->memory_available);
    uint64_t bytes = budget(m, c, gpu, p);
    const int rows = goss_plan_rows(m, c, gpu);
    for (int cls = 0; cls < GOSS_KV_CLASSES; cls++) p->page_bytes[cls] = page_bytes(m, cls, *kv_type);
    p->kv_token_bytes = p->page_bytes[GOSS_KV_FULL] / GOSS_KV_PAGE;
    const int want = positions_wanted(m, c), live = goss_kv_window_pages(m->hp.window, GOSS_ROLLBACK, rows);
    int64_t window = p->page_bytes[GOSS_KV_WINDOW] ? window_pages(m, c, rows) : 0;
    const uint64_t one = c->max_kv ? (uint64_t)(pages_for(want) + 2) * p->page_bytes[GOSS_KV_FULL] : 0,
                   least = (uint64_t)live + 2;
    /* what is asked for is asked of the GPU, unless its memory is capped, too */
    if (gpu && one && bytes < one + least * p->page_bytes[GOSS_KV_WINDOW] && !is_capped(c))
        bytes = one + (uint64_t)window * p->page_bytes[GOSS_KV_WINDOW];
    /* half of the room, less where one session of as many positions as asked for needs more of the other
     * half */
    const uint64_t rest = bytes > one ? bytes - one : 0, share = rest < bytes / 2 ? rest : bytes / 2;
    const uint64_t most = p->page_bytes[GOSS_KV_WINDOW] ? share / p->page_bytes[GOSS_KV_WINDOW] : 0;
    if (window && (uint64_t)window > most) window = (int64_t)(most > least ? most : least);
    p->n_pages[GOSS_KV_WINDOW] = (int)window;
    bytes -= (uint64_t)window * p->page_bytes[GOSS_KV_WINDOW] < bytes
                 ? (uint64_t)window * p->page_bytes[GOSS_KV_WINDOW]
                 : bytes;
    int64_t full = full_pages(m, c);
    if (p->page_bytes[GOSS_KV_FULL] && (uint64_t)full > bytes / p->page_bytes[GOSS_KV_FULL])
        full = (int64_t)(bytes / p->page_bytes[GOSS_KV_FULL]);
    if (full < 2) full = 2;
    p->n_pages[GOSS_KV_FULL] = (int)full;
    const int64_t holds = (full - 1) * GOSS_KV_PAGE;
    if (c->max_kv && holds < want)
        return goss_fail(err, GOSS_ELIMIT, -1,
                         "%d positions of KV need %llu MB, %llu MB are left for it: %d fit%s", want,
                         (unsigned long long)((uint64_t)pages_for(want) * p->page_bytes[0] / MB),
                         (unsigned long long)(bytes / MB), (int)holds,
                         gpu                     ? "; --kv-cap and --gpu-memory say how much there is"
                         : *kv_type == GOSS_F16 ? ", with --kv q8 or q4 more"
                                                 : "");
    p->max_kv = (int)(holds < want ? holds : want);
    p->kv_bytes = (uint64_t)full * p->page_bytes[0] + (uint64_t)window * p->page_bytes[1];
    explain(m, c, gpu, p);
    return 0;
}

/* ---- a model in words ---------------------------------------------------------------------------------- */
/* The experts' type, or the one that most of the weights' bytes have. */
static int main_type(const goss_model *m)
{
    if (m->hp.n_expert && m->hp.n_layer) return m->layers[0].gate.type;
    uint64_t sum[64] = { 0 };
    int best = 0;
    for (uint64_t i = 0; i < m->gguf->n_tensors; i++) {
        const goss_tensor *t = &m->gguf->tensors[i];
        if (t->type >= 0 && t->type < 64) sum[t->type] += t->n_bytes;
    }
    for (int i = 1; i < 64; i++)
        if (sum[i] > sum[best]) best = i;
    return best;
}

void goss_plan_describe(const goss_model *m, goss_model_info *out)
{
    const goss_hparams *h = &m->hp;
    *out = (goss_model_info){ .n_layer = h->n_layer,
                              .n_embd = h->n_embd,
                              .n_head = h->n_head,
                              .n_head_kv = h->n_head_kv,
                              .head_dim = h->head_dim,
                              .n_ff = h->n_ff,
                              .n_expert = h->n_expert,
                              .n_expert_used = h->n_expert_used,
                              .n_vocab = h->n_vocab,
                              .n_ctx = h->n_ctx,
                              .window = h->window,
                              .n_params = h->n_params };
    goss_fmt(out->name, sizeof out->name, "%s", h->name);
    goss_fmt(out->arch, sizeof out->arch, "%s", h->arch == GOSS_ARCH_GPTOSS ? "gpt-oss" : "llama");
    const goss_type_info *t = goss_type_get(main_type(m));
    goss_fmt(out->type, sizeof out->type, "%s", t ? t->name : "?");
    out->step_bytes = goss_model_step_bytes(m);
    out->step_expert_bytes = goss_model_step_expert_bytes(m);
    out->file_bytes = m->gguf->file_size;
}

/* What a plan needs of a model's files. */
typedef struct headers {
    goss_gguf gguf;
    goss_mapping map;
    goss_gguf_head head[GOSS_FILES];
    uint64_t bytes;
} headers;

static int read_source(void *ctx, uint64_t offset, void *dst, size_t n, goss_error *err)
{
    const goss_source *s = ctx;
    const int rc = s->read(s->ctx, offset, dst, n, 0);
    return rc == 1 ? 0
                   : goss_fail(err, rc < 0 ? rc : GOSS_EIO, -1, "the header of %s can't be read", s->name);
}

static int open_headers(headers *h, const goss_engine_config *c, goss_error *err)
{
    int rc = 0;
    if (!c->n_sources) {
        rc = goss_gguf_map(&h->gguf, &h->map, c->model_path, err);
        h->bytes = h->map.size;
        return rc;
    }
    if (c->n_sources > GOSS_FILES)
        return goss_fail(err, GOSS_ELIMIT, -1, "more than %d files", (int)GOSS_FILES);
    for (int i = 0; i < c->n_sources && !rc; i++) {
        goss_gguf part = { 0 };
        goss_source s = c->sources[i];
        goss_gguf_head_begin(&h->head[i], s.map, s.size, s.size);
        rc = goss_gguf_head_read(&h->head[i], i ? &part : &h->gguf, read_source, &s, err);
        if (!rc && i) rc = goss_gguf_join(&h->gguf, &part, i, err);
        goss_gguf_free(&part);
        h->bytes += s.size;
    }
    return rc ? rc : goss_gguf_complete(&h->gguf, err);
}

static void close_headers(headers *h)
{
    goss_gguf_free(&h->gguf);
    if (h->map.data) goss_os_unmap(&h->map);
    for (int i = 0; i < GOSS_FILES; i++) goss_gguf_head_close(&h->head[i]);
    goss_mem_free(h);
}

int goss_plan_with(const goss_engine_config *config,
                   int (*fn)(void *ctx, const goss_model *m, uint64_t file_bytes, goss_error *err), void *ctx,
                   goss_error *err)
{
    if (!config || config->n_sources < 0 || (config->n_sources && !config->sources) ||
        (!config->n_sources && !config->model_path))
        return goss_fail(err, GOSS_EINVAL, -1, "no model path");
    headers *h = goss_mem_alloc(sizeof *h);
    if (!h) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a plan");
    goss_model m = { 0 };
    int bound = 0, rc = open_headers(h, config, err);
    if (!rc) {
        const goss_model_options opt = { .n_layers = config->n_layers,
                                         .attn_dense = config->attn_dense,
                                         .yarn_llamacpp = config->yarn_llamacpp,
                                         .moe_fallback = config->moe_fallback };
        bound = 1;
        rc = goss_model_bind(&m, &h->gguf, &opt, err);
    }
    if (!rc) rc = fn(ctx, &m, h->bytes, err);
    if (bound) goss_model_free(&m);
    close_headers(h);
    return rc;
}

typedef struct planned {
    const goss_engine_config *config;
    goss_model_info *info;
    goss_plan_info *plan;
} planned;

static int plan_model(void *ctx, const goss_model *m, uint64_t file_bytes, goss_error *err)
{
    const planned *to = ctx;
    goss_plan_info p;
    const int gpu = to->config->backend && !strcmp(to->config->backend, "gpu");
    int kv_type;
    const int rc = goss_plan_make(m, to->config, gpu, &p, &kv_type, err);
    if (rc) return rc;
    if (to->info) {
        goss_plan_describe(m, to->info);
        to->info->file_bytes = file_bytes;
        to->info->max_kv = p.max_kv;
        to->info->kv_bytes = p.kv_bytes;
        to->info->resident_bytes = p.resident_bytes;
    }
    if (to->plan) *to->plan = p;
    return 0;
}

int goss_plan(const goss_engine_config *config, goss_model_info *info, goss_plan_info *plan, goss_error *err)
{
    planned to = { config, info, plan };
    return goss_plan_with(config, plan_model, &to, err);
}
