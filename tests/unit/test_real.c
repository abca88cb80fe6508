/* test_real.c - a real model, named by GPT_OSS_GGUF_PATH: shapes and counts (docs/reference.md 6.3),
 * Harmony's golden tokens (9.8), a greedy answer that begins with the analysis channel, and readable text.
 * Any llama file is checked for readable text. SKIP without one. */
#include "base/os.h"
#include "format/gguf.h"
#include "unit.h"
#include <gossamer.h>
#include <stdlib.h>

static void check_counts(const char *path)
{
    goss_mapping m;
    goss_gguf g;
    uint64_t want, experts = 0, layers = 0;
    int f32 = 0, q8_0 = 0, mxfp4 = 0;
    if (goss_os_map(&m, path, NULL) < 0) return;
    const int rc = goss_gguf_parse(&g, m.data, m.size, m.size, &want, NULL);
    CHECK_INT(rc, 0);
    if (rc == 0 && goss_gguf_u64(&g, "gpt-oss.block_count", &layers, NULL) == 1 &&
        goss_gguf_u64(&g, "gpt-oss.expert_count", &experts, NULL) == 1 &&
        !goss_gguf_find(&g, "split.count") && (layers == 24 || layers == 36)) {
        for (uint64_t i = 0; i < g.n_tensors; i++) {
            f32 += g.tensors[i].type == GOSS_F32;
            q8_0 += g.tensors[i].type == GOSS_Q8_0;
            mxfp4 += g.tensors[i].type == GOSS_MXFP4;
        }
        CHECK_INT(experts, layers == 24 ? 32 : 128);
        CHECK_INT(g.n_tensors, layers == 24 ? 459 : 687);
        CHECK_INT(f32, layers == 24 ? 289 : 433);
        CHECK_INT(mxfp4, 3 * (int)layers);
        const goss_tensor *t = goss_gguf_tensor(&g, "blk.0.ffn_gate_exps.weight"),
                          *embd = goss_gguf_tensor(&g, "token_embd.weight");
        CHECK(t && t->ne[0] == 2880 && t->ne[1] == 2880 && t->ne[2] == (int64_t)experts);
        CHECK(t && t->n_bytes == 4406400 * experts);
        CHECK(embd && embd->ne[0] == 2880 && embd->ne[1] == 201088);
        printf("# %d F32, %d Q8_0, %d MXFP4 of %llu tensors\n", f32, q8_0, mxfp4,
               (unsigned long long)g.n_tensors);
    }
    goss_gguf_free(&g);
    goss_os_unmap(&m);
}

static const int32_t golden[] = { 200006, 17360,  200008, 3575,   553,   17554, 162016, 11,    261,    4410,
                                  6439,   2359,   22203,  656,    7788,  17527, 558,    87447, 100594, 25,
                                  220,    1323,   19,     12,     3218,  198,   6576,   3521,  25,     220,
                                  1323,   20,     12,     3218,   12,    2029,  279,    30377, 289,    25,
                                  14093,  279,    2,      13888,  18403, 25,    8450,   11,    49159,  11,
                                  1721,   13,     21030,  2804,   413,   7360,  395,    1753,  3176,   13,
                                  200007, 200006, 1428,   200008, 4827,  382,   220,    17,    659,    220,
                                  17,     30,     200007, 200006, 173781 };
enum { N_GOLDEN = sizeof golden / sizeof *golden };
static const char question[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"What is 2 + 2?\"}],\"date\":\"2025-06-28\"}";

/* Only with the real vocabulary: the first word of the system message tells. */
static void check_golden_tokens(goss_engine *e)
{
    int32_t ids[256], word[8];
    goss_error err = { 0 };
    if (goss_tokenize(e, " ChatGPT", 8, 0, word, 8) != 1 || word[0] != 162016) return;
    CHECK_INT(goss_chat_render(e, question, sizeof question - 1, ids, 256, &err), N_GOLDEN);
    int same = 1;
    for (int i = 0; i < N_GOLDEN; i++) same &= ids[i] == golden[i];
    CHECK(same);
}

typedef struct answer { char text[2000]; int n, n_tokens; int32_t first[3]; char channel[16]; } answer;

static int take(void *ctx, const goss_event *ev)
{
    answer *a = ctx;
    if (ev->kind == GOSS_EVENT_TOKEN && ev->token >= 0 && a->n_tokens < 3) a->first[a->n_tokens] = ev->token;
    if (ev->kind == GOSS_EVENT_TOKEN && ev->token >= 0) a->n_tokens++;
    if (ev->kind != GOSS_EVENT_PREFILL && ev->n_text && !a->channel[0])
        snprintf(a->channel, sizeof a->channel, "%s", ev->channel);
    for (int i = 0; ev->kind != GOSS_EVENT_PREFILL && i < ev->n_text && a->n < (int)sizeof a->text - 1; i++)
        a->text[a->n++] = ev->text[i];
    return 0;
}

/* Letters and spaces for the most part, and more than one word. */
static int readable(const answer *a)
{
    int plain = 0, spaces = 0;
    for (int i = 0; i < a->n; i++) {
        const char c = a->text[i];
        plain += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ' ';
        spaces += c == ' ';
    }
    return a->n > 10 && plain * 10 > a->n * 6 && spaces > 1;
}

static void check_answer(goss_engine *e, const goss_model_info *info)
{
    static answer a;
    goss_error err = { 0 };
    goss_params p = goss_params_default();
    const int chat = strcmp(info->chat, "raw") != 0, real_vocab = info->n_vocab > 200018;
    p.temperature = 0;
    p.max_tokens = 48;
    p.chat = chat;
    CHECK_INT(goss_generate(e, chat ? question : "Once upon a time", &p, take, NULL, &a, &err), 0);
    if (err.text[0]) printf("%s\n", err.text);
    printf("# %s: \"%s\"\n", info->name, a.text);
    CHECK(readable(&a));
    if (strcmp(info->chat, "harmony")) return;
    CHECK_STR(a.channel, "analysis");
    if (real_vocab) CHECK(a.first[0] == 200005 && a.first[1] == 35644 && a.first[2] == 200008);
}

int main(void)
{
    const char *path = getenv("GPT_OSS_GGUF_PATH");
    goss_engine *e = NULL;
    goss_model_info info;
    goss_error err = { 0 };
    if (!path || !*path) {
        printf("SKIP no real model: set GPT_OSS_GGUF_PATH\nreal: 0 passed, 0 failed, 1 skipped\n");
        return 0;
    }
    check_counts(path);
    const double t0 = goss_os_now_ms();
    CHECK_INT(goss_load(&e, path, &err), 0);
    printf("# opened in %.0f ms\n", goss_os_now_ms() - t0);
    if (!e) {
        printf("%s\n", err.text);
        return unit_done("real");
    }
    goss_engine_info(e, &info);
    check_golden_tokens(e);
    check_answer(e, &info);
    goss_engine_close(&e);
    return unit_done("real");
}
