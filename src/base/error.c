/* error.c - the names of the error codes, and filling goss_error. A sentence is UTF-8 whatever it quotes:
 * what is no character, or was cut in one, is left out. */
#include "error.h"
#include "fmt.h"
#include "utf8.h"
#include <string.h>

const char *goss_error_name(int code)
{
    switch (code) {
    case GOSS_OK: return "OK";
#define GOSS_X(name, n, text) case GOSS_##name: return #name;
    GOSS_ERRORS(GOSS_X)
#undef GOSS_X
    default: return "";
    }
}

static void keep_characters(char *text)
{
    size_t n = strlen(text), kept = 0;
    for (size_t at = 0; at < n;) {
        uint32_t cp;
        const int k = goss_utf8_decode((const uint8_t *)text + at, n - at, &cp);
        if (k == 0) break;                      /* the sentence's end cuts a character */
        for (int i = 0; i < k; i++) text[kept++] = text[at + (size_t)i];
        at += (size_t)(k < 0 ? -k : k);
    }
    text[kept] = 0;
}

int goss_fail(goss_error *err, int code, int64_t position, const char *format, ...)
{
    if (!err)
        return code;
    va_list args;
    va_start(args, format);
    goss_vfmt(err->text, sizeof err->text, format, args);
    va_end(args);
    keep_characters(err->text);
    err->code = code;
    err->position = position;
    return code;
}
