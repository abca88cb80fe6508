// packages.mjs - for `node --import`: names of packages are looked up in the folder $CLIENTS, wherever the
// module is that asks for them (tests/npm_cached.sh fills it).
import { registerHooks } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const from = pathToFileURL(path.join(process.env.CLIENTS, 'package.json')).href;
registerHooks({
    resolve(name, context, next) {
        const own = !name.startsWith('.') && context.parentURL?.includes('/tests/clients/');
        return next(name, own ? { ...context, parentURL: from } : context);
    },
});
