/* frame.c - see frame.h. One byte, one step. A CR is given on with its LF only; a version, a length, a
 * chunk's size and all trailers are held back, so that whatever was given on can be ended in a way that the
 * library takes. */
#include "frame.h"
#include "base/fmt.h"
#include <stdio.h>
#include <string.h>

enum { START, START_LF, METHOD, TARGET, VERSION, VERSION_LF, LINE, NAME, VALUE, VALUE_LF, HEAD_LF, BODY,
       SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF,
       TRAILER, TRAILER_NAME, TRAILER_VALUE, TRAILER_LF, END_LF, BROKEN };
enum { BLANKS = 4, EXTRA = 8192, DIGITS = 15 };

static void give(goss_srv_frame *f, const char *bytes, size_t n)
{
    memcpy(f->out + f->n_out, bytes, n);
    f->n_out += n;
}
static void give_text(goss_srv_frame *f, const char *text) { give(f, text, strlen(text)); }

/* ---- letters --------------------------------------------------------------------------------- */
static int is_token(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}
static int is_text(unsigned char c) { return (c >= ' ' && c != 0x7f) || c == '\t'; }
static int lower(char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; }
static int is(const char *kept, uint32_t n, const char *text)
{
    return n == strlen(text) && !memcmp(kept, text, n);
}

static int is_length(const goss_srv_frame *f) { return is(f->name, f->n_name, "content-length"); }

static void keep_name(goss_srv_frame *f, char c)
{
    if (f->n_name < sizeof f->name) f->name[f->n_name] = (char)lower(c);
    f->n_name++;
}
static void keep_value(goss_srv_frame *f, char c)
{
    if (f->n_value < sizeof f->value) f->value[f->n_value] = (char)lower(c);
    f->n_value++;
}

/* ---- the end of a request that is wrong ------------------------------------------------------ */
/* What completes the bytes that the library has of the request, up to where a field may begin. */
static const char *completion(const goss_srv_frame *f)
{
    switch (f->state) {
    case START: case START_LF: return "BAD / HTTP/1.1\r\n";
    case METHOD: return " / HTTP/1.1\r\n";
    case TARGET: return f->n_value ? " HTTP/1.1\r\n" : "/ HTTP/1.1\r\n";
    case VERSION: case VERSION_LF: return " HTTP/1.1\r\n";
    case NAME: return is_length(f) ? ":0\r\n" : f->n_name ? ":\r\n" : "";
    case VALUE: case VALUE_LF: return is_length(f) ? "0\r\n" : "\r\n";
    case SIZE: case EXTENSION: case SIZE_LF: return "0\r\n";
    case DATA_CR: case DATA_LF: return "\r\n0\r\n";
    case TRAILER: case TRAILER_NAME: case TRAILER_VALUE: case TRAILER_LF: case END_LF: return "0\r\n";
    default: return "";
    }
}

static void bad(goss_srv_frame *f, const char *why)
{
    if (f->state != BODY && f->state != DATA && f->state != BROKEN) {
        give_text(f, completion(f));
        give_text(f, GOSS_SRV_BAD ": ");
        give_text(f, why);
        give_text(f, "\r\n\r\n");
    }
    f->state = BROKEN;
}

/* ---- fields ---------------------------------------------------------------------------------- */
/* 1 to 18 digits and blanks behind them */
static int read_length(goss_srv_frame *f)
{
    uint32_t i = 0;
    f->left = 0;
    if (f->n_value > sizeof f->value) return -1;
    for (; i < f->n_value && f->value[i] >= '0' && f->value[i] <= '9'; i++)
        f->left = f->left * 10 + (uint64_t)(f->value[i] - '0');
    const uint32_t digits = i;
    while (i < f->n_value && (f->value[i] == ' ' || f->value[i] == '\t')) i++;
    return digits < 1 || digits > 18 || i < f->n_value ? -1 : 0;
}

static const char *end_field(goss_srv_frame *f)
{
    char digits[24];
    if (is(f->name, f->n_name, "host"))
        return f->hosts++ ? "400 there are two Host fields" : NULL;
    if (is_length(f)) {
        if (f->lengths++) return "400 there are two Content-Length fields";
        if (read_length(f)) return "400 the Content-Length is no number";
        give(f, digits, (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)f->left));
        return NULL;
    }
    if (is(f->name, f->n_name, "transfer-encoding")) {
        while (f->n_value && f->n_value <= sizeof f->value && strchr(" \t", f->value[f->n_value - 1]))
            f->n_value--;
        if (f->codings++ || !is(f->value, f->n_value, "chunked"))
            return "400 the one Transfer-Encoding taken here is chunked";
    }
    return NULL;
}

static const char *end_head(goss_srv_frame *f)
{
    if (!f->hosts && !f->old) return "400 there is no Host field";
    if (f->codings && f->old) return "400 HTTP/1.0 has no Transfer-Encoding";
    if (f->codings && f->lengths) return "400 there are both Content-Length and Transfer-Encoding";
    return NULL;
}

/* ---- steps: each returns what is wrong, or NULL ---------------------------------------------- */
static void begin(goss_srv_frame *f)
{
    *f = (goss_srv_frame){ .requests = f->requests, .out = f->out, .n_out = f->n_out };
}

static const char *step_start(goss_srv_frame *f, char c)
{
    static const char *const why = "400 a request begins with a method";
    if (f->state == START_LF) return f->state = START, c == '\n' ? NULL : why;
    if (c == '\r' && f->blanks++ < BLANKS) return f->state = START_LF, NULL;
    if (!is_token((unsigned char)c)) return why;
    f->state = METHOD;
    give(f, &c, 1);
    return NULL;
}

static const char *step_line(goss_srv_frame *f, char c)
{
    if (f->state == METHOD) {
        if (c != ' ' && !is_token((unsigned char)c)) return "400 the method is no word";
        if (c == ' ') f->state = TARGET, f->n_value = 0;
        give(f, &c, 1);
    } else if (f->state == TARGET) {
        if (c == ' ' && f->n_value) return f->state = VERSION, f->n_value = 0, NULL;
        if (c == ' ' || c == '\t' || !is_text((unsigned char)c)) return "400 the request line is malformed";
        f->n_value++;
        give(f, &c, 1);
    } else if (f->state == VERSION && c != '\r') {
        keep_value(f, c);
        if (f->n_value > 8) return "400 the version is not HTTP/1.1";
    } else if (f->state == VERSION) {
        f->old = is(f->value, f->n_value, "http/1.0");
        if (!f->old && !is(f->value, f->n_value, "http/1.1")) return "400 the version is not HTTP/1.1";
        f->state = VERSION_LF;
    } else {
        if (c != '\n') return "400 a line ends with CR LF";
        give_text(f, f->old ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
        f->state = LINE;
    }
    return NULL;
}

static const char *step_field(goss_srv_frame *f, char c)
{
    if (f->state == LINE && c == '\r') return f->state = HEAD_LF, NULL;
    if (f->state == LINE && (c == ' ' || c == '\t')) return "400 a field is not folded";
    if (f->state == LINE) f->state = NAME, f->n_name = f->n_value = 0;
    if (f->state == NAME && c == ':' && f->n_name) {
        f->state = VALUE;
    } else if (f->state == NAME) {
        if (!is_token((unsigned char)c)) return "400 a field's name is no word, or no colon follows it";
        keep_name(f, c);
    } else if (f->state == VALUE && c == '\r') {
        return f->state = VALUE_LF, NULL;
    } else if (f->state == VALUE) {
        if (!is_text((unsigned char)c)) return "400 a field's value holds a control character";
        if (f->n_value || (c != ' ' && c != '\t')) keep_value(f, c);
        if (is_length(f)) return NULL;
    } else {
        const char *why = c == '\n' ? end_field(f) : "400 a line ends with CR LF";
        if (why) return why;
        f->state = LINE;
        give(f, "\r", 1);
    }
    give(f, &c, 1);
    return NULL;
}

static const char *step_head_end(goss_srv_frame *f, char c)
{
    const char *why = c == '\n' ? end_head(f) : "400 a line ends with CR LF";
    if (why) return why;
    give(f, "\r\n", 2);
    f->requests++;
    f->chunked = f->codings;
    if (f->chunked) f->state = SIZE, f->left = f->n_value = 0;
    else if (f->lengths && f->left) f->state = BODY;
    else begin(f);
    return NULL;
}

static const char *step_size(goss_srv_frame *f, char c)
{
    char line[32];
    if (f->state == SIZE && goss_hex_digit(c) >= 0 && f->n_value < DIGITS) {
        f->left = f->left * 16 + (uint64_t)goss_hex_digit(c);
        f->n_value++;
    } else if (f->state == SIZE || f->state == EXTENSION) {
        if (!f->n_value) return "400 a chunk has no size";
        if (c == '\r') return f->state = SIZE_LF, NULL;
        if (f->state == SIZE && c != ';') return "400 a chunk's size is no number";
        if (!is_text((unsigned char)c) || f->extra++ > EXTRA)
            return "400 a chunk's extension is malformed or long";
        f->state = EXTENSION;
    } else {
        if (c != '\n') return "400 a line ends with CR LF";
        if (!f->left) return f->state = TRAILER, NULL;
        give(f, line, (size_t)snprintf(line, sizeof line, "%llx\r\n", (unsigned long long)f->left));
        f->state = DATA;
    }
    return NULL;
}

static const char *step_data_end(goss_srv_frame *f, char c)
{
    if (c != (f->state == DATA_CR ? '\r' : '\n')) return "400 a chunk is longer than its size";
    if (f->state == DATA_CR) return f->state = DATA_LF, NULL;
    give(f, "\r\n", 2);
    f->state = SIZE;
    f->left = f->n_value = 0;
    return NULL;
}

static const char *step_trailer(goss_srv_frame *f, char c)
{
    if (f->extra++ > EXTRA) return "400 the trailers are long";
    if (f->state == END_LF) {
        if (c != '\n') return "400 a line ends with CR LF";
        give_text(f, "0\r\n\r\n");
        return begin(f), NULL;
    }
    if (f->state == TRAILER && c == '\r') return f->state = END_LF, NULL;
    if (f->state == TRAILER) f->state = TRAILER_NAME, f->n_name = 0;
    if (f->state == TRAILER_NAME && c == ':' && f->n_name) {
        f->state = TRAILER_VALUE;
    } else if (f->state == TRAILER_NAME) {
        if (!is_token((unsigned char)c)) return "400 a trailer's name is no word";
        keep_name(f, c);
    } else if (f->state == TRAILER_VALUE) {
        if (c != '\r' && !is_text((unsigned char)c)) return "400 a trailer holds a control character";
        if (c == '\r') f->state = TRAILER_LF;
    } else {
        if (c != '\n') return "400 a line ends with CR LF";
        f->state = TRAILER;
    }
    return NULL;
}

static const char *step(goss_srv_frame *f, char c)
{
    switch (f->state) {
    case START: case START_LF: return step_start(f, c);
    case METHOD: case TARGET: case VERSION: case VERSION_LF: return step_line(f, c);
    case LINE: case NAME: case VALUE: case VALUE_LF: return step_field(f, c);
    case HEAD_LF: return step_head_end(f, c);
    case SIZE: case EXTENSION: case SIZE_LF: return step_size(f, c);
    case DATA_CR: case DATA_LF: return step_data_end(f, c);
    default: return step_trailer(f, c);
    }
}

/* ---- pieces ---------------------------------------------------------------------------------- */
uint64_t goss_srv_frame_plain(const goss_srv_frame *f)
{
    return f->state == BODY || f->state == DATA ? f->left : 0;
}

void goss_srv_frame_skip(goss_srv_frame *f, size_t n)
{
    f->left -= n;
    if (f->left) return;
    if (f->state == DATA) f->state = DATA_CR;
    else begin(f);
}

size_t goss_srv_frame_feed(goss_srv_frame *f, const char *in, size_t n, char *out)
{
    f->out = out;
    f->n_out = 0;
    for (size_t i = 0; i < n && f->state != BROKEN;) {
        const uint64_t plain = goss_srv_frame_plain(f);
        if (plain) {
            const size_t k = plain < n - i ? (size_t)plain : n - i;
            give(f, in + i, k);
            goss_srv_frame_skip(f, k);
            i += k;
            continue;
        }
        const char *why = step(f, in[i++]);
        if (why) bad(f, why);
    }
    return f->n_out;
}

size_t goss_srv_frame_end(goss_srv_frame *f, const char *why, char *out)
{
    f->out = out;
    f->n_out = 0;
    bad(f, why);
    return f->n_out;
}

goss_srv_phase goss_srv_frame_phase(const goss_srv_frame *f)
{
    if (f->state == BROKEN) return GOSS_SRV_BROKEN;
    if (f->state == START && !f->blanks) return GOSS_SRV_BETWEEN;
    return f->state >= BODY ? GOSS_SRV_BODY : GOSS_SRV_HEAD;
}
