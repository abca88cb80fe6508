/* shader.h - WGSL files to one kernel's text: the smallest preprocessor that serves variants.
 *   #include FILE      another embedded file
 *   #block NAME        struct P of a parameter block of blocks.h
 *   #consts panel      the words of the panel buffer, as blocks.h has them
 *   #if NAME ... #else ... #endif      NAME defined, and not as 0; nests
 *   #for NAME COUNT ... #end           the lines between, COUNT (a number or a define) times with NAME = 0,
 *   1, ...; nests. Unrolled text keeps
 *                      small arrays in registers on compilers that don't unroll
 *   $NAME              the value of NAME; the longest defined name that fits ("$Bu" is B's value followed by u) */
#ifndef GOSS_GPU_SHADER_H
#define GOSS_GPU_SHADER_H
#include "base/buf.h"
#include <gossamer.h>

/* defines: "NAME NAME=VALUE ..." separated by spaces. 0, or GOSS_ENOENT / GOSS_EFORMAT with the file and
 * line. */
int goss_shader_text(goss_buf *out, const char *file, const char *defines, goss_error *err);
#endif
