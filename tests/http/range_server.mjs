// range_server.mjs - an HTTP server that serves one folder well and badly. /MODE/FILE, where MODE is one of
// those below. GET /log gives the requests so far: [{mode, file, range, ifRange, status}].
import http from 'node:http';
import https from 'node:https';
import fs from 'node:fs';
import path from 'node:path';
import crypto from 'node:crypto';

const modes = {
    ok: {},                                   // 206 and 416, an ETag, If-Range
    noetag: { noEtag: true },
    norange: { noRange: true },               // always the whole file
    chunked: { noRange: true, noLength: true },
    nosize: { noTotal: true },                // Content-Range: bytes a-b/*
    wrong: { shift: 5 },                      // another range than asked for
    extra: { extra: 1000 },                   // more bytes than asked for
    changing: { changing: true },             // another ETag each time
    flaky: { failEvery: 2 },                  // 503 every second time
    busy: { status: 503 },
    missing: { status: 404 },
    private: { status: 403 },
    redirect: { to: '/ok/' },
    down: { down: true },                     // from https to http
    loop: { to: '/loop/' },
    cut: { cutAfter: 100000 },                // every body is cut there
    cutonce: { cutAfter: 100000, times: 1 },  // only the first one
    replaced: { cutAfter: 100000, times: 1, newEtagAfter: 1 },
};

// Another model of the same size.
export const flip = bytes => Buffer.from(bytes.map((b, i) => i < bytes.length / 2 ? b : b ^ 255));

// secure: {key, cert} for https; plain: where /down/FILE redirects to.
export function start(folder, { secure, plain } = {}) {
    const log = [];
    const counts = new Map();

    function answer(req, res, mode, file) {
        const m = modes[mode], key = mode + '/' + file;
        const n = (counts.get(key) ?? 0) + 1;
        counts.set(key, n);
        const entry = { mode, file, range: req.headers.range, ifRange: req.headers['if-range'], status: 0 };
        log.push(entry);
        const end = (status, headers, body) => {
            entry.status = status;
            res.writeHead(status, headers);
            res.end(body);
        };
        if (m.status) return end(m.status, {}, 'no');
        if (m.failEvery && n % m.failEvery === 1) return end(503, {}, 'later');
        if (m.down) return end(302, { Location: `${plain}/ok/${file}` });
        if (m.to) return end(302, { Location: m.to + file });
        const full = path.join(folder, path.basename(file));
        if (!fs.existsSync(full)) return end(404, {}, 'no such file');
        let bytes = fs.readFileSync(full);
        let etag = '"' + crypto.createHash('sha256').update(bytes).digest('hex').slice(0, 16) + '"';
        if (m.changing) etag = `"${n}"`;
        if (m.newEtagAfter && n > m.newEtagAfter) {
            bytes = flip(bytes);
            etag = '"new"';
        }
        const headers = m.noEtag ? {} : { ETag: etag };
        const want = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '');
        const ranged = want && !m.noRange && (!req.headers['if-range'] || req.headers['if-range'] === etag);
        let from = 0, to = bytes.length;
        if (ranged) {
            from = Number(want[1]);
            to = Math.min(bytes.length, want[2] === '' ? bytes.length : Number(want[2]) + 1);
            if (from >= bytes.length) return end(416, { 'Content-Range': `bytes */${bytes.length}` });
            headers['Content-Range'] =
                `bytes ${from + (m.shift ?? 0)}-${to - 1}/${m.noTotal ? '*' : bytes.length}`;
        }
        let body = bytes.subarray(from, to);
        if (m.extra) body = Buffer.concat([body, Buffer.alloc(m.extra)]);
        if (!m.noLength) headers['Content-Length'] = body.length;
        entry.status = ranged ? 206 : 200;
        res.writeHead(entry.status, headers);
        if (m.cutAfter && body.length > m.cutAfter && !(m.times && n > m.times))
            res.write(body.subarray(0, m.cutAfter), () => setTimeout(() => res.destroy(), 20));
        else
            res.end(body);
    }

    const serve = (req, res) => {
        const [, mode, file] = decodeURIComponent(req.url.split('?')[0]).split('/');
        if (mode === 'log') { res.end(JSON.stringify(log)); return; }
        if (!modes[mode]) { res.writeHead(404); res.end(); return; }
        answer(req, res, mode, file);
    };
    const server = secure ? https.createServer(secure, serve) : http.createServer(serve);
    return new Promise(done => server.listen(0, '127.0.0.1', () => done({
        url: `${secure ? 'https' : 'http'}://127.0.0.1:${server.address().port}`, log,
        close: () => { server.closeAllConnections(); server.close(); },
    })));
}
