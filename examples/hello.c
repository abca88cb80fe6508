/* hello.c - asks a model one question. Builds as C and as C++:
 *     cc hello.c $(pkg-config --cflags --libs gossamer) -o hello && ./hello model.gguf "What is the capital
 *     of France?" */
#include <gossamer.h>
#include <stdio.h>
#include <string.h>

static int on_text(void *ctx, const char *text, int n)
{
    (void)ctx;
    fwrite(text, 1, (size_t)n, stdout);
    fflush(stdout);
    return 0; /* non-zero stops the answer */
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "models/demo-gptoss.gguf";
    const char *question = argc > 2 ? argv[2] : "Which month comes after June?";
    goss_engine *engine = NULL;
    goss_error err;
    char request[4096];
    int rc;

    rc = goss_load(&engine, path, &err);
    if (rc < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    /* A chat request as OpenAI's API has it. A real program escapes the text. */
    snprintf(request, sizeof request,
             "{\"messages\":[{\"role\":\"user\",\"content\":\"%.3000s\"}],\"date\":\"2025-06-28\"}",
             question);
    goss_params params = goss_params_default();
    params.chat = 1;
    params.temperature = 0;
    rc = goss_complete_stream(engine, request, &params, on_text, NULL, &err);
    if (rc < 0) fprintf(stderr, "%s\n", err.text);
    else putchar('\n');
    goss_engine_close(&engine);
    return rc < 0;
}
