/* formats.h - the standard's formats of strings, as patterns. */
#ifndef GOSS_SCHEMA_FORMATS_H
#define GOSS_SCHEMA_FORMATS_H
#include "format/json.h"
/* The pattern of the format that the string node names; NULL: no format of the standard, which says nothing;
 * "": one that can't be held to. */
const char *goss_format_pattern(const goss_json *j, int name);
#endif
