/* load.c - a load generator for the server: CLIENTS connections that each stream chat completions one after
 * another for SECONDS.
 *
 *   cc -O2 -o build/load bench/load.c && build/load 127.0.0.1 8080 16 10 [openai|raw [PROMPT [TOKENS]]]
 *
 * TOKENS: most of one answer, 1000 or (raw) 32. raw with a prompt of 16 tokens and 64 TOKENS decodes at the
 * positions that `gossamer bench --sessions` does.
 *
 * Prints tokens per second over all clients (from each answer's usage; of answers cut by the end, their
 * events), requests, and the time from the last byte of a request to the first byte of its first token; with
 * raw (Ollama's /api/generate: the first token is text, no header comes before it, and the last line tells
 * the prefill's time) also how much longer than that prefill it took. One thread, epoll, no allocation after
 * the start, so that it disturbs the server's core little. */
#define _DEFAULT_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS_MAX = 1024, TAIL = 2048, FIRSTS = 1 << 20 };
typedef struct client {
    int fd, n_events, n_tail;
    double sent_ms, first_ms;
    char last, tail[TAIL + 1];
} client;
/* What to send, and how an answer shows its first token, its end, its tokens and its prefill. The demo thinks
 * first. */
typedef struct api { const char *name, *path, *body, *first, *end, *tokens, *prefill; } api;
static const api apis[] = {
    { "openai", "/v1/chat/completions",
      "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],\"temperature\":0,\"stream\":true,"
      "\"stream_options\":{\"include_usage\":true},\"max_tokens\":%d}",
      "\"reasoning_content\":", "data: [DONE]", "\"completion_tokens\":", NULL },
    { "raw", "/api/generate",
      "{\"prompt\":\"%s\",\"raw\":true,\"options\":{\"temperature\":0,\"num_predict\":%d}}",
      "\"response\":", "\"done\":true", "\"eval_count\":", "\"prompt_eval_duration\":" },
};

static client clients[CLIENTS_MAX];
static const api *kind = apis;
static float firsts[FIRSTS], overs[FIRSTS]; /* until the first token; longer than the prefill */
static int n_firsts, n_overs, epoll_fd, n_requests, n_errors;
static long n_tokens;
static char request[8192];
static size_t request_bytes;
static struct sockaddr_in address;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int begin(client *c)
{
    c->n_tail = c->n_events = 0;
    c->first_ms = 0;
    c->sent_ms = now_ms();
    return write(c->fd, request, request_bytes) == (ssize_t)request_bytes ? 0 : -1;
}

static int dial(client *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address)) return -1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) || begin(c);
}

/* The last TAIL bytes are enough to find the usage before [DONE]. */
static void keep(client *c, const char *bytes, int n)
{
    if (n >= TAIL) { bytes += n - TAIL; n = TAIL; }
    if (c->n_tail + n > TAIL) {
        int drop = c->n_tail + n - TAIL;
        memmove(c->tail, c->tail + drop, (size_t)(c->n_tail - drop));
        c->n_tail -= drop;
    }
    memcpy(c->tail + c->n_tail, bytes, (size_t)n);
    c->n_tail += n;
    c->tail[c->n_tail] = 0;
}

static int take(client *c)
{
    static char bytes[65536];
    ssize_t n = read(c->fd, bytes, sizeof bytes - 1);
    if (n <= 0) return -1;
    bytes[n] = 0;
    keep(c, bytes, (int)n);
    for (ssize_t i = 0; i < n; c->last = bytes[i++]) c->n_events += bytes[i] == '\n' && c->last == '}';
    if (!c->first_ms && strstr(c->tail, kind->first)) {
        c->first_ms = now_ms() - c->sent_ms;
        if (n_firsts < FIRSTS) firsts[n_firsts++] = (float)c->first_ms;
    }
    if (!strstr(c->tail, kind->end) || !strstr(c->tail, "\r\n0\r\n\r\n"))
        return strstr(c->tail, "HTTP/1.1 4") || strstr(c->tail, "HTTP/1.1 5") ? -1 : 0;
    const char *tokens = strstr(c->tail, kind->tokens);
    const char *prefill = kind->prefill ? strstr(c->tail, kind->prefill) : NULL;
    if (tokens) n_tokens += atol(tokens + strlen(kind->tokens));
    if (prefill && c->first_ms > 0 && n_overs < FIRSTS)
        overs[n_overs++] = (float)(c->first_ms - atof(prefill + strlen(kind->prefill)) / 1e6);
    n_requests++;
    return 1;
}

static double share(const float *sorted, int n, int percent)
{
    return n ? (double)sorted[(long)n * percent / 100] : 0.0;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: load HOST PORT CLIENTS SECONDS [openai|raw [PROMPT [TOKENS]]]\n");
        return 2;
    }
    const char *prompt = argc > 6 ? argv[6] : "Tell me a story about a fox and a golden key.";
    int n_clients = atoi(argv[3]), most;
    char body[4096];
    if (argc > 5 && !strcmp(argv[5], apis[1].name)) kind = &apis[1];
    most = argc > 7 ? atoi(argv[7]) : kind == apis ? 1000 : 32;
    if (n_clients < 1 || n_clients > CLIENTS_MAX || strlen(prompt) > 2000) return 2;
    address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2])) };
    if (inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) return 2;
    int n = snprintf(body, sizeof body, kind->body, prompt, most);
    request_bytes = (size_t)snprintf(request, sizeof request,
                                     "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", kind->path,
                                     n, body);
    epoll_fd = epoll_create1(0);
    double start = now_ms(), end = start + 1000 * atof(argv[4]);
    for (int i = 0; i < n_clients; i++)
        if (dial(&clients[i])) { perror("load: connect"); return 1; }
    while (now_ms() < end) {
        struct epoll_event events[256];
        int k = epoll_wait(epoll_fd, events, 256, 100);
        for (int i = 0; i < k; i++) {
            client *c = events[i].data.ptr;
            int done = take(c);
            if (done > 0) done = begin(c);
            if (done < 0) {
                n_errors++;
                close(c->fd);
                if (dial(c)) { perror("load: connect"); return 1; }
            }
        }
    }
    double seconds = (now_ms() - start) / 1e3;
    for (int i = 0; i < n_clients; i++) n_tokens += clients[i].n_events;
    qsort(firsts, (size_t)n_firsts, sizeof firsts[0], by_value);
    qsort(overs, (size_t)n_overs, sizeof overs[0], by_value);
    printf("{\"clients\":%d,\"seconds\":%.2f,\"requests\":%d,\"errors\":%d,\"tokens_per_second\":%.1f,"
           "\"first_token_ms\":{\"p50\":%.2f,\"p99\":%.2f}",
           n_clients, seconds, n_requests, n_errors, (double)n_tokens / seconds, share(firsts, n_firsts, 50),
           share(firsts, n_firsts, 99));
    if (n_overs)
        printf(",\"more_than_prefill_ms\":{\"p50\":%.2f,\"p99\":%.2f}", share(overs, n_overs, 50),
               share(overs, n_overs, 99));
    printf("}\n");
    return n_errors > 0;
}
