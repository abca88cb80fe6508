/* page.c - see page.h. */
#include "page.h"
#include "conn.h"
#include <stdlib.h>
#include <string.h>

static const char *argument(goss_srv_conn *k, const char *name)
{
    return MHD_lookup_connection_value(k->conn, MHD_GET_ARGUMENT_KIND, name);
}

int goss_srv_page_read(goss_srv_conn *k, goss_srv_page *page)
{
    const char *limit = argument(k, "limit"), *order = argument(k, "order");
    *page = (goss_srv_page){ argument(k, "after"), limit ? atoi(limit) : 20, order && !strcmp(order, "asc") };
    if (page->limit >= 1 && page->limit <= 100) return 0;
    return goss_srv_refuse(&k->fail, 400, "invalid_value", "limit", -1,
                           "limit must be a number from 1 to 100");
}
