/* order.c - see order.h. */
#include "order.h"

static void sift(uint32_t *index, uint32_t from, uint32_t n, goss_order_fn order, const void *records)
{
    for (uint32_t at = from, child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && order(records, index[child], index[child + 1]) < 0) child++;
        if (order(records, index[at], index[child]) >= 0) return;
        const uint32_t t = index[at];
        index[at] = index[child];
        index[child] = t;
    }
}

void goss_order(uint32_t *index, uint32_t n, goss_order_fn order, const void *records)
{
    for (uint32_t i = n / 2; i-- > 0;) sift(index, i, n, order, records);
    for (uint32_t i = n; i-- > 1;) {
        const uint32_t t = index[0];
        index[0] = index[i];
        index[i] = t;
        sift(index, 0, i, order, records);
    }
}
