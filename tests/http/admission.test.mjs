// admission.test.mjs - a provider with limits behind the service: what waits is seen among the steps and in the metrics, goes when it is
// cancelled, and goes on after a crash; a small run is not kept waiting by a wide one.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { startModel } from '../cli/support/model.mjs';
import { folder, limit, until } from '../cli/support/plait.mjs';
import { startService } from './support/service.mjs';

const call = (words, prompt) => ({ llm: { model: `limited/mock-${words}`, prompt } });
const mapOf = (items, step, more = {}) => ({ name: 'wide', steps: { all: { ...more, map: { over: `\${ [range(${items})] }`, do: step } } } });

async function startLimited(t, limits) {
    const model = await startModel(t);
    const config = path.join(folder(t), 'plait.json');
    fs.writeFileSync(config, JSON.stringify({ providers: { limited: { kind: 'openai', base_url: `${model.url}/v1`, api_key: 'k', limits } } }));
    return { model, service: await startService(t, { args: ['--config', config] }) };
}

async function figure(service, name) {
    const { text } = await service.get('/metrics');
    const found = text.match(new RegExp(`^${name}\\{provider="limited"\\} (\\d+)$`, 'm'));
    assert.ok(found, text);
    return Number(found[1]);
}

test('calls that wait are seen, and leave with their run', limit, async (t) => {
    const { model, service } = await startLimited(t, { concurrency: 2 });
    const id = await service.background({ workflow: mapOf(10, call('hang', 'n ${ .item }'), { join: 'settled' }) });
    await until(async () => (await figure(service, 'plait_provider_calls_waiting')) === 8, '8 calls to wait');
    assert.equal(await figure(service, 'plait_provider_calls_in_flight'), 2);
    const held = await until(async () => {
        const steps = (await service.steps(id)).filter((step) => step.status === 'pending');
        return steps.length === 8 && steps;
    }, '8 steps to be pending');
    for (const step of held) {
        assert.equal(step.reason, 'concurrency');
        assert.equal(step.attempts, 0);
    }
    const one = await service.post(`/v1/runs/${id}/steps/${held[0].path}/cancel`);
    assert.equal(one.status, 200, one.text);
    await until(async () => (await figure(service, 'plait_provider_calls_waiting')) === 7, 'one to leave');
    await service.post(`/v1/runs/${id}/cancel`);
    assert.equal((await service.over(id)).status, 'cancelled');
    await until(async () => (await figure(service, 'plait_provider_calls_waiting')) === 0, 'nobody to wait');
    await until(async () => (await figure(service, 'plait_provider_calls_in_flight')) === 0, 'no call to be left');
    assert.equal((await model.allCalls()).length, 2);
});

test('what waited when the process died asks again', limit, async (t) => {
    const { model, service } = await startLimited(t, { concurrency: 2 });
    const id = await service.background({ workflow: mapOf(6, call('200ms', 'n ${ .item }')) });
    await until(async () => (await service.steps(id)).some((step) => step.reason === 'concurrency'), 'a step to be held');
    await service.restart();
    const run = await service.over(id);
    assert.equal(run.status, 'succeeded');
    assert.equal(run.output.length, 6);
    assert.ok((await model.stats()).peak <= 4); // two of the dead process may not have been noticed
});

test('a service that stops does not wait for calls that wait', limit, async (t) => {
    const { model, service } = await startLimited(t, { concurrency: 1 });
    const id = await service.background({ workflow: mapOf(50, call('300ms', 'n ${ .item }')) });
    await until(async () => (await model.stats()).inflight === 1, 'a call');
    const { code } = await service.stop();
    assert.equal(code, 0);
    assert.ok((await model.stats()).calls < 10);
    await service.begin();
    await service.post(`/v1/runs/${id}/cancel`);
    await service.over(id);
});

test('a small run takes every second turn while a wide one waits', limit, async (t) => {
    const { model, service } = await startLimited(t, { concurrency: 4 });
    const wide = await service.background({ workflow: mapOf(400, call('50ms', 'wide ${ .item }')) });
    await until(async () => (await model.stats()).calls > 20, 'the wide run to be under way');
    await service.run({ workflow: mapOf(8, call('50ms', 'small ${ .item }')) });
    await service.post(`/v1/runs/${wide}/cancel`);
    const calls = await model.allCalls();
    const first = calls.findIndex((one) => one.prompt.startsWith('small'));
    const last = calls.findLastIndex((one) => one.prompt.startsWith('small'));
    assert.equal(calls.filter((one) => one.prompt.startsWith('small')).length, 8);
    // its eight and eight of the other, and what arrived in another order than it was let in
    assert.ok(last - first + 1 <= 16 + 4, `8 of ${last - first + 1} calls`);
});
