/* load.c - from paths or sources to a backend that is ready, in steps that never block.
 *
 *   HEADERS  each shard's header: at once where the file is in memory, else by reads that grow until it parses
 *   BIND     the model's shape and tensors, the vocabulary, the plan
 *   BACKEND  "auto" tries the GPU, then the CPU
 *   BYTES    only for a backend that computes on memory and a source that is not mapped: the whole file is read
 *   WEIGHTS  the backend's own load()
 * Bytes of a header stay where they are as long as the engine lives: the GGUF's strings are views into them. */
#include "../base/fmt.h"
#include "../base/mem.h"
#include "engine.h"
#include <string.h>

enum { PHASE_HEADERS, PHASE_BIND, PHASE_BACKEND, PHASE_BYTES, PHASE_WEIGHTS, PHASE_READY };
enum { KIND_REF, KIND_CPU, KIND_GPU };
static const uint64_t TAG = 1ull << 63;            /* the loader's tags; a backend's have it clear */
enum { HEAD_FIRST = 1 << 18, READ_CHUNK = 1 << 22 };

/* ---- opening --------------------------------------------------------------------------------------------- */
/* "x-00001-of-00004.gguf": the number of shards, 0 for other names. *at: where the first number's digits begin. */
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

static int open_paths(goss_engine *e, goss_error *err)
{
    const char *path = e->config.model_path;
    size_t at = 0;
    const int split = split_count(path, &at), count = split > 1 ? split : 1;
    if (count > GOSS_FILES)
        return goss_fail(err, GOSS_ELIMIT, -1, "%s: %d shards, at most %d are read", path, count, GOSS_FILES);
    char name[1024];
    if (strlen(path) >= sizeof name)
        return goss_fail(err, GOSS_EINVAL, -1, "the model's path is longer than %d bytes",
                         (int)sizeof name - 1);
    e->load.files = goss_mem_array((size_t)count, sizeof *e->load.files);
    if (!e->load.files) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for %d shards", count);
    e->load.n_files = count;
    memcpy(name, path, strlen(path) + 1);
    for (int i = 0; i < count; i++) {
        if (split > 1) {
            char digits[6];
            goss_fmt(digits, sizeof digits, "%05d", i + 1);
            memcpy(name + at, digits, 5);
        }
        goss_file *f = &e->load.files[i];
        const int rc = goss_os_map(&f->mapping, name, err);
        if (rc) return rc;
        f->mapped = 1;
        f->source.name = path;
        f->source.map = f->mapping.data;
        f->source.size = f->mapping.size;
    }
    return 0;
}

static int take_sources(goss_engine *e, goss_error *err)
{
    const int count = e->config.n_sources;
    if (count < 1 || count > GOSS_FILES)
        return goss_fail(err, GOSS_EINVAL, -1, "%d sources: 1 to %d can be opened", count, GOSS_FILES);
    e->load.files = goss_mem_array((size_t)count, sizeof *e->load.files);
    if (!e->load.files) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for %d sources", count);
    e->load.n_files = count;
    for (int i = 0; i < count; i++) {
        e->load.files[i].source = e->config.sources[i];
        if (!e->load.files[i].source.map && !e->load.files[i].source.read)
            return goss_fail(err, GOSS_EINVAL, -1, "source %d has neither a map nor a read function", i);
    }
    return 0;
}

int goss_load_begin(goss_engine *e, goss_error *err)
{
    e->load.t0 = goss_os_now_ms();
    const char *backend = e->config.backend ? e->config.backend : "auto";
    if (!strcmp(backend, "ref")) e->load.kind = KIND_REF;
    else if (!strcmp(backend, "cpu")) e->load.kind = KIND_CPU;
    else if (!strcmp(backend, "gpu") || !strcmp(backend, "auto")) e->load.kind = KIND_GPU;
    else return goss_fail(err, GOSS_EINVAL, -1, "backend \"%s\": auto, gpu, cpu and ref are known", backend);
    int rc;
    if (e->config.sources) rc = take_sources(e, err);
    else if (e->config.model_path) rc = open_paths(e, err);
    else rc = goss_fail(err, GOSS_EINVAL, -1, "no model: give a path or a source");
    if (rc) return rc;
    const char *name = e->load.files[0].source.name;
    uint64_t total = 0;
    for (int i = 0; i < e->load.n_files; i++) total += e->load.files[i].source.size;
    char detail[320];
    goss_fmt(detail, sizeof detail, "source=%.200s", name ? name : "(memory)");
    goss_telemetry_load(e, "load_start", "completed", detail);
    goss_fmt(detail, sizeof detail, "total=%llu shards=%d", (unsigned long long)total, e->load.n_files);
    goss_telemetry_load(e, "range_check", "completed", detail);
    return 0;
}

/* ---- headers --------------------------------------------------------------------------------------------- */
/* Asks for more of a header. 0: there now, GOSS_EAGAIN: on its way. */
static int read_head(goss_engine *e, int index, goss_error *err)
{
    goss_file *f = &e->load.files[index];
    if (e->load.read[0].busy) return GOSS_EAGAIN;
    if (e->load.failed)
        return goss_fail(err, GOSS_EIO, (int64_t)f->n_head, "reading the header of %s failed",
                         f->source.name ? f->source.name : "the source");
    if (f->n_head >= f->want) return 0;
    uint8_t *head = goss_mem_grow(f->head, (size_t)f->n_head, (size_t)f->want);
    if (!head)
        return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a header of %llu bytes",
                         (unsigned long long)f->want);
    f->head = head;
    e->load.read[0].busy = 1;
    e->load.read[0].file = index;
    e->load.read[0].n = f->want - f->n_head;
    const int rc = f->source.read(f->source.ctx, f->n_head, head + f->n_head, (size_t)e->load.read[0].n, TAG);
    if (rc < 0) e->load.failed = rc;
    if (rc != 0) goss_load_read_done(e, TAG, rc < 0 ? rc : 0);
    return rc == 0 ? GOSS_EAGAIN : read_head(e, index, err);
}

static int parse_file(goss_engine *e, int index, goss_gguf *g, goss_error *err)
{
    goss_file *f = &e->load.files[index];
    const uint64_t size = f->source.size;
    if (f->source.map) return goss_gguf_parse(g, f->source.map, size, size, &f->want, err);
    if (!f->want) f->want = size < HEAD_FIRST ? size : HEAD_FIRST;
    for (;;) {
        int rc = read_head(e, index, err);
        if (rc) return rc;
        uint64_t want = 0;
        rc = goss_gguf_parse(g, f->head, f->n_head, size, &want, err);
        if (rc != GOSS_EAGAIN) return rc;
        goss_gguf_free(g);
        const uint64_t twice = f->n_head * 2;
        f->want = want > twice ? want : twice;
        if (f->want > size) f->want = size;
        if (f->want <= f->n_head) return goss_fail(err, GOSS_EFORMAT, (int64_t)size, "the file ends inside its header");
    }
}

static void set_data(goss_engine *e)
{
    for (uint64_t i = 0; i < e->gguf.n_tensors; i++) {
        goss_tensor *t = &e->gguf.tensors[i];
        const goss_file *f = &e->load.files[t->shard];
        const uint8_t *bytes = f->source.map ? f->source.map : f->bytes;
        t->data = bytes ? bytes + t->offset : NULL;
    }
}

static int load_headers(goss_engine *e, goss_error *err)
{
    for (; e->load.at < e->load.n_files; e->load.at++) {
        goss_gguf part = { 0 };
        goss_gguf *g = e->load.at ? &part : &e->gguf;
        int rc = parse_file(e, e->load.at, g, err);
        if (!rc && e->load.at) rc = goss_gguf_join(&e->gguf, &part, e->load.at, err);
        if (e->load.at) goss_gguf_free(&part);
        if (rc) return rc;
    }
    const int rc = goss_gguf_complete(&e->gguf, err);
    if (rc) return rc;
    set_data(e);
    char detail[128];
    goss_fmt(detail, sizeof detail, "tensors=%llu v=%u data_offset=%llu",
             (unsigned long long)e->gguf.n_tensors, e->gguf.version, (unsigned long long)e->gguf.data_offset);
    goss_telemetry_load(e, "gguf_parse", "completed", detail);
    goss_fmt(detail, sizeof detail, "keys=%llu", (unsigned long long)e->gguf.n_kv);
    goss_telemetry_load(e, "gguf_meta", "completed", detail);
    return 0;
}

/* ---- binding --------------------------------------------------------------------------------------------- */
static int bind_model(goss_engine *e, goss_error *err)
{
    const goss_engine_config *c = &e->config;
    if (e->bound) goss_model_free(&e->model);
    e->bound = 1;
    const goss_model_options opt = { .n_layers = c->n_layers,
                                     .yarn_llamacpp = c->yarn_llamacpp,
                                     .attn_dense = c->attn_dense,
                                     .moe_fallback = c->moe_fallback };
    return goss_model_bind(&e->model, &e->gguf, &opt, err);
}

/* Its tokenizer's fields; "none" for what the file does not name, -1 for a token it does not have. */
static void report_tokenizer(goss_engine *e)
{
    char detail[256];
    goss_str model = { "none", 4 }, pre = { "none", 4 };
    uint64_t pad = 0;
    goss_gguf_str(&e->gguf, "tokenizer.ggml.model", &model, NULL);
    goss_gguf_str(&e->gguf, "tokenizer.ggml.pre", &pre, NULL);
    const int has_pad = goss_gguf_u64(&e->gguf, "tokenizer.ggml.padding_token_id", &pad, NULL) == 1;
    goss_fmt(detail, sizeof detail, "vocab=%d model=%.*s pre=%.*s bos=%d eos=%d pad=%d format=%s",
             goss_vocab_size(e->vocab), (int)(model.n < 40 ? model.n : 40), model.s,
             (int)(pre.n < 40 ? pre.n : 40), pre.s, goss_vocab_bos(e->vocab), goss_vocab_eos(e->vocab),
             has_pad ? (int)pad : -1, goss_chat_format_name(e->format));
    goss_telemetry_load(e, "tokenizer_load", "completed", detail);
}

static int load_bind(goss_engine *e, goss_error *err)
{
    int rc = bind_model(e, err);
    if (rc) return rc;
    const goss_hparams *h = &e->model.hp;
    char detail[512];
    double theta = 0, scale = 1;
    static const char *const keys[] = { "gpt-oss.rope.freq_base", "gptoss.rope.freq_base", "llama.rope.freq_base" };
    for (int i = 0; i < 3 && theta == 0; i++) goss_gguf_f64(&e->gguf, keys[i], &theta, NULL);
    static const char *const scales[] = { "gpt-oss.rope.scaling.factor", "gptoss.rope.scaling.factor",
                                          "llama.rope.scaling.factor" };
    for (int i = 0; i < 3; i++) goss_gguf_f64(&e->gguf, scales[i], &scale, NULL);
    goss_fmt(detail, sizeof detail,
             "blocks=%d ctx=%d embd=%d ffn=%d heads=%d kv_heads=%d head_dim=%d rope_theta=%.0f "
             "rope_scale=%.4g rms_eps=%.3g window=%d experts=%d topk=%d",
             h->n_layer_file, h->n_ctx, h->n_embd, h->n_ff, h->n_head, h->n_head_kv, h->head_dim, theta,
             scale, (double)h->rms_eps, h->window, h->n_expert, h->n_expert_used);
    goss_telemetry_load(e, "model_config", "completed", detail);
    if (h->n_layer != h->n_layer_file) {
        goss_fmt(detail, sizeof detail, "layers=%d/%d", h->n_layer, h->n_layer_file);
        goss_telemetry_load(e, "layer_limit", "completed", detail);
    }
    if (e->config.moe_fallback) goss_telemetry_load(e, "moe_mode", "completed", "fallback expert=0");
    rc = goss_vocab_open(&e->vocab, &e->gguf, err);
    if (rc) return rc;
    e->format = goss_chat_detect(e->vocab, &e->gguf);
    e->tok_start = goss_vocab_find(e->vocab, "<|start|>");
    e->tok_end = goss_vocab_find(e->vocab, "<|end|>");
    e->tok_message = goss_vocab_find(e->vocab, "<|message|>");
    e->tok_channel = goss_vocab_find(e->vocab, "<|channel|>");
    e->tok_call = goss_vocab_find(e->vocab, "<|call|>");
    e->tok_return = goss_vocab_find(e->vocab, "<|return|>");
    report_tokenizer(e);
    if (goss_vocab_size(e->vocab) > h->n_vocab)
        return goss_fail(err, GOSS_EFORMAT, -1, "the vocabulary has %d tokens but the model's embedding only %d rows",
                         goss_vocab_size(e->vocab), h->n_vocab);
    return 0;
}

/* ---- the backend ----------------------------------------------------------------------------------------- */
static void report(void *ctx, const char *json, size_t n)
{
    goss_telemetry_line(ctx, 0, json, n);
}

static void kv_copy(void *ctx, int cls, int from, int to)
{
    goss_engine *e = ctx;
    e->backend->vt->kv_copy(e->backend, cls, from, to);
}

static void close_backends(goss_engine *e)
{
    if (e->backend) e->backend->vt->close(e->backend);
    if (e->host) e->host->vt->close(e->host);
    e->backend = e->host = NULL;
}

/* The CPU beside a GPU, for the experts of the first layers: no KV of its own. */
static int open_host(goss_engine *e, goss_error *err)
{
    if (e->load.kind != KIND_GPU || e->config.n_cpu_moe <= 0 || !e->model.hp.n_expert || e->host) return 0;
    const goss_backend_config c = { .model = &e->model, .engine = &e->config, .max_rows = e->max_rows,
                                    .max_slots = 1, .max_kv = GOSS_KV_PAGE, .n_pages = { 1, 1 }, .kv_type = GOSS_F16 };
    return goss_backend_open_cpu(&e->host, &c, err);
}

/* Is the engine to be ready before the experts are there? A host that computes some of them needs them all. */
static int is_early(const goss_engine *e)
{
    int early = e->config.early;
    if (e->load.kind != KIND_GPU || e->config.n_cpu_moe > 0) return 0;
    for (int i = 0; i < e->load.n_files; i++) {
        const goss_source *s = &e->load.files[i].source;
        if (s->need && !s->have) return 0;
        early |= s->need != NULL;
    }
    return early;
}

static int open_backend(goss_engine *e, goss_error *err)
{
    int kv_type, rc;
    rc = goss_plan_make(&e->model, &e->config, e->load.kind == KIND_GPU, &e->plan, &kv_type, err);
    if (rc) return rc;
    e->max_rows = goss_plan_rows(&e->model, &e->config, e->load.kind == KIND_GPU);
    e->chunk_rows = e->config.max_rows || e->max_rows < GOSS_ROWS ? e->max_rows : GOSS_ROWS;
    e->max_kv = e->plan.max_kv;
    char detail[160];
    char words[sizeof e->plan.text + 8];
    goss_fmt(words, sizeof words, "text=%s", e->plan.text);
    goss_telemetry_load(e, "memory_plan", "progress", words);
    goss_fmt(detail, sizeof detail, "resident=%llu expert_cache=%llu kv=%llu fits=%s",
             (unsigned long long)e->plan.resident_bytes, (unsigned long long)e->plan.expert_cache_bytes,
             (unsigned long long)e->plan.kv_bytes, e->plan.fits ? "yes" : "no");
    goss_telemetry_load(e, "memory_plan", "completed", detail);
    goss_mem_free(e->load.sources);
    e->load.sources = goss_mem_array((size_t)e->load.n_files, sizeof *e->load.sources);
    if (!e->load.sources) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the list of sources");
    for (int i = 0; i < e->load.n_files; i++) e->load.sources[i] = e->load.files[i].source;
    rc = open_host(e, err);
    if (rc) return rc;
    const goss_backend_config c = {
        .host = e->host, .n_host_layers = e->host ? e->config.n_cpu_moe : 0,
        .model = &e->model, .sources = e->load.sources, .n_sources = e->load.n_files, .engine = &e->config,
        .max_rows = e->max_rows, .max_slots = e->max_sessions + 1, .max_kv = e->max_kv, .early = is_early(e),
        .gpu_memory = e->config.gpu_memory,
        .expert_cache = e->config.gpu_memory && !e->config.expert_cache ? 0 : e->plan.expert_cache_bytes,
        .n_pages = { e->plan.n_pages[0], e->plan.n_pages[1] },
        .kv_type = e->load.kind == KIND_REF ? GOSS_F32 : kv_type, .tiles = &e->gpu_tiles,
        .report = report, .report_ctx = e,
    };
    if (e->load.kind == KIND_GPU) rc = goss_backend_open_gpu(&e->backend, &c, err);
    else if (e->load.kind == KIND_CPU) rc = goss_backend_open_cpu(&e->backend, &c, err);
    else rc = goss_backend_open_ref(&e->backend, &c, err);
    return rc;
}

static int is_auto(const goss_engine *e) { return !e->config.backend || !strcmp(e->config.backend, "auto"); }

/* After a failed try: whether another backend is to be tried. */
static int fall_back(goss_engine *e, const goss_error *err)
{
    if (e->load.kind != KIND_GPU || !is_auto(e)) return 0;
    close_backends(e);
    e->load.kind = KIND_CPU;
    goss_telemetry_load(e, "gpu_limits", "failed", err->text);
    return 1;
}

/* Out of the GPU's memory: the KV, which is all that can, becomes half as large. 1: worth another try. */
static int shrink(goss_engine *e, const goss_error *why)
{
    enum { LEAST = 4 << 20 };
    if (e->load.kind != KIND_GPU || e->pool_open || e->config.max_kv || e->plan.kv_bytes < 2 * LEAST) return 0;
    char detail[320];
    e->config.kv_cap = e->plan.kv_bytes / 2;
    goss_fmt(detail, sizeof detail, "kv=%llu->%llu %.200s", (unsigned long long)e->plan.kv_bytes,
             (unsigned long long)e->config.kv_cap, why->text);
    goss_telemetry_load(e, "memory_plan", "progress", detail);
    e->backend->vt->close(e->backend);
    e->backend = NULL;
    return 1;
}

/* The device was lost while it was loaded. */
static int again(goss_engine *e, const goss_error *why)
{
    if (e->load.kind != KIND_GPU || ++e->n_lost > GOSS_LOST_MOST) return 0;
    goss_telemetry_load(e, "device_lost", "failed", why->text);
    e->backend->vt->close(e->backend);
    e->backend = NULL;
    return 1;
}

static int needs_bytes(const goss_engine *e)
{
    if (e->load.kind == KIND_GPU) return 0;
    for (int i = 0; i < e->load.n_files; i++)
        if (!e->load.files[i].source.map && !e->load.files[i].bytes) return 1;
    return 0;
}

static int load_backend(goss_engine *e, goss_error *err)
{
    goss_error failed = { 0 };
    if (e->load.kind == KIND_GPU) {
        const int rc = open_backend(e, &failed);
        if (!rc || !fall_back(e, &failed)) {
            if (rc && err) *err = failed;
            return rc;
        }
    }
    return needs_bytes(e) ? 0 : open_backend(e, err);
}

/* ---- whole files ----------------------------------------------------------------------------------------- */
static int start_bytes(goss_engine *e, goss_error *err)
{
    uint64_t available = 0;
    goss_os_memory(&available);
    e->load.total = e->load.done = e->load.next = 0;
    for (int i = 0; i < e->load.n_files; i++) e->load.total += e->load.files[i].source.size;
    if (available && e->load.total > available)
        return goss_fail(err, GOSS_ELIMIT, -1, "the model needs %llu MB of memory here, %llu MB are free",
                         (unsigned long long)(e->load.total >> 20), (unsigned long long)(available >> 20));
    for (int i = 0; i < e->load.n_files; i++) {
        goss_file *f = &e->load.files[i];
        if (f->source.map) continue;
        f->bytes = goss_mem_reserve((size_t)f->source.size);
        if (!f->bytes)
            return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the model's %llu MB",
                             (unsigned long long)(f->source.size >> 20));
    }
    e->load.at = 0;
    return 0;
}

/* Keeps GOSS_READS reads going. GOSS_EAGAIN until everything is there. */
static int load_bytes(goss_engine *e, goss_error *err)
{
    int busy;
    do {
        busy = 0;
        for (int r = 0; r < GOSS_READS; r++) {
            while (!e->load.read[r].busy && !e->load.failed && e->load.at < e->load.n_files) {
                goss_file *f = &e->load.files[e->load.at];
                if (f->source.map || e->load.next >= f->source.size) { e->load.at++; e->load.next = 0; continue; }
                const uint64_t left = f->source.size - e->load.next, offset = e->load.next;
                e->load.read[r].busy = 1;
                e->load.read[r].file = e->load.at;
                e->load.read[r].n = left < READ_CHUNK ? left : READ_CHUNK;
                e->load.next += e->load.read[r].n;
                const int rc = f->source.read(f->source.ctx, offset, f->bytes + offset,
                                              (size_t)e->load.read[r].n, TAG | 256 | (uint64_t)r);
                if (rc != 0) goss_load_read_done(e, TAG | 256 | (uint64_t)r, rc < 0 ? rc : 0);
            }
            busy += e->load.read[r].busy;
        }
        if (e->load.failed && !busy)
            return goss_fail(err, GOSS_EIO, -1, "reading the model failed (%s)",
                             goss_error_name(e->load.failed));
    } while (!busy && e->load.at < e->load.n_files);
    const double now = goss_os_now_ms();
    if (now - e->load.reported >= 100 || !busy) {
        char detail[96];
        const double s = (now - e->load.t0) / 1000, rate = s > 0 ? (double)e->load.done / s : 0;
        goss_fmt(detail, sizeof detail, "rate=%.0f eta=%.1f", rate,
                 rate > 0 ? (double)(e->load.total - e->load.done) / rate : 0.0);
        goss_telemetry_bytes(e, "weights_fetch", busy ? "progress" : "completed", detail, e->load.done, e->load.total);
        e->load.reported = now;
    }
    return busy ? GOSS_EAGAIN : 0;
}

int goss_load_read_done(goss_engine *e, uint64_t tag, int status)
{
    if (!(tag & TAG)) return 0;
    const int r = (int)(tag & 255);
    if (r >= GOSS_READS || !e->load.read[r].busy) return 1;
    e->load.read[r].busy = 0;
    goss_file *f = &e->load.files[e->load.read[r].file];
    if (status < 0) e->load.failed = status;
    else if (tag & 256) e->load.done += e->load.read[r].n;
    else f->n_head += e->load.read[r].n;
    return 1;
}

/* All of a GPU's weights are uploaded at the start: a map that is still being filled must be whole first. */
static int need_all(goss_engine *e, goss_error *err)
{
    for (int i = 0; i < e->load.n_files; i++) {
        const goss_source *s = &e->load.files[i].source;
        const goss_range all = { 0, s->size };
        const int rc = s->need ? s->need(s->ctx, &all, 1) : 0;
        if (rc < 0) return goss_fail(err, rc, -1, "%s could not be read to its end", s->name ? s->name : "the model");
    }
    return 0;
}

/* ---- the whole way --------------------------------------------------------------------------------------- */
static int finish(goss_engine *e, goss_error *err)
{
    int rc = goss_engine_ready(e, kv_copy, err);
    if (rc) return rc;
    const goss_backend_vt *vt = e->backend->vt;
    char detail[256];
    goss_fmt(detail, sizeof detail, "kv=%d new=0 prompt=%d backend=%s level=%.60s", e->max_kv, e->max_kv,
             vt->name, vt->level(e->backend));
    if (e->config.max_kv > e->max_kv) {
        const size_t n = strlen(detail);
        goss_fmt(detail + n, sizeof detail - n, " clamp=%d->%d", e->config.max_kv, e->max_kv);
    }
    goss_telemetry_load(e, "token_limits", "completed", detail);
    goss_fmt(detail, sizeof detail, "ms=%.1f", goss_os_now_ms() - e->load.t0);
    goss_telemetry_load(e, "first_token_ready", "completed", detail); /* from here on a prompt is answered */
    e->filling = 1;
    rc = goss_load_fill(e, err);
    return rc < 0 ? rc : 0;
}

int goss_load_fill(goss_engine *e, goss_error *err)
{
    if (!e->filling) return 0;
    const int rc = e->backend->vt->fill ? e->backend->vt->fill(e->backend, err) : GOSS_FILLED;
    if (rc != GOSS_FILLED) return rc == GOSS_FILL_LATER ? 0 : rc;
    char detail[64];
    goss_fmt(detail, sizeof detail, "ms=%.1f", goss_os_now_ms() - e->load.t0);
    goss_telemetry_load(e, "load_complete", "completed", detail);
    e->filling = 0;
    return 0;
}

int goss_load_advance(goss_engine *e, goss_error *err)
{
    int rc = 0;
    for (;;) {
        switch (e->load.phase) {
        case PHASE_HEADERS: rc = load_headers(e, err); break;
        case PHASE_BIND: rc = load_bind(e, err); break;
        case PHASE_BACKEND:
            rc = load_backend(e, err);
            if (!rc && e->backend) { e->load.phase = PHASE_WEIGHTS; continue; }
            if (!rc) rc = start_bytes(e, err);
            break;
        case PHASE_BYTES:
            rc = load_bytes(e, err);
            if (!rc) { set_data(e); rc = bind_model(e, err); }
            if (!rc) rc = open_backend(e, err);
            break;
        case PHASE_WEIGHTS: {
            goss_error failed = { 0 };
            rc = e->load.kind == KIND_GPU && !is_early(e) ? need_all(e, &failed) : 0;
            if (!rc) rc = e->backend->vt->load(e->backend, &failed);
            if (rc == GOSS_ENOMEM && shrink(e, &failed)) { e->load.phase = PHASE_BACKEND; continue; }
            if (rc == GOSS_ELOST && again(e, &failed)) { e->load.phase = PHASE_BACKEND; continue; }
            if (rc < 0 && rc != GOSS_EAGAIN && fall_back(e, &failed)) { e->load.phase = PHASE_BACKEND; continue; }
            if (rc && err) *err = failed;
            break;
        }
        default: return finish(e, err);
        }
        if (rc) return rc;
        e->load.phase++;
    }
}

void goss_load_restart(goss_engine *e)
{
    close_backends(e);
    e->load.phase = PHASE_BACKEND;
}

int goss_load_header(goss_gguf *g, goss_mapping *m, const char *path, goss_error *err)
{
    int rc = goss_os_map(m, path, err);
    if (rc) return rc;
    uint64_t want;
    rc = goss_gguf_parse(g, m->data, m->size, m->size, &want, err);
    if (!rc)
        for (uint64_t i = 0; i < g->n_tensors; i++)
            g->tensors[i].data = (const uint8_t *)m->data + g->tensors[i].offset;
    return rc;
}

void goss_load_close(goss_engine *e)
{
    for (int i = 0; i < e->load.n_files; i++) {        /* no read ends after its source, so memory may go */
        goss_file *f = &e->load.files[i];
        if (!f->mapped && f->source.close) f->source.close(f->source.ctx);
    }
    close_backends(e);
    if (e->bound) goss_model_free(&e->model);
    goss_vocab_close(&e->vocab);
    goss_gguf_free(&e->gguf);
    for (int i = 0; i < e->load.n_files; i++) {
        goss_file *f = &e->load.files[i];
        if (f->mapped) goss_os_unmap(&f->mapping);
        goss_mem_free(f->head);
        if (f->bytes) goss_mem_release(f->bytes, (size_t)f->source.size);
    }
    goss_mem_free(e->load.files);
    goss_mem_free(e->load.sources);
    e->load.files = NULL;
    e->load.sources = NULL;
    e->load.n_files = 0;
}
