// idempotency.test.mjs - Idempotency-Key: the same key and body is the same run, whoever asks how often and at what time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startModel } from '../cli/support/model.mjs';
import { limit } from '../cli/support/plait.mjs';
import { openEvents, readAll } from './support/events.mjs';
import { checkProblem, startService } from './support/service.mjs';
import { ask, travel } from './support/workflows.mjs';

const headers = { 'idempotency-key': 'order-4711' };
const input = { destination: 'Lisbon' };

test('sixteen clients with one key at once: one run, one set of calls', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const body = { workflow: travel('mock-200ms'), input };
    const answers = await Promise.all(Array.from({ length: 16 }, () => service.post('/v1/runs', body, { headers })));
    for (const answer of answers) assert.equal(answer.status, 200, answer.text);
    assert.equal(new Set(answers.map(({ json }) => json.id)).size, 1, 'one run');
    for (const { json } of answers) assert.deepEqual(json, answers[0].json);
    assert.equal((await model.allCalls()).length, 4, 'one set of calls');
    assert.equal((await service.get('/v1/runs')).json.data.length, 1);
});

test('the way of answering is not compared, the rest is', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const body = { workflow: travel('mock-100ms'), input };
    const first = await service.post('/v1/runs', { ...body, background: true }, { headers });
    assert.equal(first.status, 202);
    const second = await service.post('/v1/runs', body, { headers });
    assert.equal(second.status, 200);
    assert.equal(second.json.id, first.json.id);
    assert.equal(second.json.status, 'succeeded');
    const asked = await service.post('/v1/runs', body, { headers: { ...headers, prefer: 'respond-async' } });
    assert.ok([200, 202].includes(asked.status), asked.text);
    assert.equal(asked.json.id, first.json.id);
    const reader = await openEvents(service.port, '/v1/runs', { json: { ...body, stream: true }, headers });
    const events = await readAll(reader);
    assert.equal(events[0].type, 'run.started');
    assert.equal(events.at(-1).data.run_id, first.json.id);
    const spaced = await service.ask('POST', '/v1/runs', { body: JSON.stringify(body, null, 2), headers });
    assert.ok(spaced.status === 200 ? spaced.json.id === first.json.id : spaced.status === 422, 'white space: the same, or refused, never a new run');
    checkProblem(await service.post('/v1/runs', { ...body, input: { destination: 'Porto' } }, { headers }), 422, 'idempotency_key_reused');
    assert.equal((await model.allCalls()).length, 4);
    const other = await service.post('/v1/runs', body, { headers: { 'idempotency-key': 'order-4712' } });
    assert.notEqual(other.json.id, first.json.id);
});

test('a key holds across a kill -9, and ends with its run', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const body = { workflow: { name: 'k', steps: { a: ask('mock-300ms', 'a') } } };
    const first = await service.post('/v1/runs', { ...body, background: true }, { headers });
    assert.equal(first.status, 202, first.text);
    await service.restart();
    const second = await service.post('/v1/runs', body, { headers });
    assert.equal(second.json.id, first.json.id);
    assert.equal(second.json.status, 'succeeded');
    assert.equal((await service.ask('DELETE', `/v1/runs/${first.json.id}`)).status, 204);
    const third = await service.post('/v1/runs', body, { headers });
    assert.equal(third.status, 200, third.text);
    assert.notEqual(third.json.id, first.json.id);
});

test('a refused request does not use up its key', limit, async (t) => {
    const service = await startService(t);
    const workflow = { ...travel(), defaults: { model: 'sim/echo' } };
    checkProblem(await service.post('/v1/runs', { workflow, input: {} }, { headers }), 422, 'invalid_input');
    assert.equal((await service.post('/v1/runs', { workflow, input }, { headers })).status, 200);
});

test('a key gives its run again when its workflow has changed or is gone', limit, async (t) => {
    const service = await startService(t);
    const put = (output) => service.ask('PUT', '/v1/workflows/stored', { json: { name: 'stored', steps: { a: { reduce: output } } } });
    assert.equal((await put(1)).status, 201);
    const ways = [['/v1/runs', { workflow: 'stored' }], ['/v1/workflows/stored/runs', {}]];
    const first = [];
    for (const [route, body] of ways) first.push(await service.post(route, body, { headers }));
    for (const change of [() => put(2), () => service.ask('DELETE', '/v1/workflows/stored')]) {
        assert.ok((await change()).status < 300);
        for (const [i, [route, body]] of ways.entries()) {
            const again = await service.post(route, body, { headers });
            assert.equal(again.status, 200, again.text);
            assert.deepEqual(again.json, first[i].json);
            assert.equal(again.headers['idempotency-replayed'], 'true');
        }
    }
    checkProblem(await service.post('/v1/runs', { workflow: 'stored' }, { headers: { 'idempotency-key': 'new' } }), 404, 'not_found');
});

test('many that send one key hold up nobody else', { ...limit }, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const body = { workflow: { name: 'many', steps: { a: ask('mock-100ms', 'a') } } };
    const answers = await Promise.all(Array.from({ length: 100 }, () => service.post('/v1/runs', body, { headers })));
    for (const answer of answers) assert.equal(answer.status, 200, answer.text);
    assert.equal(new Set(answers.map(({ json }) => json.id)).size, 1);
    assert.equal(answers.filter((answer) => answer.headers['idempotency-replayed']).length, 99);
    assert.equal((await model.allCalls()).length, 1);
});

test('keys belong to their route, and must be sane', limit, async (t) => {
    const service = await startService(t);
    const workflow = { name: 'stored', steps: { a: { reduce: 1 } } };
    assert.equal((await service.ask('PUT', '/v1/workflows/stored', { json: workflow })).status, 201);
    const one = await service.post('/v1/runs', { workflow: 'stored' }, { headers });
    const two = await service.post('/v1/workflows/stored/runs', {}, { headers });
    assert.equal(one.status, 200, one.text);
    assert.equal(two.status, 200, two.text);
    assert.notEqual(one.json.id, two.json.id);
    const again = await service.post('/v1/workflows/stored/runs', {}, { headers });
    assert.equal(again.json.id, two.json.id);
    for (const key of ['', 'x'.repeat(300)])
        checkProblem(await service.post('/v1/runs', { workflow: 'stored' }, { headers: { 'idempotency-key': key } }), 400);
    for (const two of [['a', 'b'], ['a', 'a']]) {
        const answer = await service.post('/v1/runs', { workflow: 'stored' }, { headers: { 'idempotency-key': two } });
        checkProblem(answer, 400, 'invalid_argument');
        assert.match(answer.json.detail, /Idempotency-Key is given more than once/);
    }
    assert.equal((await service.get('/v1/runs')).json.data.length, 2, 'what was refused started nothing');
});
