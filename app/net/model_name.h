/* model_name.h - models by name. What a name means stands in docs/names.md; nothing here asks anybody.
 *
 *   hf:OWNER/REPO[:FILE.gguf | :QUANT]      also hf:OWNER/REPO/FILE.gguf, and hf.co/ or huggingface.co/
 *   gpt-oss[:20b | :120b]                   Ollama's names of OpenAI's two models
 */
#ifndef GOSS_NET_MODEL_NAME_H
#define GOSS_NET_MODEL_NAME_H
#include <gossamer.h>

typedef struct goss_model_name {
    char owner[100], repo[100];
    char file[300];     /* its path in the repository, "" when none was named */
    char quant[40];     /* "Q4_K_M", or "" */
} goss_model_name;

int goss_model_is_name(const char *s);
/* 0, or GOSS_EINVAL with a sentence. */
int goss_model_name_read(goss_model_name *out, const char *s, goss_error *err);
/* A path that stays below the folder that it is put in, and ends in .gguf. */
int goss_model_good_file(const char *file);
/* "hf:OWNER/REPO", and ":FILE" where one is known. */
void goss_model_name_write(const goss_model_name *name, char *out, size_t cap);
/* Which of a repository's files the name means: one of that QUANT; else Q4_K_M (MXFP4 first, of a gpt-oss),
 * Q8_0, or the first model. Of a split model its first part. -1: none. */
int goss_model_choose(const goss_model_name *name, const char *const *files, int n);
/* How many parts a file with this name has: 1, or N of ...-00001-of-0000N.gguf. */
int goss_model_parts(const char *file);
int goss_model_is_later_part(const char *file); /* part 2 or more of a split model */
/* The file's address at the host. 0, or GOSS_ELIMIT. */
int goss_model_address(const goss_model_name *name, const char *file, char *out, size_t cap);
#endif
