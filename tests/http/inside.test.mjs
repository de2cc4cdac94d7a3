// inside.test.mjs - what runs inside a step (items of a map, branches of a vote, a called workflow, turns) as it is shown: paths,
// lists, progress, usage, events, cancelling one of them. And stored workflows that call others by name.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startModel } from '../cli/support/model.mjs';
import { limit, until } from '../cli/support/plait.mjs';
import { openEvents, readAll } from './support/events.mjs';
import { checkProblem, startService } from './support/service.mjs';
import { ask, checkHttpRun, checkStep } from './support/workflows.mjs';

const llm = (prompt, model = 'sim/echo') => ({ llm: { model, prompt } });
const paths = (steps) => steps.map(({ path }) => path);
const kinds = {
    name: 'kinds',
    steps: {
        items: { map: { over: [1, 2, 3], do: llm('item ${ .item }'), collapse: { do: llm('all ${ .items | length }'), fan_in: 2 } } },
        vote: { vote: { of: llm('x', 'sim/echo?vote=a:2,b:1'), samples: 3 } },
        sub: { workflow: { steps: { in: llm('sub'), out: { reduce: '${ .steps.in.output }' } } } },
        loop: { repeat: { steps: { turn: llm('turn ${ .turn }') }, max: 2 } },
        agent: { agent: { model: 'sim/echo', prompt: 'hello', tools: { add: { description: 'adds', do: { reduce: '${ .args }' } } } } },
        all: { parallel: { branches: { a: { sleep: '1ms' }, b: llm('b') } } },
    },
};

test('every kind of step is accepted, run, and listed with what ran inside it', limit, async (t) => {
    const service = await startService(t);
    const checked = await service.post('/v1/validate', { workflow: kinds });
    assert.equal(checked.json.valid, true, checked.text);
    const id = await service.background({ workflow: kinds });
    const reader = await openEvents(service.port, `/v1/runs/${id}/events`);
    const run = checkHttpRun(await service.over(id));
    assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
    const steps = await service.steps(id);
    steps.forEach(checkStep);
    const step = Object.fromEntries(steps.map((each) => [each.path, each]));
    for (const path of ['items.0', 'items.1', 'items.2', 'items.collapse.0.0', 'items.collapse.1.0', 'vote.0', 'vote.2', 'sub.in', 'sub.out', 'loop.0.turn', 'loop.1.turn', 'agent.0', 'all.a', 'all.b'])
        assert.ok(step[path], `${path} is among ${Object.keys(step)}`);
    assert.deepEqual([step.sub.kind, step['items.1'].kind, step['all.a'].kind, step['agent.0'].kind], ['workflow', 'llm', 'sleep', 'llm']);
    assert.deepEqual(step.items.progress, { total: 3, pending: 0, running: 0, waiting: 0, succeeded: 3, failed: 0, skipped: 0, cancelled: 0 });
    assert.equal(step.vote.join.tally.reduce((sum, { votes }) => sum + votes, 0), 3);
    for (const path of ['items', 'vote', 'sub', 'loop', 'agent']) {
        const inside = steps.filter((each) => each.path.startsWith(`${path}.`));
        const calls = inside.reduce((sum, each) => sum + each.usage.calls, 0);
        assert.ok(calls > 0);
        assert.equal(step[path].usage.calls, calls, `${path} shows the calls inside it`);
    }
    assert.equal(run.progress.total, steps.length);
    assert.equal(run.progress.succeeded, steps.filter(({ status }) => status === 'succeeded').length);
    const events = await readAll(reader);
    const seen = new Set(events.filter(({ type }) => type === 'step.succeeded').map(({ data }) => data.path));
    for (const each of steps) assert.ok(seen.has(each.path), `an event of ${each.path}`);
    assert.equal(events.find(({ type, data }) => type === 'step.succeeded' && data.path === 'vote').data.usage.calls, 3);
});

test('lists come in the order of items, in pages, by prefix and by status', limit, async (t) => {
    const service = await startService(t);
    const over = Array.from({ length: 25 }, (_, i) => i);
    const item = { workflow: { steps: { a: llm('a ${ .item }'), b: { reduce: '${ .steps.a.output }' } } } };
    const workflow = { steps: { m: { map: { over, do: item } }, z: { reduce: '${ .steps.m.status }' } } };
    const run = await service.run({ workflow });
    assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
    const expected = ['m', ...over.flatMap((i) => [`m.${i}`, `m.${i}.a`, `m.${i}.b`]), 'z'];
    assert.deepEqual(paths(await service.steps(run.id)), expected);
    const seen = [];
    for (let after = ''; ; ) {
        const { json } = await service.get(`/v1/runs/${run.id}/steps?limit=7${after && `&after=${after}`}`);
        seen.push(...paths(json.data));
        if (!json.has_more) break;
        after = json.next;
    }
    assert.deepEqual(seen, expected);
    assert.deepEqual(paths(await service.steps(run.id, '&prefix=m.2')), ['m.2', 'm.2.a', 'm.2.b']);
    assert.equal((await service.steps(run.id, '&status=succeeded')).length, expected.length);
    assert.deepEqual(await service.steps(run.id, '&status=pending'), []);
});

test('items that have not begun are pending, and one that runs can be cancelled alone', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const workflow = { steps: { m: { map: { over: '${ .input.list }', do: ask('mock-hang', 'item ${ .item }'), concurrency: 4 }, join: 'settled' } } };
    const id = await service.background({ workflow, input: { list: [...Array(10).keys()] } });
    await model.inFlight(4);
    const run = checkHttpRun((await service.get(`/v1/runs/${id}`)).json);
    assert.deepEqual([run.progress.total, run.progress.running, run.progress.pending], [11, 5, 6]);
    const [map] = await service.steps(id, '&prefix=m');
    assert.deepEqual([map.progress.total, map.progress.running, map.progress.pending], [10, 4, 6]);
    const answer = await service.post(`/v1/runs/${id}/steps/m.2/cancel`);
    assert.ok([200, 202].includes(answer.status), answer.text);
    await until(async () => (await service.steps(id, '&status=cancelled')).length === 1, 'the item to end');
    await until(async () => paths(await service.steps(id, '&status=running')).includes('m.4'), 'the next one to begin');
    checkProblem(await service.post(`/v1/runs/${id}/steps/m.99/cancel`), 404, 'not_found');
    checkProblem(await service.post(`/v1/runs/${id}/steps/m.*/cancel`), 404, 'not_found');
    await service.post(`/v1/runs/${id}/cancel`);
    const over = await service.over(id);
    assert.equal(over.status, 'cancelled');
});

test('stored workflows call others by name: the newest at the start, pinned for the run', limit, async (t) => {
    const service = await startService(t);
    const put = (name, definition) => service.ask('PUT', `/v1/workflows/${name}`, { json: definition });
    const child = (text) => ({ input: { type: 'object', properties: { x: { type: 'string', default: 'none' } } }, steps: { say: { reduce: `\${ "${text} " + .input.x }` } } });
    const parent = (name) => ({ steps: { sub: { workflow: { name, input: { x: '${ .input.x }' } } } } });
    const missing = checkProblem(await put('parent', parent('child')), 422, 'invalid_workflow');
    assert.deepEqual(missing.errors.map(({ pointer }) => pointer), ['/steps/sub/workflow/name']);
    assert.equal((await put('child', child('one'))).status, 201);
    assert.equal((await put('parent', parent('child'))).status, 201);
    assert.equal((await put('pinned', parent('child@1'))).status, 201);
    const first = (await service.post('/v1/workflows/parent/runs', { input: { x: 'a' } })).json;
    assert.equal(first.output, 'one a');
    assert.ok(paths(await service.steps(first.id)).includes('sub.say'));
    assert.equal((await put('child', child('two'))).status, 201);
    assert.equal((await service.post('/v1/workflows/parent/runs', { input: { x: 'b' } })).json.output, 'two b');
    assert.equal((await service.post('/v1/workflows/pinned/runs', { input: { x: 'c' } })).json.output, 'one c');
    assert.equal((await service.run({ workflow: parent('child'), input: { x: 'd' } })).output, 'two d', 'also one sent with the run');
    const shown = (await service.get('/v1/workflows/parent')).json;
    assert.deepEqual(shown.definition, parent('child'), 'what was sent is what is shown');
    assert.equal((await put('parent', parent('child'))).json.created, false, 'the same again makes no version');
    const circle = checkProblem(await put('child', { steps: { again: { workflow: { name: 'parent' } } } }), 422, 'invalid_workflow');
    assert.match(circle.errors[0].detail, /in a circle: child -> parent@1 -> child/);
    const namesake = { name: 'child', steps: { sub: { workflow: { name: 'child', input: { x: '${ .input.x }' } } } } };
    assert.equal((await service.run({ workflow: namesake, input: { x: 'e' } })).output, 'two e', 'another one of that name');
    assert.equal((await service.post('/v1/validate', { workflow: namesake })).json.valid, true);
    const self = checkProblem(await put('child', namesake), 422, 'invalid_workflow');
    assert.match(self.errors[0].detail, /in a circle: child -> child/);
    checkProblem(await service.ask('DELETE', '/v1/workflows/child'), 409, 'conflict');
    for (const name of ['parent', 'pinned', 'child']) assert.equal((await service.ask('DELETE', `/v1/workflows/${name}`)).status, 204, name);
    await service.restart();
    assert.equal((await service.get(`/v1/runs/${first.id}`)).json.output, 'one a');
    assert.ok(paths(await service.steps(first.id)).includes('sub.say'), 'runs know what they were');
});

test('a jq program that is none is refused before anything runs, at its place', limit, async (t) => {
    const service = await startService(t);
    const answer = await service.post('/v1/runs', { workflow: { steps: { a: { reduce: '${ .input | nonsense(1) }' } } } });
    const problem = checkProblem(answer, 422, 'invalid_workflow');
    assert.deepEqual(problem.errors.map(({ pointer }) => pointer), ['/workflow/steps/a/reduce']);
    assert.match(problem.errors[0].detail, /nonsense/);
});
