/* metrics.c - see metrics.h. Prometheus's text format, version 0.0.4. */
#include "metrics.h"
#include "background.h"
#include "common/figures.h"
#include "store.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { ROUTES = 48, BUCKETS = 10 };
static const double bounds[BUCKETS] = { 0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 20, 60, 300 };
typedef struct histogram { uint64_t bucket[BUCKETS], count; double sum; } histogram;
typedef struct route { const char *name; uint64_t by_class[6]; histogram seconds; } route;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static route routes[ROUTES];
static int n_routes;
static histogram first_token;
static uint64_t n_prompt, n_reused, n_generated, n_answers;
static double last_speed;
static goss_stats engine;
static int loaded;
static double own_ms, own_longest_ms;
static atomic_int connections, waiting, running, prompts, prompt_tokens;
static atomic_ullong rejected;

static void observe(histogram *h, double seconds)
{
    for (int i = 0; i < BUCKETS; i++) h->bucket[i] += seconds <= bounds[i];
    h->count++;
    h->sum += seconds;
}

void goss_srv_metrics_request(const char *name, int status, double ms)
{
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < n_routes && strcmp(routes[i].name, name)) i++;
    if (i == n_routes && n_routes < ROUTES) routes[n_routes++].name = name;
    if (i < n_routes) {
        routes[i].by_class[status >= 100 && status < 600 ? status / 100 : 0]++;
        observe(&routes[i].seconds, ms / 1000);
    }
    pthread_mutex_unlock(&lock);
}

void goss_srv_metrics_answer(int prompt, int reused, int generated, double first_ms, double tokens_per_s)
{
    pthread_mutex_lock(&lock);
    n_prompt += (uint64_t)prompt;
    n_reused += (uint64_t)reused;
    n_generated += (uint64_t)generated;
    n_answers++;
    if (first_ms > 0) observe(&first_token, first_ms / 1000);
    if (tokens_per_s > 0) last_speed = tokens_per_s;
    pthread_mutex_unlock(&lock);
}

void goss_srv_metrics_engine(const goss_stats *stats, int models)
{
    pthread_mutex_lock(&lock);
    engine = *stats;
    loaded = models;
    pthread_mutex_unlock(&lock);
}

void goss_srv_metrics_own(double ms)
{
    pthread_mutex_lock(&lock);
    own_ms += ms;
    if (ms > own_longest_ms) own_longest_ms = ms;
    pthread_mutex_unlock(&lock);
}

void goss_srv_metrics_jobs(int waits, int runs)
{
    atomic_fetch_add(&waiting, waits);
    atomic_fetch_add(&running, runs);
}

void goss_srv_metrics_prompts(int n, int left)
{
    atomic_store(&prompts, n);
    atomic_store(&prompt_tokens, left);
}

void goss_srv_metrics_connections(int change) { atomic_fetch_add(&connections, change); }
void goss_srv_metrics_reject(void) { atomic_fetch_add(&rejected, 1); }

static void one(goss_buf *b, const char *name, const char *type, const char *help, double value)
{
    goss_buf_printf(b, "# HELP gossamer_%s %s\n# TYPE gossamer_%s %s\ngossamer_%s %.15g\n", name, help, name,
                    type, name, value);
}

/* By Prometheus's custom the name says it. */
static const char *type_of(const char *name)
{
    const size_t n = strlen(name);
    return n > 6 && !strcmp(name + n - 6, "_total") ? "counter" : "gauge";
}

static void write_histogram(goss_buf *b, const char *name, const char *label, const char *value,
                            const histogram *h)
{
    const char *open = *label ? "{" : "", *eq = *label ? "=\"" : "", *quote = *label ? "\"" : "",
               *close = *label ? "}" : "", *comma = *label ? "," : "";
    for (int i = 0; i < BUCKETS; i++)
        goss_buf_printf(b, "gossamer_%s_bucket{%s%s%s%s%sle=\"%g\"} %llu\n", name, label, eq, value, quote,
                        comma, bounds[i], (unsigned long long)h->bucket[i]);
    goss_buf_printf(b, "gossamer_%s_bucket{%s%s%s%s%sle=\"+Inf\"} %llu\n", name, label, eq, value, quote,
                    comma, (unsigned long long)h->count);
    goss_buf_printf(b, "gossamer_%s_sum%s%s%s%s%s%s %.9g\n", name, open, label, eq, value, quote, close,
                    h->sum);
    goss_buf_printf(b, "gossamer_%s_count%s%s%s%s%s%s %llu\n", name, open, label, eq, value, quote, close,
                    (unsigned long long)h->count);
}

void goss_srv_metrics_write(goss_buf *b)
{
    static const char *const classes[6] = { "other", "1xx", "2xx", "3xx", "4xx", "5xx" };
    goss_srv_stock stock;
    goss_srv_store_count(&stock);
    pthread_mutex_lock(&lock);
    goss_buf_str(b, "# HELP gossamer_requests_total Requests answered, by route and class of status.\n# TYPE "
                    "gossamer_requests_total counter\n");
    for (int i = 0; i < n_routes; i++)
        for (int c = 0; c < 6; c++)
            if (routes[i].by_class[c])
                goss_buf_printf(b, "gossamer_requests_total{route=\"%s\",status=\"%s\"} %llu\n",
                                routes[i].name, classes[c], (unsigned long long)routes[i].by_class[c]);
    goss_buf_str(b, "# HELP gossamer_request_seconds Time from the request's headers to the last byte of the "
                    "answer.\n# TYPE gossamer_request_seconds histogram\n");
    for (int i = 0; i < n_routes; i++)
        write_histogram(b, "request_seconds", "route", routes[i].name, &routes[i].seconds);
    goss_buf_str(b, "# HELP gossamer_first_token_seconds Time from the request to its first token.\n# TYPE "
                    "gossamer_first_token_seconds histogram\n");
    write_histogram(b, "first_token_seconds", "", "", &first_token);
    one(b, "answers_total", "counter", "Answers finished.", (double)n_answers);
    one(b, "prompt_tokens_total", "counter", "Tokens of prompts.", (double)n_prompt);
    one(b, "reused_tokens_total", "counter", "Tokens of prompts found in the prefix cache.",
        (double)n_reused);
    one(b, "generated_tokens_total", "counter", "Tokens generated.", (double)n_generated);
    one(b, "tokens_per_second", "gauge", "Decoding speed of the last answer.", last_speed);
    one(b, "queue_rejected_total", "counter", "Requests refused because the queue was full.",
        (double)atomic_load(&rejected));
    one(b, "jobs_waiting", "gauge", "Requests that wait for a session.", atomic_load(&waiting));
    one(b, "jobs_running", "gauge", "Requests being answered.", atomic_load(&running));
    one(b, "prompts_running", "gauge", "Requests whose prompts are being computed.", atomic_load(&prompts));
    one(b, "prompt_tokens_left", "gauge", "Tokens of those prompts that are not computed yet.",
        atomic_load(&prompt_tokens));
    one(b, "background_responses", "gauge", "Responses that run in the background.",
        goss_srv_background_count());
    one(b, "stored_responses", "gauge", "Responses kept.", stock.responses);
    one(b, "stored_conversations", "gauge", "Conversations kept.", stock.conversations);
    one(b, "stored_calls", "gauge", "Calls of which is known why they were made.", stock.calls);
    one(b, "stored_bytes", "gauge", "Memory of these three.", (double)stock.bytes);
    one(b, "connections", "gauge", "Connections open.", atomic_load(&connections));
    one(b, "engine_own_seconds_total", "counter",
        "Processor time of the engine's thread outside the model's steps.", own_ms / 1000);
    one(b, "engine_own_seconds_longest", "gauge",
        "The longest of it at a stretch: what one request has cost the others at most.", own_longest_ms / 1000);
    one(b, "models_loaded", "gauge", "Models in memory.", loaded);
    for (const goss_figure *f = goss_stats_list; f->name; f++)
        if (f->metric) one(b, f->metric, type_of(f->metric), f->help, goss_figure_value(f, &engine));
    pthread_mutex_unlock(&lock);
}
