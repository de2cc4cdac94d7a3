// control.test.mjs - what can be done with runs that are there: cancel them and their steps, list, page and filter them, look at
// their steps, delete them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startModel } from '../cli/support/model.mjs';
import { SLOW, limit, sleep, until } from '../cli/support/plait.mjs';
import { openEvents, readAll } from './support/events.mjs';
import { checkProblem, startService } from './support/service.mjs';
import { ask, checkHttpRun, checkStep, echo, fan } from './support/workflows.mjs';

const nobody = 'run_01ARZ3NDEKTSV4RRFFQ69G5FAV';

test('cancel of a run closes its calls within 100 ms, and may be said again', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const id = await service.background({ workflow: fan(16, () => 'mock-hang') });
    const reader = await openEvents(service.port, `/v1/runs/${id}/events`);
    await model.inFlight(16);
    const asked = Date.now();
    const answer = await service.post(`/v1/runs/${id}/cancel`);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.id, id);
    const calls = await model.allCalls();
    assert.equal(calls.length, 16);
    const latest = Math.max(...calls.map((call) => call.closed_ms - asked));
    t.diagnostic(`the last of 16 connections closed after ${latest.toFixed(0)} ms`);
    assert.ok(calls.every((call) => call.outcome === 'aborted'));
    if (!SLOW) assert.ok(latest < 100, `${latest} ms`);
    const run = checkHttpRun(await service.over(id));
    assert.equal(run.status, 'cancelled');
    assert.equal(run.progress.cancelled, 17);
    for (const step of await service.steps(id)) {
        checkStep(step);
        assert.equal(step.reason, 'user', step.path);
    }
    assert.equal((await readAll(reader)).at(-1).type, 'run.cancelled');
    const again = await service.post(`/v1/runs/${id}/cancel`);
    assert.equal(again.status, 200, again.text);
    assert.deepEqual(again.json, run);
    assert.equal((await model.stats()).calls, 16, 'nothing was called after it');
});

test('cancel of a step closes its call, the rest goes on', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const id = await service.background({ workflow: fan(4, (i) => (i === 2 ? 'mock-hang' : 'mock-1200ms'), { join: 'settled' }) });
    await model.inFlight(4);
    const asked = Date.now();
    const answer = await service.post(`/v1/runs/${id}/steps/fan.b2/cancel`);
    assert.ok([200, 202].includes(answer.status), answer.text);
    const call = await until(() => model.calls().find(({ prompt }) => prompt === 'branch 2'), 'the call to end');
    assert.equal(call.outcome, 'aborted');
    if (!SLOW) assert.ok(call.closed_ms - asked < 100, `${call.closed_ms - asked} ms`);
    assert.ok(!(await service.isOver(id)), 'the others still run');
    assert.ok([200, 202].includes((await service.post(`/v1/runs/${id}/steps/fan.b2/cancel`)).status), 'again');
    const run = await service.over(id);
    assert.equal(run.status, 'succeeded');
    assert.equal(run.progress.cancelled, 1);
    const steps = Object.fromEntries((await service.steps(id)).map((step) => [step.path, step]));
    assert.equal(steps['fan.b2'].status, 'cancelled');
    assert.equal(steps['fan.b2'].reason, 'user');
    assert.match(steps['fan.b1'].output, /branch 1$/);
    assert.ok([200, 202].includes((await service.post(`/v1/runs/${id}/steps/fan.b1/cancel`)).status), 'a step that is over: nothing happens');
    assert.equal((await service.steps(id)).find((step) => step.path === 'fan.b1').status, 'succeeded');
    checkProblem(await service.post(`/v1/runs/${id}/steps/fan.nobody/cancel`), 404, 'not_found');
    checkProblem(await service.post(`/v1/runs/${nobody}/steps/a/cancel`), 404, 'not_found');
    checkProblem(await service.post(`/v1/runs/${nobody}/cancel`), 404, 'not_found');
});

test('steps that never began in a cancelled run say why, in the list, in the events and in the counts', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const say = (prompt, options = '') => ({ llm: { model: `sim/echo${options}`, prompt } });
    const workflow = (first) => ({
        name: 'w',
        steps: {
            first,
            after: { needs: ['first'], on_error: { step: say('for want of it') }, ...say('then') },
            fan: { needs: ['first'], parallel: { branches: { x: say('x'), y: { parallel: { branches: { z: say('z') } } } } } },
            each: { needs: ['first'], map: { over: '${ [range(5000)] }', do: say('item') } },
        },
    });
    const look = async (id, paths, reason) => {
        const run = checkHttpRun(await service.over(id));
        const told = (await readAll(await openEvents(service.port, `/v1/runs/${id}/events`))).filter(({ type }) => type === 'step.cancelled');
        assert.deepEqual(told.map(({ data }) => [data.path, data.reason]).sort(), paths.map((path) => [path, reason]));
        const steps = (await service.steps(id)).filter(({ path }) => path !== 'first');
        assert.deepEqual(steps.map(({ path }) => path), ['after', 'each', 'fan', 'fan.x', 'fan.y', 'fan.y.z']);
        for (const step of steps) {
            checkStep(step);
            assert.deepEqual([step.status, step.reason, step.attempts, step.started_at], ['cancelled', reason, 0, null], step.path);
            assert.ok(step.ended_at >= run.created_at && step.ended_at <= run.ended_at, `${step.path}: ${step.ended_at}`);
        }
        assert.deepEqual((await service.steps(id, '&prefix=fan.y&status=cancelled')).map(({ path }) => path), ['fan.y', 'fan.y.z']);
        return run;
    };
    const failed = await service.background({ workflow: workflow(say('no', '?fail=400')) });
    assert.equal((await look(failed, ['after', 'each', 'fan'], 'run_failed')).progress.cancelled, 6);

    const turn = await service.background({ thread: 't', workflow: { name: 'h', steps: { a: ask('mock-hang', 'a') } } });
    const queued = await service.background({ thread: 't', workflow: workflow(say('yes')) });
    await model.inFlight(1);
    assert.equal((await service.get(`/v1/runs/${queued}`)).json.status, 'queued');
    assert.equal((await service.post(`/v1/runs/${queued}/cancel`)).status, 200);
    const run = await look(queued, ['after', 'each', 'fan', 'first'], 'user');
    assert.deepEqual([run.status, run.progress.total, run.progress.cancelled], ['cancelled', 7, 7]);
    await service.post(`/v1/runs/${turn}/cancel`);
    await service.over(turn);
});

test('a waiting client is answered when its run is cancelled', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const waiting = service.post('/v1/runs', { workflow: { name: 'w', steps: { a: ask('mock-hang', 'a') } } });
    await model.inFlight(1);
    const [{ id }] = await until(async () => {
        const { data } = (await service.get('/v1/runs')).json;
        return data.length && data;
    }, 'the run in the list');
    await service.post(`/v1/runs/${id}/cancel`);
    const answer = await waiting;
    assert.equal(answer.status, 200);
    assert.equal(answer.json.status, 'cancelled');
});

// 400 s of processor time if each were tried.
test('a waiting client is answered when its run is cancelled before its endless expressions', limit, async (t) => {
    const service = await startService(t);
    const over = Array.from({ length: 400 }, (_, i) => i);
    const map = { over, do: { reduce: '${ .item | (def f: f; f) }' } };
    const waiting = service.post('/v1/runs', { workflow: { name: 'w', steps: { m: { join: 'settled', map } } } });
    const id = await until(async () => (await service.get('/v1/runs')).json.data[0]?.id, 'the run in the list');
    await until(async () => (await service.get(`/v1/runs/${id}`)).json.progress.total > 1, 'the items');
    await service.post(`/v1/runs/${id}/cancel`);
    const answer = await waiting;
    assert.equal(answer.status, 200);
    assert.equal(answer.json.status, 'cancelled');
});

test('delete: 409 while it runs, then it is gone with its steps and events', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const id = await service.background({ workflow: { name: 'w', steps: { a: ask('mock-hang', 'a') } } });
    checkProblem(await service.ask('DELETE', `/v1/runs/${id}`), 409, 'conflict');
    await service.post(`/v1/runs/${id}/cancel`);
    await service.over(id);
    const gone = await service.ask('DELETE', `/v1/runs/${id}`);
    assert.equal(gone.status, 204, gone.text);
    assert.equal(gone.text, '');
    for (const more of ['', '/steps', '/events']) checkProblem(await service.get(`/v1/runs/${id}${more}`), 404, 'not_found');
    checkProblem(await service.ask('DELETE', `/v1/runs/${id}`), 404, 'not_found');
    checkProblem(await service.post(`/v1/runs/${id}/cancel`), 404, 'not_found');
    assert.deepEqual((await service.get('/v1/runs')).json.data, []);
    await service.restart();
    checkProblem(await service.get(`/v1/runs/${id}`), 404, 'not_found');
});

async function pages(service, resource) {
    const found = [];
    let after = '';
    for (let page = 0; page < 100; page++) {
        const { status, json, text } = await service.get(resource + (after ? `&after=${encodeURIComponent(after)}` : ''));
        assert.equal(status, 200, text);
        assert.deepEqual(Object.keys(json).sort(), ['data', 'has_more', 'next']);
        found.push(json.data);
        if (!json.has_more) {
            assert.equal(json.next, null);
            return found;
        }
        after = json.next;
        assert.ok(after);
    }
    throw new Error('the pages do not end');
}

test('the list is newest first, comes in pages, and knows its filters', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const ids = [];
    for (let i = 0; i < 25; i++) {
        const workflow = i % 5 === 0 ? { name: 'bad', defaults: { retry: { attempts: 1 } }, steps: { a: ask('mock-s400', 'x') } } : { name: 'good', steps: { a: { reduce: i } } };
        const run = await service.run({ workflow, metadata: { team: i % 2 ? 'odd' : 'even', number: String(i) }, ...(i < 3 ? { thread: 'talk' } : {}) });
        ids.unshift(run.id);
    }
    const all = await pages(service, '/v1/runs?limit=7');
    assert.deepEqual(all.map((page) => page.length), [7, 7, 7, 4]);
    assert.deepEqual(all.flat().map((run) => run.id), ids);
    all.flat().forEach(checkHttpRun);
    const of = async (query) => (await pages(service, `/v1/runs?limit=100&${query}`)).flat().map((run) => run.id);
    const where = (look) => ids.filter((_, at) => look(24 - at));
    assert.deepEqual(await of('status=failed'), where((i) => i % 5 === 0));
    assert.deepEqual(await of('status=running'), []);
    assert.deepEqual(await of('workflow=good'), where((i) => i % 5 !== 0));
    assert.deepEqual(await of('metadata.team=odd'), where((i) => i % 2 === 1));
    assert.deepEqual(await of('metadata.team=odd&metadata.number=7'), where((i) => i === 7));
    assert.deepEqual(await of('status=failed&metadata.team=even'), where((i) => i % 10 === 0));
    assert.deepEqual(await of('thread=talk'), where((i) => i < 3));
    assert.deepEqual(await of('metadata.team=nobody'), []);
    const filtered = await pages(service, '/v1/runs?limit=2&status=failed');
    assert.deepEqual(filtered.flat().map((run) => run.id), where((i) => i % 5 === 0));
    for (const query of ['limit=0', 'limit=x', 'limit=-3', 'status=happy', 'colour=red', 'limit=5&limit=6', 'after=zzz', 'after=run_1'])
        checkProblem(await service.get(`/v1/runs?${query}`), 400);
});

test('paging does not repeat or lose what is there while new runs come', limit, async (t) => {
    const service = await startService(t);
    const first = [];
    for (let i = 0; i < 12; i++) first.unshift((await service.run({ workflow: echo() })).id);
    const page = (await service.get('/v1/runs?limit=5')).json;
    for (let i = 0; i < 4; i++) await service.run({ workflow: echo() });
    const rest = (await service.get(`/v1/runs?limit=100&after=${page.next}`)).json;
    assert.deepEqual([...page.data, ...rest.data].map((run) => run.id), first);
});

test('steps come in pages and by status and prefix', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const workflow = fan(15, (i) => (i === 4 ? 'mock-s400' : 'mock'), { join: 'settled' });
    workflow.steps.fan2 = { reduce: 1 };
    workflow.defaults.retry.attempts = 1;
    const run = await service.run({ workflow });
    const resource = `/v1/runs/${run.id}/steps`;
    const all = await pages(service, `${resource}?limit=4`);
    const paths = all.flat().map((step) => step.path);
    assert.equal(new Set(paths).size, 17, paths.join());
    assert.deepEqual(all.map((page) => page.length), [4, 4, 4, 4, 1]);
    const of = async (query) => (await service.get(`${resource}?${query}`)).json.data.map((step) => step.path).sort();
    assert.deepEqual(await of('status=failed'), ['fan.b4']);
    assert.equal((await of('prefix=fan')).length, 16, 'fan and its branches, not fan2');
    assert.deepEqual(await of('prefix=fan.b1'), ['fan.b1'], 'whole segments');
    assert.deepEqual(await of('prefix=fan.b4&status=succeeded'), []);
    for (const query of ['limit=0', 'status=happy', 'what=this']) checkProblem(await service.get(`${resource}?${query}`), 400);
    checkProblem(await service.get(`/v1/runs/${nobody}/steps`), 404, 'not_found');
});

test('a run that is going on shows what is going on', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const workflow = { name: 'w', steps: { fast: ask('mock', 'fast'), slow: ask('mock-1000ms', 'slow'), last: ask('mock', '${ .steps.slow.output }') } };
    const id = await service.background({ workflow });
    await model.inFlight(1);
    await until(async () => (await service.get(`/v1/runs/${id}`)).json.progress.succeeded === 1, 'the fast step');
    const run = checkHttpRun((await service.get(`/v1/runs/${id}`)).json);
    assert.equal(run.status, 'running');
    assert.deepEqual([run.progress.running, run.progress.pending], [1, 1]);
    const steps = Object.fromEntries((await service.steps(id)).map((step) => [step.path, step]));
    assert.deepEqual([steps.fast.status, steps.slow.status, steps.last?.status ?? 'pending'], ['succeeded', 'running', 'pending']);
    assert.ok((await service.get('/v1/runs?status=running')).json.data.some((one) => one.id === id));
    await service.over(id);
    await sleep(0);
});
