/* parse.h - what the protocol parsers share: typed access to fields with refusals that name the field and its byte,
 * memory that lives as
 * long as the request, and writing the conversation. */
#ifndef GOSS_SERVER_PARSE_H
#define GOSS_SERVER_PARSE_H
#include "request.h"

typedef struct goss_srv_parse {
    const goss_json *j;
    goss_srv_request *r;
    const goss_srv_config *c;
    const goss_srv_lookup *previous;
    goss_srv_fail *fail;
    int n_messages, n_calls;  /* written so far */
    const char *last_call;    /* id of the last call written, for results that name none */
} goss_srv_parse;

/* Memory of the request; NULL (and a refusal is due) when there is none. */
void *goss_srv_keep(goss_srv_request *r, size_t n);
const char *goss_srv_keep_text(goss_srv_request *r, const void *bytes, size_t n); /* a NUL-terminated copy */

/* Field `key` of object `o`, -1 when absent or null. */
int goss_srv_field(const goss_srv_parse *p, int o, const char *key);
int goss_srv_bad(goss_srv_parse *p, int node, const char *param, const char *message); /* refuses; returns -1 */
/* Each: 0 with *out set (untouched when the field is absent), or -1 refused. */
int goss_srv_get_bool(goss_srv_parse *p, int o, const char *key, int *out);
int goss_srv_get_int(goss_srv_parse *p, int o, const char *key, int min, int max, int *out);
int goss_srv_get_float(goss_srv_parse *p, int o, const char *key, double min, double max, float *out);
/* kept in the request; NUL inside is refused */
int goss_srv_get_text(goss_srv_parse *p, int o, const char *key, const char **out);
int goss_srv_text_of(goss_srv_parse *p, int node, const char *param, const char **out, size_t *n);
int goss_srv_json_of(goss_srv_parse *p, int node, const char **out); /* the value as compact JSON */
/* Logs fields of `o` that are not among `known` (words with a space between and around each). */
void goss_srv_note_unknown(goss_srv_parse *p, int o, const char *where, const char *known);

/* Fields that several protocols name alike: see parse.c. */
int goss_srv_get_sampling(goss_srv_parse *p, int o);
int goss_srv_get_extras(goss_srv_parse *p, int o);
int goss_srv_get_stops(goss_srv_parse *p, int o, const char *key);
int goss_srv_get_seed(goss_srv_parse *p, int o);
int goss_srv_set_schema(goss_srv_parse *p, int node, const char *param);
/* Tools in OpenAI's chat shape, checked; *text is their JSON, NULL when there are none. */
int goss_srv_read_tools(goss_srv_parse *p, int tools, const char **text, int *n);
/* The same from flat tools ({name, description, SCHEMA, strict}), where `schema` names the key of the parameters. */
int goss_srv_read_flat_tools(goss_srv_parse *p, int tools, const char *schema, const char **text, int *n);
int goss_srv_set_choice(goss_srv_parse *p, int node, const char *mode, const char *name, int n_tools);

/* Writing r->chat. Begin, messages, then end with the rest. */
void goss_srv_chat_begin(goss_srv_parse *p);
/* counts, writes the comma and {"role":role; then the caller's fields and "}" */
int goss_srv_chat_message(goss_srv_parse *p, int node, const char *role);
void goss_srv_chat_text(goss_srv_parse *p, const char *key, const char *text, size_t n); /* ,"key":"text" */
/* one element of tool_calls */
void goss_srv_chat_call(goss_srv_parse *p, const char *id, const char *name, const char *args, size_t n);
/* ,"reasoning_content":... of what was thought before the call of this id, when it is remembered. */
void goss_srv_chat_recall(goss_srv_parse *p, const char *id);
int goss_srv_chat_openai_message(goss_srv_parse *p, int node); /* a whole message in OpenAI's (or Ollama's) shape */
/* The text of a content value: a string, or an array of parts whose type is among `types` (words as above), joined.
 * */
int goss_srv_content(goss_srv_parse *p, int node, const char *param, const char *types, goss_buf *out);
int goss_srv_chat_end(goss_srv_parse *p, const char *tools, const char *format, const char *effort);

/* One for each protocol: reads the root object. */
/* "low", "medium", "high" */
int goss_srv_read_effort(goss_srv_parse *p, int o, const char *key, const char **effort);
int goss_srv_read_chat(goss_srv_parse *p);
int goss_srv_read_text(goss_srv_parse *p);
int goss_srv_read_responses(goss_srv_parse *p);
int goss_srv_read_messages(goss_srv_parse *p);
int goss_srv_read_ollama(goss_srv_parse *p);
int goss_srv_read_tokens(goss_srv_parse *p);
#endif
