/* cmd_synth.c - gossamer synth SHAPE OUT: a gpt-oss GGUF with the real names, shapes and types and random
 * weights, for benchmarks and tests without a download. SHAPE is 20b (12.1 GB), 120b (63 GB), or
 * KEY=VALUE,... over 20b's values.
 *
 * Weights are scaled so that activations stay finite and tokens stay apart: every matrix keeps its input's
 * size, but for attn_output, which is halved, since attention averages. SwiGLU's outputs have a mean, which
 * would give all tokens a common direction, so the blocks of ffn_down_exps sum up to 0. Router rows are
 * random and equally long and the router has no bias, so that over different tokens experts are used evenly.
 *
 * The file is written as OUT.part and renamed when it is whole. Pieces are filled and written by all threads
 * at once, each at its own offset; nothing is mapped. */
#define _FILE_OFFSET_BITS 64
#include "base/buf.h"
#include "base/error.h"
#include "base/thread.h"
#include "commands.h"
#include "common/engine_options.h"
#include "progress.h"
#include "synth_fill.h"
#include "synth_vocab.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 64 * GOSS_SYNTH_UNIT, MAX_TENSORS = 16384, LAYER_TENSORS = 19 };

typedef struct shape {
    int layers, embd, heads, kv_heads, head_dim, experts, used, ff, vocab, ctx, window;
} shape;
static const shape shape_20b = { 24, 2880, 64, 8, 64, 32, 4, 2880, 201088, 131072, 128 };
static const shape shape_120b = { 36, 2880, 64, 8, 64, 128, 4, 2880, 201088, 131072, 128 };

typedef struct part {
    uint64_t offset, n_bytes;
    goss_synth_rule rule;
} part; /* one tensor; offset in the data section */
typedef struct job {
    shape s;
    part *parts; int n_parts;
    uint64_t n_pieces, data_bytes, start, seed;
    uint64_t *first_piece;           /* (n_parts + 1) */
    int fd;
    uint8_t *buffers;                /* (threads, PIECE) */
    atomic_int failed;               /* errno of the first write that failed */
    atomic_ullong written;
    goss_progress progress;
} job;

/* ---- the shape ---- */
static int bad_shape(const char *what)
{
    fprintf(stderr,
            "gossamer synth: %s. SHAPE is 20b, 120b or KEY=VALUE,... with layers, embd, heads, kv_heads, head_dim, "
            "experts, "
            "used, ff, vocab, ctx and window.\n",
            what);
    return 2;
}

static int read_shape(const char *text, shape *s)
{
    const struct { const char *name; int *to, lo, hi, step;
    } keys[] = { { "layers", &s->layers, 1, 512, 1 },
                 { "embd", &s->embd, 32, 16384, 32 },
                 { "heads", &s->heads, 1, 512, 1 },
                 { "kv_heads", &s->kv_heads, 1, 512, 1 },
                 { "head_dim", &s->head_dim, 2, 512, 2 },
                 { "experts", &s->experts, 1, 1024, 1 },
                 { "used", &s->used, 1, 32, 1 },
                 { "ff", &s->ff, 32, 65536, 32 },
                 { "vocab", &s->vocab, GOSS_SYNTH_VOCAB_MIN, 262144, 1 },
                 { "ctx", &s->ctx, 1, 1 << 24, 1 },
                 { "window", &s->window, 1, 1 << 20, 1 } };
    char message[160];
    *s = !strcmp(text, "120b") ? shape_120b : shape_20b;
    if (!strcmp(text, "20b") || !strcmp(text, "120b")) return 0;
    for (const char *at = text; *at;) {
        size_t k = 0;
        const size_t n = strcspn(at, "=,");
        char *end = NULL;
        while (k < sizeof keys / sizeof *keys && (strlen(keys[k].name) != n || strncmp(keys[k].name, at, n)))
            k++;
        const long v = at[n] == '=' ? strtol(at + n + 1, &end, 10) : 0;
        if (k == sizeof keys / sizeof *keys || !end || end == at + n + 1 || (*end && *end != ',')) {
            snprintf(message, sizeof message, "\"%.60s\" is no shape", at);
            return bad_shape(message);
        }
        if (v < keys[k].lo || v > keys[k].hi || v % keys[k].step) {
            snprintf(message, sizeof message, "%s is %ld, should be %d to %d in steps of %d", keys[k].name, v,
                     keys[k].lo, keys[k].hi, keys[k].step);
            return bad_shape(message);
        }
        *keys[k].to = (int)v;
        at = end + (*end == ',');
    }
    if (s->heads % s->kv_heads) return bad_shape("kv_heads must divide heads");
    if (s->used > s->experts) return bad_shape("used must be at most experts");
    if (s->heads * s->head_dim % 32) return bad_shape("heads * head_dim must be a multiple of 32");
    return 0;
}

/* ---- the header ---- */
static void put_keys(const shape *s, const char *label, goss_gguf_writer *w)
{
    char name[96];
    const int n = snprintf(name, sizeof name, "Gossamer synth %.64s", label);
    const struct { const char *key; int value;
    } ints[] = { { "gpt-oss.block_count", s->layers },
                 { "gpt-oss.context_length", s->ctx },
                 { "gpt-oss.embedding_length", s->embd },
                 { "gpt-oss.feed_forward_length", s->ff },
                 { "gpt-oss.expert_feed_forward_length", s->ff },
                 { "gpt-oss.attention.head_count", s->heads },
                 { "gpt-oss.attention.head_count_kv", s->kv_heads },
                 { "gpt-oss.attention.key_length", s->head_dim },
                 { "gpt-oss.attention.value_length", s->head_dim },
                 { "gpt-oss.attention.sliding_window", s->window },
                 { "gpt-oss.expert_count", s->experts },
                 { "gpt-oss.expert_used_count", s->used },
                 { "gpt-oss.rope.scaling.original_context_length", 4096 },
                 { "general.quantization_version", 2 },
                 { "general.file_type", 38 } };
    goss_gguf_put_str(w, "general.architecture", "gpt-oss", 7);
    goss_gguf_put_str(w, "general.type", "model", 5);
    goss_gguf_put_str(w, "general.name", name, (size_t)n);
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        goss_gguf_put_u32(w, ints[i].key, (uint32_t)ints[i].value);
    goss_gguf_put_f32(w, "gpt-oss.attention.layer_norm_rms_epsilon", 1e-5f);
    goss_gguf_put_f32(w, "gpt-oss.rope.freq_base", 150000);
    goss_gguf_put_f32(w, "gpt-oss.rope.scaling.factor", 32);
    goss_gguf_put_str(w, "gpt-oss.rope.scaling.type", "yarn", 4);
}

static void put_tensor(job *j, goss_gguf_writer *w, int layer, const char *name, int type, float rms,
                       float constant, int64_t ne0, int64_t ne1, int64_t ne2)
{
    char full[64];
    const int64_t ne[3] = { ne0, ne1 ? ne1 : 1, ne2 ? ne2 : 1 };
    if (layer < 0) snprintf(full, sizeof full, "%s", name);
    else snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    j->parts[j->n_parts++] = (part){ goss_gguf_put_tensor(w, full, type,
                                                          ne2   ? 3
                                                          : ne1 ? 2
                                                                : 1,
                                                          ne),
                                     goss_type_row_bytes(type, ne0) * (uint64_t)ne[1] * (uint64_t)ne[2],
                                     { type, rms, constant, 0 } };
}

/* rms for a matrix that keeps its input's size. */
static float keeping(int n_in)
{
    return (float)(1 / sqrt(n_in));
}

static void put_layer(job *j, goss_gguf_writer *w, int l)
{
    const shape *s = &j->s;
    const int nq = s->heads * s->head_dim, nkv = s->kv_heads * s->head_dim, e = s->embd, n = s->experts;
    put_tensor(j, w, l, "attn_norm.weight", GOSS_F32, 0, 1, e, 0, 0);
    put_tensor(j, w, l, "attn_q.weight", GOSS_Q8_0, keeping(e), 0, e, nq, 0);
    put_tensor(j, w, l, "attn_q.bias", GOSS_F32, 0.02f, 0, nq, 0, 0);
    put_tensor(j, w, l, "attn_k.weight", GOSS_Q8_0, keeping(e), 0, e, nkv, 0);
    put_tensor(j, w, l, "attn_k.bias", GOSS_F32, 0.02f, 0, nkv, 0, 0);
    put_tensor(j, w, l, "attn_v.weight", GOSS_Q8_0, keeping(e), 0, e, nkv, 0);
    put_tensor(j, w, l, "attn_v.bias", GOSS_F32, 0.02f, 0, nkv, 0, 0);
    put_tensor(j, w, l, "attn_output.weight", GOSS_Q8_0, keeping(nq) / 2, 0, nq, e, 0);
    put_tensor(j, w, l, "attn_output.bias", GOSS_F32, 0.02f, 0, e, 0, 0);
    put_tensor(j, w, l, "attn_sinks.weight", GOSS_F32, 0.5f, 0, s->heads, 0, 0);
    put_tensor(j, w, l, "post_attention_norm.weight", GOSS_F32, 0, 1, e, 0, 0);
    put_tensor(j, w, l, "ffn_gate_inp.weight", GOSS_F32, keeping(e), 0, e, n, 0);
    put_tensor(j, w, l, "ffn_gate_inp.bias", GOSS_F32, 0, 0, n, 0, 0);
    put_tensor(j, w, l, "ffn_gate_exps.weight", GOSS_MXFP4, keeping(e), 0, e, s->ff, n);
    put_tensor(j, w, l, "ffn_gate_exps.bias", GOSS_F32, 0.02f, 0, s->ff, n, 0);
    put_tensor(j, w, l, "ffn_up_exps.weight", GOSS_MXFP4, keeping(e), 0, e, s->ff, n);
    put_tensor(j, w, l, "ffn_up_exps.bias", GOSS_F32, 0.02f, 0, s->ff, n, 0);
    put_tensor(j, w, l, "ffn_down_exps.weight", GOSS_MXFP4, keeping(s->ff), 0, s->ff, e, n);
    j->parts[j->n_parts - 1].rule.balanced = 1;
    put_tensor(j, w, l, "ffn_down_exps.bias", GOSS_F32, 0.02f, 0, e, n, 0);
}

static int make_header(job *j, const char *label, goss_buf *out, goss_error *err)
{
    const shape *s = &j->s;
    goss_gguf_writer w;
    goss_synth_vocab vocab;
    if (goss_synth_vocab_make(&vocab, s->vocab) < 0)
        return goss_fail(err, GOSS_ENOMEM, -1, "out of memory for the vocabulary");
    goss_gguf_writer_init(&w);
    put_keys(s, label, &w);
    goss_synth_vocab_put(&vocab, &w);
    put_tensor(j, &w, -1, "token_embd.weight", GOSS_Q8_0, 1, 0, s->embd, s->vocab, 0);
    put_tensor(j, &w, -1, "output_norm.weight", GOSS_F32, 0, 1, s->embd, 0, 0);
    put_tensor(j, &w, -1, "output.weight", GOSS_Q8_0, 2 * keeping(s->embd), 0, s->embd, s->vocab, 0);
    for (int l = 0; l < s->layers; l++) put_layer(j, &w, l);
    j->data_bytes = w.data_bytes;
    const int rc = goss_gguf_writer_finish(&w, out);
    goss_synth_vocab_free(&vocab);
    return rc < 0 ? goss_fail(err, rc, -1, "out of memory for the header") : 0;
}

/* ---- the data ---- */
static int write_at(int fd, const uint8_t *bytes, size_t n, uint64_t offset)
{
    while (n) {
        const ssize_t k = pwrite(fd, bytes, n, (off_t)offset);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return k < 0 ? errno : ENOSPC;
        bytes += k;
        offset += (uint64_t)k;
        n -= (size_t)k;
    }
    return 0;
}

static int part_of(const job *j, uint64_t piece)
{
    int lo = 0, hi = j->n_parts;
    while (hi - lo > 1) {
        const int mid = (lo + hi) / 2;
        if (j->first_piece[mid] <= piece) lo = mid;
        else hi = mid;
    }
    return lo;
}

static void fill_piece(void *ctx, int task, int thread)
{
    job *j = ctx;
    const int i = part_of(j, (uint64_t)task);
    const part *p = &j->parts[i];
    const uint64_t from = ((uint64_t)task - j->first_piece[i]) * PIECE;
    const size_t n = p->n_bytes - from < PIECE ? (size_t)(p->n_bytes - from) : PIECE;
    uint8_t *buffer = j->buffers + (size_t)thread * PIECE;
    if (atomic_load(&j->failed)) return;
    goss_synth_fill(&p->rule, j->seed, (uint64_t)task, buffer, n);
    const int failed = write_at(j->fd, buffer, n, j->start + p->offset + from);
    int none = 0;
    if (failed) atomic_compare_exchange_strong(&j->failed, &none, failed);
    const unsigned long long done = atomic_fetch_add(&j->written, n) + n;
    if (thread == 0) goss_progress_update(&j->progress, done);
}

static int number_pieces(job *j)
{
    j->first_piece = calloc((size_t)j->n_parts + 1, sizeof *j->first_piece);
    if (!j->first_piece) return GOSS_ENOMEM;
    for (int i = 0; i < j->n_parts; i++)
        j->first_piece[i + 1] = j->first_piece[i] + (j->parts[i].n_bytes + PIECE - 1) / PIECE;
    j->n_pieces = j->first_piece[j->n_parts];
    return j->n_pieces <= INT32_MAX ? 0 : GOSS_ELIMIT;
}

/* 0 or an errno. */
static int write_data(job *j, int n_threads)
{
    goss_pool *pool = NULL;
    if (goss_pool_open(&pool, n_threads) < 0) return ENOMEM;
    j->buffers = malloc((size_t)goss_pool_threads(pool) * PIECE);
    if (j->buffers) {
        goss_progress_start(&j->progress, "writing", 0, j->data_bytes);
        goss_pool_run(pool, fill_piece, j, (int)j->n_pieces);
        goss_progress_end(&j->progress);
    }
    goss_pool_close(&pool);
    return j->buffers ? atomic_load(&j->failed) : ENOMEM;
}

/* Header, data and a whole last block; 0 or an errno. `sparse` leaves the weights as a hole. */
static int write_file(job *j, const goss_buf *header, const char *path, int n_threads, int sparse)
{
    const uint64_t total = header->len + j->data_bytes;
    j->start = header->len;
    j->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (j->fd < 0) return errno;
    int failed = ftruncate(j->fd, (off_t)total) < 0 ? errno : 0;
    if (!failed && !sparse) {
        failed = posix_fallocate(
            j->fd, 0, (off_t)total); /* a disk that is too small says so now and not in ten minutes */
        if (failed == EINVAL || failed == EOPNOTSUPP || failed == ENODEV) failed = 0;
    }
    if (!failed) failed = write_at(j->fd, header->data, header->len, 0);
    if (!failed && !sparse) failed = write_data(j, n_threads);
    if (close(j->fd) < 0 && !failed) failed = errno;
    return failed;
}

static int make_file(job *j, const char *label, const char *path, int n_threads, int sparse, goss_error *err)
{
    goss_buf header = GOSS_BUF(1u << 30);
    char temporary[4096], need[16];
    struct stat there;
    /* the finished file takes its place: a device would be gone */
    if (!stat(path, &there) && !S_ISREG(there.st_mode))
        return goss_fail(err, GOSS_EINVAL, -1, "%.120s is there and is no file: nothing was written", path);
    if (snprintf(temporary, sizeof temporary, "%s.part", path) >= (int)sizeof temporary)
        return goss_fail(err, GOSS_EINVAL, -1, "the path is too long");
    j->parts = calloc((size_t)j->s.layers * LAYER_TENSORS + 3, sizeof *j->parts);
    int rc =
        j->parts ? make_header(j, label, &header, err) : goss_fail(err, GOSS_ENOMEM, -1, "out of memory");
    if (rc == 0 && (rc = number_pieces(j)) < 0) goss_fail(err, rc, -1, "the model is too large");
    if (rc == 0) {
        int failed = write_file(j, &header, temporary, n_threads, sparse);
        if (!failed && rename(temporary, path) < 0) failed = errno;
        goss_human_bytes(need, (double)(header.len + j->data_bytes));
        if (failed) {
            unlink(temporary);
            rc = goss_fail(err, failed == ENOSPC || failed == EFBIG ? GOSS_EFULL : GOSS_EIO, -1,
                           "cannot write %.120s (%s): %s",
                           path, need, strerror(failed));
        } else {
            fprintf(stderr, "%s: %s, %d tensors\n", path, need, j->n_parts);
        }
    }
    goss_buf_free(&header);
    free(j->parts);
    free(j->first_piece);
    free(j->buffers);
    return rc;
}

int goss_cmd_synth(int argc, char **argv)
{
    int n_threads = 0, sparse = 0;
    goss_error err = { 0 };
    job *j = calloc(1, sizeof *j);
    if (!j) return goss_cli_fail("synth", 1, NULL);
    const goss_option options[] = {
        { "--seed", GOSS_OPT_U64, &j->seed, .arg = "N", .help = "of the weights (0)" },
        { "--threads,-t", GOSS_OPT_INT, &n_threads, .arg = "N", .help = "threads (one per core)",
          .env = "GPT_OSS_GGUF_THREADS", .min = 0, .max = 256 },
        { "--sparse", GOSS_OPT_FLAG, &sparse,
          .help = "header only: the weights are zeros that take no room on disk" },
        { 0 }
    };
    const goss_usage usage = {
        "synth",
        "SHAPE OUT",
        "Writes a gpt-oss GGUF with random weights. SHAPE is 20b, 120b, or a list such as "
        "layers=4,embd=256,heads=16,kv_heads=2,experts=16,ff=128,vocab=4096 (what is not named is 20b's).",
        2,
        2,
        { options }
    };
    const char *args[2];
    const int n = goss_options_read(&usage, argc, argv, args);
    int status = n < 0 ? ~n : read_shape(args[0], &j->s);
    if (n >= 0 && status == 0 && make_file(j, args[0], args[1], n_threads, sparse, &err) < 0)
        status = goss_cli_fail("synth", 1, &err);
    free(j);
    return status;
}
