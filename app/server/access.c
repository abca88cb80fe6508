/* access.c - see access.h. */
#include "access.h"
#include "base/fmt.h"
#include "base/sha256.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Splits "name:port" or "[v6]:port"; the name without brackets. 0, or -1 when malformed. */
static int host_name(const char *host, char *name, size_t cap)
{
    const char *end = host[0] == '[' ? strchr(host, ']') : host + strcspn(host, ":");
    if (host[0] == '[') host++;
    if (!end || end <= host || (size_t)(end - host) >= cap) return -1;
    memcpy(name, host, (size_t)(end - host));
    name[end - host] = 0;
    if (*end == ']') end++;
    if (*end && (*end != ':' || end[1 + strspn(end + 1, "0123456789")])) return -1;
    return 0;
}

int goss_srv_access_host(const goss_srv_config *c, const char *host)
{
    char name[256];
    unsigned char address[16];
    if (!host || host_name(host, name, sizeof name)) return 0;
    size_t n = strlen(name);
    if (!strcasecmp(name, "localhost") || (n > 10 && !strcasecmp(name + n - 10, ".localhost"))) return 1;
    /* a literal can't be rebound */
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1) return 1;
    if (!strcasecmp(name, c->host)) return 1;
    for (int i = 0; i < c->allow_host.n; i++) if (!strcasecmp(name, c->allow_host.item[i])) return 1;
    return 0;
}

int goss_srv_access_origin(const goss_srv_config *c, const char *origin, const char *host)
{
    if (!origin) return 1;
    for (int i = 0; i < c->allow_origin.n; i++)
        if (!strcmp(c->allow_origin.item[i], "*") || !strcasecmp(c->allow_origin.item[i], origin)) return 1;
    const char *rest = !strncasecmp(origin, "http://", 7)    ? origin + 7
                       : !strncasecmp(origin, "https://", 8) ? origin + 8
                                                             : NULL;
    return rest && host && !strcasecmp(rest, host);
}

static void digest(const char *text, uint8_t out[32])
{
    goss_sha256 h;
    goss_sha256_init(&h);
    goss_sha256_update(&h, text, strlen(text));
    goss_sha256_final(&h, out);
}

/* digests have one length, so the time tells nothing of either text */
static int same(const char *a, const char *b)
{
    uint8_t da[32], db[32];
    unsigned differ = 0;
    digest(a, da);
    digest(b, db);
    for (int i = 0; i < 32; i++) differ |= (unsigned)(da[i] ^ db[i]);
    return differ == 0;
}

int goss_srv_access_key(const goss_srv_config *c, const char *authorization, const char *x_api_key)
{
    int ok = !c->key[0];
    if (authorization && !strncasecmp(authorization, "Bearer ", 7))
        ok |= same(authorization + 7 + strspn(authorization + 7, " "), c->key);
    if (x_api_key) ok |= same(x_api_key, c->key);
    return ok;
}

int goss_srv_access_path(const char *target, char *to, size_t cap)
{
    size_t n = 0;
    if (target[0] != '/') return -1;
    for (const char *p = target; *p && *p != '?' && *p != '#'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '%') {
            const int high = goss_hex_digit(p[1]), low = high < 0 ? -1 : goss_hex_digit(p[2]);
            if (low < 0) return -1;
            c = (unsigned char)(high * 16 + low);
            p += 2;
        }
        if (c < 0x20 || c == 0x7f || c == '\\' || n + 1 >= cap) return -1;
        to[n++] = (char)c;
    }
    to[n] = 0;
    for (const char *s = to; s; s = strchr(s + 1, '/')) {
        size_t len = strcspn(s + 1, "/");
        if ((len == 1 && s[1] == '.') || (len == 2 && s[1] == '.' && s[2] == '.')) return -1;
    }
    return 0;
}

int goss_srv_access_lists(const char *header, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = header; p && *p; p = strchr(p, ','), p = p ? p + 1 : NULL) {
        p += strspn(p, " \t");
        const char *w = strncmp(p, "W/", 2) ? p : p + 2;
        if (*w == '*') return 1;
        if (strncmp(w, word, n) || !strchr(" \t,;", w[n])) continue;
        const char *q = w + n + strspn(w + n, " \t;");
        char next = q[0] && q[1] && q[2] ? q[3 + strspn(q + 3, ".0")] : 0;
        if (!strncmp(q, "q=0", 3) && !(next >= '1' && next <= '9')) return 0;
        return 1;
    }
    return 0;
}
