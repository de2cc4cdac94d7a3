// secrets.test.mjs - an API key appears nowhere: not on stdout, not on stderr however much is logged, not in what is kept on
// disk; also where a server sends it back.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { startModel } from './support/model.mjs';
import { limit, place, plait, run } from './support/plait.mjs';
import { ask, once } from './support/run.mjs';
import { json, startServer } from './support/server.mjs';

const canary = 'sk-canary-7f3a9c51e2d84b06';
const spellings = [canary, Buffer.from(canary).toString('base64').replace(/=+$/, ''), encodeURIComponent(canary), canary.slice(4)];

// Every file below a folder holds no spelling of the key.
function searchFiles(dir) {
    let searched = 0;
    for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
        const file = path.join(dir, entry.name);
        if (entry.isDirectory()) {
            searched += searchFiles(file);
        } else {
            const content = fs.readFileSync(file);
            for (const spelling of spellings) assert.equal(content.indexOf(spelling), -1, `${file} holds ${spelling}`);
            searched++;
        }
    }
    return searched;
}

function searchResult(result) {
    for (const spelling of spellings) {
        assert.ok(!result.out.includes(spelling), `stdout holds ${spelling}`);
        assert.ok(!result.err.includes(spelling), `stderr holds ${spelling}: ${result.err}`);
    }
}

const steps = {
    good: ask('mock', 'good'),
    fan: {
        join: 'settled',
        parallel: {
            branches: {
                reset: ask('mock-reset', 'reset'),
                wrong: ask('mock-s401', 'wrong'),
                limited: ask('mock-s429-retryafter100ms-okafter1', 'limited'),
                garbage: ask('mock-garbage', 'garbage'),
            },
        },
    },
};

test('a key from the environment is nowhere after good calls, failed calls and debug logs', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t, { key: canary });
    const file = home.file('w.json', once(steps));
    for (const more of [['--json'], [], ['--db', 'sqlite:state/own.db']]) {
        fs.mkdirSync(home.state, { recursive: true });
        const result = await run(t, home, ['run', file, '--log-level', 'debug', ...more], { env: model.env });
        assert.equal(result.code, 0, result.err);
        searchResult(result);
    }
    assert.ok((await model.allCalls()).some((call) => call.status === 200), 'the key was sent');
    assert.ok(searchFiles(home.state) >= 2);
});

test('a key a server sends back in its error is struck out', limit, async (t) => {
    const home = place(t);
    const server = await startServer(t, (request, response) =>
        json(response, 401, { error: { message: `Incorrect API key provided: ${request.headers.authorization.slice(7)}. Try again.`, code: 'invalid_api_key' } }));
    const env = { OPENAI_BASE_URL: `${server.url}/v1`, OPENAI_API_KEY: canary };
    const result = await run(t, home, ['run', home.file('w.json', once({ a: ask('m', 'x') })), '--json', '--log-level', 'debug'], { env });
    assert.equal(result.code, 1);
    assert.match(result.out, /Incorrect API key provided: \*/);
    searchResult(result);
    searchFiles(home.state);
});

test('keys of the configuration are nowhere either', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t, { key: canary });
    home.file('key', `${canary}\n`);
    for (const provider of [`{base_url: "${model.url}/v1", api_key: "\${THE_KEY}"}`, `{base_url: "${model.url}/v1", api_key_file: ${home.path('key')}}`]) {
        const config = home.file('config.yaml', `providers: {openai: ${provider}}\n`);
        const result = await run(t, home, ['run', home.file('w.json', once({ a: ask('mock', 'x') })), '--json', '--config', config, '--log-level', 'debug'], { env: { THE_KEY: canary } });
        assert.equal(result.code, 0, result.err);
        searchResult(result);
    }
    const broken = home.file('broken.yaml', `providers: {openai: {api_key: "${canary}", api_kye: "${canary}"}}\n`);
    const result = await run(t, home, ['run', home.path('w.json'), '--config', broken]);
    assert.equal(result.code, 2);
    searchResult(result);
    searchFiles(home.state);
});

test('an expression cannot read the environment', limit, async (t) => {
    const home = place(t);
    for (const text of ['${ env.OPENAI_API_KEY }', '${ $ENV.OPENAI_API_KEY }', '${ .env }', '${ .run.env }']) {
        const result = await run(t, home, ['run', home.file('w.json', { steps: { a: { reduce: text } } })], { env: { OPENAI_API_KEY: canary } });
        assert.notEqual(result.code, 0, text);
        searchResult(result);
    }
});

test('after kill -9 the key is not in what is left behind', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t, { key: canary });
    const process = plait(t, home, ['run', home.file('w.json', once({ a: ask('mock', 'a'), b: ask('mock-hang', 'b') })), '--log-level', 'debug'], { env: model.env });
    await process.said(/^run run_\w+$/m);
    await process.said(/\ba\b.*\bdone\b/);
    process.kill();
    searchResult(await process.done);
    assert.ok(searchFiles(home.state) >= 2);
});

test('check with a configuration knows which secrets there are, without one it takes any name', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.yaml', 'steps:\n  a:\n    http: {url: "https://crm.example/", auth: {header: X-Key, secret: cmr}}\n');
    const config = home.file('c.yaml', `secrets: {crm: {value: "${canary}", origins: ["https://crm.example"]}}\n`);
    assert.equal((await run(t, home, ['check', file])).code, 0);
    const result = await run(t, home, ['check', file, '--config', config]);
    assert.equal(result.code, 2);
    assert.match(result.out, /w\.yaml:3:\d+ \/steps\/a\/http\/auth\/secret: there is no secret 'cmr' in the configuration; did you mean 'crm'\?/);
    searchResult(result);
    const refused = await run(t, home, ['run', file, '--config', config]);
    assert.equal(refused.code, 2);
});
