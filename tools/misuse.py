#!/usr/bin/env python3
"""misuse.py HEADER - every public call with each of its arguments spoilt, as C for tests/unit/test_misuse.c.

A pointer becomes NULL, a count -1 and the least int; the others are good ones, by their types and names. An argument
for which no good one is known here stops the build: whoever adds a call says what a good one is. In the structs that
callers fill, each int becomes -1 and the least int, and each list is missing beside a count of 3.
"""
import re
import sys

# By type and name; a value is an expression of test_misuse.c.
GOOD = {
    'goss_engine * engine': 'g->engine', 'goss_engine ** out': '&other', 'goss_engine ** engine': '&other',
    'goss_session * session': 'g->session', 'goss_session * from': 'g->session',
    'goss_session ** out': '&another', 'goss_session ** session': '&another',
    'char * schema': '"{}"', 'goss_schema_report * report': '&report',
    'goss_schemas ** out': '&schemas', 'goss_schemas ** schemas': '&schemas',
    'goss_engine_config * config': '&g->config', 'goss_error * err': '&err', 'goss_model_info * out': '&info',
    'goss_model_info * model': '&info', 'goss_stats * out': '&stats', 'goss_plan_info * plan': '&plan',
    'goss_lens_row * rows': 'lens', 'goss_rows * rows': '&told_rows', 'float * weights': 'g->logits', 'goss_record_config * config': '&record',
    'goss_ring * ring': '&ring', 'goss_event * event': '&event', 'goss_params * params': '&g->params', 'char * prompt': '"Once"',
    'goss_conversation * conversation': '&g->talk', 'char * recipient': '"functions.a"',
    'goss_str reasoning': '(goss_str){ "a", 1 }', 'goss_str answer': '(goss_str){ "a", 1 }',
    'char * path': 'GOSS_TEST_MODEL', 'char * folder': '"models"', 'char * json': 'chat', 'char * text': 'text',
    'char * out': 'text', 'char * stage': '"probe"', 'char * status': '"completed"', 'char * detail': '""',
    'int32_t * ids': 'ids', 'float * logits': 'g->logits', 'float * out': 'g->logits', 'int pooling': '0', 'goss_trace_fn fn': 'on_trace', 'goss_parity_fn fn': 'on_parity', 'void * ctx': 'g',
    'goss_token_fn on_token': 'on_token', 'goss_telemetry_fn on_telemetry': 'on_telemetry',
    'int (*on_text)(void *ctx, const char *text, int n)': 'on_text',
    'void (*on_model)(void *ctx, const char *path, const goss_model_info *info)': 'on_model',
    'int code': '0', 'int timeout_ms': '0', 'unsigned mask': '0', 'int layer': '0', 'int head': '0',
    'uint64_t tag': '0', 'int status': '0', 'unsigned flags': '0', 'size_t n': '2', 'int cap': '4', 'int n': '2',
    'int n_ids': '2', 'int chunk': '0', 'int all': '0',
}
# what may be missing, or be any number: the call does something useful all the same
FREE = ('err', 'params', 'ctx', 'on_token', 'on_telemetry', 'detail', 'model', 'plan', 'code', 'timeout_ms', 'chunk',
        'all', 'status', 'report')
FREE_CALLS = ('goss_session_fork n', 'goss_session_event event', 'goss_session_event session', 'goss_engine_state engine',
              'goss_schema_check engine', 'goss_engine_record config', 'goss_rows_take rows',
              'goss_attention head')


def split(text):
    """Parameters at commas outside parentheses."""
    parts, depth, now = [], 0, ''
    for c in text:
        depth += (c == '(') - (c == ')')
        if c == ',' and not depth:
            parts.append(now.strip())
            now = ''
        else:
            now += c
    return parts + [now.strip()]


def key_of(parameter):
    if '(' in parameter:
        return parameter
    return re.sub(r'\s+', ' ', re.sub(r'(\*+)', r' \1 ', parameter.replace('const ', ''))).strip()


def name_of(parameter):
    return re.search(r'\(\*(\w+)\)|(\w+)$', parameter).group(1) or re.search(r'(\w+)$', parameter).group(1)


def calls(header):
    for result, name, parameters in re.findall(r'GOSS_API ([\w ]+?[ *]+)(goss_\w+)\((.*?)\);', header, re.S):
        parameters = re.sub(r'\s+', ' ', parameters)
        if parameters != 'void':
            yield result.strip(), name, split(parameters)


def spoilt(parameter):
    key = key_of(parameter)
    if '*' in key or key.split()[0].endswith('_fn'):
        return ['NULL']
    return ['-1', 'INT_MIN'] if key.startswith('int ') else ['SIZE_MAX'] if key.startswith('size_t ') else []


def show_calls(header):
    for result, name, parameters in calls(header):
        for parameter in parameters:
            if key_of(parameter) not in GOOD:
                sys.exit(f'misuse.py: {name}: what is a good "{key_of(parameter)}"?')
        for i, parameter in enumerate(parameters):
            for bad in spoilt(parameter):
                if bad == 'SIZE_MAX':
                    continue            # no pointer has so many bytes behind it
                arguments = ', '.join(bad if j == i else GOOD[key_of(p)] for j, p in enumerate(parameters))
                word = name_of(parameter)
                free = word in FREE or f'{name} {word}' in FREE_CALLS
                kind = 'MAY' if free or result != 'int' else 'MUST_FAIL'
                print(f'{kind}("{name}: {word} is {bad}", {name}({arguments}))')


def show_fields(header, struct, use):
    body = re.search(r'typedef struct ' + struct + r' \{(.*?)\n\} ' + struct + ';', header, re.S).group(1)
    body = re.sub(r'/\*.*?\*/', '', body, flags=re.S)
    for names in re.findall(r'\bint ([\w, ]+);', body):
        for field in names.split(','):
            for bad in ('-1', 'INT_MIN'):
                print(f'MAY("{struct}: {field.strip()} is {bad}", ({use[0]}.{field.strip()} = {bad}, {use[1]}))')
    for field in re.findall(r'\b(n_\w+);', body):
        if re.search(r'\*\s*' + field[2:] + r'\b|\*' + field[2:], body):
            print(f'MUST_FAIL("{struct}: {field} without {field[2:]}", ({use[0]}.{field} = 3, {use[1]}))')


def main():
    with open(sys.argv[1], encoding='utf-8') as file:
        header = file.read()
    plain = re.sub(r'/\*.*?\*/', '', header, flags=re.S)
    show_calls(plain)
    show_fields(plain, 'goss_engine_config', ('g->config', 'goss_engine_open(&other, &g->config, &err)'))
    show_fields(plain, 'goss_engine_config', ('g->config', 'goss_plan(&g->config, &info, &plan, &err)'))
    show_fields(plain, 'goss_conversation',
                ('g->talk', 'goss_conversation_render(g->engine, &g->talk, ids, 4, &err)'))
    show_fields(plain, 'goss_params',
                ('g->params', 'run(g, goss_session_prompt(g->session, ids, 2, &g->params, &err))'))


main()
