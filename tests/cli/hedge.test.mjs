// hedge.test.mjs - late model calls are sent again: which answer is taken, what becomes of the other connection, when nothing is sent.
// By the server's own log. What readers of a stream see is in tests/http/hedge.test.mjs; the figures are of tests/bench/hedge.mjs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callsOf, startModel } from './support/model.mjs';
import { SLOW, limit, place, run, sleep, until } from './support/plait.mjs';
import { ask, once, parseRun } from './support/run.mjs';
import { json, startServer } from './support/server.mjs';

const whole = (text) => ({ choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }], usage: { prompt_tokens: 3, completion_tokens: 2 } });
const hedged = (model, prompt, hedge, more = {}) => {
    const step = ask(model, prompt, more);
    return { ...step, llm: { ...step.llm, hedge } };
};

async function runSteps(t, env, steps, args = []) {
    const home = place(t);
    const result = await run(t, home, ['run', home.file('w.json', once(steps)), '--json', ...args], { env });
    return parseRun(result);
}

test('a call that hangs is sent again, the second answer is taken and the first connection closed', limit, async (t) => {
    const model = await startModel(t);
    const got = await runSteps(t, model.env, { a: hedged('mock-hang-okafter1', 'late', { after: '150ms' }) });
    const calls = callsOf(await model.allCalls(), 'late');
    assert.equal(got.step.a.status, 'succeeded', JSON.stringify(got.step.a.error));
    assert.deepEqual(calls.map(({ outcome }) => outcome), ['aborted', 'answered']);
    const [first, second] = calls;
    assert.ok(first.closed_ms >= second.end_ms - 2, 'not before there was an answer');
    if (!SLOW) assert.ok(first.closed_ms - second.end_ms < 500, `closed ${first.closed_ms - second.end_ms} ms after the answer`);
    assert.equal(got.step.a.attempts, 1, 'one attempt');
    assert.equal(got.step.a.call.hedges, 1);
    assert.equal(got.step.a.usage.calls, 2, 'both are counted');
});

test('a call that answers in time is not sent again', limit, async (t) => {
    const model = await startModel(t);
    const got = await runSteps(t, model.env, { a: hedged('mock-50ms', 'fine', { after: '20s', max: 4 }) });
    assert.equal((await model.allCalls()).length, 1);
    assert.ok(!('hedges' in got.step.a.call));
});

test('a call is sent again as often as max says, within one timeout', limit, async (t) => {
    const model = await startModel(t);
    const timeout = SLOW ? 5000 : 1500;
    const got = await runSteps(t, model.env, { a: hedged('mock-hang', 'never', { after: '100ms', max: 2 }, { timeout: `${timeout}ms` }) });
    assert.equal(got.step.a.error.code, 'timeout', got.step.a.error.detail);
    assert.equal((await model.allCalls()).length, 3);
    assert.equal(got.step.a.attempts, 1);
    assert.ok(got.step.a.duration_ms >= timeout - 5, `${got.step.a.duration_ms} ms`);
    if (!SLOW) assert.ok(got.step.a.duration_ms < timeout + 500, `${got.step.a.duration_ms} ms`);
});

test('a hedge that is refused does not fail the step, and nothing more is sent while the lane is paused', limit, async (t) => {
    const server = await startServer(t, async (request, response, n) => {
        if (n > 1) return json(response, 429, { error: { message: 'slow down', code: 'rate_limit_exceeded' } }, { 'retry-after': '30' });
        await sleep(900);
        json(response, 200, whole('after all'));
    });
    const env = { OPENAI_BASE_URL: `${server.url}/v1`, OPENAI_API_KEY: 'k' };
    const got = await runSteps(t, env, { a: hedged('m', 'x', { after: '100ms', max: 4 }) });
    assert.equal(got.step.a.output, 'after all');
    assert.equal(server.requests.length, 2, 'one hedge, then the lane was paused');
});

test('hedges of a branch that loses its race are closed with it', limit, async (t) => {
    const model = await startModel(t);
    const got = await runSteps(t, model.env, {
        race: {
            join: 'any',
            parallel: { branches: { slow: hedged('mock-hang', 'slow', { after: '50ms' }), quick: ask('mock-600ms', 'quick') } },
        },
    });
    assert.equal(got.step['race.slow'].status, 'cancelled');
    const calls = callsOf(await model.allCalls(), 'slow');
    assert.deepEqual(calls.map(({ outcome }) => outcome), ['aborted', 'aborted']);
    assert.equal(got.step['race.slow'].usage.calls, 2);
});

test('the turn of an agent is hedged', limit, async (t) => {
    const model = await startModel(t);
    const agent = { model: 'openai/mock-hang-okafter1', prompt: 'late', hedge: { after: '100ms' } };
    const got = await runSteps(t, model.env, { a: { agent } });
    assert.equal(got.step.a.status, 'succeeded', JSON.stringify(got.step.a.error));
    assert.deepEqual((await model.allCalls()).map(({ outcome }) => outcome), ['aborted', 'answered']);
});

test('p95 is learned from the siblings of the same run', limit, async (t) => {
    let open;
    const held = new Promise((resolve) => (open = resolve));
    const server = await startServer(t, async (request, response) => {
        const { content } = JSON.parse(request.body).messages[0];
        const seen = server.requests.filter(({ body }) => JSON.parse(body).messages[0].content === content).length;
        if (content === 'item 7' && seen === 1) await held; // until the test is over
        else await sleep(60);
        if (!response.destroyed) json(response, 200, whole(content));
    });
    t.after(() => open());
    const env = { OPENAI_BASE_URL: `${server.url}/v1`, OPENAI_API_KEY: 'k' };
    const items = { map: { over: '${ [range(20)] }', do: { llm: { model: 'openai/m', prompt: 'item ${ .item }', hedge: {} } } } };
    const got = await runSteps(t, env, { fan: items });
    assert.equal(got.status, 'succeeded', JSON.stringify(got.error));
    assert.equal(got.step['fan.7'].output, 'item 7');
    assert.equal(got.step['fan.7'].call.hedges, 1);
    assert.ok(server.requests.length <= 32, `${server.requests.length} calls for 20 items`);
});

test('hedges are at most ten and a tenth of the calls', limit, async (t) => {
    const model = await startModel(t);
    const items = { join: 'settled', map: { over: '${ [range(50)] }', do: { timeout: SLOW ? '5s' : '1500ms', ...hedged('mock-hang', 'item ${ .item }', { after: '50ms', max: 4 }) } } };
    await runSteps(t, model.env, { fan: items });
    assert.equal((await model.allCalls()).length, 50 + 10 + 5);
});

test('the simulated provider gives the same answer whichever call gives it', limit, async (t) => {
    const model = 'sim/echo?latency=30ms&slow_rate=0.3&slow=20';
    const items = (hedge) => ({ fan: { map: { over: '${ [range(12)] }', do: { llm: { model, prompt: 'item ${ .item }', ...hedge } } } } });
    const plain = await runSteps(t, {}, items({}));
    const got = await runSteps(t, {}, items({ hedge: { after: '100ms', max: 4 } }));
    assert.deepEqual(got.step.fan.output, plain.step.fan.output);
    assert.ok(got.steps.some(({ call }) => call?.hedges > 0), 'some were sent again');
    assert.ok(got.usage.calls > plain.usage.calls);
});

// Which calls are slow is drawn from what they ask, so each time the same ones are. All joins at once: five seconds.
test('with max: 2 the 99th percentile of joins of twenty drops at least four times for at most 8 % more calls', limit, async (t) => {
    const model = 'sim/echo?latency=200ms&slow_rate=0.05&slow=20';
    const joins = async (hedge) => {
        const one = { map: { over: '${ [range(20)] }', as: 'branch', do: { llm: { model, prompt: 'join ${ .join } branch ${ .branch }', ...hedge } } } };
        const got = await runSteps(t, {}, { joins: { map: { over: '${ [range(100)] }', as: 'join', do: one } } });
        assert.equal(got.status, 'succeeded', JSON.stringify(got.error));
        const times = got.steps.filter(({ path }) => /^joins\.\d+$/.test(path)).map(({ duration_ms: ms }) => ms).sort((a, b) => a - b);
        assert.equal(times.length, 100);
        return { p50: times[49], p99: times[98], calls: got.usage.calls };
    };
    const plain = await joins({});
    const got = await joins({ hedge: { after: '300ms', max: 2 } });
    t.diagnostic(`plain ${JSON.stringify(plain)}, hedged ${JSON.stringify(got)}`);
    assert.equal(plain.calls, 2000);
    if (SLOW) return; // a slow loop makes calls late that are not
    assert.ok(plain.p99 / got.p99 >= 4, `p99 from ${plain.p99} to ${got.p99} ms`);
    assert.ok(got.calls <= 2000 * 1.08, `${got.calls} calls`);
});
