/* llama_peer.c - llama.cpp's own speed and tokens, through its C interface, to hold ours against. Built by llama.sh.
 *
 * usage: llama_peer LIBDIR MODEL bench THREADS N_PROMPT N_DECODE [REPEATS]    one line of JSON, medians
 *        llama_peer LIBDIR MODEL greedy THREADS N_DECODE ID...                greedy tokens with the gap of
 *        the best two logits
 * LIBDIR holds the package's libggml-cpu-*.so; the best one for this machine is chosen by ggml. */
#include "ggml-backend.h"
#include "llama.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static void quiet(enum ggml_log_level level, const char *text, void *ctx)
{
    (void)ctx;
    if (level == GGML_LOG_LEVEL_ERROR || strstr(text, "load_backend")) fputs(text, stderr);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void decode(struct llama_context *ctx, llama_token *ids, int n)
{
    if (llama_decode(ctx, llama_batch_get_one(ids, n)) != 0) { fprintf(stderr, "llama_decode failed\n"); exit(1); }
}

static llama_token best(const float *logits, int n, float *gap)
{
    int b = 0;
    for (int i = 1; i < n; i++) if (logits[i] > logits[b]) b = i;
    float second = -1e30f;
    for (int i = 0; i < n; i++) if (i != b && logits[i] > second) second = logits[i];
    *gap = logits[b] - second;
    return b;
}

static void bench(struct llama_context *ctx, int n_vocab, int n, int n_new, int repeats)
{
    double pp[64], tg[64];
    llama_token *ids = malloc(sizeof *ids * (size_t)(n + 1));
    for (int r = -1; r < repeats; r++) { /* the first is a short one, to warm up */
        const int n_prompt = r < 0 && n > 32 ? 32 : n, n_decode = r < 0 && n_new > 4 ? 4 : n_new;
        llama_memory_clear(llama_get_memory(ctx), true);
        for (int i = 0; i < n_prompt; i++)
            ids[i] = (llama_token)((1000 + i * 7919LL) % (n_vocab < 199998 ? n_vocab * 3 / 4 : 199998));
        double t0 = now_ms();
        if (n_prompt) { decode(ctx, ids, n_prompt); (void)llama_get_logits_ith(ctx, -1); }
        if (r >= 0) pp[r] = n_prompt / (now_ms() - t0) * 1e3;
        llama_token t = 1000 % n_vocab;
        t0 = now_ms();
        for (int i = 0; i < n_decode; i++) {
            decode(ctx, &t, 1);
            float gap;
            t = best(llama_get_logits_ith(ctx, -1), n_vocab, &gap) * 31 % (n_vocab * 3 / 4);
        }
        if (r >= 0) tg[r] = n_decode / (now_ms() - t0) * 1e3;
    }
    qsort(pp, (size_t)repeats, sizeof *pp, compare);
    qsort(tg, (size_t)repeats, sizeof *tg, compare);
    printf("{\"engine\":\"llama.cpp\",\"n_prompt\":%d,\"n_decode\":%d,\"prefill_tok_s\":%.2f,\"decode_tok_"
           "s\":%.2f,\"repeats\":%d}\n",
           n, n_new, pp[repeats / 2], tg[repeats / 2], repeats);
    free(ids);
}

static void greedy(struct llama_context *ctx, int n_vocab, llama_token *ids, int n, int n_decode)
{
    decode(ctx, ids, n);
    for (int i = 0; i < n_decode; i++) {
        float gap;
        llama_token t = best(llama_get_logits_ith(ctx, -1), n_vocab, &gap);
        printf("%d %.4f\n", t, gap);
        decode(ctx, &t, 1);
    }
}

int main(int argc, char **argv)
{
    if (argc < 6) { fprintf(stderr, "usage: see the head of llama_peer.c\n"); return 2; }
    const int threads = atoi(argv[4]), is_bench = !strcmp(argv[3], "bench");
    llama_log_set(quiet, NULL);
    ggml_backend_load_all_from_path(argv[1]);
    llama_backend_init();
    struct llama_model_params mp = llama_model_default_params();
    mp.n_gpu_layers = getenv("LLAMA_GPU_LAYERS") ? atoi(getenv("LLAMA_GPU_LAYERS")) : 0;
    struct llama_model *model = llama_model_load_from_file(argv[2], mp);
    if (!model) return 1;
    const int n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    const int n_prompt = is_bench ? atoi(argv[5]) : argc - 6, n_decode = is_bench ? atoi(argv[6]) : atoi(argv[5]);
    struct llama_context_params cp = llama_context_default_params();
    cp.n_ctx = (uint32_t)(n_prompt + n_decode + 64);
    cp.n_batch = cp.n_ubatch = n_prompt > 512 ? (uint32_t)n_prompt : 512;
    cp.n_threads = cp.n_threads_batch = threads;
    struct llama_context *ctx = llama_init_from_model(model, cp);
    if (!ctx) return 1;
    if (is_bench) bench(ctx, n_vocab, n_prompt, n_decode, argc > 7 ? atoi(argv[7]) : 3);
    else {
        llama_token *ids = malloc(sizeof *ids * (size_t)(n_prompt + 1));
        for (int i = 0; i < n_prompt; i++) ids[i] = atoi(argv[6 + i]);
        greedy(ctx, n_vocab, ids, n_prompt, n_decode);
        free(ids);
    }
    llama_free(ctx);
    llama_model_free(model);
    return 0;
}
