// manifest_test.mjs - examples/scale without a cluster: each object of kubernetes.yaml is checked against
// Kubernetes' own types (npm's kubernetes-types, by tsc: no unknown field, no wrong type, none missing), its
// arguments and configurations by the programs that take them. $PACKAGES has the npm packages.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { assert, finish, program, root, run, skip, test } from '../http/lib.mjs';
import { folder, hasProxy } from './replicas.mjs';

const scale = path.join(root, 'examples/scale'), read = (f) => fs.readFileSync(path.join(scale, f), 'utf8');
const packages = process.env.PACKAGES;
if (!packages) skip('manifest', 'npm could not install kubernetes-types and yaml');
else {
    const yaml = createRequire(path.join(packages, 'x.js'))('yaml');
    const objects = yaml.parseAllDocuments(read('kubernetes.yaml')).map((d) => {
        assert.deepEqual(d.errors, []);
        return d.toJS();
    });
    const of = (kind, name) => objects.find((o) => o.kind === kind && o.metadata.name === name);
    // What tsc says about objects as Kubernetes' types.
    const check = (list) => {
        const file = path.join(folder, 'manifest.ts');
        fs.writeFileSync(file, list.map((o, i) => {
            const [group, version] = o.apiVersion.includes('/') ? o.apiVersion.split('/')
                : ['core', o.apiVersion];
            return `import type { ${o.kind} as T${i} } from 'kubernetes-types/${group}/${version}';\n` +
                `export const o${i}: T${i} = ${JSON.stringify(o)};\n`;
        }).join(''));
        fs.writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { strict: true,
            noEmit: true, module: 'nodenext', target: 'esnext', types: [],
            paths: { 'kubernetes-types/*': [path.join(packages, 'node_modules/kubernetes-types/*.d.ts')] } },
        files: ['manifest.ts'] }));
        return spawnSync(process.execPath, [path.join(root, 'node_modules/typescript/bin/tsc'), '-p', folder],
            { encoding: 'utf8' }).stdout;
    };
    await test('the manifest has Kubernetes\' types', () => {
        assert.equal(objects.length, 6);
        assert.equal(check(objects), '');
    });
    await test('the check finds what is wrong', () => {
        const bad = (change, words) => {
            const o = structuredClone(of('Deployment', 'gossamer'));
            change(o.spec.template.spec);
            assert.match(check([o]), words);
        };
        bad((s) => { s.containers[0].readynessProbe = {}; }, /readynessProbe/);
        bad((s) => { s.terminationGracePeriodSeconds = '150'; }, /string/);
        bad((s) => { delete s.containers[0].readinessProbe.httpGet.port; }, /port/);
        bad((s) => { s.containers[0].resources.limits.memory = 24; }, /number/);
    });
    await test('names, ports and times agree; the program takes the arguments', async () => {
        const pod = of('Deployment', 'gossamer').spec.template, [server] = pod.spec.containers;
        const args = server.args.filter((a) => !/^(--api-key-file|\/)/.test(a));
        const r = await run(['serve', ...args, '--help']);
        assert.equal(r.code, 0, r.err);
        const drain = Number(server.args.find((a) => a.startsWith('--drain=')).slice(8));
        const pause = server.lifecycle.preStop.sleep.seconds;
        assert.ok(pod.spec.terminationGracePeriodSeconds >= drain + pause + 10);
        const volumes = pod.spec.volumes.map((v) => v.name).sort();
        assert.deepEqual(server.volumeMounts.map((m) => m.name).sort(), volumes);
        for (const [service, app] of [['gossamer-replicas', 'gossamer'], ['gossamer', 'gossamer-proxy']]) {
            const labels = of('Deployment', app).spec.template.metadata.labels;
            assert.equal(of('Service', service).spec.selector.app, labels.app);
        }
        const target = of('HorizontalPodAutoscaler', 'gossamer').spec;
        assert.ok(of(target.scaleTargetRef.kind, target.scaleTargetRef.name));
        const metric = target.metrics[0].pods.metric.name.replace('gossamer_', '');
        const metrics = fs.readFileSync(path.join(root, 'app/server/metrics.c'), 'utf8');
        assert.ok(metrics.includes(`"${metric}"`));
    });
}
if (!hasProxy()) skip('kubernetes.cfg', 'haproxy (2.6 or later) is not installed');
else await test('haproxy takes both configurations', () => {
    const file = path.join(folder, 'kubernetes.cfg');
    fs.writeFileSync(file, read('haproxy.cfg').replace(/^ {4}server .*\n/gm, '') + read('kubernetes.cfg'));
    for (const f of [file, path.join(scale, 'haproxy.cfg')])
        execFileSync('haproxy', ['-c', '-f', f], { stdio: 'pipe', cwd: root,
            env: { ...process.env, GOSSAMER_SCALE: scale, GOSSAMER_SOCKET: path.join(folder, 's') } });
});
if (spawnSync('systemd-analyze', ['--version']).status !== 0) skip('units', 'there is no systemd-analyze');
else await test('systemd takes the units', () => {
    for (const [from, to] of [['scale/gossamer@.service', 'gossamer@8081.service'],
        ['gossamer.service', 'gossamer.service']]) {
        const text = fs.readFileSync(path.join(root, 'examples', from), 'utf8');
        fs.writeFileSync(path.join(folder, to), text.replaceAll('/usr/local/bin/gossamer', program));
        const r = spawnSync('systemd-analyze', ['verify', path.join(folder, to)], { encoding: 'utf8' });
        assert.deepEqual([r.status, r.stderr], [0, '']);
    }
});
finish();
