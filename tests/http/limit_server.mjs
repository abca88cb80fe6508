// limit_server.mjs FILE MB_PER_S [PORT] - serves one file by Range over a link that carries so many million
// bytes a second, shared by all connections. Prints its URL; GET /log gives the number of body bytes and the
// requests sent so far.
import http from 'node:http';
import fs from 'node:fs';
import path from 'node:path';

const [file, rate, port] = [process.argv[2], Number(process.argv[3]) * 1e6, Number(process.argv[4] ?? 0)];
const fd = fs.openSync(file, 'r'), size = fs.fstatSync(fd).size,
    etag = `"${size}-${fs.fstatSync(fd).mtimeMs}"`;
const PIECE = 1 << 18;
// free: when the link has carried what was given to it
let sent = 0, requests = 0, free = performance.now();

async function answer(req, res) {
    if (req.url === '/log') return res.end(JSON.stringify({ sent, requests }));
    const want = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '');
    const from = want ? Number(want[1]) : 0,
        to = want && want[2] !== '' ? Math.min(size, Number(want[2]) + 1) : size;
    requests++;
    res.writeHead(want ? 206 : 200, { ETag: etag, 'Content-Length': to - from,
        ...(want && { 'Content-Range': `bytes ${from}-${to - 1}/${size}` }) });
    for (let at = from; at < to && !res.destroyed;) {
        const n = Math.min(PIECE, to - at), now = performance.now();
        free = Math.max(free, now - 20) + n / rate * 1000;
        if (free > now + 5) await new Promise(go => setTimeout(go, free - now));
        const bytes = Buffer.allocUnsafe(n);
        fs.readSync(fd, bytes, 0, n, at);
        at += n;
        sent += n;
        if (!res.write(bytes)) await new Promise(go => { res.once('drain', go); res.once('close', go); });
    }
    res.end();
}

const server = http.createServer((req, res) => { answer(req, res).catch(() => res.destroy()); });
server.listen(port, '127.0.0.1',
    () => console.log(`http://127.0.0.1:${server.address().port}/${path.basename(file)}`));
