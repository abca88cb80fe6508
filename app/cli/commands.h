/* commands.h - the list of commands: X(name, one line of help). Each is app/cli/cmd_NAME.c with
 * goss_cmd_NAME(). */
#ifndef GOSS_CLI_COMMANDS_H
#define GOSS_CLI_COMMANDS_H
#define GOSS_COMMANDS(X)                                                             \
    X(run, "answer one prompt")                                                      \
    X(chat, "a conversation in the terminal")                                        \
    X(bench, "measure prefill and decode speed")                                     \
    X(models, "list the models found")                                               \
    X(pull, "fetch a model by its name, to be kept")                                 \
    X(rm, "remove models that were fetched")                                         \
    X(doctor, "what this machine has, what would fit, what is missing")              \
    X(dump, "show the tensors of a GGUF file or URL")                                \
    X(meta, "show the metadata of a GGUF file or URL")                               \
    X(range, "read a range of bytes or a tensor, with its SHA-256")                  \
    X(download, "fetch a file over HTTP, resuming what is there")                    \
    X(serve, "serve the page, model files and OpenAI's, Anthropic's, Ollama's APIs") \
    X(synth, "write a model of real shape with random weights")                      \
    X(replay, "show what a recording holds")                                         \
    X(probe, "run one part of a model alone: tokenizer, layer, router, ...")         \
    X(schema, "say whether a JSON schema can be held to, and what it costs")         \
    X(gate, "check a model and a machine step by step: gates A to G")                \
    X(eval, "measure the perplexity of a text")

/* argv[0] is the command's name. Returns the exit status: 0 done, 1 failed, 2 wrong usage. */
#define GOSS_X(name, help) int goss_cmd_##name(int argc, char **argv);
GOSS_COMMANDS(GOSS_X)
#undef GOSS_X
#endif
