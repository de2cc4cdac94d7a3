// secrets.test.mjs - keys of providers and secrets of the configuration are in no answer, event, log, file or jq worker, also
// where a server sends them back: searched after a run with canaries. And where a secret goes: to its origins, once.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { folder, limit } from '../cli/support/plait.mjs';
import { json, startServer } from '../cli/support/server.mjs';
import { openEvents, readAll } from './support/events.mjs';
import { startService } from './support/service.mjs';

const canary = (name) => `sk-canary-${name}/${Buffer.from(name).toString('hex')}+9c51e2d84b06`;
const keys = Object.fromEntries(['openai', 'anthropic', 'gemini', 'configured', 'bearer', 'header', 'file'].map((name) => [name, canary(name)]));
const spellings = Object.values(keys).flatMap((key) => [key, encodeURIComponent(key), JSON.stringify(key).slice(1, -1), key.replaceAll('/', '\\/'), Buffer.from(key).toString('base64').replace(/=+$/, ''), key.slice(10)]);

function search(where, content) {
    for (const spelling of spellings) assert.equal(content.indexOf(spelling), -1, `${where} holds ${spelling}`);
}

function searchFiles(dir, except) {
    let searched = 0;
    for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
        const file = path.join(dir, entry.name);
        if (entry.isDirectory()) searched += searchFiles(file, except);
        else if (!except.includes(file)) {
            search(file, fs.readFileSync(file));
            searched++;
        }
    }
    return searched;
}

const children = (pid) => fs.readdirSync(`/proc/${pid}/task`).flatMap((task) => fs.readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean)).map(Number);

// All memory of a process that can be read; null when this user may not.
function memory(pid) {
    const pieces = [];
    let file;
    try {
        file = fs.openSync(`/proc/${pid}/mem`, 'r');
    } catch {
        return null;
    }
    for (const line of fs.readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
        const found = line.match(/^([0-9a-f]+)-([0-9a-f]+) r/);
        if (!found || /\[v(var|syscall)/.test(line)) continue;
        const from = BigInt(`0x${found[1]}`);
        const size = Number(BigInt(`0x${found[2]}`) - from);
        if (size > 256 << 20 || from > 0x7fffffffffffn) continue;
        const piece = Buffer.alloc(size);
        try {
            fs.readSync(file, piece, 0, size, from);
            pieces.push(piece);
        } catch {} // given back meanwhile
    }
    fs.closeSync(file);
    return Buffer.concat(pieces);
}

// A model that streams the key it was sent, cut in the middle.
function stream(response, key) {
    const delta = (content) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`;
    const half = key.length >> 1;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const piece of ['you ', `sent ${key.slice(0, half)}`, `${key.slice(half)}.`]) response.write(delta(piece));
    response.end(`data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}\n\ndata: [DONE]\n\n`);
}

// A server that says everything it was sent again, wherever it can.
function echo(request, response) {
    const said = request.headers['authorization'] ?? request.headers['x-api-key'] ?? request.headers['x-goog-api-key'] ?? 'nothing';
    const key = said.replace(/^Bearer /, '');
    if (request.url.startsWith('/error/said')) stream(response, key);
    else if (request.url.startsWith('/error')) json(response, 401, { error: { message: `Incorrect API key provided: ${key}`, type: 'auth', code: 'invalid_api_key' } });
    else if (request.url.startsWith('/text')) response.writeHead(500, { 'content-type': 'text/plain' }).end(`bad ${key} and ${encodeURIComponent(key)}`);
    else if (request.url.startsWith('/moved')) response.writeHead(302, { location: `http://${Buffer.from(key).toString('hex').slice(0, 20)}.invalid/${key}` }).end(key);
    else json(response, 200, { headers: request.headers, escaped: key, url: `https://x/?k=${encodeURIComponent(key)}`, b64: Buffer.from(key).toString('base64') }, { 'x-echo': key, 'set-cookie': `k=${key}` });
}

async function start(t, more = {}) {
    const server = await startServer(t, echo);
    const dir = folder(t);
    const file = path.join(dir, 'secret');
    const config = path.join(dir, 'config.yaml');
    fs.writeFileSync(file, `${keys.file}\n`);
    fs.writeFileSync(config, `
providers:
  own: {kind: openai, base_url: "${server.url}/error/v1", api_key: "\${OWN_KEY}"}
  said: {kind: openai, base_url: "${server.url}/error/said", api_key: "\${OWN_KEY}"}
secrets:
  bearer: {value: "\${BEARER}", origins: ["${server.url}"]}
  header: {value: "\${HEADER}", origins: ["https://elsewhere.example", "${server.url}/"]}
  filed: {value_file: "${file}", origins: ["${server.url}"]}
  bound: {value: "bound to another place", origins: ["https://crm.example"]}
network: {allow_private: ["127.0.0.1:${server.port}"]}
`);
    const service = await startService(t, {
        args: ['--config', config, '--log-level', 'debug'],
        env: {
            OPENAI_API_KEY: keys.openai, OPENAI_BASE_URL: `${server.url}/error/v1`, ANTHROPIC_API_KEY: keys.anthropic, ANTHROPIC_BASE_URL: `${server.url}/error`,
            GEMINI_API_KEY: keys.gemini, GEMINI_BASE_URL: `${server.url}/error`, OWN_KEY: keys.configured, BEARER: keys.bearer, HEADER: keys.header,
        },
        ...more,
    });
    return { server, service, files: [file, config] };
}

test('canary keys are in no answer, event, log, database file or jq worker', limit, async (t) => {
    const { server, service, files } = await start(t);
    const tool = (resource, auth, more = {}) => ({ http: { url: `${server.url}${resource}`, auth, ...more }, on_error: 'continue', retry: { attempts: 1 } });
    const steps = {
        good: tool('/good', 'bearer'), head: tool('/good', { header: 'X-Api-Key', secret: 'header' }), filed: tool('/good', 'filed', { method: 'POST', json: { a: 1 } }),
        wrong: tool('/error', 'bearer'), text: tool('/text', 'bearer'), listed: tool('/error', 'bearer', { expect: [401] }), moved: tool('/moved', 'bearer'),
        jq: { reduce: '${ [.steps.good.output, .steps.head.output, .steps.filed.output, .steps.wrong.error, .steps.text.error, .steps.listed.output] | map(tostring) | join(" ") }' },
    };
    for (const provider of ['openai', 'anthropic', 'gemini', 'own', 'said'])
        steps[`${provider}_key`] = { llm: { model: `${provider}/m`, prompt: 'x', max_tokens: 5 }, on_error: 'continue', retry: { attempts: 1 } };
    const events = await readAll(await openEvents(service.port, '/v1/runs', { json: { workflow: { name: 'canaries', steps } } }));
    const id = events[0].data.run_id;
    const run = await service.over(id);
    assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
    const all = await service.steps(id);
    const step = Object.fromEntries(all.map((one) => [one.path, one]));

    // the servers had them, so there was something to be found
    const sent = server.requests.map(({ headers }) => JSON.stringify(headers)).join();
    for (const name of Object.keys(keys)) assert.ok(sent.includes(JSON.stringify(keys[name]).slice(1, -1)), name);
    assert.equal(step.good.output.body.headers.authorization, 'Bearer ***');
    assert.equal(step.good.output.headers['x-echo'], '***');
    assert.equal(step.head.output.body.headers['x-api-key'], '***');
    assert.match(step.said_key.output, /^you sent \*+\.$/);
    const said = events.filter(({ type, data }) => type === 'step.delta' && data.path === 'said_key').map(({ data }) => data.text);
    assert.equal(said.join(''), step.said_key.output, 'the stream was masked too');
    assert.match(step.wrong.error.detail, /Incorrect API key provided: \*\*\*/);

    search('the events', JSON.stringify(events));
    search('the steps', JSON.stringify(all));
    for (const resource of [`/v1/runs/${id}`, '/v1/runs', '/metrics', '/openapi.json', '/v1/workflows', '/readyz', `/v1/runs/${id}/events?after=0`, '/v1/models'])
        search(resource, JSON.stringify(await service.get(resource)));
    const pid = service.process.pid;
    const workers = children(pid);
    assert.ok(workers.length > 0, 'there are jq workers');
    const own = memory(pid);
    if (own && own.indexOf(keys.bearer) >= 0) {
        // what can be found in the service itself is in none of its workers
        t.diagnostic(`searched the memory of ${workers.length} workers`);
        for (const worker of workers) {
            const content = memory(worker);
            assert.ok(content === null || content.length > 100_000);
            if (content) search(`memory of jq worker ${worker}`, content);
        }
    }
    for (const worker of workers) {
        search(`/proc/${worker}/cmdline`, fs.readFileSync(`/proc/${worker}/cmdline`));
        if (own) search(`/proc/${worker}/environ`, fs.readFileSync(`/proc/${worker}/environ`));
    }
    await service.stop();
    search('stdout', service.process.out());
    search('stderr', service.process.err());
    assert.ok(searchFiles(service.dir, files) >= 1);
});

test('a secret goes to its origins only, and nothing is sent elsewhere', limit, async (t) => {
    const other = await startServer(t);
    const { server, service } = await start(t);
    const step = (url, auth) => ({ http: { url, auth }, on_error: 'continue' });
    const run = await service.run({
        workflow: {
            steps: {
                fan: {
                    join: 'settled',
                    parallel: {
                        branches: {
                            right: step(`${server.url}/ok`, 'bearer'),
                            port: step(`http://127.0.0.1:${other.port}/`, 'bearer'),
                            host: step(`http://localhost:${server.port}/`, 'bearer'),
                            scheme: step(`https://127.0.0.1:${server.port}/`, 'bearer'),
                            user: step(`http://127.0.0.1:${server.port}@127.0.0.1:${other.port}/`, 'bearer'),
                            chosen: step('${ .input.url }', 'bearer'),
                            bound: step(`${server.url}/bound`, 'bound'),
                        },
                    },
                },
            },
        },
        input: { url: `http://127.0.0.1:${other.port}/${server.url}` },
    });
    const steps = Object.fromEntries((await service.steps(run.id)).map((one) => [one.path.replace('fan.', ''), one]));
    assert.equal(steps.right.status, 'succeeded');
    for (const name of ['port', 'host', 'scheme', 'chosen', 'bound']) {
        assert.equal(steps[name].error.code, 'secret_denied', `${name}: ${JSON.stringify(steps[name].error)}`);
        assert.match(steps[name].error.detail, /none of its 'origins'/);
        assert.equal(steps[name].attempts, 1);
    }
    assert.equal(steps.user.error.code, 'invalid_argument');
    assert.equal(other.connections, 0);
    assert.deepEqual(server.requests.map(({ url }) => url), ['/ok']);
    assert.equal(server.requests[0].headers.authorization, `Bearer ${keys.bearer}`);
});

test('a secret never goes along with a redirect, not even within its origin', limit, async (t) => {
    const seen = [];
    const target = await startServer(t, (request, response) => {
        seen.push(request.headers);
        if (request.url === '/start') response.writeHead(307, { location: '/end' }).end();
        else json(response, 200, {});
    });
    const dir = folder(t);
    const config = path.join(dir, 'c.yaml');
    fs.writeFileSync(config, `secrets: {s: {value: "a secret value", origins: ["${target.url}"]}}\nnetwork: {allow_private: ["127.0.0.1:${target.port}"]}\n`);
    const service = await startService(t, { args: ['--config', config] });
    for (const auth of ['s', { header: 'X-Key', secret: 's' }]) {
        seen.length = 0;
        const run = await service.run({ workflow: { steps: { a: { http: { url: `${target.url}/start`, auth, headers: { 'x-other': 'kept' } } } } } });
        assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
        assert.equal(seen.length, 2);
        assert.ok(JSON.stringify(seen[0]).includes('a secret value'));
        assert.ok(!JSON.stringify(seen[1]).includes('a secret value'));
        assert.equal(seen[1]['x-other'], 'kept');
    }
});

test('an agent\'s tool sends a secret that the model cannot name or see', limit, async (t) => {
    const { server, service } = await start(t);
    const run = await service.run({
        workflow: {
            steps: {
                a: {
                    agent: {
                        model: 'sim/echo?tokens=5', prompt: 'go', max_turns: 3,
                        tools: { look: { description: 'looks', parameters: { type: 'object' }, do: { http: { url: `${server.url}/tool`, auth: 'bearer' } } } },
                    },
                    on_error: 'continue',
                },
            },
        },
    });
    search('the run', JSON.stringify(run));
    search('its steps', JSON.stringify(await service.steps(run.id)));
    assert.ok(server.requests.length > 0, 'the model called its tool');
    for (const { headers } of server.requests) assert.equal(headers.authorization, `Bearer ${keys.bearer}`);
});

test('a workflow that names an unknown secret is refused, with the nearest name', limit, async (t) => {
    const { service } = await start(t);
    const workflow = (auth, headers) => ({ steps: { a: { http: { url: 'https://crm.example/', auth, ...(headers ? { headers } : {}) } } } });
    for (const [auth, says, headers] of [
        ['bearr', /did you mean 'bearer'/], ['unheard-of', /add it under 'secrets'/], [{ header: 'X-Key', secret: 'hedaer' }, /did you mean 'header'/],
        [{ header: 'X-Key' }, /\{header, secret\}/], [{ header: 'Host', secret: 'header' }, /may be set/], [{ header: 'a b', secret: 'header' }, /may be set/],
        ['${ .input.name }', /./], [{ header: 'X-Key', secret: 'header', basic: 1 }, /no key 'basic'/], ['bearer', /sets Authorization too/, { authorization: 'x' }],
    ]) {
        const { status, json: checked } = await service.post('/v1/validate', { workflow: workflow(auth, headers) });
        assert.equal(status, 200);
        assert.equal(checked.valid, false, JSON.stringify(auth));
        assert.ok(checked.errors.some(({ pointer, detail }) => /^\/workflow\/steps\/a\/http\/(auth|headers)/.test(pointer) && says.test(detail)), JSON.stringify(checked.errors));
        const refused = await service.post('/v1/runs', { workflow: workflow(auth, headers) });
        assert.equal(refused.status, 422);
    }
});
