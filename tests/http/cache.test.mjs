// cache.test.mjs - what readers and clients of a service see of an answer that is used again. Not when it is (tests/cli/cache).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startModel } from '../cli/support/model.mjs';
import { SLOW, limit } from '../cli/support/plait.mjs';
import { openEvents, readAll } from './support/events.mjs';
import { startService } from './support/service.mjs';

// `say` begins when whoever asked for the run reads its events: what is told before is in the event of its end alone.
const workflow = (prompt, wait = '10ms') => ({
    name: 'said',
    steps: { wait: { sleep: wait }, say: { needs: ['wait'], llm: { model: 'openai/mock-w30-100ms', prompt, cache: { ttl: '1h' } } } },
});

test('an answer that is used again comes as one delta, and its step says what it saved', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const read = async () => readAll(await openEvents(service.port, '/v1/runs', { json: { workflow: workflow('hello', SLOW ? '3s' : '500ms') } }));
    const first = await read();
    const second = await read();
    const deltas = (events) => events.filter(({ type }) => type === 'step.delta').map(({ data }) => data.text);
    const output = (events) => events.find(({ type, data }) => type === 'step.succeeded' && data.path === 'say').data.output;
    assert.equal((await model.allCalls()).length, 1);
    assert.ok(deltas(first).length > 1);
    assert.equal(output(second), output(first));
    assert.deepEqual(deltas(second), [output(first)]);
    const { data } = second.find(({ type }) => type === 'run.succeeded');
    assert.equal(data.run.usage.calls, 0);
    const { json: steps } = await service.get(`/v1/runs/${data.run.id}/steps`);
    const step = steps.data.find(({ path }) => path === 'say');
    assert.equal(step.cached, true);
    assert.equal(step.usage.calls, 0);
    assert.ok(step.call.saved_output_tokens > 0);
});

test('identical calls of many runs at once are one', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const runs = await Promise.all(Array.from({ length: 20 }, () =>
        service.ask('POST', '/v1/runs', { json: { workflow: workflow('at once') } })));
    assert.equal(new Set(runs.map(({ json }) => json.output)).size, 1);
    assert.ok(runs.every(({ json }) => json.status === 'succeeded'));
    assert.equal((await model.allCalls()).length, 1);
});
