/* lanes.c - writes the lines of lanes.h. */
#include "lanes.h"
#include "base/os.h"

enum { FIRST = 1 << 13, MOST = 1 << 20, FULL = 1 << 15 };

void goss_lanes_open(goss_lanes *l, goss_telemetry *sink)
{
    *l = (goss_lanes){ .sink = sink, .steps = GOSS_BUF(MOST) };
}

void goss_lanes_close(goss_lanes *l) { goss_buf_free(&l->steps); }

static int is_on(const goss_lanes *l) { return goss_telemetry_on(l->sink, GOSS_TELEMETRY_STEPS); }

static goss_buf *begin(goss_lanes *l, const char *type) { return goss_telemetry_event_begin(l->sink, type); }
static void end(goss_lanes *l) { goss_telemetry_event_end(l->sink, GOSS_TELEMETRY_STEPS); }

static void forget(goss_lanes *l)
{
    goss_buf_clear(&l->steps);
    l->n_steps = 0;
}

/* ---- steps --------------------------------------------------------------------------------------------- */
static void flush(goss_lanes *l)
{
    if (l->n_steps && !l->steps.failed) {
        goss_buf *b = begin(l, "steps");
        goss_buf_printf(b, ",\"first\":%llu,\"steps\":[", (unsigned long long)l->first);
        goss_buf_append(b, l->steps.data, l->steps.len);
        goss_buf_str(b, "]");
        end(l);
    }
    l->steps.failed = 0;
    forget(l);
}

int goss_lanes_step(goss_lanes *l, uint64_t number, double began, double ms)
{
    if (!is_on(l)) {
        forget(l);
        return 0;
    }
    if (l->n_steps && number != l->first + (uint64_t)l->n_steps) flush(l);
    if (!l->n_steps) {
        l->first = number;
        l->t_first = began + ms;
        goss_buf_reserve(&l->steps, FIRST);
    }
    goss_buf_printf(&l->steps, "%s[%.2f,%.3f", l->n_steps++ ? "," : "", began, ms);
    return l->changed = 1;
}

void goss_lanes_rows(goss_lanes *l, const goss_lane_rows *r)
{
    goss_buf_printf(&l->steps, ",[%d,%d,%d,%d", r->slot, r->pos, r->n_rows, r->n_prompt);
    if (r->n_drafts) goss_buf_printf(&l->steps, ",%d,%d", r->n_drafts, r->n_accepted);
    goss_buf_str(&l->steps, "]");
}

void goss_lanes_step_end(goss_lanes *l) { goss_buf_str(&l->steps, "]"); }

int goss_lanes_tell(goss_lanes *l, int idle)
{
    if (!l->n_steps && !l->changed) return 0;
    const double now = goss_os_now_ms();
    if (l->n_steps && (idle || l->steps.len > FULL || now - l->t_first >= (double)GOSS_LANES_MS)) flush(l);
    if (!l->changed || (!idle && now - l->t_pages < (double)GOSS_PAGES_MS)) return 0;
    l->changed = 0;
    l->t_pages = now;
    return is_on(l);
}

/* ---- prompts ------------------------------------------------------------------------------------------- */
void goss_lanes_prompt(goss_lanes *l, const goss_turn *t)
{
    l->changed = 1;
    if (!is_on(l)) return;
    flush(l);
    goss_buf *b = begin(l, "prompt");
    goss_buf_printf(b, ",\"session\":%d,\"tokens\":%d,\"reused\":%d,\"from\":%d,\"stored\":%d,\"joined\":%d",
                    t->slot, t->n_prompt, t->n_reused, t->n_reused ? t->from : -1, t->n_stored, t->n_joined);
    goss_buf_printf(b, ",\"came_ms\":%.3f", t->t_prompt);
    end(l);
}

void goss_lanes_wait(goss_lanes *l, const goss_turn *t, int other)
{
    if (!is_on(l)) return;
    flush(l);
    goss_buf *b = begin(l, "wait");
    goss_buf_printf(b, ",\"session\":%d,\"tokens\":%d,\"for\":%d,\"came_ms\":%.3f", t->slot, t->n_prompt,
                    other, t->t_prompt);
    end(l);
}

/* ---- KV pages ------------------------------------------------------------------------------------------ */
void goss_lanes_pages(goss_lanes *l, const goss_kv_pool *p, const uint64_t page_bytes[GOSS_KV_CLASSES])
{
    goss_buf *b = begin(l, "kv_pages");
    goss_buf_printf(b, ",\"positions\":%d,\"bytes\":[%llu,%llu],\"pages\":[%d,%d]", (int)GOSS_KV_PAGE,
                    (unsigned long long)page_bytes[0], (unsigned long long)page_bytes[1], p->n_pages[0],
                    p->n_pages[1]);
    goss_buf_printf(b, ",\"used\":[%d,%d],\"shared\":[%llu,%llu],\"held\":[", p->n_pages[0] - p->n_free[0],
                    p->n_pages[1] - p->n_free[1], (unsigned long long)goss_kv_pool_shared(p, GOSS_KV_FULL),
                    (unsigned long long)goss_kv_pool_shared(p, GOSS_KV_WINDOW));
}

/* The pages of a class as "from,count,...". */
static void put_runs(goss_buf *b, const goss_kv *kv, int cls)
{
    const int most = (kv->n + GOSS_KV_PAGE - 1) / GOSS_KV_PAGE;
    int from = -1, n = 0, any = 0;
    for (int i = 0; i <= most; i++) {
        const int page = i < most ? kv->page[cls][i] : -1;
        if (n && page == from + n) {
            n++;
            continue;
        }
        if (n) goss_buf_printf(b, "%s%d,%d", any++ ? "," : "", from, n);
        from = page;
        n = page >= 0;
    }
}

void goss_lanes_held(goss_lanes *l, int slot, int cached, const goss_kv *kv)
{
    goss_buf *b = &l->sink->line;
    if (kv->n <= 0) return;
    const int first = b->len && b->data[b->len - 1] == '[';
    goss_buf_printf(b, "%s{\"session\":%d,\"cached\":%d,\"n\":%d,\"full\":[", first ? "" : ",", slot, cached,
                    kv->n);
    put_runs(b, kv, GOSS_KV_FULL);
    goss_buf_str(b, "],\"window\":[");
    if (kv->pool->n_pages[GOSS_KV_WINDOW]) put_runs(b, kv, GOSS_KV_WINDOW);
    goss_buf_str(b, "]}");
}

void goss_lanes_pages_end(goss_lanes *l)
{
    goss_buf_str(&l->sink->line, "]");
    end(l);
}
