/* model_name.c - see model_name.h. The page has the same rules in web/js/core/bytes/hub.js;
 * tests/http/names_test.mjs asks both. */
#include "model_name.h"
#include "model_host.h"
#include "base/error.h"
#include "base/fmt.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const prefixes[] = { "hf:", "hf.co/", "huggingface.co/" };
static const struct { const char *name, *means; } aliases[] = {
    { "gpt-oss", "ggml-org/gpt-oss-20b-GGUF" },
    { "gpt-oss:latest", "ggml-org/gpt-oss-20b-GGUF" },
    { "gpt-oss:20b", "ggml-org/gpt-oss-20b-GGUF" },
    { "gpt-oss:120b", "ggml-org/gpt-oss-120b-GGUF" },
};

/* What stands behind the prefix, or what an alias means; NULL: it is no name. */
static const char *body_of(const char *s)
{
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (!strncasecmp(s, prefixes[i], strlen(prefixes[i]))) return s + strlen(prefixes[i]);
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (!strcasecmp(s, aliases[i].name)) return aliases[i].means;
    return NULL;
}

int goss_model_is_name(const char *s) { return body_of(s) != NULL; }

static int is_word_char(char c) { return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-'; }

/* A word of n characters into `to`: no path, and nothing hidden. */
static int take_word(char *to, size_t cap, const char *s, size_t n)
{
    if (!n || n >= cap || s[0] == '.' || s[0] == '-') return 0;
    for (size_t i = 0; i < n; i++)
        if (!is_word_char(s[i])) return 0;
    goss_fmt(to, cap, "%.*s", (int)n, s);
    return 1;
}

static int is_gguf(const char *s)
{
    const size_t n = strlen(s);
    return n > 5 && !strcasecmp(s + n - 5, ".gguf");
}

int goss_model_good_file(const char *file)
{
    if (!is_gguf(file) || strlen(file) > 250) return 0;
    for (const char *at = file;; at++) { /* its segments */
        const size_t n = strcspn(at, "/");
        if (!n || *at == '.') return 0;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)at[i] < ' ' || at[i] == 127 || at[i] == '\\') return 0;
        at += n;
        if (!*at) return 1;
    }
}

static int read_rest(goss_model_name *out, const char *rest)
{
    if (!*rest) return 1;
    if (is_gguf(rest + 1)) {
        goss_fmt(out->file, sizeof out->file, "%s", rest + 1);
        return goss_model_good_file(rest + 1);
    }
    if (*rest != ':') return 0;
    if (!strcasecmp(rest, ":latest")) return 1; /* as Ollama's clients say it */
    return take_word(out->quant, sizeof out->quant, rest + 1, strlen(rest + 1));
}

int goss_model_name_read(goss_model_name *out, const char *s, goss_error *err)
{
    const char *body = body_of(s);
    *out = (goss_model_name){ .owner = "" };
    if (body) {
        const size_t owner = strcspn(body, "/");
        const char *repo = body + owner + (body[owner] == '/');
        const size_t n = strcspn(repo, ":/");
        if (take_word(out->owner, sizeof out->owner, body, owner) &&
            take_word(out->repo, sizeof out->repo, repo, n) && read_rest(out, repo + n))
            return 0;
    }
    return goss_fail(err, GOSS_EINVAL, -1,
                     "\"%.100s\" does not have the form hf:OWNER/REPO, hf:OWNER/REPO:FILE.gguf or "
                     "hf:OWNER/REPO:QUANT.", s);
}

void goss_model_name_write(const goss_model_name *name, char *out, size_t cap)
{
    goss_fmt(out, cap, "hf:%s/%s%s%s", name->owner, name->repo, *name->file ? ":" : "", name->file);
}

/* ---- files of a repository ----------------------------------------------------------------------------- */
/* Where -00001-of-00003.gguf begins in `file`, and its two numbers; NULL: it is whole. */
static const char *split_of(const char *file, int *part, int *parts)
{
    const size_t n = strlen(file);
    const char *at = n > 20 ? file + n - 20 : "";
    if (*at != '-' || strncmp(at + 6, "-of-", 4) || strspn(at + 1, "0123456789") != 5 ||
        strspn(at + 10, "0123456789") != 5)
        return NULL;
    *part = atoi(at + 1);
    *parts = atoi(at + 10);
    return at;
}

int goss_model_parts(const char *file)
{
    int part = 1, parts = 1;
    return split_of(file, &part, &parts) && part == 1 && parts > 1 ? parts : 1;
}

int goss_model_is_later_part(const char *file)
{
    int part = 1, parts = 1;
    return split_of(file, &part, &parts) && part != 1;
}

/* Models, and of split ones the first part; not what goes with models. */
static int is_model(const char *file)
{
    static const char *const others[] = { "mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-" };
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strstr(base, others[i])) return 0;
    return !goss_model_is_later_part(file) && goss_model_good_file(file);
}

/* Does the name say `quant` as a word of its own, with "-", "." or "/" behind? */
static int says(const char *file, const char *quant)
{
    const size_t n = strlen(quant);
    for (const char *at = file; *at; at++)
        if (!strncasecmp(at, quant, n) && at[n] && strchr("-./", at[n]) &&
            (at == file || !isalnum((unsigned char)at[-1])))
            return 1;
    return 0;
}

static int first_that_says(const char *quant, const char *const *files, int n)
{
    for (int i = 0; i < n; i++)
        if (is_model(files[i]) && says(files[i], quant)) return i;
    return -1;
}

static int is_gpt_oss(const char *repo)
{
    for (; *repo; repo++)
        if (!strncasecmp(repo, "gpt-oss", 7)) return 1;
    return 0;
}

int goss_model_choose(const goss_model_name *name, const char *const *files, int n)
{
    static const char *const order[] = { "MXFP4", "Q4_K_M", "Q8_0" };
    for (int i = 0; i < n && *name->file; i++)
        if (!strcmp(files[i], name->file)) return i;
    if (*name->file) return -1;
    if (*name->quant) return first_that_says(name->quant, files, n);
    for (int k = is_gpt_oss(name->repo) ? 0 : 1; k < 3; k++) {
        const int found = first_that_says(order[k], files, n);
        if (found >= 0) return found;
    }
    for (int i = 0; i < n; i++)
        if (is_model(files[i])) return i;
    return -1;
}

/* ---- addresses ----------------------------------------------------------------------------------------- */
int goss_model_address(const goss_model_name *name, const char *file, char *out, size_t cap)
{
    char host[512];
    goss_model_host(host, sizeof host);
    size_t n = goss_fmt(out, cap, "%s/%s/%s/resolve/main/", host, name->owner, name->repo);
    for (const char *c = file; *c; c++) {
        const int plain = is_word_char(*c) || *c == '~' || *c == '/';
        if (n + 4 > cap) return GOSS_ELIMIT;
        n += goss_fmt(out + n, cap - n, plain ? "%c" : "%%%02X", (unsigned char)*c);
    }
    return n < cap ? 0 : GOSS_ELIMIT;
}
