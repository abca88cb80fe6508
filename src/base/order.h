/* order.h - sorts indices of records by heap sort: n log n for any input, in place, without memory. */
#ifndef GOSS_BASE_ORDER_H
#define GOSS_BASE_ORDER_H
#include <stdint.h>
/* < 0, 0, > 0 */
typedef int (*goss_order_fn)(const void *records, uint32_t a, uint32_t b);
void goss_order(uint32_t *index, uint32_t n, goss_order_fn order, const void *records);
#endif
