/* schema.c - JSON schemas. */
#include "schema.h"
#include "../base/error.h"
int goss_grammar_open(goss_grammar **out, const goss_vocab *v, int n_vocab, const char *schema, const char *tools, goss_error *err)
{
    (void)v; (void)n_vocab; (void)tools;
    *out = NULL;
    return schema ? goss_fail(err, GOSS_EUNSUPPORTED, -1, "JSON schemas are not compiled yet") : 0;
}
void goss_grammar_close(goss_grammar **g) { *g = NULL; }
void goss_grammar_reset(goss_grammar *g) { (void)g; }
void goss_grammar_push(goss_grammar *g, const goss_chat_parser *parser, int32_t token) { (void)g; (void)parser; (void)token; }
int goss_grammar_mask(goss_grammar *g, const goss_chat_parser *parser, uint32_t *mask) { (void)g; (void)parser; (void)mask; return 0; }
