/* offers.h - the MCP servers of --mcp FILE, and the tools that they offer now. Thread-safe. */
#ifndef GOSS_SERVER_OFFERS_H
#define GOSS_SERVER_OFFERS_H
#include "base/owned.h"
#include "format/json.h"
#include "mcp/mcp_file.h"
#include "mcp_items.h"

/* Reads the file; before any other call. How many servers it has, or an error. */
int goss_srv_offers_open(const char *file, goss_error *err);
void goss_srv_offers_close(void);
int goss_srv_offers_any(void);                          /* 1: there is a file */
int goss_srv_offers_label(const char *label);           /* a server by its name there: its number, or -1 */
const goss_mcp_entry *goss_srv_offers_entry(int label); /* until the close; those behind it follow */
/* What a server says that it offers ([{"name", "description", "reads", "schema"}]) takes the place of what it
 * said before. */
void goss_srv_offers_take(int label, const goss_json *j, int tools);
int goss_srv_offers_heard(int label); /* 1: it has said so once */
/* What it offers now, copied into `owned`: how many, or GOSS_ENOMEM. */
int goss_srv_offers_copy(int label, goss_owned **owned, const goss_srv_offer **list);
void goss_srv_offers_write(goss_buf *b); /* all of them, for GET /v1/tools */
#endif
