/* fuzz_replay.c - runs one fuzz target over stored inputs without libFuzzer:  PROGRAM FOLDER [ROUNDS]
 * Each file is given whole, cut at every byte (up to 400 cuts), and ROUNDS times with a few bytes changed at
 * random (fixed seed). The input being tried is named when the target stops, so that it can be found again.
 */
#define _GNU_SOURCE
#include "fuzz.h"
#include <dirent.h>
#include <signal.h>
#include <string.h>

enum { MAX_SIZE = 1 << 20, MAX_CUTS = 400 };
static char current[600];
static uint64_t state = 88172645463325252ull;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void on_abort(int sig)
{
    (void)sig;
    fprintf(stderr, "stopped on %s\n", current);
    fflush(NULL);
    _Exit(1);
}

/* In a block of exact size, so that a sanitizer sees reads beyond it. */
static void try_bytes(const uint8_t *bytes, size_t n)
{
    uint8_t *exact = malloc(n ? n : 1);
    if (n > 0)
        memcpy(exact, bytes, n);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
}

static void bend(uint8_t *bytes, size_t n)
{
    static const uint8_t nasty[] = {
        0, 1, 7, 8, 9, 0x20, 0x22, 0x2C, 0x5B, 0x5C, 0x7B, 0x7F, 0x80, 0xFE, 0xFF
    };
    for (int k = 1 + (int)(next() % 4); k > 0; k--) {
        const size_t at = next() % n;
        switch (next() % 4) {
        case 0: bytes[at] = nasty[next() % sizeof nasty]; break;
        case 1: bytes[at] ^= (uint8_t)(1u << next() % 8); break;
        case 2:
            if (n > 8)
                memmove(bytes + next() % (n - 8), bytes + next() % (n - 8), 8);
            break;
        default: bytes[at] = (uint8_t)next();
        }
    }
}

static int try_file(const char *folder, const char *name, int rounds)
{
    static uint8_t bytes[MAX_SIZE], bent[MAX_SIZE];
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
    if (f)
        fclose(f);
    int runs = 0;
    snprintf(current, sizeof current, "%s", path);
    try_bytes(bytes, n);
    const size_t step = n > MAX_CUTS ? n / MAX_CUTS : 1;
    for (size_t cut = 0; cut < n; cut += step, runs++) {
        snprintf(current, sizeof current, "%s cut at %zu", path, cut);
        try_bytes(bytes, cut);
    }
    for (int r = 0; r < rounds && n > 0; r++, runs++) {
        snprintf(current, sizeof current, "%s, change %d", path, r);
        memcpy(bent, bytes, n);
        bend(bent, n);
        try_bytes(bent, n);
    }
    return runs + 1;
}

int main(int argc, char **argv)
{
    struct dirent **entries;
    const int n = argc > 1 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
    if (n < 0) {
        fprintf(stderr, "usage: %s FOLDER [ROUNDS]\n", argv[0]);
        return 2;
    }
    signal(SIGABRT, on_abort);
    int files = 0, runs = 0;
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.') {
            runs += try_file(argv[1], entries[i]->d_name, argc > 2 ? atoi(argv[2]) : 200);
            files++;
        }
        free(entries[i]);
    }
    free(entries);
    printf("%s: %d inputs of %d files: %d passed, %d failed\n", argv[0], runs, files, runs, files == 0);
    return files == 0;
}
