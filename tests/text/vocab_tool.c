/* vocab_tool.c - the tokenizer for scripts: one process, many strings.
 *   vocab_tool encode VOCAB.gguf       stdin: strings, each a 32-bit length and its bytes; stdout: one line
 * of ids a string vocab_tool decode VOCAB.gguf       as encode, but the line is the text again, as
 * hexadecimal bytes of decode(encode(s)) vocab_tool speed VOCAB.gguf FILE [SECONDS]   MB in a second of this
 * core, the best of many rounds */
#include "open_vocab.h"
#include <string.h>
#include <time.h>

static unsigned char *read_all(FILE *f, size_t *n)
{
    size_t cap = 1 << 16;
    unsigned char *b = malloc(cap);
    for (size_t k; b && (k = fread(b + *n, 1, cap - *n, f)) > 0;)
        if ((*n += k) == cap) b = realloc(b, cap *= 2);
    return b;
}

static int each_string(const goss_vocab *v, int decode)
{
    size_t n = 0;
    unsigned char *in = read_all(stdin, &n);
    goss_buf ids = GOSS_BUF((size_t)1 << 30), text = GOSS_BUF((size_t)1 << 30);
    for (size_t p = 0; in && p + 4 <= n;) {
        uint32_t len;
        memcpy(&len, in + p, 4);
        goss_buf_clear(&ids);
        goss_buf_clear(&text);
        if (len > n - p - 4 || goss_vocab_encode(v, (char *)in + p + 4, len, 0, &ids)) return 1;
        const int32_t *id = (const int32_t *)(const void *)ids.data;
        const size_t n_ids = ids.len / 4;
        if (decode) {
            if (goss_vocab_decode(v, id, n_ids, 0, 1, &text)) return 1;
            for (size_t i = 0; i < text.len; i++) printf("%02x", text.data[i]);
        } else {
            for (size_t i = 0; i < n_ids; i++) printf(i ? " %d" : "%d", id[i]);
        }
        putchar('\n');
        p += 4 + len;
    }
    goss_buf_free(&ids);
    goss_buf_free(&text);
    free(in);
    return 0;
}

static int speed(const goss_vocab *v, const char *path, double seconds)
{
    FILE *f = fopen(path, "rb");
    size_t n = 0;
    unsigned char *in = f ? read_all(f, &n) : NULL;
    if (!in || !n) {
        fprintf(stderr, "%s: can't read\n", path);
        return 1;
    }
    fclose(f);
    goss_buf ids = GOSS_BUF((size_t)1 << 30);
    double best = 0;
    const double end = goss_os_now_ms() + 1000 * seconds;
    while (goss_os_now_ms() < end) {
        goss_buf_clear(&ids);
        const clock_t t0 = clock(); /* of this process alone: others may be busy */
        if (goss_vocab_encode(v, (char *)in, n, 0, &ids)) return 1;
        const double mb = (double)n / 1e6 * CLOCKS_PER_SEC / (double)(clock() - t0 + 1);
        if (mb > best) best = mb;
    }
    printf("%.1f MB/s %zu bytes %zu ids\n", best, n, ids.len / 4);
    goss_buf_free(&ids);
    free(in);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: vocab_tool encode|decode|speed VOCAB.gguf [FILE]\n");
        return 2;
    }
    goss_vocab *v = open_vocab(argv[2], NULL);
    int r = 2;
    if (!strcmp(argv[1], "encode"))
        r = each_string(v, 0);
    else if (!strcmp(argv[1], "decode"))
        r = each_string(v, 1);
    else if (!strcmp(argv[1], "speed") && argc > 3)
        r = speed(v, argv[3], argc > 4 ? atof(argv[4]) : 1);
    goss_vocab_close(&v);
    return r;
}
