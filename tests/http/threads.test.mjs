// threads.test.mjs - what runs of one thread remember from one to the next, and that they take turns: also across a restart,
// also while one waits for a person. Not the folding itself (scenarios).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limit, sleep, until } from '../cli/support/plait.mjs';
import { checkProblem, startService } from './support/service.mjs';
import { checkHttpRun } from './support/workflows.mjs';

// Remembers what it is told, and answers with all it remembers.
const notes = () => ({
    state: { notes: { reducer: 'append', default: [] }, count: { reducer: 'sum', default: 0 } },
    steps: {
        wait: { sleep: '${ .input.sleep }', when: '${ .input.sleep != null }' },
        note: { needs: ['wait'], when: '${ true }', reduce: '${ .input.text }', writes: { notes: '${ .output }', count: '${ 1 }' } },
        all: { needs: ['note'], reduce: '${ [.state.notes, .state.count] }' },
    },
    output: '${ .steps.all.output }',
});
const say = (text, input = {}) => ({ workflow: notes(), input: { text, ...input }, thread: 'chat' });
const asks = { steps: { ok: { human: { ask: 'Well?' }, writes: { notes: '${ .output }' } } }, state: { notes: { reducer: 'append', default: [] } } };
const state = (service, id = 'chat') => service.get(`/v1/threads/${id}/state`);

test('a run begins with what the one before it left', limit, async (t) => {
    const service = await startService(t);
    checkProblem(await state(service), 404, 'not_found');
    assert.deepEqual((await service.run(say('one'))).output, [['one'], 1]);
    assert.deepEqual((await service.run(say('two'))).output, [['one', 'two'], 2]);
    assert.deepEqual((await state(service)).json, { notes: ['one', 'two'], count: 2 });
    await service.restart();
    const run = checkHttpRun(await service.run(say('three')));
    assert.deepEqual(run.output, [['one', 'two', 'three'], 3]);
    assert.equal(run.thread, 'chat');
    assert.deepEqual((await service.run({ ...say('other'), thread: 'elsewhere' })).output, [['other'], 1]);
    assert.deepEqual((await service.run({ ...say('alone'), thread: undefined })).output, [['alone'], 1]);
    const { data } = (await service.get('/v1/threads/chat/runs')).json;
    assert.deepEqual(data.map(({ input }) => input.text), ['three', 'two', 'one']);
});

test('only success is remembered, and what another workflow remembers stays', limit, async (t) => {
    const service = await startService(t);
    await service.run(say('one'));
    const steps = { note: { reduce: 'x', writes: { notes: 'lost' } }, bad: { needs: ['note'], reduce: '${ .input.text | error }' } };
    const failed = await service.run({ workflow: { state: { notes: { reducer: 'append' } }, steps }, input: { text: 'no' }, thread: 'chat' });
    assert.equal(failed.status, 'failed');
    assert.deepEqual((await state(service)).json, { notes: ['one'], count: 1 });
    const other = { state: { mood: {} }, steps: { a: { reduce: 'good', writes: { mood: '${ .output }' } } } };
    await service.run({ workflow: other, thread: 'chat' });
    assert.deepEqual((await state(service)).json, { notes: ['one'], count: 1, mood: 'good' });
});

test('runs of one thread take turns in the order they came', limit, async (t) => {
    const service = await startService(t);
    const ids = [];
    for (let i = 0; i < 8; i++) {
        ids.push(await service.background(say(`n${i}`, i === 0 ? { sleep: '400ms' } : {})));
    }
    const others = (await service.get('/v1/runs?status=queued')).json.data;
    assert.equal(others.length, 7, 'seven wait for the first');
    for (const run of others) assert.equal(run.started_at, null);
    const runs = await Promise.all(ids.map((id) => service.over(id)));
    runs.forEach((run, i) => assert.deepEqual(run.output[0], Array.from({ length: i + 1 }, (_, k) => `n${k}`)));
    assert.equal((await state(service)).json.count, 8);
});

test('a run that waits for a person keeps the turn, across a restart too', limit, async (t) => {
    const service = await startService(t);
    const first = await service.background({ workflow: asks, thread: 'chat' });
    await until(async () => (await service.get(`/v1/runs/${first}`)).json.status === 'waiting', 'the question');
    const second = await service.background(say('two'));
    const third = await service.background(say('three'));
    const gone = await service.background(say('gone'));
    assert.equal((await service.post(`/v1/runs/${gone}/cancel`)).json.status, 'cancelled', 'a queued run can be cancelled');
    for (let round = 0; round < 2; round++) {
        await sleep(100);
        for (const id of [second, third]) assert.equal((await service.get(`/v1/runs/${id}`)).json.status, 'queued');
        checkProblem(await service.ask('PUT', '/v1/threads/chat/state', { json: { notes: [] } }), 409, 'conflict');
        checkProblem(await service.ask('DELETE', '/v1/threads/chat'), 409, 'conflict');
        await service.restart();
    }
    assert.equal((await service.post(`/v1/runs/${first}/steps/ok/answer`, { output: 'one' })).status, 200);
    assert.deepEqual((await service.over(second)).output, [['one', 'two'], 1]);
    assert.deepEqual((await service.over(third)).output, [['one', 'two', 'three'], 2]);
    assert.deepEqual((await state(service)).json, { notes: ['one', 'two', 'three'], count: 2 });
});

test('the memory can be set and forgotten while no run has the turn', limit, async (t) => {
    const service = await startService(t);
    const set = await service.ask('PUT', '/v1/threads/chat/state', { json: { notes: ['before'], count: 10 } });
    assert.equal(set.status, 200, set.text);
    assert.deepEqual(set.json, { notes: ['before'], count: 10 });
    assert.deepEqual((await service.run(say('after'))).output, [['before', 'after'], 11]);
    assert.equal((await service.ask('DELETE', '/v1/threads/chat')).status, 204);
    checkProblem(await state(service), 404, 'not_found');
    checkProblem(await service.ask('DELETE', '/v1/threads/chat'), 404, 'not_found');
    assert.deepEqual((await service.run(say('anew'))).output, [['anew'], 1]);
    checkProblem(await service.ask('PUT', '/v1/threads/chat/state', { json: [1] }), 400, 'invalid_argument');
    checkProblem(await service.ask('PUT', '/v1/threads/chat/state', { body: '{' }), 400, 'invalid_json');
});

test('who is told that the memory is set, or forgotten, can do the next thing at once', limit, async (t) => {
    const service = await startService(t);
    for (let i = 0; i < 100; i++) {
        assert.equal((await service.ask('PUT', '/v1/threads/chat/state', { json: { count: i } })).status, 200, `set ${i}`);
        assert.equal((await service.ask('DELETE', '/v1/threads/chat')).status, 204, `forgotten ${i}`);
    }
});

test('setting the memory and runs at the same time lose nothing', limit, async (t) => {
    const service = await startService(t);
    const done = [];
    for (let i = 0; i < 30; i++) {
        if (i % 3 === 0) done.push(service.ask('PUT', '/v1/threads/chat/state', { json: { notes: [], count: 100 * i } }).then(({ status }) => assert.ok([200, 409].includes(status))));
        done.push(service.run(say(`n${i}`)).then((run) => assert.equal(run.status, 'succeeded', JSON.stringify(run.error))));
    }
    await Promise.all(done);
    const { notes: kept, count } = (await state(service)).json;
    assert.equal(count % 100, kept.length, 'every run since the last setting is there');
});
