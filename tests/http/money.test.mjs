// money.test.mjs - budgets given with a run, and estimates, over HTTP. What budgets let through is in tests/cli/money.test.mjs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limit, until } from '../cli/support/plait.mjs';
import { checkProblem, startService } from './support/service.mjs';

const workflow = {
    name: 'pair',
    steps: {
        a: { llm: { model: 'sim/echo', prompt: 'Hello ${ .input.name }', max_tokens: 50 } },
        b: { llm: { model: 'sim/echo', prompt: 'After ${ .steps.a.output }', max_tokens: 50 } },
    },
    output: '${ .steps.b.output }',
};

test('a run may be given a budget, which counts beside that of its workflow', limit, async (t) => {
    const service = await startService(t);
    const start = (budget) => service.ask('POST', '/v1/runs', { json: { workflow, input: { name: 'Ada' }, budget } });
    const enough = await start({ tokens: 1000 });
    const short = await start({ tokens: 70 });

    assert.equal(enough.json.status, 'succeeded', enough.text);
    assert.equal(short.json.status, 'failed', short.text);
    assert.equal(short.json.error.code, 'budget_exceeded');
    assert.equal(short.json.error.step, 'b', 'the first call fits, and is kept');
    for (const budget of ['{"tokens":-1}', '{"tokens":9007199254740992}', '{"tokens":1e308}', '{"cost_usd":1e400}', '{"cost_usd":1e-400}', '{}', '[]', '5'])
        checkProblem(await service.ask('POST', '/v1/runs', { body: `{"workflow":${JSON.stringify(workflow)},"budget":${budget}}` }), 400, 'invalid_argument');
    const unpriced = await start({ cost_usd: 1 });
    checkProblem(unpriced, 400, 'invalid_argument');
    assert.match(unpriced.json.detail, /the price of 'sim\/echo' is not known/);
});

test('POST /v1/estimate says what a run would use, and runs nothing', limit, async (t) => {
    const service = await startService(t);
    const estimate = (body) => service.ask('POST', '/v1/estimate', { json: body });
    const sent = await estimate({ workflow, input: { name: 'Ada' } });

    assert.equal(sent.status, 200, sent.text);
    assert.deepEqual(sent.json.calls, { expected: 2, at_most: 6 });
    assert.deepEqual(sent.json.output_tokens, { expected: 100, at_most: 300 });
    assert.equal(sent.json.cost_usd, null);
    assert.deepEqual(sent.json.unpriced, ['sim/echo']);
    assert.equal((await service.ask('PUT', '/v1/workflows/pair', { json: workflow })).status, 201);
    const stored = await estimate({ workflow: 'pair', input: { name: 'Ada' } });
    assert.equal(stored.status, 200, stored.text);
    assert.deepEqual(stored.json.calls, sent.json.calls);
    checkProblem(await estimate({ workflow: 'nobody' }), 404, 'not_found');
    checkProblem(await estimate({ workflow: { steps: {} } }), 422, 'invalid_workflow');
    assert.deepEqual((await service.get('/v1/runs')).json.data, []);
});

test('a step that waits for a budget says so, and goes on by itself', limit, async (t) => {
    const service = await startService(t);
    const slow = (text) => ({ llm: { model: 'sim/echo?latency=1s', prompt: text, max_tokens: 50 } });
    const json = { workflow: { steps: { a: slow('a'), b: slow('b') }, output: 1 }, budget: { tokens: 100 }, background: true };
    const begun = await service.ask('POST', '/v1/runs', { json });
    const steps = async () => (await service.get(`/v1/runs/${begun.json.id}/steps`)).json.data;
    const waiting = await until(async () => (await steps()).find((s) => s.reason === 'budget'), 'a step to wait');

    assert.equal(waiting.status, 'pending');
    assert.equal(waiting.attempts, 0);
    await until(async () => (await service.get(`/v1/runs/${begun.json.id}`)).json.status === 'succeeded', 'the end');
    assert.deepEqual((await steps()).map((s) => [s.attempts, s.reason]), [[1, null], [1, null]]);
});

test('an estimate that would look at too many steps is refused, and soon', limit, async (t) => {
    const service = await startService(t);
    const call = (name) => Object.fromEntries([...Array(10).keys()].map((i) => [`s${i}`, { workflow: { name } }]));
    const put = (name, steps) => service.ask('PUT', `/v1/workflows/${name}`, { json: { name, steps } });

    assert.equal((await put('tens0', { a: { llm: { model: 'sim/echo', prompt: 'x' } } })).status, 201);
    for (let i = 1; i <= 7; i++) assert.equal((await put(`tens${i}`, call(`tens${i - 1}`))).status, 201);
    const small = await service.ask('POST', '/v1/estimate', { json: { workflow: 'tens3' } });
    assert.equal(small.status, 200, small.text);
    assert.equal(small.json.calls.expected, 1000);
    assert.equal(small.json.steps.length, 1000);
    checkProblem(await service.ask('POST', '/v1/estimate', { json: { workflow: 'tens7' } }), 413, 'too_large');
});
