/* error.c - the names of the error codes, and filling goss_error. A sentence that does not fit is cut at a
 * whole character. */
#include "error.h"
#include "fmt.h"
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

int goss_fail(goss_error *err, int code, int64_t position, const char *format, ...)
{
    if (!err)
        return code;
    va_list args;
    va_start(args, format);
    size_t n = goss_vfmt(err->text, sizeof err->text, format, args);
    va_end(args);
    if (n >= sizeof err->text) { /* cut: not inside a character */
        n = sizeof err->text - 1;
        while (n > 0 && ((unsigned char)err->text[n - 1] & 0xC0) == 0x80)
            n--;
        if (n > 0 && (unsigned char)err->text[n - 1] >= 0xC0)
            n--;
        err->text[n] = 0;
    }
    err->code = code;
    err->position = position;
    return code;
}
