// bad_input.test.mjs - what is not a request for a run: each fault has its own 4xx problem, with a pointer where there is a place, and
// nothing is started. And bodies mutated at random: no crash, no 5xx. N=n sets how many (5000; a release: 100000), SEED=n repeats
// them. Not the framing below HTTP (framing.test.mjs).
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { startModel } from '../cli/support/model.mjs';
import { SLOW, limit } from '../cli/support/plait.mjs';
import { random } from '../cli/support/run.mjs';
import { ask as request, checkProblem, startService } from './support/service.mjs';
import { ask, echo, travel } from './support/workflows.mjs';

const N = Number(process.env.N || (SLOW ? 1000 : 5000));
const SEED = Number(process.env.SEED || Date.now() % 1_000_000);

const run = (workflow, more = {}) => JSON.stringify({ workflow, input: {}, ...more });
const llm = (more) => ({ llm: { model: 'openai/mock', prompt: 'never', ...more } });
const good = { name: 'w', steps: { a: llm() } };

// name, body, status, code, a pointer that must be among the problems (undefined: none is asked for)
const table = [
    ['nothing at all', '', 400, 'invalid_json'],
    ['not JSON', 'workflow: travel', 400, 'invalid_json'],
    ['half of it', run(good).slice(0, -5), 400, 'invalid_json'],
    ['trailing garbage', `${run(good)}x`, 400, 'invalid_json'],
    ['two documents', `${run(good)}${run(good)}`, 400, 'invalid_json'],
    ['a comma too many', '{"workflow":"w",}', 400, 'invalid_json'],
    ['a key twice', '{"workflow":"a","workflow":"b"}', 400, 'invalid_json'],
    ['NaN', '{"workflow":"a","input":NaN}', 400, 'invalid_json'],
    ['invalid UTF-8', Buffer.concat([Buffer.from('{"workflow":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]), 400, 'invalid_json'],
    ['an overlong UTF-8 slash', Buffer.concat([Buffer.from('{"workflow":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]), 400, 'invalid_json'],
    ['half a surrogate pair', '{"workflow":"\\ud800"}', 400, 'invalid_json'],
    ['a byte order mark', `\ufeff${run(good)}`, 400, 'invalid_json'],
    ['5,000 lists in each other', `{"workflow":"w","input":${'['.repeat(5000)}${']'.repeat(5000)}}`, 400, 'invalid_json'],
    ['5,000 objects in each other', `{"workflow":"w","input":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}`, 400, 'invalid_json'],
    ['a list', '[]', 400, 'invalid_argument'],
    ['a string', '"travel"', 400, 'invalid_argument'],
    ['no workflow', '{"input":{}}', 400, 'invalid_argument', '/workflow'],
    ['a number for a workflow', '{"workflow":7}', 400, 'invalid_argument', '/workflow'],
    ['an unknown key', run(good, { streem: true }), 400, 'invalid_argument', '/streem'],
    ['stream as text', run(good, { stream: 'yes' }), 400, 'invalid_argument', '/stream'],
    ['background as a number', run(good, { background: 1 }), 400, 'invalid_argument', '/background'],
    ['metadata as a list', run(good, { metadata: [] }), 400, 'invalid_argument', '/metadata'],
    ['on_disconnect as it likes', run(good, { on_disconnect: 'panic' }), 400, 'invalid_argument', '/on_disconnect'],
    ['no such stored workflow', run('nothing-here'), 404, 'not_found'],
    ['no such version', run('nothing-here@3'), 404, 'not_found'],
    ['a name that is none', run('No Name!'), [400, 404]],
    ['a workflow without steps', run({ name: 'w' }), 422, 'invalid_workflow', '/workflow'],
    ['an unknown key of the workflow', run({ ...good, stepps: {} }), 422, 'invalid_workflow', '/workflow/stepps'],
    ['an unknown key of a step', run({ steps: { a: { llm: { model: 'openai/mock', promt: 'x' } } } }), 422, 'invalid_workflow', '/workflow/steps/a/llm/promt'],
    ['an unknown step in an expression', run({ steps: { a: llm({ prompt: '${ .steps.b.output }' }) } }), 422, 'invalid_workflow', '/workflow/steps/a/llm/prompt'],
    ['a broken expression', run({ steps: { a: llm({ prompt: '${ .input. }' }) } }), 422, 'invalid_workflow', '/workflow/steps/a/llm/prompt'],
    ['a cycle', run({ steps: { a: llm({ prompt: '${ .steps.b.output }' }), b: llm({ prompt: '${ .steps.a.output }' }) } }), 422, 'invalid_workflow'],
    ['a step that needs itself', run({ steps: { a: { ...llm(), needs: ['a'] } } }), 422, 'invalid_workflow'],
    ['two kinds', run({ steps: { a: { ...llm(), reduce: 1 } } }), 422, 'invalid_workflow', '/workflow/steps/a/reduce'],
    ['no kind', run({ steps: { a: { timeout: '3s' } } }), 422, 'invalid_workflow', '/workflow/steps/a'],
    ['a prompt that is a list', run({ steps: { a: llm({ prompt: [] }) } }), 422, 'invalid_workflow', '/workflow/steps/a/llm/prompt'],
    ['a temperature of text', run({ steps: { a: llm({ temperature: 'hot' }) } }), 422, 'invalid_workflow', '/workflow/steps/a/llm/temperature'],
    ['steps as a list', run({ steps: [] }), 422, 'invalid_workflow', '/workflow/steps'],
    ['a timeout that is none', run({ steps: { a: { ...llm(), timeout: 'soon' } } }), 422, 'invalid_workflow', '/workflow/steps/a/timeout'],
    ['an unknown provider', run({ steps: { a: { llm: { model: 'nobody/x', prompt: 'x' } } } }), 422, undefined, '/workflow/steps/a/llm/model'],
    ['a model without provider', run({ steps: { a: { llm: { model: 'gpt', prompt: 'x' } } } }), 422, 'invalid_workflow', '/workflow/steps/a/llm/model'],
    ['a missing input', run(travel('mock'), { input: {} }), 422, 'invalid_input', '/input'],
    ['an input of a wrong type', run(travel('mock'), { input: { destination: 'x', days: 'three' } }), 422, 'invalid_input', '/input/days'],
    ['an input out of range', run(travel('mock'), { input: { destination: '', days: 0 } }), 422, 'invalid_input', '/input/days'],
    ['not yet: webhook', run(good, { webhook: { url: 'https://x.example' } }), [400, 422]],
];

test('each fault has its own problem, and nothing is started', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const faults = [];
    for (const [name, body, status, code, pointer] of table) {
        const answer = await service.ask('POST', '/v1/runs', { body });
        try {
            if (!Array.isArray(status)) checkProblem(answer, status, code);
            else assert.ok(status.includes(answer.status), `${answer.status}`), checkProblem(answer, answer.status, code);
            if (pointer !== undefined) {
                const pointers = (answer.json.errors ?? []).map((error) => error.pointer);
                assert.ok(pointers.some((one) => one === pointer), `${pointer} is not among ${pointers.join(' ')}: ${answer.text}`);
            }
        } catch (error) {
            faults.push(`${name}: ${error.message}`);
        }
    }
    assert.equal(faults.length, 0, `${faults.length} of ${table.length}:\n${faults.join('\n')}`);
    assert.deepEqual((await service.get('/v1/runs')).json.data, [], 'no run');
    assert.equal((await model.stats()).calls, 0, 'no call');
});

test('all problems of a workflow come at once', limit, async (t) => {
    const service = await startService(t);
    const workflow = { steps: { a: llm({ promt: 'x' }), b: { llm: { model: 'sim/echo', prompt: '${ .steps.nobody.output }' } }, c: {} }, colour: 'red' };
    const answer = await service.post('/v1/runs', { workflow });
    const problem = checkProblem(answer, 422, 'invalid_workflow');
    const pointers = problem.errors.map(({ pointer }) => pointer);
    for (const pointer of ['/workflow/steps/a/llm/promt', '/workflow/steps/b/llm/prompt', '/workflow/steps/c', '/workflow/colour'])
        assert.ok(pointers.includes(pointer), `${pointer} is not among ${pointers.join(' ')}`);
});

test('a body over the cap is 413, before all of it was sent and whether or not its length was said', limit, async (t) => {
    const service = await startService(t);
    const size = 9 * 1024 * 1024;
    const big = Buffer.from(`{"workflow":"w","input":"${'x'.repeat(size)}"}`);
    checkProblem(await service.ask('POST', '/v1/runs', { body: big }), 413, 'too_large');
    const chunked = await new Promise((resolve, reject) => {
        let answered;
        const sent = http.request({ host: '127.0.0.1', port: service.port, method: 'POST', path: '/v1/runs', agent: false,
            headers: { 'content-type': 'application/json', 'transfer-encoding': 'chunked' } }, (answer) => {
            answered = answer;
            answer.resume();
            resolve(answer.statusCode);
        });
        sent.on('error', (error) => !answered && reject(error));
        for (let at = 0; at < big.length; at += 65536) sent.write(big.subarray(at, at + 65536));
        sent.end();
    }).catch((error) => error.code);
    assert.ok(chunked === 413 || chunked === 'ECONNRESET' || chunked === 'EPIPE', `${chunked}`);
    assert.equal((await service.get('/healthz')).status, 200);
    const fits = Buffer.from(JSON.stringify({ workflow: echo(), input: { text: 'x'.repeat(4 * 1024 * 1024) } }));
    assert.equal((await service.ask('POST', '/v1/runs', { body: fits })).status, 200, 'four megabytes are taken');
});

test('a body of another type is 415, YAML is taken where a workflow is', limit, async (t) => {
    const service = await startService(t);
    const body = JSON.stringify({ workflow: echo() });
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonx'])
        checkProblem(await service.ask('POST', '/v1/runs', { body, headers: { 'content-type': type } }), 415, 'unsupported_media_type');
    for (const type of ['application/json; charset=utf-8', 'APPLICATION/JSON'])
        assert.equal((await service.ask('POST', '/v1/runs', { body, headers: { 'content-type': type } })).status, 200, type);
    const compressed = await service.ask('POST', '/v1/runs', { body, headers: { 'content-encoding': 'gzip' } });
    assert.equal(compressed.status, 415, 'an encoding is not taken for the plain thing');
    const yaml = 'name: y\nsteps:\n  a: {llm: {model: sim/echo, prompt: hi}}\n';
    const valid = await service.ask('POST', '/v1/validate', { body: yaml, headers: { 'content-type': 'application/yaml' } });
    assert.equal(valid.json?.valid, true, valid.text);
});

// ---- mutated bodies ----

const seeds = [
    JSON.stringify({ workflow: echo(), input: { a: [1, 2.5, null, true, 'ä'] }, metadata: { k: 'v' }, background: false, stream: false }),
    JSON.stringify({ workflow: { ...travel('x'), defaults: { model: 'sim/echo?tokens=3', timeout: '5s', retry: { attempts: 2 } } }, input: { destination: 'Rome', days: 2 } }),
    JSON.stringify({
        workflow: {
            steps: {
                p: { parallel: { branches: { a: { reduce: { x: '${ .input.x }' } }, b: { llm: { model: 'sim/echo', prompt: 'b' } } } }, join: { policy: 'any', losers: 'cancel' } },
                q: { reduce: { from: '${ .steps.p.output }', with: 'append' }, when: '${ .input.x }', on_error: 'continue' },
            },
        },
        input: { x: 'y' },
        on_disconnect: 'cancel',
    }),
];
const tokens = ['{', '}', '[', ']', '"', ':', ',', 'null', 'true', '-1', '1e999', '0.1', '""', '"${ .input }"', '"${ .steps.a.output }"', '\\u0000', '\\ud800',
    '"sim/echo"', '"steps"', '"when"', '"needs"', '99999999999999999999', '\u0000', '\n', '\u00e9', '"fail=500"', '"parallel"', '"1ms"'];

function mutate(next, text) {
    let bytes = Buffer.from(text);
    for (let n = 1 + Math.floor(next() * 4); n > 0; n--) {
        const at = Math.floor(next() * (bytes.length + 1));
        const length = Math.floor(next() * 12);
        const before = bytes.subarray(0, at);
        switch (Math.floor(next() * 6)) {
        case 0: // another byte
            if (at < bytes.length) bytes[at] = Math.floor(next() * 256);
            break;
        case 1: // a piece out
            bytes = Buffer.concat([before, bytes.subarray(at + length)]);
            break;
        case 2: // a piece twice
            bytes = Buffer.concat([before, bytes.subarray(at, at + length), bytes.subarray(at)]);
            break;
        case 3: // a token in
            bytes = Buffer.concat([before, Buffer.from(tokens[Math.floor(next() * tokens.length)]), bytes.subarray(at)]);
            break;
        case 4: // cut off
            if (next() < 0.3) bytes = Buffer.from(before);
            break;
        default: // a token for a token
            {
                const words = [...bytes.toString('latin1').matchAll(/"[^"]*"|[\d.]+|true|false|null/g)];
                if (!words.length) break;
                const word = words[Math.floor(next() * words.length)];
                const put = tokens[Math.floor(next() * tokens.length)];
                bytes = Buffer.concat([bytes.subarray(0, word.index), Buffer.from(put), bytes.subarray(word.index + word[0].length)]);
            }
        }
    }
    return bytes;
}

// A document that is JSON still: a value, a key or a part of it is another.
const values = [null, true, 0, -1, 1e308, '', 'x'.repeat(3000), [], {}, [[[]]], { '': null }, '${ .input }', '${ .steps.a.output }', '${', 'sim/echo', 'sim/echo?fail=500&times=9',
    'sim/echo?tokens=0&latency=1ms', 'sim/nobody', '5ms', '0s', { quorum: 2 }, { fraction: 0.5 }, 'any', 'settled', { default: 7 }, { step: { reduce: 1 } }, ['a', 'a'], 3.5];
const keys = ['when', 'needs', 'retry', 'timeout', 'deadline', 'on_error', 'on_ambiguous', 'join', 'steps', 'llm', 'http', 'reduce', 'parallel', 'input', 'output', 'output_schema', 'a', 'b',
    'p', '__proto__', 'prompt', 'model', 'messages', 'attempts', 'with', 'from', 'type', 'properties', 'required', 'defaults', 'thread', 'metadata'];

function alter(next, text) {
    const root = JSON.parse(text);
    const pick = (list) => list[Math.floor(next() * list.length)];
    for (let n = 1 + Math.floor(next() * 3); n > 0; n--) {
        const places = [];
        const walk = (value) => {
            if (value === null || typeof value !== 'object') return;
            for (const key of Object.keys(value)) {
                places.push([value, key]);
                walk(value[key]);
            }
        };
        walk(root);
        if (!places.length) break;
        const [parent, key] = pick(places);
        const roll = next();
        if (roll < 0.4) parent[key] = structuredClone(pick(values));
        else if (roll < 0.55) Array.isArray(parent) ? parent.splice(Number(key), 1) : delete parent[key];
        else if (roll < 0.75 && !Array.isArray(parent)) parent[pick(keys)] = structuredClone(pick(values));
        else if (roll < 0.85 && !Array.isArray(parent)) parent[pick(keys)] = structuredClone(parent[key]);
        else {
            const [from, name] = pick(places);
            parent[key] = structuredClone(from[name]);
        }
    }
    return Buffer.from(JSON.stringify(root));
}

const resources = [
    ['POST', '/v1/runs'], ['POST', '/v1/runs'], ['POST', '/v1/runs'],
    ['POST', '/v1/validate'],
    ['PUT', '/v1/workflows/mutant'],
    ['POST', '/v1/workflows/mutant/runs'],
];

test(`${N} mutated bodies: no crash, no 5xx`, { timeout: 120_000 + N * 20 }, async (t) => {
    t.diagnostic(`seed ${SEED}`);
    const service = await startService(t);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
    t.after(() => agent.destroy());
    const statuses = {};
    const bad = [];
    let sent = 0;
    const client = async (number) => {
        const next = random(SEED * 31 + number);
        for (;;) {
            if (sent >= N || bad.length > 5) return;
            sent++;
            const [method, resource] = resources[Math.floor(next() * resources.length)];
            const seed = seeds[Math.floor(next() * seeds.length)];
            const whole = resource === '/v1/runs' ? seed : JSON.stringify(resource.endsWith('/runs') ? { input: JSON.parse(seed).input } : JSON.parse(seed).workflow);
            const body = next() < 0.02 ? Buffer.from(whole) : next() < 0.5 ? mutate(next, whole) : alter(next, whole);
            const yaml = method === 'PUT' && next() < 0.3;
            const headers = {
                'content-type': yaml || (resource === '/v1/validate' && next() < 0.3) ? 'application/yaml' : 'application/json',
                prefer: next() < 0.5 ? 'respond-async' : 'wait=1',
            };
            try {
                const answer = await request(service.port, method, resource, { body, headers, agent, timeout: 20_000 });
                statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
                if (answer.status >= 500) throw new Error(`${answer.status} ${answer.text}`);
                if (answer.status >= 400) checkProblem(answer, answer.status);
            } catch (error) {
                bad.push(`${method} ${resource} ${JSON.stringify(body.toString('latin1'))}: ${error.message}`);
            }
        }
    };
    await Promise.all(Array.from({ length: 16 }, (_, i) => client(i)));
    t.diagnostic(`${sent} bodies: ${JSON.stringify(statuses)}`);
    if (service.process.ended) {
        const { signal, code, err } = await service.process.done;
        assert.fail(`it ended with ${signal ?? code}: ${err.slice(-3000)}\nwhile it was asked:\n${bad.join('\n')}`);
    }
    assert.deepEqual(bad, []);
    assert.equal((await service.get('/healthz')).status, 200);
    assert.ok(Object.keys(statuses).length >= 3, 'they were not all refused in the same way');
    const { code } = await service.stop();
    assert.equal(code, 0, `it ends as it should: ${service.process.err().slice(-2000)}`);
});
