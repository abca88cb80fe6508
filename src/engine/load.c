/* load.c - the steps of loading:
 *
 *   HEADERS  each shard's header: at once where the file is in memory, else by reads until it parses
 *   BIND     the model's shape and tensors, the vocabulary
 *   BACKEND  the plan; "auto" tries the GPU, then the CPU
 *   BYTES    only for a backend that computes on memory and a source that is not mapped: the whole file
 *   WEIGHTS  the backend's own load()
 * Bytes of a header stay where they are as long as the engine lives: the GGUF's strings are views into
 * them. */
#include "load.h"
#include "format/gguf_split.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include "pipeline/pipeline.h"
#include "pipeline/split.h"
#include "plan.h"
#include <string.h>

enum { PHASE_HEADERS, PHASE_BIND, PHASE_BACKEND, PHASE_BYTES, PHASE_WEIGHTS, PHASE_READY };
enum { KIND_REF, KIND_CPU, KIND_GPU };
static const uint64_t TAG = 1ull << 63;            /* the loader's tags; a backend's have it clear */
enum { READ_CHUNK = 1 << 22 };

/* ---- opening ------------------------------------------------------------------------------------------- */
/* "x-00001-of-00004.gguf": the number of shards, 0 for other names. *at: where the first number's digits
 * begin. */
static int split_count(const char *path, size_t *at)
{
    const size_t n = strlen(path);
    if (n < 20 || strcmp(path + n - 5, ".gguf") != 0 || memcmp(path + n - 14, "-of-", 4) != 0) return 0;
    int no = 0, count = 0;
    for (int i = 0; i < 5; i++) {
        const char a = path[n - 19 + i], b = path[n - 10 + i];
        if (a < '0' || a > '9' || b < '0' || b > '9') return 0;
        no = no * 10 + (a - '0');
        count = count * 10 + (b - '0');
    }
    *at = n - 19;
    return no == 1 && path[n - 20] == '-' ? count : 0;
}

static int open_paths(goss_loader *l, goss_error *err)
{
    const char *path = l->path[0] ? l->path : l->config->model_path;
    size_t at = 0;
    const int split = split_count(path, &at), count = split > 1 ? split : 1;
    if (count > GOSS_FILES)
        return goss_fail(err, GOSS_ELIMIT, -1, "%s: %d shards, at most %d are read", path, count, GOSS_FILES);
    char name[1024];
    if (strlen(path) >= sizeof name)
        return goss_fail(err, GOSS_EINVAL, -1, "the model's path is longer than %d bytes",
                         (int)sizeof name - 1);
    l->files = goss_mem_array((size_t)count, sizeof *l->files);
    if (!l->files) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for %d shards", count);
    l->n_files = count;
    memcpy(name, path, strlen(path) + 1);
    for (int i = 0; i < count; i++) {
        if (split > 1) {
            char digits[6];
            goss_fmt(digits, sizeof digits, "%05d", i + 1);
            memcpy(name + at, digits, 5);
        }
        goss_file *f = &l->files[i];
        const int rc = goss_os_map(&f->mapping, name, err);
        if (rc) return rc;
        f->mapped = 1;
        f->source.name = path;
        f->source.map = f->mapping.data;
        f->source.size = f->mapping.size;
    }
    return 0;
}

static int take_sources(goss_loader *l, goss_error *err)
{
    const int count = l->config->n_sources;
    if (count < 1 || count > GOSS_FILES)
        return goss_fail(err, GOSS_EINVAL, -1, "%d sources: 1 to %d can be opened", count, GOSS_FILES);
    l->files = goss_mem_array((size_t)count, sizeof *l->files);
    if (!l->files) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for %d sources", count);
    l->n_files = count;
    for (int i = 0; i < count; i++) {
        l->files[i].source = l->config->sources[i];
        if (!l->files[i].source.map && !l->files[i].source.read)
            return goss_fail(err, GOSS_EINVAL, -1, "source %d has neither a map nor a read function", i);
    }
    return 0;
}

static int in_ring(const goss_loader *l) { return l->config->ring && l->config->ring->n > 1; }

/* What a ring's name of a model means to this rank. */
static int take_found(goss_loader *l, int is_source)
{
    if (!is_source) return 0;
    l->config->sources = &l->found;
    l->config->n_sources = 1;
    return 0;
}

/* A rank of a ring computes on its CPU, or on the GPU where that is asked for, and from a file of its own. */
static int choose_ring(goss_loader *l, const char *backend, goss_error *err)
{
    const goss_engine_config *c = l->config;
    if (l->kind == KIND_REF)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1, "a pipeline computes on CPUs and GPUs, not on \"%s\"",
                         backend);
    if (c->n_cpu_moe > 0)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1,
                         "--n-cpu-moe and a pipeline exclude each other: give layers to a rank on a CPU");
    if (!strcmp(backend, "auto")) l->kind = KIND_CPU;
    if (c->sources || !c->model_path)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1,
                         "each process of a pipeline opens the model by its name: give one");
    if (!c->ring->find) return 0;
    const int rc = c->ring->find(c->ring->ctx, c->model_path, l->path, (int)sizeof l->path, &l->found, err);
    return rc < 0 ? rc : take_found(l, rc);
}

int goss_ring_facts(const goss_engine_config *c, goss_pipe_fact *f, goss_error *err)
{
    int own = 0;
    if (!c->backend || strcmp(c->backend, "gpu") != 0) {
        goss_split_facts(f, c->ring->host, c->n_threads);
        return 0;
    }
    goss_split_host(f, c->ring->host);
    const int rc = goss_gpu_speed(c, &f->bytes_ms, &own, err);
    f->own = own;
    if (own) f->memory = c->gpu_memory ? c->gpu_memory : UINT64_MAX; /* which nobody tells */
    return rc;
}

int goss_load_begin(goss_loader *l, goss_error *err)
{
    l->t0 = goss_os_now_ms();
    const char *backend = l->config->backend ? l->config->backend : "auto";
    if (!strcmp(backend, "ref")) l->kind = KIND_REF;
    else if (!strcmp(backend, "cpu")) l->kind = KIND_CPU;
    else if (!strcmp(backend, "gpu") || !strcmp(backend, "auto")) l->kind = KIND_GPU;
    else return goss_fail(err, GOSS_EINVAL, -1, "backend \"%s\": auto, gpu, cpu and ref are known", backend);
    int rc = in_ring(l) ? choose_ring(l, backend, err) : 0;
    if (rc) return rc;
    if (l->config->sources) rc = take_sources(l, err);
    else if (l->config->model_path) rc = open_paths(l, err);
    else rc = goss_fail(err, GOSS_EINVAL, -1, "no model: give a path or a source");
    if (rc) return rc;
    goss_telemetry_load(l->telemetry, "load_start", "started", NULL);
    const char *name = l->files[0].source.name;
    uint64_t total = 0;
    for (int i = 0; i < l->n_files; i++) total += l->files[i].source.size;
    char detail[320];
    goss_fmt(detail, sizeof detail, "source=%.200s", name ? name : "(memory)");
    goss_telemetry_load(l->telemetry, "load_start", "completed", detail);
    goss_fmt(detail, sizeof detail, "total=%llu shards=%d", (unsigned long long)total, l->n_files);
    goss_telemetry_load(l->telemetry, "range_check", "completed", detail);
    goss_telemetry_load(l->telemetry, "gguf_parse", "started", NULL);
    return 0;
}

/* ---- headers ------------------------------------------------------------------------------------------- */
/* Asks for what a header lacks: it comes now or later. */
static void read_head(goss_loader *l, int index)
{
    goss_file *f = &l->files[index];
    const uint64_t n = f->head.want - f->head.n;
    l->read[0].busy = 1;
    l->read[0].file = index;
    l->read[0].n = n;
    const int rc = f->source.read(f->source.ctx, f->head.n, f->head.bytes + f->head.n, (size_t)n, TAG);
    if (rc != 0) goss_load_read_done(l, TAG, rc < 0 ? rc : 0);
}

static int parse_file(goss_loader *l, int index, goss_gguf *g, goss_error *err)
{
    goss_file *f = &l->files[index];
    if (!f->head.size) goss_gguf_head_begin(&f->head, f->source.map, f->source.size, f->source.size);
    while (!l->read[0].busy) {
        if (l->failed)
            return goss_fail(err, GOSS_EIO, (int64_t)f->head.n, "reading the header of %s failed",
                             f->source.name ? f->source.name : "the source");
        const int rc = goss_gguf_head_parse(&f->head, g, err);
        if (rc != GOSS_EAGAIN) return rc;
        read_head(l, index);
    }
    return GOSS_EAGAIN;
}

static void set_data(goss_loader *l)
{
    for (uint64_t i = 0; i < l->to->gguf.n_tensors; i++) {
        goss_tensor *t = &l->to->gguf.tensors[i];
        const goss_file *f = &l->files[t->shard];
        const uint8_t *bytes = f->source.map ? f->source.map : f->bytes;
        t->data = bytes ? bytes + t->offset : NULL;
    }
}

/* Each tensor: its name, type, bytes, file and place there; what a page draws of memory. */
static void report_tensors(goss_loader *l)
{
    const goss_gguf *g = &l->to->gguf;
    if (!goss_telemetry_on(l->telemetry, GOSS_TELEMETRY_STEPS)) return;
    goss_buf *b = goss_telemetry_event_begin(l->telemetry, "tensors");
    goss_buf_printf(b, ",\"n\":%llu,\"list\":[", (unsigned long long)g->n_tensors);
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const goss_tensor *t = &g->tensors[i];
        goss_buf_str(b, i ? ",[" : "[");
        goss_buf_json_string(b, t->name, strlen(t->name));
        goss_buf_printf(b, ",\"%s\",%llu,%d,%llu,[", goss_type_get(t->type)->name,
                        (unsigned long long)t->n_bytes, t->shard, (unsigned long long)t->offset);
        for (int d = 0; d < t->n_dims; d++) goss_buf_printf(b, "%s%lld", d ? "," : "", (long long)t->ne[d]);
        goss_buf_str(b, "]]");
    }
    goss_buf_str(b, "]");
    goss_telemetry_event_end(l->telemetry, GOSS_TELEMETRY_STEPS);
}

static int load_headers(goss_loader *l, goss_error *err)
{
    for (; l->at < l->n_files; l->at++) {
        goss_gguf part = { 0 };
        goss_gguf *g = l->at ? &part : &l->to->gguf;
        int rc = parse_file(l, l->at, g, err);
        if (!rc && l->at) rc = goss_gguf_join(&l->to->gguf, &part, l->at, err);
        if (l->at) goss_gguf_free(&part);
        if (rc) return rc;
    }
    const int rc = goss_gguf_complete(&l->to->gguf, err);
    if (rc) return rc;
    set_data(l);
    char detail[128];
    goss_fmt(detail, sizeof detail, "tensors=%llu v=%u data_offset=%llu",
             (unsigned long long)l->to->gguf.n_tensors, l->to->gguf.version,
             (unsigned long long)l->to->gguf.data_offset);
    goss_telemetry_load(l->telemetry, "gguf_parse", "completed", detail);
    goss_fmt(detail, sizeof detail, "keys=%llu", (unsigned long long)l->to->gguf.n_kv);
    goss_telemetry_load(l->telemetry, "gguf_meta", "completed", detail);
    report_tensors(l);
    return 0;
}

/* ---- binding ------------------------------------------------------------------------------------------- */
static int bind_model(goss_loader *l, goss_error *err)
{
    const goss_engine_config *c = l->config;
    if (l->to->bound) goss_model_free(&l->to->model);
    l->to->bound = 1;
    const goss_model_options opt = { .n_layers = c->n_layers,
                                     .yarn_llamacpp = c->yarn_llamacpp,
                                     .attn_dense = c->attn_dense,
                                     .moe_fallback = c->moe_fallback };
    return goss_model_bind(&l->to->model, &l->to->gguf, &opt, err);
}

/* Its tokenizer's fields; "none" for what the file does not name, -1 for a token it does not have. */
static void report_tokenizer(goss_loader *l)
{
    char detail[256];
    goss_str model = { "none", 4 }, pre = { "none", 4 };
    uint64_t pad = 0;
    goss_gguf_str(&l->to->gguf, "tokenizer.ggml.model", &model, NULL);
    goss_gguf_str(&l->to->gguf, "tokenizer.ggml.pre", &pre, NULL);
    const int has_pad = goss_gguf_u64(&l->to->gguf, "tokenizer.ggml.padding_token_id", &pad, NULL) == 1;
    goss_fmt(detail, sizeof detail, "vocab=%d model=%.*s pre=%.*s bos=%d eos=%d pad=%d format=%s",
             goss_vocab_size(l->to->vocab), (int)(model.n < 40 ? model.n : 40), model.s,
             (int)(pre.n < 40 ? pre.n : 40), pre.s, goss_vocab_bos(l->to->vocab),
             goss_vocab_eos(l->to->vocab), has_pad ? (int)pad : -1, goss_chat_format_name(l->to->format));
    goss_telemetry_load(l->telemetry, "tokenizer_load", "completed", detail);
}

static int load_bind(goss_loader *l, goss_error *err)
{
    int rc = bind_model(l, err);
    if (rc) return rc;
    const goss_hparams *h = &l->to->model.hp;
    char detail[512];
    double theta = 0, scale = 1;
    static const char *const keys[] = { "gpt-oss.rope.freq_base", "gptoss.rope.freq_base",
                                        "llama.rope.freq_base" };
    for (int i = 0; i < 3 && theta == 0; i++) goss_gguf_f64(&l->to->gguf, keys[i], &theta, NULL);
    static const char *const scales[] = { "gpt-oss.rope.scaling.factor", "gptoss.rope.scaling.factor",
                                          "llama.rope.scaling.factor" };
    for (int i = 0; i < 3; i++) goss_gguf_f64(&l->to->gguf, scales[i], &scale, NULL);
    goss_fmt(detail, sizeof detail,
             "blocks=%d ctx=%d embd=%d ffn=%d heads=%d kv_heads=%d head_dim=%d rope_theta=%.0f "
             "rope_scale=%.4g rms_eps=%.3g window=%d experts=%d topk=%d",
             h->n_layer_file, h->n_ctx, h->n_embd, h->n_ff, h->n_head, h->n_head_kv, h->head_dim, theta,
             scale, (double)h->rms_eps, h->window, h->n_expert, h->n_expert_used);
    goss_telemetry_load(l->telemetry, "model_config", "completed", detail);
    if (h->n_layer != h->n_layer_file) {
        goss_fmt(detail, sizeof detail, "layers=%d/%d", h->n_layer, h->n_layer_file);
        goss_telemetry_load(l->telemetry, "layer_limit", "completed", detail);
    }
    if (l->config->moe_fallback)
        goss_telemetry_load(l->telemetry, "moe_mode", "completed", "fallback expert=0");
    if (l->share) return 0; /* a later rank sees ids only */
    goss_telemetry_load(l->telemetry, "tokenizer_load", "started", NULL);
    rc = goss_vocab_open(&l->to->vocab, &l->to->gguf, err);
    if (rc) return rc;
    l->to->format = goss_chat_detect(l->to->vocab, &l->to->gguf);
    goss_harmony_find(l->to->vocab, &l->to->ids);
    report_tokenizer(l);
    if (goss_vocab_size(l->to->vocab) > h->n_vocab)
        return goss_fail(err, GOSS_EFORMAT, -1,
                         "the vocabulary has %d tokens but the model's embedding only %d rows",
                         goss_vocab_size(l->to->vocab), h->n_vocab);
    return 0;
}

/* ---- the backend --------------------------------------------------------------------------------------- */
static void report(void *ctx, const char *json, size_t n)
{
    goss_telemetry_line(ctx, 0, json, n);
}

static void close_backends(goss_loader *l)
{
    if (l->to->backend) l->to->backend->vt->close(l->to->backend);
    if (l->to->host) l->to->host->vt->close(l->to->host);
    l->to->backend = l->to->host = NULL;
}

/* The CPU beside a GPU, for the experts of the first layers: no KV of its own. */
static int open_host(goss_loader *l, goss_error *err)
{
    if (l->kind != KIND_GPU || l->config->n_cpu_moe <= 0 || !l->to->model.hp.n_expert || l->to->host)
        return 0;
    const goss_backend_config c = { .model = &l->to->model,
                                    .engine = l->config,
                                    .max_rows = l->to->max_rows,
                                    .max_slots = 1,
                                    .max_kv = GOSS_KV_PAGE,
                                    .n_pages = { 1, 1 },
                                    .kv_type = GOSS_F16 };
    return goss_backend_open_cpu(&l->to->host, &c, err);
}

/* Is the engine to be ready before the experts are there? A host that computes some of them needs them
 * all. */
static int is_early(const goss_loader *l)
{
    int early = l->config->early;
    if (l->kind != KIND_GPU || l->config->n_cpu_moe > 0 || in_ring(l)) return 0;
    for (int i = 0; i < l->n_files; i++) {
        const goss_source *s = &l->files[i].source;
        if (s->need && !s->have) return 0;
        early |= s->need != NULL;
    }
    return early;
}

/* For a backend. */
static int list_sources(goss_loader *l, goss_error *err)
{
    goss_mem_free(l->sources);
    l->sources = goss_mem_array((size_t)l->n_files, sizeof *l->sources);
    if (!l->sources) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the list of sources");
    for (int i = 0; i < l->n_files; i++) l->sources[i] = l->files[i].source;
    return 0;
}

/* Rank 0 of a ring: its layers, and the others'. */
static int open_pipeline(goss_loader *l, const goss_backend_config *c, goss_error *err)
{
    goss_pipeline_config p = { .backend = *c,
                               .open = l->kind == KIND_GPU ? goss_backend_open_gpu : goss_backend_open_cpu,
                               .ring = l->config->ring,
                               .path = l->config->model_path,
                               .split = l->config->ring_split,
                               .n_layers = l->config->n_layers };
    const int rc = goss_ring_facts(l->config, &p.facts, err);
    return rc ? rc : goss_pipeline_open(&l->to->backend, &p, err);
}

/* A later rank: what rank 0 decided, in place of a plan. */
static int open_share(goss_loader *l, goss_error *err)
{
    const goss_pipe_open *o = l->share;
    const goss_gguf *g = &l->to->gguf;
    const int rank = l->config->ring->rank, from = o->first[rank], to = o->first[rank + 1];
    if (g->file_size != o->file_bytes || g->n_tensors != o->n_tensors)
        return goss_fail(err, GOSS_EFORMAT, -1, "%s is another file than rank 0's", l->config->model_path);
    if (from < 0 || to <= from || to > l->to->model.hp.n_layer)
        return goss_fail(err, GOSS_EFORMAT, -1, "there are no layers %d to %d", from, to - 1);
    l->to->part = goss_split_part(&l->to->model, from, to);
    if (list_sources(l, err)) return GOSS_ENOMEM;
    goss_only_part(l->sources, l->n_files, &l->to->part);
    const goss_backend_config c = { .model = &l->to->part,
                                    .sources = l->sources,
                                    .n_sources = l->n_files,
                                    .gpu_memory = l->config->gpu_memory,
                                    .tiles = &l->gpu_tiles,
                                    .engine = l->config,
                                    .max_rows = o->max_rows,
                                    .max_slots = o->max_slots,
                                    .max_kv = o->max_kv,
                                    .n_pages = { o->n_pages[0], o->n_pages[1] },
                                    .kv_type = o->kv_type };
    return l->kind == KIND_GPU ? goss_backend_open_gpu(&l->to->backend, &c, err)
                               : goss_backend_open_cpu(&l->to->backend, &c, err);
}

/* Says what the model needs and gets, before its weights come. */
static int make_plan(goss_loader *l, goss_error *err)
{
    goss_engine_config all = *l->config; /* the ranks' memory, as if it were one */
    if (in_ring(l)) all.gpu_memory *= (uint64_t)all.ring->n;
    goss_telemetry_load(l->telemetry, "memory_plan", "started", NULL);
    const int rc = goss_plan_make(&l->to->model, &all, l->kind == KIND_GPU, &l->to->plan, &l->kv_type, err);
    if (rc) return rc;
    l->planned = 1;
    l->to->max_rows = goss_plan_rows(&l->to->model, l->config, l->kind == KIND_GPU);
    l->to->max_kv = l->to->plan.max_kv;
    char detail[160];
    char words[sizeof l->to->plan.text + 8];
    goss_fmt(words, sizeof words, "text=%s", l->to->plan.text);
    goss_telemetry_load(l->telemetry, "memory_plan", "progress", words);
    goss_fmt(detail, sizeof detail, "resident=%llu expert_cache=%llu kv=%llu fits=%s",
             (unsigned long long)l->to->plan.resident_bytes,
             (unsigned long long)l->to->plan.expert_cache_bytes, (unsigned long long)l->to->plan.kv_bytes,
             l->to->plan.fits ? "yes" : "no");
    goss_telemetry_load(l->telemetry, "memory_plan", "completed", detail);
    return 0;
}

/* What a GPU's KV may grow to: the plan is how it begins. */
static void allow_growth(const goss_loader *l, goss_backend_config *c)
{
    const goss_plan_info *p = &l->to->plan;
    if (l->kind != KIND_GPU || in_ring(l)) return;
    c->most_kv = goss_plan_growth(&l->to->model, l->config, p, c->most_pages);
    c->beside_kv = p->resident_bytes + p->scratch_bytes;
}

/* The device knows how much room there is. */
static void take_growth(goss_loader *l)
{
    const goss_backend *b = l->to->backend;
    goss_plan_info *p = &l->to->plan;
    if (!b->grows.max_kv) return;
    p->kv_bytes = 0;
    for (int k = 0; k < GOSS_KV_CLASSES; k++) {
        p->n_pages[k] = b->grows.n_pages[k];
        p->kv_bytes += (uint64_t)p->n_pages[k] * p->page_bytes[k];
    }
    p->max_kv = l->to->max_kv = b->grows.max_kv;
}

static int open_backend(goss_loader *l, goss_error *err)
{
    if (l->share) return open_share(l, err);
    int rc = l->planned ? 0 : make_plan(l, err);
    if (!rc) rc = list_sources(l, err);
    if (rc) return rc;
    rc = open_host(l, err);
    if (rc) return rc;
    goss_backend_config c = {
        .host = l->to->host,
        .n_host_layers = l->to->host ? l->config->n_cpu_moe : 0,
        .model = &l->to->model,
        .sources = l->sources,
        .n_sources = l->n_files,
        .engine = l->config,
        .max_rows = l->to->max_rows,
        .max_slots = l->config->max_sessions + 1,
        .max_kv = l->to->max_kv,
        .early = is_early(l),
        .gpu_memory = l->config->gpu_memory,
        .expert_cache =
            l->config->gpu_memory && !l->config->expert_cache ? 0 : l->to->plan.expert_cache_bytes,
        .n_pages = { l->to->plan.n_pages[0], l->to->plan.n_pages[1] },
        .kv_type = l->kind == KIND_REF ? GOSS_F32 : l->kv_type,
        .tiles = &l->gpu_tiles,
        .report = report,
        .report_ctx = l->telemetry,
    };
    allow_growth(l, &c);
    if (in_ring(l)) rc = open_pipeline(l, &c, err);
    else if (l->kind == KIND_GPU) rc = goss_backend_open_gpu(&l->to->backend, &c, err);
    else if (l->kind == KIND_CPU) rc = goss_backend_open_cpu(&l->to->backend, &c, err);
    else rc = goss_backend_open_ref(&l->to->backend, &c, err);
    return rc;
}

static int is_auto(const goss_loader *l)
{
    return !l->config->backend || !strcmp(l->config->backend, "auto");
}

/* After a failed try: whether another backend is to be tried. */
static int fall_back(goss_loader *l, const goss_error *err)
{
    if (l->kind != KIND_GPU || !is_auto(l)) return 0;
    close_backends(l);
    l->kind = KIND_CPU;
    goss_telemetry_load(l->telemetry, "gpu_limits", "failed", err->text);
    return 1;
}

/* Out of the GPU's memory: the KV, which is all that can, becomes half as large. 1: worth another try. */
static int shrink(goss_loader *l, const goss_error *why)
{
    enum { LEAST = 4 << 20 };
    if (l->kind != KIND_GPU || l->restarted || l->config->max_kv || l->to->plan.kv_bytes < 2 * LEAST)
        return 0;
    char detail[320];
    l->config->kv_cap = l->to->plan.kv_bytes / 2;
    goss_fmt(detail, sizeof detail, "kv=%llu->%llu %.200s", (unsigned long long)l->to->plan.kv_bytes,
             (unsigned long long)l->config->kv_cap, why->text);
    goss_telemetry_load(l->telemetry, "memory_plan", "progress", detail);
    l->to->backend->vt->close(l->to->backend);
    l->to->backend = NULL;
    return 1;
}

/* The device was lost while it was loaded. */
static int again(goss_loader *l, const goss_error *why)
{
    if (l->kind != KIND_GPU || ++l->n_lost > GOSS_LOST_MOST) return 0;
    goss_telemetry_load(l->telemetry, "device_lost", "failed", why->text);
    l->to->backend->vt->close(l->to->backend);
    l->to->backend = NULL;
    return 1;
}

static int needs_bytes(const goss_loader *l)
{
    if (l->kind == KIND_GPU) return 0;
    for (int i = 0; i < l->n_files; i++)
        if (!l->files[i].source.map && !l->files[i].bytes) return 1;
    return 0;
}

static int load_backend(goss_loader *l, goss_error *err)
{
    goss_error failed = { 0 };
    l->planned = 0;
    if (l->kind == KIND_GPU) {
        const int rc = open_backend(l, &failed);
        if (!rc || !fall_back(l, &failed)) {
            if (rc && err) *err = failed;
            return rc;
        }
        l->planned = 0;
    }
    return needs_bytes(l) ? 0 : open_backend(l, err);
}

/* ---- whole files --------------------------------------------------------------------------------------- */
static int start_bytes(goss_loader *l, goss_error *err)
{
    uint64_t available = 0;
    goss_os_memory(&available);
    l->total = l->done = l->next = l->n_told = 0;
    for (int i = 0; i < l->n_files; i++) l->total += l->files[i].source.size;
    if (available && l->total > available)
        return goss_fail(err, GOSS_ELIMIT, -1, "the model needs %llu MB of memory here, %llu MB are free",
                         (unsigned long long)(l->total >> 20), (unsigned long long)(available >> 20));
    for (int i = 0; i < l->n_files; i++) {
        goss_file *f = &l->files[i];
        if (f->source.map) continue;
        f->bytes = goss_mem_reserve((size_t)f->source.size);
        if (!f->bytes)
            return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the model's %llu MB",
                             (unsigned long long)(f->source.size >> 20));
    }
    l->at = 0;
    const int rc = make_plan(l, err);
    goss_telemetry_load(l->telemetry, "weights_fetch", "started", NULL);
    return rc;
}

/* Up to where all bytes of file `at` are there. */
static uint64_t front_of(const goss_loader *l)
{
    uint64_t front = l->next;
    for (int r = 0; r < GOSS_READS; r++)
        if (l->read[r].busy && l->read[r].file == l->at && l->read[r].at < front) front = l->read[r].at;
    return front;
}

/* Names the tensors whose bytes have come, in the file's order. */
static void tell_resident(goss_loader *l)
{
    const goss_gguf *g = &l->to->gguf;
    int first = l->at; /* the first file that is not whole */
    for (int r = 0; r < GOSS_READS; r++)
        if (l->read[r].busy && l->read[r].file < first) first = l->read[r].file;
    const uint64_t front = first == l->at ? front_of(l) : 0;
    for (; goss_telemetry_on(l->telemetry, GOSS_TELEMETRY_LOAD) && l->n_told < g->n_tensors; l->n_told++) {
        const goss_tensor *t = &g->tensors[l->n_told];
        if (t->shard > first || (t->shard == first && t->offset + t->n_bytes > front)) return;
        goss_buf *b = goss_telemetry_event_begin(l->telemetry, "tensor_resident");
        goss_buf_str(b, ",\"name\":");
        goss_buf_json_string(b, t->name, strlen(t->name));
        goss_buf_printf(b, ",\"bytes\":%llu,\"kind\":\"%s\"", (unsigned long long)t->n_bytes,
                        goss_type_get(t->type)->name);
        goss_telemetry_event_end(l->telemetry, GOSS_TELEMETRY_LOAD);
    }
}

/* Keeps GOSS_READS reads going. GOSS_EAGAIN until everything is there. */
static int load_bytes(goss_loader *l, goss_error *err)
{
    int busy;
    do {
        busy = 0;
        for (int r = 0; r < GOSS_READS; r++) {
            while (!l->read[r].busy && !l->failed && l->at < l->n_files) {
                goss_file *f = &l->files[l->at];
                if (f->source.map || l->next >= f->source.size) { l->at++; l->next = 0; continue; }
                const uint64_t left = f->source.size - l->next, offset = l->next;
                l->read[r].busy = 1;
                l->read[r].file = l->at;
                l->read[r].at = offset;
                l->read[r].n = left < READ_CHUNK ? left : READ_CHUNK;
                l->next += l->read[r].n;
                const int rc = f->source.read(f->source.ctx, offset, f->bytes + offset,
                                              (size_t)l->read[r].n, TAG | 256 | (uint64_t)r);
                if (rc != 0) goss_load_read_done(l, TAG | 256 | (uint64_t)r, rc < 0 ? rc : 0);
            }
            busy += l->read[r].busy;
        }
        if (l->failed && !busy)
            return goss_fail(err, GOSS_EIO, -1, "reading the model failed (%s)",
                             goss_error_name(l->failed));
    } while (!busy && l->at < l->n_files);
    tell_resident(l);
    const double now = goss_os_now_ms();
    if (now - l->reported >= 100 || !busy) {
        char detail[96];
        const double s = (now - l->t0) / 1000, rate = s > 0 ? (double)l->done / s : 0;
        goss_fmt(detail, sizeof detail, "rate=%.0f eta=%.1f", rate,
                 rate > 0 ? (double)(l->total - l->done) / rate : 0.0);
        goss_telemetry_bytes(l->telemetry, "weights_fetch", busy ? "progress" : "completed", detail, l->done,
                             l->total);
        l->reported = now;
    }
    return busy ? GOSS_EAGAIN : 0;
}

int goss_load_read_done(goss_loader *l, uint64_t tag, int status)
{
    if (!(tag & TAG)) return 0;
    const int r = (int)(tag & 255);
    if (r >= GOSS_READS || !l->read[r].busy) return 1;
    l->read[r].busy = 0;
    goss_file *f = &l->files[l->read[r].file];
    if (status < 0) l->failed = status;
    else if (tag & 256) l->done += l->read[r].n;
    else f->head.n += l->read[r].n;
    return 1;
}

/* All of a GPU's weights are uploaded at the start: a map that is still being filled must be whole first, or
 * have all that a rank of a ring is to have. */
static int need_whole(goss_loader *l, goss_error *err)
{
    if (l->share && goss_need_part(l->sources, l->n_files, &l->to->part))
        return goss_fail(err, GOSS_EIO, -1, "the layers of this rank could not be read");
    if (in_ring(l)) return 0; /* rank 0's are its pipeline's affair */
    for (int i = 0; i < l->n_files; i++) {
        const goss_source *s = &l->files[i].source;
        const goss_range all = { 0, s->size };
        const int rc = s->need ? s->need(s->ctx, &all, 1) : 0;
        if (rc < 0)
            return goss_fail(err, rc, -1, "%s could not be read to its end", s->name ? s->name : "the model");
    }
    return 0;
}

/* ---- the whole way ------------------------------------------------------------------------------------- */
void goss_load_finish(goss_loader *l)
{
    const goss_loaded *m = l->to;
    const goss_backend_vt *vt = m->backend->vt;
    char detail[256];
    size_t n = goss_fmt(detail, sizeof detail, "kv=%d new=0 prompt=%d backend=%s level=%.60s", m->max_kv,
                        m->max_kv, vt->name, vt->level(m->backend));
    if (l->config->max_kv > m->max_kv)
        goss_fmt(detail + n, sizeof detail - n, " clamp=%d->%d", l->config->max_kv, m->max_kv);
    goss_telemetry_load(l->telemetry, "token_limits", "completed", detail);
    goss_fmt(detail, sizeof detail, "ms=%.1f", goss_os_now_ms() - l->t0);
    /* from here on a prompt is answered */
    goss_telemetry_load(l->telemetry, "first_token_ready", "completed", detail);
    l->filling = 1;
}

int goss_load_fill(goss_loader *l, goss_error *err)
{
    if (!l->filling) return 0;
    const int rc = l->to->backend->vt->fill ? l->to->backend->vt->fill(l->to->backend, err) : GOSS_FILLED;
    if (rc != GOSS_FILLED) return rc == GOSS_FILL_LATER ? 0 : rc;
    char detail[64];
    goss_fmt(detail, sizeof detail, "ms=%.1f", goss_os_now_ms() - l->t0);
    goss_telemetry_load(l->telemetry, "load_complete", "completed", detail);
    l->filling = 0;
    return 0;
}

int goss_load_advance(goss_loader *l, goss_error *err)
{
    int rc = 0;
    for (;;) {
        switch (l->phase) {
        case PHASE_HEADERS: rc = load_headers(l, err); break;
        case PHASE_BIND: rc = load_bind(l, err); break;
        case PHASE_BACKEND:
            rc = load_backend(l, err);
            if (!rc && l->to->backend) { l->phase = PHASE_WEIGHTS; continue; }
            if (!rc) rc = start_bytes(l, err);
            break;
        case PHASE_BYTES:
            rc = load_bytes(l, err);
            if (!rc) { set_data(l); rc = bind_model(l, err); }
            if (!rc) rc = open_backend(l, err);
            break;
        case PHASE_WEIGHTS: {
            goss_error failed = { 0 };
            rc = l->kind == KIND_GPU && !is_early(l) ? need_whole(l, &failed) : 0;
            if (!rc) rc = l->to->backend->vt->load(l->to->backend, &failed);
            if (rc == GOSS_ENOMEM && shrink(l, &failed)) { l->phase = PHASE_BACKEND; continue; }
            if (rc == GOSS_ELOST && again(l, &failed)) { l->phase = PHASE_BACKEND; continue; }
            if (rc < 0 && rc != GOSS_EAGAIN && fall_back(l, &failed)) { l->phase = PHASE_BACKEND; continue; }
            if (rc && err) *err = failed;
            if (!rc) take_growth(l);
            break;
        }
        default: return 0;
        }
        if (rc) return rc;
        l->phase++;
    }
}

int goss_load_arriving(const goss_loader *l)
{
    for (int i = 0; i < l->n_files; i++)
        if (l->files[i].source.need) return 1;
    return 0;
}

void goss_load_restart(goss_loader *l)
{
    close_backends(l);
    l->restarted = 1;
    l->phase = PHASE_BACKEND;
}

void goss_load_close(goss_loader *l)
{
    for (int i = 0; i < l->n_files; i++) {        /* no read ends after its source, so memory may go */
        goss_file *f = &l->files[i];
        if (!f->mapped && f->source.close) f->source.close(f->source.ctx);
    }
    close_backends(l);
    if (l->to->bound) goss_model_free(&l->to->model);
    goss_vocab_close(&l->to->vocab);
    goss_gguf_free(&l->to->gguf);
    for (int i = 0; i < l->n_files; i++) {
        goss_file *f = &l->files[i];
        if (f->mapped) goss_os_unmap(&f->mapping);
        goss_gguf_head_close(&f->head);
        if (f->bytes) goss_mem_release(f->bytes, (size_t)f->source.size);
    }
    goss_mem_free(l->files);
    goss_mem_free(l->sources);
    l->files = NULL;
    l->sources = NULL;
    l->n_files = 0;
}
