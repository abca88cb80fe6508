/* parse.h - what the protocol parsers share: typed access to fields with refusals that name the field and its
 * byte, memory that lives as long as the request, and building the conversation. */
#ifndef GOSS_SERVER_PARSE_H
#define GOSS_SERVER_PARSE_H
#include "common/params.h"
#include "request.h"
#include <string.h>

typedef struct goss_srv_parse {
    const goss_json *j;
    goss_reading read;        /* the same tree, for the readers that all programs share */
    goss_srv_request *r;
    const goss_srv_config *c;
    goss_srv_fail *fail;
    int n_messages, n_calls;  /* of this request, so far */
    const char *last_call;    /* id of the last call, for results that name none */
} goss_srv_parse;

/* Memory of the request; NULL (and a refusal is due) when there is none. */
void *goss_srv_keep(goss_srv_request *r, size_t n);
const char *goss_srv_keep_text(goss_srv_request *r, const void *bytes, size_t n); /* a NUL-terminated copy */

/* Field `key` of object `o`, -1 when absent or null. */
int goss_srv_field(const goss_srv_parse *p, int o, const char *key);
/* refuse; return -1 */
int goss_srv_bad(goss_srv_parse *p, int node, const char *param, const char *message);
int goss_srv_no_memory(goss_srv_parse *p);
/* Each: 0 with *out set (untouched when the field is absent), or -1 refused. */
int goss_srv_get_bool(goss_srv_parse *p, int o, const char *key, int *out);
int goss_srv_get_int(goss_srv_parse *p, int o, const char *key, int min, int max, int *out);
/* kept in the request; NUL inside is refused */
int goss_srv_get_text(goss_srv_parse *p, int o, const char *key, const char **out);
int goss_srv_text_of(goss_srv_parse *p, int node, const char *param, const char **out, size_t *n);
/* a string where it stands in the body, or its copy without escapes; NUL inside is refused */
int goss_srv_get_str(goss_srv_parse *p, int o, const char *key, goss_str *out);
static inline goss_str goss_srv_str(const char *s) { return (goss_str){ s, s ? strlen(s) : 0 }; }
int goss_srv_json_of(goss_srv_parse *p, int node, const char **out); /* the value as compact JSON */
/* Logs fields of `o` that are not among `known` (words with a space between and around each). */
void goss_srv_note_unknown(goss_srv_parse *p, int o, const char *where, const char *known);

/* Fields that several protocols name alike: see parse.c. */
int goss_srv_get_sampling(goss_srv_parse *p, int o);
/* Gossamer's own fields; every list of a route's known ones has them. */
#define GOSS_SRV_EXTRAS                                                                                      \
    "telemetry telemetry_top_k telemetry_layer telemetry_head max_kv layers moe_fallback "
int goss_srv_get_extras(goss_srv_parse *p, int o);
int goss_srv_get_stops(goss_srv_parse *p, int o, const char *key);
int goss_srv_set_schema(goss_srv_parse *p, int node, const char *param);

/* Texts behind one another: as long as there is one it stays where it is. */
typedef struct goss_srv_joined {
    goss_str one;
    goss_buf all;    /* once there are more */
} goss_srv_joined;
size_t goss_srv_joined_length(const goss_srv_joined *t);
void goss_srv_join(goss_srv_joined *t, goss_str more);
int goss_srv_joined_end(goss_srv_parse *p, goss_srv_joined *t, goss_str *out); /* 0, or refused; t is empty */

/* Building r->chat. Begin, then add messages. effort: NULL where the request names none. */
void goss_srv_chat_begin(goss_srv_parse *p, const char *effort);
/* Appends a message; refuses the one that is too many. */
int goss_srv_chat_add(goss_srv_parse *p, int node, const goss_message *m);
int goss_srv_chat_add_text(goss_srv_parse *p, int node, int role, goss_str text);
/* The content: one part, or none where the text is empty. */
int goss_srv_chat_content(goss_srv_parse *p, goss_message *m, goss_str text);
/* What was thought before the first call of a message, when it is remembered: by its id, or by all that was
 * said before it. */
int goss_srv_chat_recall(goss_srv_parse *p, goss_message *m);
/* a whole message in OpenAI's (or Ollama's) shape */
int goss_srv_chat_openai_message(goss_srv_parse *p, int node);
/* The text of a content value: a string, or an array of parts, joined. What is not text (images, files,
 * sound) becomes a sentence that tells the model so. */
int goss_srv_content(goss_srv_parse *p, int node, const char *param, goss_str *out);
/* The same for each of an array `images` (Ollama's). */
int goss_srv_join_images(goss_srv_parse *p, int o, goss_srv_joined *to);
int goss_srv_content_part(goss_srv_parse *p, int part, const char *param, goss_srv_joined *to);
void goss_srv_set_object(goss_srv_parse *p); /* the answer is any JSON object */
/* The answer follows the schema in `object` ({name?, description?, schema}). */
int goss_srv_set_format(goss_srv_parse *p, int object, const char *param);

/* One for each protocol: reads the root object. */
/* "low", "medium", "high" */
int goss_srv_read_effort(goss_srv_parse *p, int o, const char *key, const char **effort);
int goss_srv_read_chat(goss_srv_parse *p);
int goss_srv_read_text(goss_srv_parse *p);
int goss_srv_read_responses(goss_srv_parse *p);
int goss_srv_read_compact(goss_srv_parse *p);
/* Items as they may stand in the input of a response, in the field of this name. */
int goss_srv_read_items(goss_srv_parse *p, int node, const char *field);
int goss_srv_read_messages(goss_srv_parse *p);
int goss_srv_read_ollama(goss_srv_parse *p);
int goss_srv_read_tokens(goss_srv_parse *p);
int goss_srv_read_embed(goss_srv_parse *p);
/* A string, strings, token ids, or arrays of them: r->prompts, at most so many. */
int goss_srv_read_prompts(goss_srv_parse *p, const char *key, uint32_t most);
#endif
