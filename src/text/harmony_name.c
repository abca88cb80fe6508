/* harmony_name.c - names as they stand in headers and declarations: a name can't end the header that it is
 * in, nor begin another part of it. */
#include "harmony.h"
#include <string.h>

static const char functions[] = "functions.";
enum { N_FUNCTIONS = sizeof functions - 1 };

const char *goss_function_name(const char *recipient)
{
    if (!recipient) return "";
    const int has = !strncmp(recipient, functions, N_FUNCTIONS) && recipient[N_FUNCTIONS];
    return has ? recipient + N_FUNCTIONS : recipient;
}

static int is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-' || (c & 0x80);
}

int goss_harmony_name(goss_str name, goss_buf *out)
{
    if (name.n > N_FUNCTIONS && !memcmp(name.s, functions, N_FUNCTIONS))
        name = (goss_str){ name.s + N_FUNCTIONS, name.n - N_FUNCTIONS };
    if (name.n > GOSS_HARMONY_NAME) /* not inside a character */
        for (name.n = GOSS_HARMONY_NAME; name.n && (name.s[name.n] & 0xC0) == 0x80;) name.n--;
    const size_t from = out->len;
    if (goss_buf_append(out, name.s, (size_t)name.n)) return out->failed;
    for (size_t i = from; i < out->len; i++)
        if (!is_plain((char)out->data[i])) out->data[i] = '_';
    return 0;
}

int goss_harmony_recipient(goss_str name, goss_buf *out)
{
    goss_buf_str(out, functions);
    return goss_harmony_name(name, out);
}
