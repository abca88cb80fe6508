/* source_file.h - a file on this machine as a source. */
#ifndef GOSS_NET_SOURCE_FILE_H
#define GOSS_NET_SOURCE_FILE_H
#include "source.h"

int goss_input_open_file(goss_input *in, const char *path, goss_error *err);
#endif
