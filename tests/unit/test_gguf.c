/* test_gguf.c - sound files: the demo models, everything the writer writes, pieces, split sets, look-ups. */
#include "base/mem.h"
#include "base/os.h"
#include "format/gguf_split.h"
#include "format/gguf_write.h"
#include "unit.h"
#include <stdlib.h>

static void test_model(const char *path, uint64_t n_tensors, const char *arch, const char *tensor, int type)
{
    goss_error e;
    goss_mapping m;
    goss_gguf g;
    uint64_t want;
    CHECK_INT(goss_os_map(&m, path, &e), 0);
    CHECK_INT(goss_gguf_parse(&g, m.data, m.size, m.size, &want, &e), 0);
    CHECK_INT(goss_gguf_complete(&g, &e), 0);
    if (n_tensors)
        CHECK_INT(g.n_tensors, n_tensors);
    goss_str s;
    CHECK_INT(goss_gguf_str(&g, "general.architecture", &s, &e), 1);
    CHECK(s.n == strlen(arch) && !memcmp(s.s, arch, s.n));
    const goss_tensor *t = goss_gguf_tensor(&g, tensor);
    CHECK(t && t->type == type && t->data == (const uint8_t *)m.data + t->offset &&
          t->offset + t->n_bytes <= m.size);
    const goss_kvpair *tokens = goss_gguf_find(&g, "tokenizer.ggml.tokens");
    uint64_t cursor = 0, n = 0;
    while (tokens && goss_gguf_next_str(tokens, &cursor, &s))
        n++;
    CHECK(tokens && n == tokens->n && cursor == tokens->elem_bytes);
    goss_gguf_free(&g);
    goss_os_unmap(&m);
}

static void write_sample(goss_buf *out, int shard, int n_shards)
{
    static const goss_str words[] = { { "alpha", 5 }, { "", 0 }, { "gamma", 5 } };
    static const int32_t ints[] = { -1, 0, 7 };
    static const float floats[] = { 0.5f, -2 };
    static const int64_t ne[] = { 64, 3, 2, 1 };
    char name[32];
    goss_gguf_writer w;
    goss_gguf_writer_init(&w);
    goss_gguf_put_str(&w, "general.architecture", "test", 4);
    goss_gguf_put_u32(&w, "n", 4000000000u);
    goss_gguf_put_f32(&w, "f", 0.25f);
    goss_gguf_put_bool(&w, "yes", 1);
    goss_gguf_put_strs(&w, "words", words, 3);
    goss_gguf_put_i32s(&w, "ints", ints, 3);
    goss_gguf_put_f32s(&w, "floats", floats, 2);
    if (n_shards > 1) {
        goss_gguf_put_u32(&w, "split.no", (uint32_t)shard);
        goss_gguf_put_u32(&w, "split.count", (uint32_t)n_shards);
        goss_gguf_put_u32(&w, "split.tensors.count", (uint32_t)(2 * n_shards));
    }
    snprintf(name, sizeof name, "a.%d", shard);
    CHECK_INT(goss_gguf_put_tensor(&w, name, GOSS_F32, 2, ne), 0);
    snprintf(name, sizeof name, "b.%d", shard);
    CHECK_INT(goss_gguf_put_tensor(&w, name, GOSS_MXFP4, 3, ne), 768);
    const uint64_t data_bytes = w.data_bytes;
    CHECK_INT(data_bytes, 768 + 34 * 6);
    CHECK_INT(goss_gguf_writer_finish(&w, out), 0);
    CHECK_INT(out->len % 32, 0);
    for (uint64_t i = 0; i < data_bytes; i++)
        goss_buf_append(out, &(char){ (char)i }, 1);
}

static void check_sample(const goss_gguf *g)
{
    goss_error e;
    goss_str s;
    uint64_t u = 0, cursor = 0;
    double d = 0;
    int b = 0;
    CHECK(goss_gguf_u64(g, "n", &u, &e) == 1 && u == 4000000000u);
    CHECK(goss_gguf_f64(g, "f", &d, &e) == 1 && d == 0.25);
    CHECK(goss_gguf_f64(g, "n", &d, &e) == 1 && d == 4e9);
    CHECK(goss_gguf_bool(g, "yes", &b, &e) == 1 && b == 1);
    CHECK_INT(goss_gguf_u64(g, "absent", &u, &e), 0);
    CHECK_INT(goss_gguf_u64(g, "f", &u, &e), GOSS_EFORMAT);
    CHECK_INT(goss_gguf_bool(g, "n", &b, &e), GOSS_EFORMAT);
    CHECK_INT(goss_gguf_str(g, "n", &s, &e), GOSS_EFORMAT);
    CHECK_INT(goss_gguf_f64(g, "words", &d, &e), GOSS_EFORMAT);
    CHECK(strstr(e.text, "\"words\"") && e.position > 0);
    const goss_kvpair *words = goss_gguf_find(g, "words"), *ints = goss_gguf_find(g, "ints"),
                      *floats = goss_gguf_find(g, "floats");
    CHECK(words->n == 3 && ints->n == 3 && floats->n == 2);
    CHECK(goss_gguf_next_str(words, &cursor, &s) == 1 && s.n == 5 && !memcmp(s.s, "alpha", 5));
    CHECK(goss_gguf_next_str(words, &cursor, &s) == 1 && s.n == 0);
    CHECK(goss_gguf_next_str(words, &cursor, &s) == 1 && goss_gguf_next_str(words, &cursor, &s) == 0);
    CHECK(goss_gguf_elem(ints, 0) == -1 && goss_gguf_elem(ints, 2) == 7 && goss_gguf_elem(floats, 1) == -2 &&
          goss_gguf_elem(ints, 3) == 0);
    const goss_tensor *t = goss_gguf_tensor(g, "b.0");
    CHECK(t && t->n_dims == 3 && t->ne[0] == 64 && t->ne[1] == 3 && t->ne[2] == 2 && t->ne[3] == 1 &&
          t->n_bytes == 34 * 6);
    CHECK(goss_gguf_tensor(g, "c") == NULL);
}

/* The header arrives in pieces: at every length the parser asks for more, never for more than there is, and
 * ends up the same. */
static void test_pieces(void)
{
    goss_buf file = GOSS_BUF(1 << 20);
    goss_error e;
    goss_gguf g;
    uint64_t want;
    write_sample(&file, 0, 1);
    CHECK_INT(goss_gguf_parse(&g, file.data, file.len, file.len, &want, &e), 0);
    check_sample(&g);
    CHECK_INT(g.data_offset + 768 + 34 * 6, file.len);
    CHECK(g.tensors[1].data == file.data + g.data_offset + 768);
    const uint64_t header = g.header_bytes;
    goss_gguf_free(&g);
    for (uint64_t n = 0; n < file.len; n++) {
        uint8_t *piece = malloc((size_t)n + 1); /* of exact size, so that a sanitizer sees reads beyond it */
        memcpy(piece, file.data, (size_t)n);
        const goss_mem_stats before = goss_mem_get_stats();
        const int rc = goss_gguf_parse(&g, n ? piece : NULL, n, file.len, &want, &e);
        CHECK_INT(rc, n < header ? GOSS_EAGAIN : 0);
        CHECK(rc == 0 || (want > n && want <= header));
        CHECK(rc == 0 || goss_mem_get_stats().n_allocs == before.n_allocs);
        if (rc == 0) {
            CHECK(g.tensors[1].data == NULL && g.tensors[1].offset == g.data_offset + 768);
            check_sample(&g);
        }
        goss_gguf_free(&g);
        CHECK_INT(goss_mem_get_stats().n_live, before.n_live);
        free(piece);
    }
    goss_buf_free(&file);
}

static void test_split(void)
{
    goss_buf file[3] = { GOSS_BUF(1 << 20), GOSS_BUF(1 << 20), GOSS_BUF(1 << 20) };
    goss_error e;
    goss_gguf first, part;
    uint64_t want;
    for (int i = 0; i < 3; i++)
        write_sample(&file[i], i, 3);
    CHECK_INT(goss_gguf_parse(&first, file[0].data, file[0].len, file[0].len, &want, &e), 0);
    CHECK_INT(goss_gguf_complete(&first, &e), GOSS_EFORMAT);
    CHECK(strstr(e.text, "split into 3 files and 1 are here"));
    CHECK_INT(goss_gguf_parse(&part, file[2].data, file[2].len, file[2].len, &want, &e), 0);
    CHECK_INT(goss_gguf_complete(&part, &e), GOSS_EFORMAT);
    CHECK(strstr(e.text, "part 3"));
    CHECK_INT(goss_gguf_join(&first, &part, 1, &e), GOSS_EFORMAT);
    goss_gguf_free(&part);
    for (int i = 1; i < 3; i++) {
        CHECK_INT(goss_gguf_parse(&part, file[i].data, file[i].len, file[i].len, &want, &e), 0);
        CHECK_INT(goss_gguf_join(&first, &part, i, &e), 0);
        CHECK(part.tensors == NULL);
    }
    CHECK_INT(goss_gguf_complete(&first, &e), 0);
    CHECK_INT(first.n_tensors, 6);
    CHECK(goss_gguf_tensor(&first, "b.2")->shard == 2 &&
          goss_gguf_tensor(&first, "b.2")->data > file[2].data);
    goss_gguf_free(&first);
    for (int i = 0; i < 3; i++)
        goss_buf_free(&file[i]);
}

/* Every allocation fails once: a clean error each time and nothing left behind. */
static void test_no_memory(void)
{
    goss_buf file = GOSS_BUF(1 << 20);
    goss_error e;
    goss_gguf g;
    uint64_t want;
    write_sample(&file, 0, 1);
    const uint64_t live = goss_mem_get_stats().n_live;
    for (uint64_t n = 1; n < 20; n++) {
        goss_mem_fail_at(n);
        const int rc = goss_gguf_parse(&g, file.data, file.len, file.len, &want, &e);
        goss_mem_fail_at(0);
        goss_gguf_free(&g);
        CHECK_INT(goss_mem_get_stats().n_live, live);
        CHECK_INT(rc, n <= 3 ? GOSS_ENOMEM : 0);
    }
    goss_buf_free(&file);
}

int main(void)
{
    test_model("models/demo-gptoss.gguf", 0, "gpt-oss", "blk.0.ffn_gate_exps.weight", GOSS_MXFP4);
    test_model("models/demo-gptoss-draft.gguf", 0, "gpt-oss", "token_embd.weight", GOSS_Q8_0);
    test_model("models/demo-llama-f16.gguf", 0, "llama", "blk.0.attn_q.weight", GOSS_F16);
    test_model("models/demo-llama-Q4_K_M.gguf", 0, "llama", "blk.0.attn_q.weight", GOSS_Q4_K);
    test_pieces();
    test_split();
    test_no_memory();
    return unit_done("gguf");
}
