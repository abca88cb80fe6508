/* ids.h - ids that nobody can guess. */
#ifndef GOSS_SERVER_IDS_H
#define GOSS_SERVER_IDS_H
#include <stddef.h>
void goss_srv_id(char *to, size_t cap, const char *prefix); /* prefix and 24 random hex digits */
#endif
