/* harmony.h - what the files of Harmony share: its control tokens, one message as tokens, the tools section,
 * the guard. chat.h stands on it: conversations come in there. */
#ifndef GOSS_TEXT_HARMONY_H
#define GOSS_TEXT_HARMONY_H
#include "format/json.h"
#include "vocab.h"

/* Found by name: a model may have them under any id. -1: the vocabulary lacks it. */
typedef struct goss_harmony_ids {
    int32_t start, end, message, channel, constrain, ret, call, endoftext;
} goss_harmony_ids;
int goss_harmony_find(const goss_vocab *v, goss_harmony_ids *out); /* 1 when it has all that Harmony needs */

/* A message's header; NULL or "" where a part is absent. */
typedef struct goss_harmony_header {
    const char *author; /* "user", "assistant", "user:name", "functions.f" */
    const char *recipient, *channel;
    const char *content_type; /* "json", "<|constrain|>json" */
    int recipient_in_channel; /* 1: " to=" after the channel, as models write it; 0: before, as the grammar
                                 has it */
} goss_harmony_header;
int goss_harmony_open_message(const goss_vocab *v, const goss_harmony_ids *h, const goss_harmony_header *m,
                              goss_buf *ids);
int goss_harmony_close_message(const goss_harmony_ids *h, const goss_harmony_header *m, goss_buf *ids);

/* harmony_tools.c: appends text. The section of the functions, without "# Tools". */
int goss_harmony_functions(const goss_tool *tools, int n, goss_buf *text, goss_error *err);
/* One schema as a TypeScript type. */
void goss_harmony_type(const goss_json *j, int schema, int indent, goss_buf *text);
extern const char goss_harmony_browser[], goss_harmony_python[]; /* the built-in tools' sections */

/* harmony_render.c. An error's position is the message it is about. */
int goss_harmony_encode(const goss_vocab *v, const goss_conversation *c, goss_buf *ids, goss_error *err);
/* harmony_name.c: names as they stand in headers and declarations: without "functions." before them, '_' for
 * every ASCII character but [A-Za-z0-9_.-], at most so many bytes. Both append. */
enum { GOSS_HARMONY_NAME = 64 };
int goss_harmony_name(goss_str name, goss_buf *out);
int goss_harmony_recipient(goss_str name, goss_buf *out);  /* the same behind "functions." */

/* harmony_header.c: a header as far as it has come: bytes of text and marks between them. */
enum { GOSS_HEADER_MAX = 256, GOSS_MARK_CHANNEL = 1, GOSS_MARK_CONSTRAIN = 2 };
typedef struct goss_harmony_head {
    uint8_t byte[GOSS_HEADER_MAX]; /* ' ' where mark is set */
    uint8_t mark[GOSS_HEADER_MAX];
    int n;
    int role_given; /* 1: the role stands in the prompt, the header begins behind it */
} goss_harmony_head;
typedef struct goss_harmony_parsed {
    const char *channel; /* "analysis", "commentary", "final": always one of them */
    char recipient[GOSS_HEADER_MAX], content_type[32];
    int named; /* 1: it has a channel or a recipient: the header of a message, even of an empty one */
    int text;  /* where the header ends and text begins, if no <|message|> comes; n: nowhere */
    int junk[GOSS_HEADER_MAX],
        n_junk; /* words that belong to no header: offsets of their first bytes, in order */
} goss_harmony_parsed;
void goss_harmony_parse_head(const goss_harmony_head *h, goss_harmony_parsed *out);
int goss_harmony_word_end(const goss_harmony_head *h, int p);
/* 1 when the bytes so far can't be a header any more: what should be in it is missing, and text has begun. */
int goss_harmony_hopeless(const goss_harmony_head *h, const goss_harmony_parsed *p);

/* harmony_guard.c: sets the bits of the tokens that continue a well-formed header. 0 when h is not the start
 * of one. */
typedef struct goss_harmony_names { /* who may be called */
    int any, n;
    int no_analysis;      /* 1: that channel can't be chosen */
    int no_preambles; /* 1: a commentary must be somebody's: only the final message is for the user */
    goss_buf text, order; /* the names, each ended by a NUL; their n places in it (uint32), sorted by name */
} goss_harmony_names;
int goss_harmony_guard(const goss_vocab *v, const goss_harmony_ids *ids, const goss_harmony_head *h,
                       const goss_harmony_names *names, uint32_t *mask);
#endif
