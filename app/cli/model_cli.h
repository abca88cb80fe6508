/* model_cli.h - the model that a command was given, as something that can be opened: names and addresses
 * become files of the model cache, with a progress bar where one has to come first. */
#ifndef GOSS_CLI_MODEL_CLI_H
#define GOSS_CLI_MODEL_CLI_H
#include "common/engine_options.h"
#include "net/model_cache.h"

/* Brings p->said. 0, or 1 after an explanation. */
int goss_cli_pull(goss_model_pull *p, const char *command);
/* *path, where it is a name or an address, becomes the path (in room) of a file that is all there. 0, or the
 * exit status after an explanation. */
int goss_cli_bring(const char **path, const char *folder, const char *command, char *room, size_t cap);
/* The same for a model; but processes of a pipeline fetch what they need of it by themselves, so there it
 * keeps its name, and only one of several files, of which they can't, is brought. */
int goss_cli_bring_model(const char **model, const goss_engine_options *o, const char *command, char *room,
                         size_t cap);
/* goss_engine_options_finish, and then a model (and a draft) that is all there. 0, or the exit status. */
int goss_cli_model(goss_engine_options *o, const char *command, const char *model);
/* The same where reading a part of it over the network will do: a name becomes an address. */
int goss_cli_model_head(goss_engine_options *o, const char *command, const char *model);
/* For commands without engine options: what `said` means, a path or an address, in room; NULL after an
 * explanation. */
const char *goss_cli_source(const char *command, const char *said, char *room, size_t cap);
#endif
