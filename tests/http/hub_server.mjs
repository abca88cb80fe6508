// hub_server.mjs - a host of models for tests: the list of a repository's files, and addresses of files that
// lead to signed ones at a second origin, as the real host does. `repos` is {'OWNER/REPO': {files: {PATH:
// bytes}, gated: sentence, noSum, wrongSum}} and may be changed at any time.
import http from 'node:http';
import crypto from 'node:crypto';

export const sha = bytes => crypto.createHash('sha256').update(bytes).digest('hex');
const listen = server => new Promise(done => server.listen(0, '127.0.0.1', () =>
    done(`http://127.0.0.1:${server.address().port}`)));

// token: what gated repositories want. uses: how often a signed address works. slow: milliseconds for every
// 64 KB; onPart: called with the bytes sent so far, before each piece.
export async function startHub({ repos, token = 'hf_good', uses = Infinity, slow = 0, onPart } = {}) {
    const hub = { repos, uses, slow, onPart, asked: [], fetched: [], sent: 0 };
    const signed = new Map();

    function resolve(req, res, repo, file) {
        const bytes = repo.files[file];
        if (!bytes) { res.writeHead(404, { 'X-Error-Message': 'Entry not found' }).end('no'); return; }
        const key = crypto.randomUUID();
        signed.set(key, { bytes, left: hub.uses });
        const sum = repo.wrongSum ? sha('other') : sha(bytes);
        res.writeHead(302, { Location: `${hub.store}/blob?sig=${key}`, 'X-Repo-Commit': '1'.repeat(40),
            ...(repo.noSum ? {} : { 'X-Linked-Etag': `"${sum}"`, 'X-Linked-Size': bytes.length }) });
        res.end('Found. Redirecting to elsewhere');
    }

    const host = http.createServer((req, res) => {
        const path = decodeURIComponent(req.url.split('?')[0]);
        hub.asked.push({ path, authorization: req.headers.authorization });
        const [, api, owner, name, file] = /^(\/api\/models)?\/([^/]+)\/([^/]+)(?:\/resolve\/main\/(.+))?$/
            .exec(path) ?? [];
        const repo = hub.repos[`${owner}/${name}`];
        res.setHeader('Connection', 'close');
        if (!repo) {
            res.writeHead(401, { 'X-Error-Message': 'Invalid username or password.' }).end('no');
            return;
        }
        if (repo.gated && !api && req.headers.authorization !== `Bearer ${token}`) {
            res.writeHead(401, { 'X-Error-Code': 'GatedRepo', 'X-Error-Message': repo.gated }).end('no');
            return;
        }
        if (api) res.end(JSON.stringify({ id: `${owner}/${name}`,
            siblings: Object.keys(repo.files).map(rfilename => ({ rfilename })) }));
        else resolve(req, res, repo, file);
    });

    const store = http.createServer(async (req, res) => {
        const entry = signed.get(new URL(req.url, 'http://x').searchParams.get('sig'));
        hub.fetched.push({ authorization: req.headers.authorization, range: req.headers.range });
        if (!entry || entry.left-- <= 0) { res.writeHead(403).end('expired'); return; }
        const { bytes } = entry, m = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '');
        const from = m ? Number(m[1]) : 0;
        const to = m?.[2] ? Math.min(Number(m[2]) + 1, bytes.length) : bytes.length;
        const head = { ETag: `"${sha(bytes).slice(0, 20)}"`, 'Content-Length': to - from };
        if (m) head['Content-Range'] = `bytes ${from}-${to - 1}/${bytes.length}`;
        res.writeHead(m ? 206 : 200, head);
        for (let at = from; at < to && !res.destroyed; at += 65536) {
            hub.onPart?.(hub.sent);
            const part = bytes.subarray(at, Math.min(at + 65536, to));
            hub.sent += part.length;
            await new Promise(done => res.write(part, () => hub.slow ? setTimeout(done, hub.slow) : done()));
        }
        res.end();
    });
    hub.url = await listen(host);
    hub.store = await listen(store);
    hub.close = () => { for (const s of [host, store]) { s.closeAllConnections(); s.close(); } };
    hub.clear = () => { hub.asked.length = hub.fetched.length = 0; hub.sent = 0; };
    return hub;
}

// ---- splitting --------------------------------------------------------------------------------------------
// A GGUF file as n parts, as llama.cpp's gguf-split makes them: {NAME-00001-of-0000N.gguf: bytes}.
export function split(bytes, name, n) {
    let at = 8;
    const u64 = () => { at += 8; return Number(bytes.readBigUInt64LE(at - 8)); };
    const u32 = () => { at += 4; return bytes.readUInt32LE(at - 4); };
    const skip = n => { at += n; };
    const size = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
    const value = (type) => {
        if (type === 8) skip(u64());
        else if (type === 9) { const of = u32(); for (let i = u64(); i > 0; i--) value(of); }
        else skip(size[type]);
    };
    const nTensors = u64(), nKeys = u64(), keysFrom = at;
    for (let i = 0; i < nKeys; i++) { skip(u64()); value(u32()); }
    const keys = bytes.subarray(keysFrom, at), tensors = [];
    for (let i = 0; i < nTensors; i++) {
        const from = at;
        skip(u64());
        skip(8 * u32() + 4);
        const head = bytes.subarray(from, at);
        tensors.push({ head, offset: u64() });
    }
    const data = Math.ceil(at / 32) * 32;
    tensors.forEach((t, i) => {
        const end = i + 1 < nTensors ? data + tensors[i + 1].offset : bytes.length;
        t.bytes = bytes.subarray(data + t.offset, end);
    });
    const num = (v, b = 8) => { const o = Buffer.alloc(b); o.writeUIntLE(v, 0, Math.min(b, 6)); return o; };
    const key = (text, type, v, b) =>
        Buffer.concat([num(text.length), Buffer.from(text), num(type, 4), num(v, b)]);
    const parts = {}, each = Math.ceil(nTensors / n);
    for (let p = 0; p < n; p++) {
        const mine = tensors.slice(p * each, (p + 1) * each);
        let offset = 0;
        const list = mine.map(t => {
            const head = Buffer.concat([t.head, num(offset)]);
            offset += Math.ceil(t.bytes.length / 32) * 32;
            return head;
        });
        const head = Buffer.concat([bytes.subarray(0, 8), num(mine.length), num((p ? 0 : nKeys) + 3),
            p ? Buffer.alloc(0) : keys, key('split.no', 2, p, 2), key('split.count', 2, n, 2),
            key('split.tensors.count', 5, nTensors, 4), ...list]);
        const pad = b => Buffer.concat([b, Buffer.alloc(Math.ceil(b.length / 32) * 32 - b.length)]);
        const digits = v => String(v).padStart(5, '0');
        parts[`${name}-${digits(p + 1)}-of-${digits(n)}.gguf`] =
            Buffer.concat([pad(head), ...mine.map(t => pad(t.bytes))]);
    }
    return parts;
}
