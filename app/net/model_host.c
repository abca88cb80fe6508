/* model_host.c - see model_host.h. */
#include "model_host.h"
#include "base/fmt.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void goss_model_host(char *out, size_t cap)
{
    const char *set = getenv("HF_ENDPOINT");
    goss_fmt(out, cap, "%s", set && *set ? set : "https://huggingface.co");
    for (size_t n = strlen(out); n && out[n - 1] == '/'; n--) out[n - 1] = 0;
}

int goss_model_host_owns(const char *url)
{
    char host[512];
    goss_model_host(host, sizeof host);
    const char *slashes = strstr(host, "://");
    if (!slashes) return 0;
    const size_t n = (size_t)(slashes + 3 - host) + strcspn(slashes + 3, "/?#");
    return !strncasecmp(url, host, n) && (!url[n] || strchr("/?#", url[n]));
}

/* A token is visible characters; another would be more headers. */
const char *goss_model_host_token(const char *url)
{
    const char *token = getenv("HF_TOKEN");
    if (!token || !*token || strlen(token) > 256 || !goss_model_host_owns(url)) return NULL;
    for (const char *c = token; *c; c++)
        if (*c <= ' ' || *c > '~') return NULL;
    return token;
}
