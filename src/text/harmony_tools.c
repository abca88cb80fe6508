/* harmony_tools.c - tools as the text that gpt-oss was trained on: TypeScript made from JSON schemas
 * (REFERENCE 9.5), and the two built-in tools. The layout, its odd corners included, is that of the reference
 * renderer, byte for byte: models notice.
 *
 * Recursion follows the schema's nesting, which the JSON parser bounds. */
#include "../base/error.h"
#include "harmony.h"
#include <string.h>

const char goss_harmony_browser[] =
    "## browser\n\n"
    "// Tool for browsing.\n"
    "// The `cursor` appears in brackets before each browsing display: `[{cursor}]`.\n"
    "// Cite information from the tool using the following format:\n"
    "// `【{cursor}†L{line_start}(-L{line_end})?】`, for example: `【6†L9-L11】` or `【8†L3】`.\n"
    "// Do not quote more than 10 words directly from the tool output.\n"
    "// sources=web (default: web)\n"
    "namespace browser {\n\n"
    "// Searches for information related to `query` and displays `topn` results.\n"
    "type search = (_: {\n"
    "query: string,\n"
    "topn?: number, // default: 10\n"
    "source?: string,\n"
    "}) => any;\n\n"
    "// Opens the link `id` from the page indicated by `cursor` starting at line number `loc`, showing "
    "`num_lines` lines.\n"
    "// Valid link ids are displayed with the formatting: `【{id}†.*】`.\n"
    "// If `cursor` is not provided, the most recent page is implied.\n"
    "// If `id` is a string, it is treated as a fully qualified URL associated with `source`.\n"
    "// If `loc` is not provided, the viewport will be positioned at the beginning of the document or "
    "centered on the most "
    "relevant passage, if available.\n"
    "// Use this function without `id` to scroll to a new location of an opened page.\n"
    "type open = (_: {\n"
    "id?: number | string, // default: -1\n"
    "cursor?: number, // default: -1\n"
    "loc?: number, // default: -1\n"
    "num_lines?: number, // default: -1\n"
    "view_source?: boolean, // default: false\n"
    "source?: string,\n"
    "}) => any;\n\n"
    "// Finds exact matches of `pattern` in the current page, or the page given by `cursor`.\n"
    "type find = (_: {\n"
    "pattern: string,\n"
    "cursor?: number, // default: -1\n"
    "}) => any;\n\n"
    "} // namespace browser";

const char goss_harmony_python[] = "## python\n\n"
                                   "Use this tool to execute Python code in your chain of thought. The code "
                                   "will not be shown to the user. This tool should "
                                   "be used for internal reasoning, but not for code that is intended to be "
                                   "visible to the user (e.g. when creating plots, "
                                   "tables, or files).\n\n"
                                   "When you send a message containing Python code to python, it will be "
                                   "executed in a stateful Jupyter notebook environment. "
                                   "python will respond with the output of the execution or time out after "
                                   "120.0 seconds. The drive at '/mnt/data' can be "
                                   "used to save and persist user files. Internet access for this session is "
                                   "UNKNOWN. Depends on the cluster.";

/* ---- small parts ---- */

static int is_string(const goss_json *j, int node) { return goss_json_kind(j, node) == GOSS_JSON_STRING; }
static int is_array(const goss_json *j, int node) { return goss_json_kind(j, node) == GOSS_JSON_ARRAY; }

static void indentation(int n, goss_buf *text) {
    while (n-- > 0) goss_buf_append(text, " ", 1);
}

/* indent + before + the string + after; nothing when node is no string. */
static int comment(const goss_json *j, int node, int indent, const char *before, const char *after,
                   goss_buf *text) {
    if (!is_string(j, node)) return 0;
    indentation(indent, text);
    goss_buf_str(text, before);
    goss_json_string(j, node, text);
    goss_buf_str(text, after);
    return 1;
}

static int is_enum(const goss_json *j, int schema) {
    const int e = goss_json_get(j, schema, "enum");
    return is_array(j, e) && goss_json_first(j, e) >= 0;
}

/* A default's value: strings in quotes but for enums (unescaped: it is a comment), anything else as JSON. */
static void default_value(const goss_json *j, int schema, int value, goss_buf *text) {
    if (!is_string(j, value)) {
        goss_json_write(j, value, text);
        return;
    }
    const char *quote = is_enum(j, schema) ? "" : "\"";
    goss_buf_str(text, quote);
    goss_json_string(j, value, text);
    goss_buf_str(text, quote);
}

/* The schema as a type, and " | null" behind it where it is nullable and does not say so itself. */
static void nullable_type(const goss_json *j, int schema, int indent, goss_buf *text) {
    const size_t from = text->len;
    goss_harmony_type(j, schema, indent, text);
    if (!goss_json_bool(j, goss_json_get(j, schema, "nullable"), 0)) return;
    for (size_t i = from; i + 4 <= text->len; i++)
        if (!memcmp(text->data + i, "null", 4)) return;
    goss_buf_str(text, " | null");
}

/* " // desc default: x" behind a variant of oneOf. */
static void variant_comment(const goss_json *j, int variant, int with_description, int enum_as_json,
                            goss_buf *text) {
    const int description = goss_json_get(j, variant, "description"),
              value = goss_json_get(j, variant, "default");
    const int described = with_description && is_string(j, description);
    if (!described && value < 0) return;
    goss_buf_str(text, " // ");
    if (described) goss_json_string(j, description, text);
    if (value < 0) return;
    goss_buf_str(text, described ? " default: " : "default: ");
    if (enum_as_json && is_enum(j, variant))
        goss_json_write(j, value, text);
    else
        default_value(j, variant, value, text);
}

/* ---- types ---- */

static void one_of_type(const goss_json *j, int variants, int indent, goss_buf *text) {
    for (int k = goss_json_first(j, variants); k >= 0; k = goss_json_next(j, k)) {
        goss_buf_str(text, "\n");
        indentation(indent, text);
        goss_buf_str(text, " | ");
        nullable_type(j, k, indent + 3, text);
        variant_comment(j, k, 1, 1, text);
    }
}

/* The names of a "type" that is an array; 0 when there are none. */
static int listed_types(const goss_json *j, int types, goss_buf *text) {
    int n = 0;
    for (int k = goss_json_first(j, types); k >= 0; k = goss_json_next(j, k)) {
        if (!is_string(j, k)) continue;
        if (n++) goss_buf_str(text, " | ");
        if (goss_json_is(j, k, "integer"))
            goss_buf_str(text, "number");
        else
            goss_json_string(j, k, text);
    }
    return n;
}

static void string_type(const goss_json *j, int schema, goss_buf *text) {
    int n = 0;
    const int values = goss_json_get(j, schema, "enum");
    for (int k = is_array(j, values) ? goss_json_first(j, values) : -1; k >= 0; k = goss_json_next(j, k)) {
        if (!is_string(j, k)) continue;
        goss_buf_str(text, n++ ? " | \"" : "\"");
        goss_json_string(j, k, text);
        goss_buf_str(text, "\"");
    }
    if (!n) goss_buf_str(text, "string");
}

static int same_string(const goss_json *j, int a, int b) {
    if (!is_string(j, a) || !is_string(j, b)) return 0;
    goss_buf text = GOSS_BUF(j->n_text + 1);
    goss_json_string(j, a, &text);
    const int same = text.len == strlen(goss_buf_cstr(&text)) && goss_json_is(j, b, goss_buf_cstr(&text));
    goss_buf_free(&text);
    return same;
}

static void property_name(const goss_json *j, int key, int required, int indent, const char *after,
                          goss_buf *text) {
    int found = 0;
    for (int k = is_array(j, required) ? goss_json_first(j, required) : -1; k >= 0 && !found;
         k = goss_json_next(j, k))
        found = same_string(j, k, key);
    indentation(indent, text);
    goss_json_string(j, key, text);
    goss_buf_str(text, found ? "" : "?");
    goss_buf_str(text, after);
}

/* A property whose schema is a choice: its variants stand below it, a line each. */
static void one_of_property(const goss_json *j, int key, int value, int required, int indent,
                            goss_buf *text) {
    const int variants = goss_json_get(j, value, "oneOf"), first = goss_json_first(j, variants);
    const int description = goss_json_get(j, value, "description"),
              standard = goss_json_get(j, value, "default");
    const int repeated = same_string(j, description, goss_json_get(j, first, "description"));
    const int above = !repeated && comment(j, description, indent, "// ", "\n", text);
    if (standard >= 0) {
        indentation(indent, text);
        goss_buf_str(text, "// default: ");
        default_value(j, value, standard, text);
        goss_buf_str(text, "\n");
    }
    property_name(j, key, required, indent, ":\n", text);
    for (int k = first; k >= 0; k = goss_json_next(j, k)) {
        indentation(indent, text);
        goss_buf_str(text, " | ");
        nullable_type(j, k, indent + 3, text);
        const int same = same_string(j, description, goss_json_get(j, k, "description"));
        variant_comment(j, k, !same && !(k == first && above), 0, text);
        goss_buf_str(text, "\n");
    }
    indentation(indent, text);
    goss_buf_str(text, ",\n");
}

static void plain_property(const goss_json *j, int key, int value, int required, int indent, goss_buf *text) {
    const int standard = goss_json_get(j, value, "default");
    property_name(j, key, required, indent, ": ", text);
    nullable_type(j, value, indent + 4, text);
    goss_buf_str(text, ",");
    if (standard >= 0 && goss_json_get(j, value, "oneOf") < 0) {
        goss_buf_str(text, " // default: ");
        default_value(j, value, standard, text);
    }
    goss_buf_str(text, "\n");
}

static void property(const goss_json *j, int key, int required, int indent, goss_buf *text) {
    const int value = goss_json_next(j, key), examples = goss_json_get(j, value, "examples");
    if (comment(j, goss_json_get(j, value, "title"), indent, "// ", "\n", text)) {
        indentation(indent, text);
        goss_buf_str(text, "//\n");
    }
    if (goss_json_get(j, value, "oneOf") < 0)
        comment(j, goss_json_get(j, value, "description"), indent, "// ", "\n", text);
    if (is_array(j, examples) && goss_json_first(j, examples) >= 0) {
        indentation(indent, text);
        goss_buf_str(text, "// Examples:\n");
        for (int k = goss_json_first(j, examples); k >= 0; k = goss_json_next(j, k))
            comment(j, k, indent, "// - \"", "\"\n", text);
    }
    if (is_array(j, goss_json_get(j, value, "oneOf")))
        one_of_property(j, key, value, required, indent, text);
    else
        plain_property(j, key, value, required, indent, text);
}

static void object_type(const goss_json *j, int schema, int indent, goss_buf *text) {
    const int properties = goss_json_get(j, schema, "properties"),
              required = goss_json_get(j, schema, "required");
    comment(j, goss_json_get(j, schema, "description"), indent, "// ", "\n", text);
    goss_buf_str(text, "{\n");
    if (goss_json_kind(j, properties) == GOSS_JSON_OBJECT)
        for (int k = goss_json_first(j, properties); k >= 0; k = goss_json_next(j, goss_json_next(j, k)))
            property(j, k, required, indent, text);
    indentation(indent, text);
    goss_buf_str(text, "}");
}

void goss_harmony_type(const goss_json *j, int schema, int indent, goss_buf *text) {
    const int variants = goss_json_get(j, schema, "oneOf"), type = goss_json_get(j, schema, "type");
    const int items = goss_json_get(j, schema, "items");
    if (is_array(j, variants)) {
        one_of_type(j, variants, indent, text);
        return;
    }
    if (is_array(j, type) && listed_types(j, type, text)) return;
    if (goss_json_is(j, type, "object"))
        object_type(j, schema, indent, text);
    else if (goss_json_is(j, type, "string"))
        string_type(j, schema, text);
    else if (goss_json_is(j, type, "number") || goss_json_is(j, type, "integer"))
        goss_buf_str(text, "number");
    else if (goss_json_is(j, type, "boolean"))
        goss_buf_str(text, "boolean");
    else if (goss_json_is(j, type, "array") && items < 0)
        goss_buf_str(text, "Array<any>");
    else if (goss_json_is(j, type, "array")) {
        goss_harmony_type(j, items, indent, text);
        goss_buf_str(text, "[]");
    } else
        goss_buf_str(text, "any");
}

/* ---- the section ---- */

/* The object with name, description and parameters: OpenAI's chat API wraps it, its responses API does not.
 * -1: no function. */
static int function_of(const goss_json *j, int tool) {
    const int type = goss_json_get(j, tool, "type"), inner = goss_json_get(j, tool, "function");
    if (type >= 0 && !goss_json_is(j, type, "function")) return -1;
    return goss_json_kind(j, inner) == GOSS_JSON_OBJECT ? inner : tool;
}

int goss_harmony_count_functions(const goss_json *j, int tools) {
    int n = 0;
    for (int k = is_array(j, tools) ? goss_json_first(j, tools) : -1; k >= 0; k = goss_json_next(j, k))
        n += function_of(j, k) >= 0;
    return n;
}

/* Every line behind "// "; a line end at the very end begins no line. */
static void description_lines(const goss_json *j, int node, goss_buf *text) {
    goss_buf plain = GOSS_BUF(j->n_text + 1);
    if (is_string(j, node)) goss_json_string(j, node, &plain);
    for (size_t p = 0, e; p < plain.len; p = e + 1) {
        for (e = p; e < plain.len && plain.data[e] != '\n'; e++) {}
        const size_t n = e > p && e < plain.len && plain.data[e - 1] == '\r' ? e - p - 1 : e - p;
        goss_buf_str(text, "// ");
        goss_buf_append(text, plain.data + p, n);
        goss_buf_str(text, "\n");
    }
    goss_buf_free(&plain);
}

static int one_function(const goss_json *j, int tool, goss_buf *text, goss_error *err) {
    const int f = function_of(j, tool), name = goss_json_get(j, f, "name"),
              parameters = goss_json_get(j, f, "parameters");
    const int at = tool >= 0 ? (int)j->nodes[tool].start : -1;
    if (f < 0)
        return goss_fail(err, GOSS_EUNSUPPORTED, at,
                         "a tool is of a type other than \"function\", which is all there is here");
    if (!is_string(j, name)) return goss_fail(err, GOSS_EINVAL, at, "a tool has no name");
    description_lines(j, goss_json_get(j, f, "description"), text);
    goss_buf_str(text, "type ");
    goss_json_string(j, name, text);
    if (goss_json_kind(j, parameters) == GOSS_JSON_OBJECT) {
        goss_buf_str(text, " = (_: ");
        goss_harmony_type(j, parameters, 0, text);
        goss_buf_str(text, ") => any;\n\n");
    } else
        goss_buf_str(text, " = () => any;\n\n");
    return text->failed;
}

int goss_harmony_functions(const goss_json *j, int tools, goss_buf *text, goss_error *err) {
    goss_buf_str(text, "## functions\n\nnamespace functions {\n\n");
    for (int k = goss_json_first(j, tools); k >= 0; k = goss_json_next(j, k)) {
        int r = one_function(j, k, text, err);
        if (r) return r;
    }
    goss_buf_str(text, "} // namespace functions");
    return text->failed;
}
