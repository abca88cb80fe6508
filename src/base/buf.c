/* buf.c - the growing buffer. Capacity doubles up to `max`; one spare byte is always kept so that
 * goss_buf_cstr can put its NUL without growing. */
#include "buf.h"
#include "fmt.h"
#include "mem.h"
#include "utf8.h"
#include <gossamer.h>
#include <string.h>

static int refuse(goss_buf *b, int code)
{
    b->failed = code;
    return code;
}

int goss_buf_reserve(goss_buf *b, size_t n)
{
    if (b->failed)
        return b->failed;
    if (n > b->max || b->len > b->max - n)
        return refuse(b, GOSS_ELIMIT);
    const size_t need = b->len + n + 1;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap > SIZE_MAX / 4 ? need : b->cap * 2;
    if (cap < 128)
        cap = 128;
    if (cap > b->max && b->max < SIZE_MAX)
        cap = b->max + 1;
    if (cap < need)
        cap = need;
    uint8_t *data = goss_mem_grow(b->data, b->len, cap);
    if (!data)
        return refuse(b, GOSS_ENOMEM);
    b->data = data;
    b->cap = cap;
    return 0;
}

int goss_buf_append(goss_buf *b, const void *bytes, size_t n)
{
    const int rc = goss_buf_reserve(b, n);
    if (rc == 0 && n > 0) {
        memcpy(b->data + b->len, bytes, n);
        b->len += n;
    }
    return rc;
}

int goss_buf_str(goss_buf *b, const char *s) { return goss_buf_append(b, s, strlen(s)); }

int goss_buf_printf(goss_buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int rc = goss_buf_reserve(b, 0);
    if (rc == 0) {
        const size_t n = goss_vfmt((char *)b->data + b->len, b->cap - b->len, format, args);
        rc = goss_buf_reserve(b, n);
        if (rc == 0) {
            goss_vfmt((char *)b->data + b->len, b->cap - b->len, format, again);
            b->len += n;
        }
    }
    va_end(again);
    va_end(args);
    return rc;
}

/* One character of a JSON string; returns the bytes of s that it used. */
static size_t json_char(goss_buf *b, const uint8_t *s, size_t n)
{
    static const char shorts[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    if (s[0] < 0x80) {
        const char *hit = s[0] ? strchr(shorts, s[0]) : NULL;
        if (hit && (s[0] < 0x20 || s[0] == '"' || s[0] == '\\'))
            goss_buf_append(b, (char[2]){ '\\', hit[1] }, 2);
        else if (s[0] < 0x20)
            goss_buf_printf(b, "\\u%04x", s[0]);
        else
            goss_buf_append(b, s, 1);
        return 1;
    }
    uint32_t cp;
    const int k = goss_utf8_decode(s, n, &cp);
    if (k > 0) {
        goss_buf_append(b, s, (size_t)k);
        return (size_t)k;
    }
    goss_buf_append(b, "\xEF\xBF\xBD", 3);
    return k < 0 ? (size_t)-k : n; /* an incomplete tail becomes one U+FFFD */
}

int goss_buf_json_string(goss_buf *b, const char *s, size_t n)
{
    goss_buf_append(b, "\"", 1);
    for (size_t i = 0; i < n;) {
        size_t run = i; /* plain characters in one piece */
        while (run < n && (uint8_t)s[run] >= 0x20 && (uint8_t)s[run] < 0x80 && s[run] != '"' &&
               s[run] != '\\')
            run++;
        goss_buf_append(b, s + i, run - i);
        i = run;
        if (i < n)
            i += json_char(b, (const uint8_t *)s + i, n - i);
    }
    return goss_buf_append(b, "\"", 1);
}

const char *goss_buf_cstr(goss_buf *b)
{
    if (goss_buf_reserve(b, 0))
        return "";
    b->data[b->len] = 0;
    return (const char *)b->data;
}

void goss_buf_clear(goss_buf *b)
{
    b->len = 0;
    b->failed = 0;
}

void goss_buf_free(goss_buf *b)
{
    goss_mem_free(b->data);
    b->data = NULL;
    b->len = b->cap = 0;
    b->failed = 0;
}
