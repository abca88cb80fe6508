// programs.mjs - what the tests of programs share: a toy repository, a home that knows nothing, and a program
// run in them to its end.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const packages = path.join(process.env.PROGRAMS, 'node_modules');

// {dir, home, remove()}: a folder with one file, hello.py, and an empty home.
export function toy() {
    const root = mkdtempSync(path.join(os.tmpdir(), 'gossamer-toy-'));
    const dir = path.join(root, 'toy'), home = path.join(root, 'home');
    mkdirSync(dir);
    mkdirSync(home);
    writeFileSync(path.join(dir, 'hello.py'), 'print("a zebra says hello")\n');
    return { dir, home, remove: () => rmSync(root, { recursive: true, force: true, maxRetries: 5 }) };
}

// Runs a program in the toy with nothing of this machine's environment but PATH. {code, out, err}; code is
// null when it took longer than it may.
export function runs(at, command, args, env = {}, seconds = 500) {
    return new Promise((done) => {
        const child = spawn(command, args, { cwd: at.dir, detached: true, stdio: ['ignore', 'pipe', 'pipe'],
            env: { PATH: process.env.PATH, HOME: at.home, TERM: 'dumb', NO_COLOR: '1', CI: '1', ...env } });
        let out = '', err = '';
        child.stdout.on('data', (d) => { out += d; });
        child.stderr.on('data', (d) => { err += d; });
        const end = () => { try { process.kill(-child.pid,
            'SIGKILL'); } catch { /* all of it has ended */ } };
        const timer = setTimeout(end, 1000 * seconds);
        child.on('exit', (code) => { clearTimeout(timer); end(); setImmediate(() => done({ code, out,
            err })); });
    });
}
