// faults.test.mjs - servers that misbehave: each fault gives the right error.code, costs the right number of calls, and
// touches only its own branch. What a join makes of failures is in joins.test.mjs.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { describe, test } from 'node:test';
import { callsOf, startModel } from './support/model.mjs';
import { SLOW, limit, peakMemory, place, plait, run } from './support/plait.mjs';
import { json, startServer } from './support/server.mjs';
import { ask, once, parseRun } from './support/run.mjs';
import { onTerminal } from './support/terminal.mjs';

const MEMORY_MAX = 64 << 20; // of a whole plait that is sent a gigabyte

const retry = { attempts: 2, initial: '20ms', jitter: 0 };
const timed = { retry: { ...retry, attempts: 1 }, timeout: SLOW ? '3s' : '700ms' };

// What a model's name asks its server for, what that is called, and how often a step of two attempts is called.
const faults = [
    { model: 'mock-reset', code: 'connection_lost', calls: 2 },
    { model: 'mock-close', code: 'connection_lost', calls: 2 },
    { model: 'mock-hang', code: 'timeout', calls: 1, step: timed, what: 'nothing sent at all' },
    { model: 'mock-stall', code: 'timeout', calls: 1, step: timed, what: 'a stall before the first byte of the body' },
    { model: 'mock-midstall', code: 'timeout', calls: 1, step: timed, what: 'a stall in mid-body' },
    { model: 'mock-s500', code: 'provider_error', calls: 2, status: 500 },
    { model: 'mock-s503', code: 'overloaded', calls: 2, status: 503 },
    { model: 'mock-s400', code: 'bad_request', calls: 1, status: 400 },
    { model: 'mock-s401', code: 'auth_failed', calls: 1, status: 401 },
    { model: 'mock-s404', code: 'model_not_found', calls: 1, status: 404 },
    { model: 'mock-s429-code:insufficient_quota', code: 'quota_exceeded', calls: 1, status: 429 },
    { model: 'mock-s400-code:context_length_exceeded', code: 'context_too_long', calls: 1, status: 400 },
    { model: 'mock-s500-dontretry', code: 'provider_error', calls: 1, status: 500 },
    { model: 'mock-s400-doretry', code: 'provider_error', calls: 2, status: 400 },
    { model: 'mock-garbage', code: 'bad_response', calls: 2 },
    { model: 'mock-notjson', code: 'bad_response', calls: 2, status: 200 },
    { model: 'mock-badjson', code: 'bad_response', calls: 2, status: 200 },
    { model: 'mock-cut', code: 'truncated_response', calls: 2 },
    { model: 'mock-midreset', code: 'truncated_response', calls: 2 },
    { model: 'mock-err200', code: 'stream_error', calls: 2, status: 200 },
    { model: 'mock-empty', code: 'empty_response', calls: 2, status: 200 },
    { model: 'mock-nobody', code: 'empty_response', calls: 2, status: 200 },
    { model: 'mock-refuse', code: 'refused', calls: 1, status: 200 },
    { model: 'mock-length', code: 'output_truncated', calls: 1, status: 200 },
    { model: 'mock-filter', code: 'content_filtered', calls: 1, status: 200 },
    { model: 'mock-big20m', code: 'response_too_large', calls: 1, status: 200 },
];

// The fault in one of three branches; `streaming` runs plait on a terminal, where answers are streamed.
async function withFault(t, fault, streaming) {
    const home = place(t);
    const model = await startModel(t);
    const branches = {
        before: ask('mock-50ms', 'before'),
        struck: ask(fault.model, 'struck', { retry, ...fault.step }),
        after: ask('mock-300ms', 'after'),
    };
    const file = home.file('w.json', once({ fan: { join: 'settled', parallel: { branches } } }));
    let result;
    if (streaming) {
        const stdout = home.path('out.json');
        result = await onTerminal(t, home, ['run', file, '--json'], { stdout, env: model.env }).done;
        result = { ...result, out: fs.readFileSync(stdout, 'utf8'), err: result.out };
    } else {
        result = await run(t, home, ['run', file, '--json'], { env: model.env });
    }
    assert.equal(result.code, 0, result.err);
    const calls = await model.allCalls();
    assert.ok(calls.every((call) => call.stream === streaming), 'streamed or not');
    return { got: parseRun(result), calls };
}

function checkFault({ got, calls }, fault) {
    const { error } = got.step['fan.struck'];
    assert.equal(got.step['fan.struck'].status, 'failed', JSON.stringify(got.step['fan.struck']));
    assert.equal(error.code, fault.code, error.detail);
    if (fault.status) assert.equal(error.status, fault.status);
    assert.equal(callsOf(calls, 'struck').length, fault.calls, 'calls seen by the server');
    assert.equal(got.step['fan.struck'].attempts, fault.calls);
    assert.match(got.output.before, / before$/);
    assert.match(got.output.after, / after$/);
    assert.equal(callsOf(calls, 'before').length, 1);
    assert.equal(callsOf(calls, 'after').length, 1);
    assert.equal(callsOf(calls, 'after')[0].outcome, 'answered');
}

describe('a whole answer', { concurrency: 4 }, () => {
    for (const fault of faults)
        test(`${fault.what ?? fault.model.slice(5)} is ${fault.code} after ${fault.calls} of 2 calls, and touches only its branch`, limit,
            async (t) => checkFault(await withFault(t, fault, false), fault));
});

describe('a streamed answer', { concurrency: 4 }, () => {
    const streamed = ['mock-hang', 'mock-stall', 'mock-midstall', 'mock-cut', 'mock-midreset', 'mock-err200', 'mock-s500', 'mock-garbage', 'mock-big20m'];
    const cases = faults.filter((fault) => streamed.includes(fault.model));
    cases.push({ model: 'mock-errlate', code: 'stream_error', calls: 2 });
    cases.push({ model: 'mock-nofinish', code: 'truncated_response', calls: 2 });
    for (const fault of cases)
        test(`${fault.what ?? fault.model.slice(5)} in a stream is ${fault.code}, and touches only its branch`, limit,
            async (t) => checkFault(await withFault(t, fault, true), fault));

    for (const model of ['mock-nodone', 'mock-flip', 'mock-notype', 'mock'])
        test(`${model.slice(5) || 'nothing wrong'} in a stream is a good answer`, limit, async (t) => {
            const { got, calls } = await withFault(t, { model }, true);
            assert.equal(got.step['fan.struck'].status, 'succeeded', JSON.stringify(got.step['fan.struck'].error));
            assert.match(got.output.struck, /^plan fly .* struck$/);
            assert.equal(callsOf(calls, 'struck').length, 1);
        });
});

// Asks a server at `port` that is not the stand-in model.
async function askPort(t, port, step = {}) {
    const home = place(t);
    const env = { OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`, OPENAI_API_KEY: 'k' };
    const branches = { struck: ask('m', 'struck', { retry, ...step }), fine: { llm: { model: 'sim/echo?latency=100ms', prompt: 'fine' } } };
    const file = home.file('w.json', once({ fan: { join: 'settled', parallel: { branches } } }));
    const result = await run(t, home, ['run', file, '--json'], { env });
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    assert.equal(got.output.fine, '[simulated] fine');
    return got.step['fan.struck'];
}

test('a refused connection is unreachable, tried as often as the step says', limit, async (t) => {
    const server = await new Promise((resolve) => {
        const probe = net.createServer().listen(0, '127.0.0.1', () => resolve(probe));
    });
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    const step = await askPort(t, port);
    assert.equal(step.error.code, 'unreachable', step.error.detail);
    assert.equal(step.attempts, 2);
    assert.equal(step.usage.calls, 0, 'no server was reached');
    assert.match(step.error.detail, /127\.0\.0\.1/);
});

test('a name that does not resolve is unreachable', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', once({ a: ask('m', 'x') }));
    const env = { OPENAI_BASE_URL: 'http://does-not-exist.invalid/v1', OPENAI_API_KEY: 'k' };
    const result = await run(t, home, ['run', file, '--json'], { env });
    assert.equal(result.code, 1);
    assert.equal(parseRun(result).error.code, 'unreachable');
});

test('an answer that came in single bytes is read all the same', limit, async (t) => {
    const body = JSON.stringify({ choices: [{ index: 0, message: { role: 'assistant', content: 'slow but whole ü' }, finish_reason: 'stop' }] });
    const server = await startServer(t, async (request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        for (const byte of Buffer.from(body)) {
            response.write(Buffer.from([byte]));
            await new Promise(setImmediate);
        }
        response.end();
    });
    assert.equal((await askPort(t, server.port)).output, 'slow but whole ü');
});

test('a redirect is not followed', limit, async (t) => {
    const target = await startServer(t);
    const server = await startServer(t, (request, response) => json(response, 307, {}, { location: `${target.url}/elsewhere` }));
    const step = await askPort(t, server.port);
    assert.equal(step.status, 'failed');
    assert.equal(step.error.status, 307);
    assert.equal(target.connections, 0);
});

test('a message of a server does not reach the terminal with its controls', limit, async (t) => {
    const home = place(t);
    const message = 'no \u001b]0;owned\u0007 \u001b[2J\u009b31m\r\nplait: all is well';
    const server = await startServer(t, (request, response) => json(response, 400, { error: { message } }));
    const env = { OPENAI_BASE_URL: `http://127.0.0.1:${server.port}/v1`, OPENAI_API_KEY: 'k' };
    const result = await run(t, home, ['run', home.file('w.json', once({ a: ask('m', 'x') }))], { env });
    assert.equal(result.code, 1);
    assert.match(result.err, /bad_request: .*no .*owned/);
    assert.doesNotMatch(result.err, /[\u0000-\u0009\u000b-\u001f\u007f\u0080-\u009f]/);
    assert.doesNotMatch(result.err, /^plait: all is well/m);
});

test('headers without end are cut off', limit, async (t) => {
    const server = await startServer(t, (request, response) => {
        response.socket.write(`HTTP/1.1 200 OK\r\n${`x-filler: ${'y'.repeat(8000)}\r\n`.repeat(200)}`);
    });
    const step = await askPort(t, server.port, { timeout: '10s' });
    assert.equal(step.status, 'failed');
    assert.notEqual(step.error.code, 'timeout', 'it was not waited for');
});

describe('429', { concurrency: 4 }, () => {
    const gap = (calls) => calls[1].start_ms - calls[0].end_ms;
    for (const [model, least] of [['mock-s429-retryafter2-okafter1', 2000], ['mock-s429-retryafter700ms-okafter1', 700]])
        test(`Retry-After of ${least} ms is obeyed and uses up no attempt`, limit, async (t) => {
            const home = place(t);
            const server = await startModel(t);
            const file = home.file('w.json', { steps: { a: ask(model, 'a', { retry: { attempts: 1, initial: '10ms', jitter: 0 } }) } });
            const result = await run(t, home, ['run', file, '--json'], { env: server.env });
            assert.equal(result.code, 0, result.err);
            const calls = await server.allCalls();
            assert.deepEqual(calls.map((call) => call.status), [429, 200]);
            t.diagnostic(`asked again ${gap(calls).toFixed(0)} ms after the 429, told to wait ${least} ms`);
            assert.ok(gap(calls) >= least - 2, `${gap(calls)} ms`);
            if (!SLOW) assert.ok(gap(calls) <= least * 1.1 + 300, `${gap(calls)} ms`);
            assert.equal(parseRun(result).step.a.attempts, 2);
        });

    test('a 429 pauses the whole lane: nobody else asks before the time', limit, async (t) => {
        const home = place(t);
        const server = await startModel(t);
        const file = home.file('w.json', {
            steps: {
                limited: ask('mock-s429-retryafter2-okafter1', 'limited', { retry: { attempts: 1 } }),
                first: ask('mock-300ms', 'first'),
                second: ask('mock', 'second ${ .steps.first.status }'),
            },
        });
        const result = await run(t, home, ['run', file, '--json'], { env: server.env });
        assert.equal(result.code, 0, result.err);
        const calls = await server.allCalls();
        const [refused] = callsOf(calls, 'limited');
        const second = calls.find((call) => call.prompt.startsWith('second'));
        assert.ok(second.start_ms - refused.end_ms >= 1990, `second asked after ${second.start_ms - refused.end_ms} ms`);
        assert.equal(callsOf(calls, 'first').length, 1, 'what was in flight went on');
    });

    test('a Retry-After beyond the deadline fails at once, with rate_limited', limit, async (t) => {
        const home = place(t);
        const server = await startModel(t);
        const file = home.file('w.json', { steps: { a: ask('mock-s429-retryafter3000', 'a', { deadline: '5s' }) } });
        const result = await run(t, home, ['run', file, '--json'], { env: server.env });
        assert.equal(result.code, 1);
        assert.equal(parseRun(result).error.code, 'rate_limited');
        assert.equal((await server.allCalls()).length, 1);
        if (!SLOW) assert.ok(result.ms < 4000, `${result.ms} ms`);
    });

    test('503 with Retry-After is obeyed too, within the attempts', limit, async (t) => {
        const home = place(t);
        const server = await startModel(t);
        const file = home.file('w.json', { steps: { a: ask('mock-s503-retryafter1', 'a', { retry: { attempts: 2, initial: '10ms', jitter: 0 } }) } });
        const result = await run(t, home, ['run', file, '--json'], { env: server.env });
        assert.equal(parseRun(result).error.code, 'overloaded');
        const calls = await server.allCalls();
        assert.equal(calls.length, 2);
        assert.ok(gap(calls) >= 990, `${gap(calls)} ms`);
    });
});

for (const [name, what] of [['big', 'a body of 1 GB'], ['gzipbomb', 'a gzip bomb of 1 GB']])
    test(`${what} costs little memory and only its branch`, limit, async (t) => {
        const home = place(t);
        const model = await startModel(t);
        const branches = { struck: ask(`mock-${name}`, 'struck'), fine: ask('mock-500ms', 'fine') };
        const file = home.file('w.json', once({ fan: { join: 'settled', parallel: { branches } } }));
        const process = plait(t, home, ['run', file, '--json'], { env: model.env });
        const [result, peak] = await Promise.all([process.done, peakMemory(process)]);
        assert.equal(result.code, 0, result.err);
        const got = parseRun(result);
        const code = got.step['fan.struck'].error.code;
        t.diagnostic(`${code}, ${(peak / 1048576).toFixed(1)} MiB at most`);
        assert.ok(name === 'big' ? code === 'response_too_large' : ['response_too_large', 'bad_response'].includes(code), code);
        assert.match(got.output.fine, / fine$/);
        const [call] = callsOf(await model.allCalls(), 'struck');
        assert.notEqual(call.outcome, 'answered', 'plait closed before its end');
        if (!SLOW) assert.ok(peak > 0 && peak < MEMORY_MAX, `${peak} bytes`);
    });

test('a gigabyte in a stream costs little memory', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const stdout = home.path('out.json');
    const file = home.file('w.json', once({ a: ask('mock-big', 'a', { on_error: { default: '${ .run.id }' } }) }));
    const result = await onTerminal(t, home, ['run', file, '--json'], { stdout, env: model.env }).done;
    assert.equal(result.code, 0, result.out);
    const got = JSON.parse(fs.readFileSync(stdout, 'utf8'));
    assert.equal(got.steps[0].error.code, 'response_too_large');
    assert.notEqual((await model.allCalls())[0].outcome, 'answered');
});

test('a hundred faults of every kind in one run leave the hundred good branches whole', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const kinds = faults.filter((fault) => !fault.step && !fault.model.includes('big') && !fault.model.includes('429'));
    const branches = {};
    for (let i = 0; i < 100; i++) {
        branches[`bad${i}`] = ask(kinds[i % kinds.length].model, `bad${i}`, { retry });
        branches[`good${i}`] = ask('mock-20ms-j50', `good${i}`);
    }
    const file = home.file('w.json', once({ fan: { join: 'settled', parallel: { branches } } }));
    const result = await run(t, home, ['run', file, '--json'], { env: model.env });
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    for (let i = 0; i < 100; i++) {
        assert.equal(got.step[`fan.bad${i}`].error.code, kinds[i % kinds.length].code, kinds[i % kinds.length].model);
        assert.match(got.output[`good${i}`], new RegExp(` good${i}$`));
    }
});

test('a server that is gone after it has answered pauses its lane and uses up no attempt', limit, async (t) => {
    const home = place(t);
    const good = { choices: [{ index: 0, message: { role: 'assistant', content: 'fine' }, finish_reason: 'stop' }] };
    let back;
    const server = await new Promise((resolve) => {
        const first = net.createServer((socket) => {
            socket.on('error', () => {});
            socket.once('data', () => {
                const body = JSON.stringify(good);
                first.close(); // nobody listens from here on
                socket.end(`HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
                setTimeout(async () => {
                    back = await startListening(t, first.port, good);
                }, SLOW ? 4000 : 1500);
            });
        });
        first.listen(0, '127.0.0.1', () => {
            first.port = first.address().port;
            resolve(first);
        });
    });
    const file = home.file('w.json', {
        defaults: { retry: { attempts: 1, initial: '50ms', jitter: 0 } },
        steps: { one: ask('m', 'one'), two: ask('m', 'two ${ .steps.one.output }') },
    });
    const env = { OPENAI_BASE_URL: `http://127.0.0.1:${server.port}/v1`, OPENAI_API_KEY: 'k' };
    const result = await run(t, home, ['run', file, '--json'], { env });
    assert.equal(result.code, 0, result.out + result.err);
    const got = parseRun(result);
    assert.equal(got.step.two.status, 'succeeded');
    assert.ok(back.requests === 1, 'it was asked once it was back');
});

// An HTTP server of one answer on a port that must be free.
function startListening(t, port, value) {
    const found = { requests: 0 };
    const body = JSON.stringify(value);
    return new Promise((resolve, reject) => {
        const server = net.createServer((socket) => {
            socket.on('error', () => {});
            socket.once('data', () => {
                found.requests++;
                socket.end(`HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
            });
        });
        server.on('error', reject);
        server.listen(port, '127.0.0.1', () => resolve(found));
        t.after(() => server.close());
    });
}
