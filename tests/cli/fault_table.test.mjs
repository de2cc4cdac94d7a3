// fault_table.test.mjs - what a model's server can do wrong, for each provider: what the step's error is, how many calls the
// server saw while the fault lasts and how long that took, and what comes of it when the fault strikes once. Prints the table
// that docs/models.md has. Single faults in company are in faults.test.mjs.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { describe, test } from 'node:test';
import { SLOW, limit, place, run } from './support/plait.mjs';
import { once, parseRun } from './support/run.mjs';
import { startServer } from './support/server.mjs';
import { onTerminal } from './support/terminal.mjs';
import { wires } from './support/wires.mjs';

const ATTEMPTS = 3;
const retry = { attempts: ATTEMPTS, initial: '20ms', max: '100ms' };
const STALL_MS = SLOW ? 3000 : 700; // a stalled attempt's timeout
const HINT_MS = 600;

// ---- what a server does ----

const send = (response, status, type, body, headers = {}) => {
    response.writeHead(status, { 'content-type': type, ...headers });
    response.end(body);
};
const refuse = (status, what, headers) => (wire, response) =>
    send(response, status, 'application/json', JSON.stringify(wire.error(status, what)), headers);
const half = (wire, response) => {
    const events = wire.stream('half of an answer');
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(events.slice(0, events.length >> 1).join(''));
};
// Sent before anything else is done to the connection.
const flushed = (response, then) => response.write(': \n\n', () => setTimeout(then, 20));

const date = (ms) => new Date(Math.ceil((Date.now() + ms) / 1000) * 1000).toUTCString();

// `calls`: how often a step of three attempts calls while the fault lasts. `stream`: only where answers are streamed.
const faults = [
    { name: 'reset before headers', code: 'connection_lost', calls: 3, fault: (wire, response) => response.socket.resetAndDestroy() },
    { name: 'stall before first byte', code: 'timeout', calls: 3, stalls: true, fault: () => {} },
    { name: 'stall mid-stream', code: 'timeout', calls: 3, stream: true, stalls: true, fault: half },
    {
        name: 'cut stream', code: 'truncated_response', calls: 3, stream: true,
        fault: (wire, response) => (half(wire, response), flushed(response, () => response.socket.destroy())),
    },
    {
        name: 'stream ends without its end', code: 'truncated_response', calls: 3, stream: true,
        fault: (wire, response) => (half(wire, response), response.end()),
    },
    {
        name: 'error event first', code: 'overloaded', calls: 3, stream: true,
        fault: (wire, response) => send(response, 200, 'text/event-stream', wire.errorEvent()),
    },
    {
        name: 'error event late', code: 'overloaded', calls: 3, stream: true,
        fault: (wire, response) => (half(wire, response), response.end(wire.errorEvent())),
    },
    { name: '429, retry-after-ms', code: 'rate_limited', waits: HINT_MS, fault: refuse(429, 'rate', { 'retry-after-ms': HINT_MS }) },
    { name: '429, Retry-After in seconds', code: 'rate_limited', waits: 1000, fault: refuse(429, 'rate', { 'retry-after': '1' }) },
    {
        name: '429, Retry-After as a date', code: 'rate_limited', waits: 900, deadline: '5s', // whole seconds: one to two from now
        fault: (wire, response) => refuse(429, 'rate', { 'retry-after': date(1000) })(wire, response),
    },
    {
        name: '429, the provider\'s own hint', code: 'rate_limited', waits: HINT_MS,
        fault: (wire, response) => send(response, 429, 'application/json', JSON.stringify(wire.hint(HINT_MS).body), wire.hint(HINT_MS).headers),
    },
    { name: '429, without a hint', code: 'rate_limited', waits: 1, fault: refuse(429, 'rate') },
    { name: '429, a hint of two hours', code: 'rate_limited', calls: 1, fault: refuse(429, 'rate', { 'retry-after': '7200' }) },
    { name: '500', code: 'provider_error', calls: 3, fault: refuse(500, 'server') },
    { name: '529', code: 'overloaded', calls: 3, fault: refuse(529, 'overloaded') },
    { name: 'insufficient quota', code: 'quota_exceeded', calls: 1, fault: (wire, response) => refuse(wire.quotaStatus, 'quota')(wire, response) },
    { name: 'bad key', code: 'auth_failed', calls: 1, fault: (wire, response) => refuse(wire.keyStatus, 'key')(wire, response) },
    { name: 'context too long', code: 'context_too_long', calls: 1, fault: refuse(400, 'context') },
    {
        name: 'malformed JSON', code: 'bad_response', calls: 3,
        fault: (wire, response) => send(response, 200, 'application/json', JSON.stringify(wire.whole('cut')).slice(0, -9)),
    },
    {
        name: 'malformed JSON in a stream', code: 'bad_response', calls: 3, stream: true,
        fault: (wire, response) => (half(wire, response), response.end('data: {"broken\n\n')),
    },
    { name: 'empty answer', code: 'empty_response', calls: 3, fault: (wire, response) => send(response, 200, 'application/json', '') },
    {
        name: 'wrong content type', code: 'bad_response', calls: 3,
        fault: (wire, response) => send(response, 200, 'text/html', '<html><body>It works!</body></html>'),
    },
    { name: '500, x-should-retry: false', code: 'provider_error', calls: 1, fault: refuse(500, 'server', { 'x-should-retry': 'false' }) },
];

const answer = (wire, request, response) =>
    wire.asksStream(request)
        ? send(response, 200, 'text/event-stream', wire.stream('all is well').join(''))
        : send(response, 200, 'application/json', JSON.stringify(wire.whole('all is well')));

// ---- one case ----

// Runs a step against a server that shows the fault to the first `times` calls.
async function strike(t, wire, fault, times) {
    const home = place(t);
    const streams = [];
    const server = await startServer(t, (request, response, n) => {
        streams.push(wire.asksStream(request));
        return n <= times ? fault.fault(wire, response) : answer(wire, request, response);
    });
    const timeout = fault.stalls ? { timeout: `${STALL_MS}ms` } : {};
    const deadline = fault.waits ? { deadline: fault.deadline ?? '3s' } : {};
    const step = { llm: { model: `${wire.name}/m`, prompt: 'well?' }, retry, ...timeout, ...deadline };
    const file = home.file('w.json', once({ a: step }));
    const env = wire.env(server.url);
    let result;
    if (fault.stream) {
        const stdout = home.path('out.json');
        result = await onTerminal(t, home, ['run', file, '--json'], { stdout, env }).done;
        result = { ...result, out: fs.readFileSync(stdout, 'utf8'), err: result.out };
    } else {
        result = await run(t, home, ['run', file, '--json'], { env });
    }
    assert.equal(server.failure, undefined);
    assert.ok(streams.every((stream) => stream === Boolean(fault.stream)), 'streamed or not');
    return { step: parseRun(result).step.a, calls: server.requests, ms: result.ms };
}

const table = [];

async function lasting(t, wire, fault) {
    const { step, calls, ms } = await strike(t, wire, fault, Infinity);
    const name = fault.name.replace('the provider\'s own hint', wire.hintName);
    const row = { wire: wire.name, fault: name, 'error.code': step.error?.code, calls: calls.length, ms: step.duration_ms, once: '' };
    table.push(row);
    assert.equal(step.status, 'failed', 'never a success');
    assert.equal(step.error.code, fault.code, step.error.detail);
    assert.equal(step.output, null);
    if (fault.calls) assert.equal(calls.length, fault.calls, 'calls seen by the server');
    else assert.ok(calls.length > 1, 'asked again when the server said');
    if (fault.waits) assert.ok(calls.slice(1).every(({ at }, i) => at - calls[i].at >= fault.waits - 5), 'never before the time');
    if (fault.waits) assert.ok(calls.length <= 10, `${calls.length} calls`);
    if (!SLOW && !fault.stalls && !fault.waits) assert.ok(step.duration_ms < 2000, `${step.duration_ms} ms of ${ms}`);
    return row;
}

async function striking(t, wire, fault, row) {
    const { step, calls } = await strike(t, wire, fault, 1);
    const recovers = fault.calls !== 1;
    assert.equal(step.status, recovers ? 'succeeded' : 'failed', JSON.stringify(step.error));
    assert.equal(calls.length, recovers ? 2 : 1);
    if (recovers) assert.equal(step.output, 'all is well');
    row.once = `${step.status} after ${calls.length}`;
}

for (const wire of wires)
    describe(wire.name, { concurrency: 4 }, () => {
        for (const fault of faults) {
            const calls = fault.calls ? `${fault.calls} of ${ATTEMPTS} calls` : 'as many calls as the hints allow';
            test(`${fault.name} is ${fault.code} after ${calls}; once, it ${fault.calls === 1 ? 'is' : 'is not'} the end`, limit, async (t) => {
                const row = await lasting(t, wire, fault);
                await striking(t, wire, fault, row);
            });
        }

        test('a refused connection is unreachable', limit, async (t) => {
            const home = place(t);
            const server = await new Promise((resolve) => {
                const probe = net.createServer().listen(0, '127.0.0.1', () => resolve(probe));
            });
            const { port } = server.address();
            await new Promise((resolve) => server.close(resolve));
            const file = home.file('w.json', once({ a: { llm: { model: `${wire.name}/m`, prompt: 'x' }, retry } }));
            const { step } = parseRun(await run(t, home, ['run', file, '--json'], { env: wire.env(`http://127.0.0.1:${port}`) }));
            assert.equal(step.a.error.code, 'unreachable', step.a.error.detail);
            assert.equal(step.a.attempts, ATTEMPTS);
            assert.equal(step.a.usage.calls, 0);
            table.push({ wire: wire.name, fault: 'refused', 'error.code': 'unreachable', calls: 0, ms: step.a.duration_ms, once: '' });
        });

        test('a hint of two hours holds no other step', limit, async (t) => {
            const home = place(t);
            const server = await startServer(t, (request, response, n) =>
                n === 1 ? refuse(429, 'rate', { 'retry-after': '7200' })(wire, response) : answer(wire, request, response));
            const model = `${wire.name}/m`;
            const steps = {
                a: { llm: { model, prompt: 'x' }, on_error: 'continue' },
                b: { llm: { model, prompt: 'after ${ .steps.a.status }' }, retry: { attempts: 1 }, timeout: '20s' },
            };
            const got = parseRun(await run(t, home, ['run', home.file('w.json', once(steps)), '--json'], { env: wire.env(server.url) }));
            assert.equal(got.step.a.error.code, 'rate_limited');
            assert.equal(got.step.b.output, 'all is well');
            assert.equal(server.requests.length, 2);
        });

        test('one deadline is over retries and fallbacks', limit, async (t) => {
            const home = place(t);
            const server = await startServer(t, () => {}); // never an answer
            const deadline = SLOW ? 6000 : 1500;
            const step = {
                llm: { model: `${wire.name}/a`, prompt: 'x', fallback: [`${wire.name}/b`, `${wire.name}/c`] },
                retry, timeout: `${deadline / 5}ms`, deadline: `${deadline}ms`,
            };
            const file = home.file('w.json', once({ a: step }));
            const got = parseRun(await run(t, home, ['run', file, '--json'], { env: wire.env(server.url) })).step.a;
            assert.equal(got.status, 'failed');
            assert.ok(['deadline_exceeded', 'timeout'].includes(got.error.code), got.error.code);
            assert.ok(server.requests.length >= 3 && server.requests.length <= 6, `${server.requests.length} calls`);
            assert.ok(got.duration_ms <= deadline + (SLOW ? 3000 : 500), `${got.duration_ms} ms`);
        });
    });

test('the table', (t) => {
    const faultsShown = new Set(table.map(({ fault }) => fault));
    const line = (row) => `| ${Object.values(row).join(' | ')} |`;
    t.diagnostic('| provider | fault | error.code | calls | ms | struck once |');
    for (const row of table.sort((a, b) => a.wire.localeCompare(b.wire))) t.diagnostic(line(row));
    assert.ok(faultsShown.size >= 16, `${faultsShown.size} kinds of faults`);
});
