/* ids.c - see ids.h. */
#include "ids.h"
#include <stdio.h>
#include <sys/random.h>

void goss_srv_id(char *to, size_t cap, const char *prefix)
{
    unsigned char raw[12] = { 0 };
    size_t n = (size_t)snprintf(to, cap, "%s", prefix);
    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw) raw[0] ^= (unsigned char)(size_t)to;
    for (size_t i = 0; i < sizeof raw && n + 3 <= cap; i++, n += 2) snprintf(to + n, 3, "%02x", raw[i]);
}
