/* chat.h - conversations to tokens and tokens to conversations, for Harmony (docs/reference.md 9) and the
 * llama formats. The parser never fails and drops no text. */
#ifndef GOSS_TEXT_CHAT_H
#define GOSS_TEXT_CHAT_H
#include "format/json.h"
#include "vocab.h"

typedef enum goss_chat_format {
    GOSS_CHAT_RAW,
    GOSS_CHAT_HARMONY,
    GOSS_CHAT_ZEPHYR,
    GOSS_CHAT_LLAMA2,
    GOSS_CHAT_LLAMA3,
    GOSS_CHAT_CHATML
} goss_chat_format;
const char *goss_chat_format_name(goss_chat_format f);
goss_chat_format goss_chat_detect(const goss_vocab *v,
                                  const goss_gguf *g); /* from control tokens and tokenizer.chat_template */
/* Appends the prompt's ids (int32) to `ids`. An error's position is the message it is about, -1: none. */
int goss_chat_encode(const goss_vocab *v, goss_chat_format f, const goss_conversation *c, goss_buf *ids,
                     goss_error *err);
/* chat_json.c: a conversation from JSON (gossamer.h's goss_chat_render). Its texts are in the JSON's text and
 * in `owned`. */
int goss_chat_read(goss_conversation *out, goss_owned **owned, const goss_json *j, goss_error *err);
/* What a request in JSON asks for that is not in its prompt. */
typedef struct goss_chat_asks {
    int builtin;             /* the GOSS_TOOL_ bits of the model's own tools that it shows */
    int must_call, one_call; /* 1: the answer is a call; there is one at most */
} goss_chat_asks;
/* Reads and renders. `asks` may be NULL. An error's position is the byte in the JSON. */
int goss_chat_encode_json(const goss_vocab *v, goss_chat_format f, const char *json, size_t n, goss_buf *ids,
                          goss_chat_asks *asks, goss_error *err);

/* The streaming parser. Feed every generated token; after each, read what it made of it. */
typedef struct goss_chat_parser goss_chat_parser;
typedef struct goss_chat_delta {
    int new_message;          /* 1: a message began with this token's text */
    int in_header;            /* 1: the token belongs to a header; text is empty */
    const char *channel;      /* "analysis", "commentary", "final"; valid until the next push */
    const char *recipient;    /* "functions.f" or "" */
    const char *content_type; /* "json" or "" */
    const char *text;
    size_t n;  /* whole UTF-8 characters of content */
    int ended; /* 1: the message ended: <|end|>, <|call|> or <|return|> */
} goss_chat_delta;
int goss_chat_parser_open(goss_chat_parser **out, const goss_vocab *v, goss_chat_format f);
void goss_chat_parser_reset(goss_chat_parser *p); /* the state right after the rendered prompt */
int goss_chat_parser_push(goss_chat_parser *p, int32_t token,
                          goss_chat_delta *delta); /* number of deltas: 0..; more via _more */
int goss_chat_parser_more(
    goss_chat_parser *p,
    goss_chat_delta *delta); /* 1: another delta of the same token (recovered text), 0: none */
int goss_chat_parser_finish(goss_chat_parser *p,
                            goss_chat_delta *delta); /* flushes tails (a cut header becomes text); as push */
void goss_chat_parser_close(goss_chat_parser **p);
/* Where the next token will stand: 1 in a message's content (channel and recipient say whose; NULL is fine),
 * 0 in a header. */
int goss_chat_parser_state(const goss_chat_parser *p, const char **channel, const char **recipient);
/* The Harmony guard: which tokens may come next in a header (bit set: allowed), so that a malformed header
 * can't be sampled. Returns 1 and fills mask (n_vocab bits) when the position is constrained, 0 when anything
 * goes. */
int goss_chat_parser_mask(const goss_chat_parser *p, uint32_t *mask);
/* The guard lets only these be called: the functions of a request's tools (a JSON array; "[]": none) and, of
 * the model's own, those of the GOSS_TOOL_ bits. NULL: anybody. */
int goss_chat_parser_tools(goss_chat_parser *p, const char *tools_json, int builtin, goss_error *err);
/* 0: the guard lets no message begin that is for the user, but the final one; and where a header is beyond
 * repair, only another message may begin. 1, at first: it does. */
void goss_chat_parser_preambles(goss_chat_parser *p, int may);
/* 1: the guard lets no header name the analysis any more, until the next reset. */
void goss_chat_parser_no_analysis(goss_chat_parser *p, int on);
/* For tests: bytes of normal tokens so far that became content (returned) and header. */
uint64_t goss_chat_parser_counted(const goss_chat_parser *p, uint64_t *header);
#endif
