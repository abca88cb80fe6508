#!/usr/bin/env python3
"""recursion.py - every recursion in src and app/, from the compiler's own call graph (gcc -fcallgraph-info).

No request, schema or file may choose how deep the stack grows. So each function that can reach itself is
listed below with what bounds its depth; one that is not, and one that no longer recurses, is an error.
Calls through pointers are not seen, and the kernels (src/cpu/kern*.c, arithmetic over arrays) are left out. Exit status 1 when something is wrong."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ['-std=c11', '-O0', '-w', '-D_DEFAULT_SOURCE', '-Iinclude', '-Isrc', '-Iapp', '-I.', '-fcallgraph-info', '-c']

# A name that any function of the circle has, and what bounds the circle's depth.
BOUNDED = {
    'utf8_range': 'bytes of a character: 4 (automaton.c)',
    'look_within': 'bytes of a character: 3 behind the first (outlook.c)',
    'emit': "nesting of a pattern's groups: MAX_NEST of regex.c",
    'parse_either': "nesting of a pattern's groups: MAX_NEST of regex.c",
    'run': 'branches of a schema: MAX_BRANCHES of expand.c',
    'apart': 'objects within objects: 4 (expand.c)',
    'compile_apart': 'lists of values within lists of values: MAX_APART of schema.c',
    'goss_job_equal': "nesting of JSON: the parser's 64",
    'goss_part_value': 'itself once: its node is known before its parts are made (parts.c)',
    'goss_harmony_type': 'nesting of JSON: 64, in goss_chat_render (harmony_tools.c)',
    'read_one': 'a namespace in a namespace is refused (server/tools.c)',
    'walk': 'folders of the page: MAX_DEPTH of server/files.c',
    'expand_file': 'our own kernels, and MAX_NEST of shader.c',
}


def mpi_flags():
    """Where mpi.h is; None: it is not installed, and what includes it is not built here."""
    if not shutil.which('mpicc'):
        return None
    return subprocess.run(['mpicc', '--showme:compile'], capture_output=True, text=True, check=True).stdout.split()


MPI = mpi_flags()


def sources():
    for top in ('src', 'app'):
        for path in sorted((ROOT / top).rglob('*.c')):
            name = str(path.relative_to(ROOT))
            if not re.search(r'wasm|macos|_arm|cpu/kern|/module/', name) and (MPI is not None or 'app/ring/' not in name):
                yield path


def calls_of(path, folder):
    """The edges (caller, callee) of one file; statics are told apart by their file."""
    out = Path(folder) / (str(path.relative_to(ROOT)).replace('/', '-') + '.o')
    cc = os.environ.get('CC', 'gcc')
    run = subprocess.run([cc, *FLAGS, *(MPI or []), str(path.relative_to(ROOT)), '-o', str(out)], cwd=ROOT,
                         env={**os.environ, 'CCACHE_DISABLE': '1'}, capture_output=True, text=True)
    info = out.with_suffix('.ci')
    if run.returncode or not info.exists():
        sys.exit(f'{path}: {run.stderr or "no call graph: gcc 10 or later is needed"}')
    return re.findall(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', info.read_text())


def circles(edges):
    """Strongly connected parts that hold a circle (Tarjan, without recursion)."""
    graph = {}
    for a, b in edges:
        graph.setdefault(a, set()).add(b)
        graph.setdefault(b, set())
    number, low, on, stack, found = {}, {}, set(), [], []
    for root in sorted(graph):
        if root in number:
            continue
        work = [(root, iter(sorted(graph[root])))]
        number[root] = low[root] = len(number)
        stack.append(root)
        on.add(root)
        while work:
            node, rest = work[-1]
            for to in rest:
                if to not in number:
                    number[to] = low[to] = len(number)
                    stack.append(to)
                    on.add(to)
                    work.append((to, iter(sorted(graph[to]))))
                    break
                if to in on:
                    low[node] = min(low[node], number[to])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    part = []
                    while not part or part[-1] != node:
                        part.append(stack.pop())
                        on.discard(part[-1])
                    if len(part) > 1 or node in graph[node]:
                        found.append(sorted(p.split(':')[-1] for p in part))
    return found


def main():
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        edges = [e for part in pool.map(lambda p: calls_of(p, folder), sources()) for e in part]
    bad, known = 0, set()
    found = circles(edges)
    for part in found:
        reasons = [name for name in part if name in BOUNDED]
        known.update(reasons)
        if not reasons:
            print('recursion without a bound that tools/recursion.py knows: ' + ' '.join(part))
            bad += 1
    for name in sorted(set(BOUNDED) - known):
        print(f'tools/recursion.py lists {name}, which does not recurse')
        bad += 1
    print(f'recursion: {len(found) - bad if bad < len(found) else 0} passed, {bad} failed')
    return bad > 0


sys.exit(main())
