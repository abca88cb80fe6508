/* page.h - which part of a list a request wants: limit, order and after in its URL, as OpenAI has them. */
#ifndef GOSS_SERVER_PAGE_H
#define GOSS_SERVER_PAGE_H

typedef struct goss_srv_page {
    const char *after;           /* those behind the item of this id; NULL: from the beginning */
    int limit;
    int oldest_first;
} goss_srv_page;

struct goss_srv_conn;
/* 0, or -1 with the connection's `fail` filled. */
int goss_srv_page_read(struct goss_srv_conn *k, goss_srv_page *page);
#endif
