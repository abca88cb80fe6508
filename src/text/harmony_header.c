/* harmony_header.c - what a message's header says, however badly it is written.
 *
 * A header is words and marks: "assistant" [CHANNEL] "commentary" "to=functions.f" [CONSTRAIN] "json". Words
 * are told apart by what they look like and what stands before them, not by their place, so that the order
 * does not matter and doubled or stray parts do no harm:
 *
 *   behind CHANNEL        the channel; one that only begins like a channel is that one ("finalx"); the last wins
 *   behind CONSTRAIN      the content type
 *   to=X, to=to=X, to= X  the recipient; assistant, user and all are nobody. functions.X, browser.X and python
 *                         without to= as well
 *   first, role not given a role; any but assistant makes it a message that nobody asked for: channel analysis
 *   json, code, ...       a content type; behind a recipient any plain word is one
 *   anything else         junk: text that somebody forgot to put behind <|message|>
 *
 * Where no <|message|> comes, text begins at the first word that only a <|message|> would have made part of
 * the header ("soft": an unknown channel, a bare content type) or at the first junk. A word may end inside:
 * json{"a":1} is json and text. */
#include "harmony.h"
#include <string.h>

typedef struct reading {
    const goss_harmony_head *h;
    goss_harmony_parsed *out;
    int soft;             /* offset of the first soft word, -1 */
    int expect_recipient; /* "to=" stood alone */
    int n_words, foreign;
    const char *channel;
} reading;

static const char *const channels[] = { "analysis", "commentary", "final" };

static int is_blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

int goss_harmony_word_end(const goss_harmony_head *h, int p)
{
    while (p < h->n && !h->mark[p] && !is_blank(h->byte[p])) p++;
    return p;
}

static int begins(const uint8_t *w, int n, const char *with)
{
    const int k = (int)strlen(with);
    return n >= k && !memcmp(w, with, (size_t)k);
}

static int equals(const uint8_t *w, int n, const char *text)
{
    return (int)strlen(text) == n && begins(w, n, text);
}

/* How much of a word can be a name or a type: up to what begins JSON or a tag. */
static int plain_part(const uint8_t *w, int n)
{
    int k = 0;
    while (k < n && w[k] != '{' && w[k] != '[' && w[k] != '"' && w[k] != '<') k++;
    return k;
}

static int is_content_type(const uint8_t *w, int n)
{
    static const char *const types[] = { "json", "code", "text", "xml", "yaml", "markdown" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (equals(w, n, types[i])) return 1;
    return 0;
}

static void junk(reading *r, int at) { r->out->junk[r->out->n_junk++] = at; }
static void soft(reading *r, int at)
{
    if (r->soft < 0) r->soft = at;
}

static void copy(char *dst, size_t cap, const uint8_t *w, int n)
{
    const size_t k = (size_t)n < cap ? (size_t)n : cap - 1;
    memcpy(dst, w, k);
    dst[k] = 0;
}

static int is_nobody(const char *s)
{
    return !*s || !strcmp(s, "assistant") || !strcmp(s, "user") || !strcmp(s, "all");
}

/* A recipient at p. The first that is somebody stays. */
static void recipient(reading *r, int p, int n)
{
    const uint8_t *w = r->h->byte + p;
    const int k = plain_part(w, n);
    if (is_nobody(r->out->recipient)) copy(r->out->recipient, sizeof r->out->recipient, w, k);
    if (k < n) junk(r, p + k);
}

static void content_type(reading *r, int p, int n)
{
    const int k = plain_part(r->h->byte + p, n);
    copy(r->out->content_type, sizeof r->out->content_type, r->h->byte + p, k);
    if (k < n) junk(r, p + k);
}

static const char *channel_named(const uint8_t *w, int n, int *used)
{
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        if (begins(w, n, channels[i])) {
            *used = (int)strlen(channels[i]);
            return channels[i];
        }
    return NULL;
}

static void channel(reading *r, int p, int n)
{
    int used = 0;
    const char *name = channel_named(r->h->byte + p, n, &used);
    if (name) r->channel = name;
    if (used < n) soft(r, p + used);
}

/* The first word of a header whose role is not given. 0: it is no role. */
static int role(reading *r, int p, int n)
{
    static const char *const others[] = { "user", "system", "developer", "tool" };
    const uint8_t *w = r->h->byte + p;
    if (begins(w, n, "assistant")) {
        int used = 0;
        const char *name = channel_named(w + 9, n - 9, &used);
        if (n == 9 || w[9] == ':') return 1;
        if (name) r->channel = name;
        soft(r, p + 9 + used);
        return 1;
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const int k = (int)strlen(others[i]);
        if (begins(w, n, others[i]) && (n == k || w[k] == ':')) return r->foreign = 1;
    }
    if (!begins(w, n, "functions.") && !begins(w, n, "browser.") && !equals(w, n, "python")) return 0;
    return r->foreign = 1;
}

static void word(reading *r, int p, int n, int after)
{
    const uint8_t *w = r->h->byte + p;
    const int first = r->n_words++ == 0, known = !is_nobody(r->out->recipient);
    int used, k = 0;
    while (begins(w + k, n - k, "to=")) k += 3;
    if (after == GOSS_MARK_CHANNEL) {
        channel(r, p, n);
        return;
    }
    if (after == GOSS_MARK_CONSTRAIN) {
        content_type(r, p, n);
        return;
    }
    if (k || r->expect_recipient) {
        r->expect_recipient = k == n;
        if (k < n) recipient(r, p + k, n - k);
        return;
    }
    if (first && !r->h->role_given && role(r, p, n)) return;
    if (first && r->h->role_given && equals(w, n, "assistant")) return;
    if (!known && (begins(w, n, "functions.") || begins(w, n, "browser."))) {
        recipient(r, p, n);
        return;
    }
    if (!known && equals(w, n, "python") && r->channel) {
        recipient(r, p, n);
        soft(r, p);
        return;
    }
    if (!r->out->n_junk && known && !*r->out->content_type && plain_part(w, n) > 0) {
        content_type(r, p, n);
        return;
    }
    if (!*r->out->content_type && is_content_type(w, plain_part(w, n))) {
        soft(r, p);
        content_type(r, p, n);
        return;
    }
    if (!r->channel && channel_named(w, n, &used) && used == n) {
        soft(r, p);
        channel(r, p, n);
        return;
    }
    junk(r, p);
}

void goss_harmony_parse_head(const goss_harmony_head *h, goss_harmony_parsed *out)
{
    reading r = { .h = h, .out = out, .soft = -1 };
    *out->recipient = *out->content_type = 0;
    out->n_junk = 0;
    int after = 0;
    for (int p = 0; p < h->n;) {
        if (h->mark[p]) {
            after = h->mark[p++];
            continue;
        }
        if (is_blank(h->byte[p])) {
            p++;
            continue;
        }
        const int e = goss_harmony_word_end(h, p);
        word(&r, p, e - p, after);
        after = 0;
        p = e;
    }
    if (is_nobody(out->recipient) || r.foreign) *out->recipient = 0;
    out->named = r.channel || *out->recipient;
    out->channel = r.foreign ? "analysis" : r.channel ? r.channel : *out->recipient ? "commentary" : "final";
    out->text = out->n_junk ? out->junk[0] : h->n;
    if (r.soft >= 0 && r.soft < out->text) out->text = r.soft;
}

/* Three words of junk, a second line of it, or JSON for somebody. Only asked where a word has ended, so that
 * the answer does not depend on how the text was cut into tokens. */
int goss_harmony_hopeless(const goss_harmony_head *h, const goss_harmony_parsed *p)
{
    if (!p->n_junk) return 0;
    if (p->n_junk >= 3 || (*p->recipient && h->byte[p->junk[0]] == '{')) return 1;
    return memchr(h->byte + p->junk[0], '\n', (size_t)(h->n - p->junk[0])) != NULL;
}
