/* req_embed.c - reads /v1/embeddings, /api/embed and /api/embeddings. */
#include "parse.h"
#include <string.h>

enum { INPUTS = 2048 };  /* of one request, as OpenAI has it */

static int read_word(goss_srv_parse *p, const char *key, const char *none, const char *one, int *out)
{
    const int node = goss_srv_field(p, 0, key);
    if (node < 0 || goss_json_is(p->j, node, none)) return 0;
    if (!goss_json_is(p->j, node, one)) return goss_srv_bad(p, node, key, "is none of those that there are");
    *out = 1;
    return 0;
}

int goss_srv_read_embed(goss_srv_parse *p)
{
    static const char known[] = " model input prompt encoding_format dimensions user pooling truncate "
                                "options keep_alive layers moe_fallback ";
    goss_srv_request *r = p->r;
    const int openai = r->api == GOSS_SRV_EMBED;
    const char *key = r->api == GOSS_SRV_OLLAMA_EMBEDDINGS ? "prompt" : "input";
    goss_srv_note_unknown(p, 0, "embeddings", known);
    r->truncate = !openai;
    if (read_word(p, "pooling", "mean", "last", &r->pooling) ||
        (openai && read_word(p, "encoding_format", "float", "base64", &r->base64)) ||
        goss_srv_get_int(p, 0, "dimensions", 1, 1 << 20, &r->dimensions) ||
        goss_srv_get_bool(p, 0, "truncate", &r->truncate))
        return -1;
    return goss_srv_read_prompts(p, key, INPUTS);
}
