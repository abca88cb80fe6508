/* figures.c - see figures.h. */
#include "figures.h"
#include "options.h"
#include <string.h>

#define U64(record, field) #field, .kind = GOSS_FIGURE_U64, .at = offsetof(record, field)
#define I64(record, field) #field, .kind = GOSS_FIGURE_I64, .at = offsetof(record, field)
#define INT(record, field) #field, .kind = GOSS_FIGURE_INT, .at = offsetof(record, field)
#define REAL(record, field) #field, .kind = GOSS_FIGURE_REAL, .at = offsetof(record, field)
#define TEXT(record, field) #field, .kind = GOSS_FIGURE_TEXT, .at = offsetof(record, field)

const goss_figure goss_stats_list[] = {
    { U64(goss_stats, n_steps),
      GOSS_IN_PROGRAMS(.bench = "steps", .metric = "steps_total", .help = "Steps through the model.") },
    { U64(goss_stats, n_rows),
      GOSS_IN_PROGRAMS(.bench = "rows", .metric = "rows_total", .help = "Rows in those steps.") },
    { U64(goss_stats, n_prompt_tokens),
      GOSS_IN_PROGRAMS(.bench = "prompt_tokens", .help = "Tokens of prompts.") },
    { U64(goss_stats, n_reused_tokens),
      GOSS_IN_PROGRAMS(.bench = "reused_tokens", .help = "Tokens of prompts found in the prefix cache.") },
    { U64(goss_stats, n_generated_tokens), GOSS_IN_PROGRAMS(.help = "Tokens generated.") },
    { U64(goss_stats, n_drafted),
      GOSS_IN_PROGRAMS(.bench = "drafted", .metric = "drafted_tokens_total",
                       .help = "Tokens drafted by speculation.") },
    { U64(goss_stats, n_accepted),
      GOSS_IN_PROGRAMS(.bench = "accepted", .metric = "accepted_tokens_total",
                       .help = "Drafted tokens accepted.") },
    { U64(goss_stats, n_stored_tokens),
      GOSS_IN_PROGRAMS(.bench = "stored_tokens", .metric = "stored_tokens_total",
                       .help = "Reused tokens that were read from the prefix cache's folder.") },
    { U64(goss_stats, n_joined_tokens),
      GOSS_IN_PROGRAMS(.bench = "joined_tokens", .metric = "joined_tokens_total",
                       .help = "Reused tokens that were being computed for another request.") },
    { U64(goss_stats, n_paused),
      GOSS_IN_PROGRAMS(.bench = "paused", .metric = "paused_steps_total",
                       .help = "Times that a step of prompts stood aside for others' steps.") },
    { U64(goss_stats, n_guarded),
      GOSS_IN_PROGRAMS(.metric = "guarded_tokens_total",
                       .help = "Tokens of headers that the Harmony guard watched over.") },
    { U64(goss_stats, n_schema),
      GOSS_IN_PROGRAMS(.metric = "schema_tokens_total",
                       .help = "Tokens sampled under a JSON schema's mask.") },
    { U64(goss_stats, schema_bytes),
      GOSS_IN_PROGRAMS(.metric = "schema_bytes", .help = "Bytes that compiled JSON schemas take.") },
    { U64(goss_stats, schema_nodes),
      GOSS_IN_PROGRAMS(.metric = "schema_nodes", .help = "Nodes of compiled JSON schemas.") },
    { U64(goss_stats, schemas_refused),
      GOSS_IN_PROGRAMS(.metric = "schemas_refused_total",
                       .help = "JSON schemas refused, or given up beyond their budget.") },
    { REAL(goss_stats, schema_ms),
      GOSS_IN_PROGRAMS(.metric = "schema_ms_total",
                       .help = "Processor time that JSON schemas took, in ms.") },
    { REAL(goss_stats, prefill_ms), GOSS_IN_PROGRAMS(.help = "Time inside steps of prompts.") },
    { REAL(goss_stats, decode_ms), GOSS_IN_PROGRAMS(.help = "Time inside steps of decoding.") },
    { U64(goss_stats, kv_bytes_used),
      GOSS_IN_PROGRAMS(.metric = "kv_bytes", .help = "Bytes of the KV cache in use.") },
    { U64(goss_stats, kv_bytes_shared),
      GOSS_IN_PROGRAMS(.metric = "kv_shared_bytes",
                       .help = "Bytes that sessions and kept prefixes share instead of having their own.") },
    { U64(goss_stats, gpu_bytes),
      GOSS_IN_PROGRAMS(.bench = "gpu_bytes", .metric = "gpu_bytes", .help = "Bytes allocated on the GPU.") },
    { U64(goss_stats, expert_hits),
      GOSS_IN_PROGRAMS(.bench = "expert_hits", .metric = "expert_hits_total",
                       .help = "Experts found on the device.") },
    { U64(goss_stats, expert_misses),
      GOSS_IN_PROGRAMS(.bench = "expert_misses", .metric = "expert_misses_total",
                       .help = "Experts fetched.") },
    { U64(goss_stats, expert_evictions),
      GOSS_IN_PROGRAMS(.bench = "expert_evictions", .help = "Experts thrown out.") },
    { U64(goss_stats, expert_stalls),
      GOSS_IN_PROGRAMS(.bench = "expert_stalls", .help = "Steps that waited for experts.") },
    { U64(goss_stats, expert_bytes),
      GOSS_IN_PROGRAMS(.bench = "expert_bytes", .help = "Bytes of experts fetched.") },
    { REAL(goss_stats, expert_stall_ms),
      GOSS_IN_PROGRAMS(.bench = "expert_stall_ms", .help = "Time that steps waited for experts.") },
    { INT(goss_stats, n_sessions), GOSS_IN_PROGRAMS(.help = "Sessions open.") },
    { INT(goss_stats, n_active), GOSS_IN_PROGRAMS(.help = "Sessions that generate.") },
    { REAL(goss_stats, load_progress), GOSS_IN_PROGRAMS(.help = "How much of the model is loaded.") },
    { 0 }
};

const goss_figure goss_info_list[] = {
    { TEXT(goss_model_info, name), GOSS_IN_PROGRAMS(.bench = "model") },
    { TEXT(goss_model_info, arch), GOSS_IN_PROGRAMS(.bench = "arch") },
    { TEXT(goss_model_info, type), GOSS_IN_PROGRAMS(.bench = "type") },
    { TEXT(goss_model_info, backend), GOSS_IN_PROGRAMS(.bench = "backend") },
    { TEXT(goss_model_info, level), GOSS_IN_PROGRAMS(.bench = "level") },
    { TEXT(goss_model_info, chat), GOSS_IN_PROGRAMS(.help = "Its chat format.") },
    { TEXT(goss_model_info, kv), GOSS_IN_PROGRAMS(.bench = "kv", .help = "How keys and values are kept.") },
    { INT(goss_model_info, n_layer) },
    { INT(goss_model_info, n_embd) },
    { INT(goss_model_info, n_head) },
    { INT(goss_model_info, n_head_kv) },
    { INT(goss_model_info, head_dim) },
    { INT(goss_model_info, n_ff) },
    { INT(goss_model_info, n_expert) },
    { INT(goss_model_info, n_expert_used) },
    { INT(goss_model_info, n_vocab) },
    { INT(goss_model_info, n_ctx) },
    { INT(goss_model_info, window) },
    { INT(goss_model_info, max_kv), GOSS_IN_PROGRAMS(.bench = "max_kv") },
    { INT(goss_model_info, n_threads), GOSS_IN_PROGRAMS(.bench = "threads") },
    { I64(goss_model_info, n_params), GOSS_IN_PROGRAMS(.bench = "params") },
    { U64(goss_model_info, file_bytes), GOSS_IN_PROGRAMS(.bench = "file_bytes") },
    { U64(goss_model_info, resident_bytes) },
    { U64(goss_model_info, kv_bytes), GOSS_IN_PROGRAMS(.bench = "kv_bytes") },
    { U64(goss_model_info, step_bytes),
      GOSS_IN_PROGRAMS(.bench = "step_bytes", .help = "Weights that one decoded token reads.") },
    { U64(goss_model_info, step_expert_bytes), GOSS_IN_PROGRAMS(.help = "Of them, those of its experts.") },
    { 0 }
};

double goss_figure_value(const goss_figure *f, const void *record)
{
    const void *at = (const char *)record + f->at;
    switch (f->kind) {
    case GOSS_FIGURE_U64: return (double)*(const uint64_t *)at;
    case GOSS_FIGURE_I64: return (double)*(const int64_t *)at;
    case GOSS_FIGURE_INT: return *(const int *)at;
    default: return *(const double *)at;
    }
}

static void put(goss_buf *b, const goss_figure *f, const void *record)
{
    const char *at = (const char *)record + f->at;
    if (f->kind == GOSS_FIGURE_TEXT) goss_buf_json_string(b, at, strlen(at));
    else if (f->kind == GOSS_FIGURE_REAL) goss_buf_printf(b, "%.4f", goss_figure_value(f, record));
    else goss_buf_printf(b, "%.0f", goss_figure_value(f, record)); /* counts stay below 2^53 */
}

void goss_figures_json(goss_buf *b, const goss_figure *list, const void *record, int bench)
{
    for (const goss_figure *f = list; f->name; f++) {
        const char *name = bench ? f->bench : f->name;
        if (!name) continue;
        goss_buf_printf(b, ",\"%s\":", name);
        put(b, f, record);
    }
}

void goss_stats_add(goss_stats *sum, const goss_stats *one)
{
    for (const goss_figure *f = goss_stats_list; f->name; f++) {
        void *to = (char *)sum + f->at;
        const void *from = (const char *)one + f->at;
        if (f->kind == GOSS_FIGURE_U64) *(uint64_t *)to += *(const uint64_t *)from;
        else if (f->kind == GOSS_FIGURE_INT) *(int *)to += *(const int *)from;
        else *(double *)to += *(const double *)from;
    }
}
