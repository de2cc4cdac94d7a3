// ways.test.mjs - the three ways of answering POST /v1/runs: waiting, streaming, in the background; and what a client may say
// about them. Not the events in detail (events.test.mjs).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startModel } from '../cli/support/model.mjs';
import { SLOW, limit, sleep, until } from '../cli/support/plait.mjs';
import { event, openEvents, readAll, texts } from './support/events.mjs';
import { checkProblem, leave, startService } from './support/service.mjs';
import { ask, checkHttpRun, checkStep, echo, travel } from './support/workflows.mjs';

const input = { destination: 'Lisbon', days: 4 };

test('waiting: the answer is the finished run', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const run = checkHttpRun(await service.run({ workflow: travel('mock-50ms'), input, metadata: { team: 'a' } }));
    assert.equal(run.status, 'succeeded');
    assert.deepEqual(run.input, input);
    assert.deepEqual(run.metadata, { team: 'a' });
    assert.equal(run.workflow.name, 'travel-plan');
    assert.equal(run.usage.calls, 4);
    assert.deepEqual({ ...run.progress }, { total: 4, pending: 0, running: 0, waiting: 0, succeeded: 4, failed: 0, skipped: 0, cancelled: 0 });
    const steps = await service.steps(run.id);
    steps.forEach(checkStep);
    assert.deepEqual(steps.map((step) => step.path).sort(), ['attractions', 'hotels', 'plan', 'transport']);
    assert.equal(steps.find((step) => step.path === 'plan').output, run.output);
    const again = await service.get(`/v1/runs/${run.id}`);
    assert.deepEqual(again.json, run, 'a look at it later shows the same run');
});

test('waiting takes at most 1.05 times the longest way, response included', { ...limit, skip: SLOW && 'instrumented' }, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    let best = Infinity;
    for (let i = 0; i < 6 && best > 420; i++) {
        const answer = await service.post('/v1/runs', { workflow: travel('mock-200ms'), input });
        assert.equal(answer.json.status, 'succeeded', answer.text);
        best = Math.min(best, answer.ms);
    }
    t.diagnostic(`best of a few: ${best.toFixed(1)} ms for a critical path of 400 ms: ${(best / 400).toFixed(3)}`);
    assert.ok(best <= 420, `${best} ms`);
});

test('streaming: starts at once, deltas come as they are made, each under its path, and the end is the run', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    for (const how of [{ stream: true }, {}]) {
        const began = Date.now();
        const reader = await openEvents(service.port, '/v1/runs', {
            json: { workflow: travel('mock-400ms-w20'), input, ...how },
            headers: how.stream ? { accept: '*/*' } : {},
        });
        assert.equal(reader.status, 200);
        assert.match(reader.headers['content-type'], /^text\/event-stream/);
        assert.match(reader.headers['cache-control'], /no-(cache|store)/);
        const events = await readAll(reader);
        assert.equal(events[0].type, 'run.started');
        const started = events.filter(({ type }) => type === 'step.started');
        assert.deepEqual(started.map(({ data }) => data.path).sort(), ['attractions', 'hotels', 'plan', 'transport']);
        if (!SLOW) assert.ok(started[0].at - began < 200, `the first step.started after ${started[0].at - began} ms`);
        const deltas = events.filter(({ type, data }) => type === 'step.delta' && data.path === 'hotels');
        assert.ok(deltas.length >= 3, `${deltas.length} deltas of hotels`);
        assert.ok(deltas.at(-1).at - deltas[0].at > 100, 'they came one after the other, not in one lump');
        const said = texts(events);
        for (const { type, data } of events)
            if (type === 'step.succeeded') assert.equal(said[data.path], data.output, `the deltas of ${data.path} are its output`);
        const last = events.at(-1);
        assert.equal(last.type, 'run.succeeded');
        const { json: run } = await service.get(`/v1/runs/${last.data.run_id}`);
        assert.deepEqual(last.data.run, run);
    }
});

test('background: 202 at once with its place, then it is asked', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const ways = [
        [{ background: true }, {}],
        [{}, { prefer: 'respond-async' }],
        [{}, { prefer: 'handling=lenient, respond-async' }],
    ];
    for (const [more, headers] of ways) {
        const answer = await service.post('/v1/runs', { workflow: travel('mock-200ms'), input, ...more }, { headers });
        assert.equal(answer.status, 202, answer.text);
        if (!SLOW) assert.ok(answer.ms < 150, `${answer.ms} ms`);
        checkHttpRun(answer.json);
        assert.ok(['queued', 'running'].includes(answer.json.status), answer.json.status);
        assert.equal(answer.headers.location, `/v1/runs/${answer.json.id}`);
        if (headers.prefer) assert.match(answer.headers['preference-applied'] ?? '', /respond-async/);
        const run = await service.over(answer.json.id);
        assert.equal(run.status, 'succeeded');
    }
});

test('Prefer: wait=SECONDS stops the waiting, not the run', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const early = await service.post('/v1/runs', { workflow: travel('mock-700ms'), input }, { headers: { prefer: 'wait=1' } });
    assert.equal(early.status, 202, early.text);
    assert.ok(early.ms >= 950 && (SLOW || early.ms < 1300), `${early.ms} ms`);
    assert.equal(early.json.status, 'running');
    assert.equal(early.headers.location, `/v1/runs/${early.json.id}`);
    assert.equal((await service.over(early.json.id)).status, 'succeeded');
    const late = await service.post('/v1/runs', { workflow: travel('mock-20ms'), input }, { headers: { prefer: 'wait=20' } });
    assert.equal(late.status, 200, late.text);
    assert.equal(late.json.status, 'succeeded');
    assert.ok(late.ms < (SLOW ? 15_000 : 2000), 'it does not wait longer than the run takes');
});

test('a run that failed is still 200, says why and where, and keeps its successful branches', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const workflow = { name: 'half', defaults: { retry: { attempts: 1 } }, join: 'settled', steps: { good: ask('mock', 'good'), bad: ask('mock-s400', 'bad') } };
    const run = checkHttpRun(await service.run({ workflow }));
    assert.equal(run.status, 'failed');
    assert.equal(run.error.code, 'bad_request');
    assert.equal(run.error.step, 'bad');
    const steps = Object.fromEntries((await service.steps(run.id)).map((step) => [step.path, step]));
    assert.equal(steps.good.status, 'succeeded');
    assert.match(steps.good.output, /good$/);
    assert.equal(steps.bad.error.status, 400);
    const reader = await openEvents(service.port, '/v1/runs', { json: { workflow, stream: true } });
    const events = await readAll(reader);
    assert.equal(events.at(-1).type, 'run.failed');
    assert.equal(events.at(-1).data.run.error.step, 'bad');
    assert.ok(events.some(({ type, data }) => type === 'step.failed' && data.path === 'bad' && data.error.code === 'bad_request'));
});

test('a client that leaves while it waits: the run goes on, or is cancelled when it said so', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const list = async () => (await service.get('/v1/runs')).json.data;
    const cases = [[undefined, 'succeeded'], ['continue', 'succeeded'], ['cancel', 'cancelled']];
    for (const [on_disconnect, status] of cases) {
        const before = (await list()).length;
        const workflow = { name: 'left', steps: { slow: ask(on_disconnect === 'cancel' ? 'mock-hang' : 'mock-500ms', `left ${on_disconnect}`) } };
        const socket = leave(service.port, 'POST', '/v1/runs', { json: { workflow, on_disconnect } });
        await model.inFlight(1);
        const left = Date.now();
        socket.destroy();
        await until(async () => (await list()).length === before + 1, 'the run in the list');
        const run = await service.over((await list())[0].id, 20_000);
        assert.equal(run.status, status, `on_disconnect: ${on_disconnect}`);
        const [call] = (await model.allCalls()).filter(({ prompt }) => prompt === `left ${on_disconnect}`);
        assert.equal(call.outcome, status === 'cancelled' ? 'aborted' : 'answered');
        if (status === 'cancelled') {
            t.diagnostic(`the call ended ${(call.closed_ms - left).toFixed(0)} ms after the client had left`);
            if (!SLOW) assert.ok(call.closed_ms - left < 1000, `${call.closed_ms - left} ms`);
        }
    }
});

test('a client that leaves its stream: likewise', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    for (const [on_disconnect, status] of [['continue', 'succeeded'], ['cancel', 'cancelled']]) {
        const name = `mock-${status === 'cancelled' ? 'hang' : '600ms'}`;
        const reader = await openEvents(service.port, '/v1/runs', {
            json: { workflow: { name: 'left', steps: { slow: ask(name, 'slow') } }, stream: true, on_disconnect },
        });
        const { data } = await event(reader, ({ type }) => type === 'step.started', 'step.started');
        await model.inFlight(1);
        reader.cut();
        assert.equal((await service.over(data.run_id, 20_000)).status, status);
        await model.allCalls();
    }
});

test('2,000 clients that leave while they wait cost nothing that stays', { ...limit, skip: SLOW && 'instrumented' }, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const { readdirSync } = await import('node:fs');
    const open = () => readdirSync(`/proc/${service.process.pid}/fd`).length;
    const id = await service.background({ workflow: { name: 'long', steps: { a: ask('mock-hang', 'a') } } });
    const before = open();
    for (let round = 0; round < 10; round++) {
        const readers = await Promise.all(Array.from({ length: 200 }, () => openEvents(service.port, `/v1/runs/${id}/events`)));
        readers.forEach((reader) => reader.cut());
    }
    await until(() => open() <= before + 4, `descriptors to go back from ${open()} to ${before}`);
    assert.equal((await service.post(`/v1/runs/${id}/cancel`)).status, 200);
});

test('what a client says about the way must make sense', limit, async (t) => {
    const service = await startService(t);
    const workflow = echo();
    for (const more of [{ stream: 1 }, { background: 'no' }, { on_disconnect: 'explode' }, { timeout: 'soon' }, { timeout: -1 }])
        checkProblem(await service.post('/v1/runs', { workflow, ...more }), 400, 'invalid_argument');
    await sleep(50);
    assert.equal((await service.get('/v1/runs')).json.data.length, 0, 'nothing was started');
});
