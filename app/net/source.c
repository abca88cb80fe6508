/* source.c - see source.h. */
#include "source.h"
#include <string.h>

int goss_is_url(const char *s) { return !strncmp(s, "http://", 7) || !strncmp(s, "https://", 8); }

void goss_input_close(goss_input *in)
{
    if (in->impl) in->close(in);
    in->impl = NULL;
}
