// human.test.mjs - steps that wait for people: what is shown of them, what an answer must be, who comes first, and that a
// restart changes nothing. Not the prompt of `plait run` (tests/cli/human.test.mjs).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startModel } from '../cli/support/model.mjs';
import { limit, sleep, until } from '../cli/support/plait.mjs';
import { random } from '../cli/support/run.mjs';
import { event, openEvents, readAll } from './support/events.mjs';
import { checkProblem, startService } from './support/service.mjs';
import { ask, checkHttpRun, checkStep } from './support/workflows.mjs';

const yes = { type: 'object', required: ['yes'], properties: { yes: { type: 'boolean' }, note: { type: 'string', default: 'none' } } };
const approval = (more = {}, beside = {}) => ({
    name: 'approval',
    steps: {
        draft: { llm: { model: 'sim/echo', prompt: 'a letter' } },
        ok: { human: { ask: 'Send ${ .steps.draft.output }?', schema: yes, data: { to: 'Ann' }, ...more }, ...beside },
        sent: { reduce: '${ .steps.ok.output.note }' },
    },
    output: '${ .steps.sent.output }',
});

const waits = (service, id) =>
    until(async () => {
        const { json } = await service.get(`/v1/runs/${id}`);
        return json.status === 'waiting' && json;
    }, `${id} to wait`);
const answer = (service, id, path, json) => service.post(`/v1/runs/${id}/steps/${path}/answer`, json);

test('a step that asks says what, the run waits, and a right answer lets it go on', limit, async (t) => {
    const service = await startService(t);
    const id = await service.background({ workflow: approval({ timeout: '1h' }) });
    const reader = await openEvents(service.port, `/v1/runs/${id}/events`);
    const run = checkHttpRun(await waits(service, id));
    assert.equal(run.progress.waiting, 1);
    assert.equal(run.progress.running, 0);
    const [step] = await service.steps(id, '&status=waiting');
    checkStep(step);
    assert.equal(step.path, 'ok');
    assert.deepEqual({ ...step.waiting, expires_at: 0 }, { ask: 'Send [simulated] a letter?', schema: yes, data: { to: 'Ann' }, expires_at: 0 });
    assert.equal(Date.parse(step.waiting.expires_at), Date.parse(step.started_at) + 3_600_000);

    const wrong = checkProblem(await answer(service, id, 'ok', { output: { yes: 'sure' } }), 422, 'invalid_input');
    assert.deepEqual(wrong.errors.map(({ pointer }) => pointer), ['/output/yes']);
    checkProblem(await answer(service, id, 'ok', {}), 400, 'invalid_argument');
    checkProblem(await answer(service, id, 'ok', { output: { yes: true }, reject: 'no' }), 400, 'invalid_argument');
    checkProblem(await answer(service, id, 'ok', { output: { yes: true }, other: 1 }), 400, 'invalid_argument');
    checkProblem(await answer(service, id, 'ok', { reject: 5 }), 400, 'invalid_argument');
    checkProblem(await answer(service, id, 'sent', { output: 1 }), 409, 'conflict');
    checkProblem(await answer(service, id, 'nobody', { output: 1 }), 404, 'not_found');
    checkProblem(await answer(service, 'run_01ARZ3NDEKTSV4RRFFQ69G5FAV', 'ok', { output: 1 }), 404, 'not_found');
    assert.equal((await service.get(`/v1/runs/${id}`)).json.status, 'waiting', 'a wrong answer changes nothing');

    const right = await answer(service, id, 'ok', { output: { yes: true } });
    assert.equal(right.status, 200, right.text);
    checkStep(right.json);
    assert.equal(right.json.status, 'succeeded');
    assert.deepEqual(right.json.output, { yes: true, note: 'none' }, 'defaults are filled in');
    assert.equal(right.json.waiting, null);
    const over = checkHttpRun(await service.over(id));
    assert.equal(over.output, 'none');
    assert.equal((await answer(service, id, 'ok', { output: { note: 'none', yes: true } })).status, 200, 'the same again');
    checkProblem(await answer(service, id, 'ok', { output: { yes: false } }), 409, 'conflict');
    checkProblem(await answer(service, id, 'ok', { reject: 'late' }), 409, 'conflict');

    const events = await readAll(reader);
    const asked = events.find(({ type }) => type === 'step.waiting');
    assert.deepEqual(asked.data.waiting, step.waiting);
    const types = events.map(({ type }) => type);
    assert.ok(types.indexOf('run.waiting') > types.indexOf('step.waiting'), String(types));
    assert.equal(types.filter((type) => type === 'run.waiting').length, 1);
});

test('a person may reject, and the run says why', limit, async (t) => {
    const service = await startService(t);
    const id = await service.background({ workflow: approval() });
    await waits(service, id);
    const said = await answer(service, id, 'ok', { reject: 'not like this' });
    assert.equal(said.status, 200, said.text);
    assert.equal(said.json.status, 'failed');
    const run = await service.over(id);
    assert.equal(run.status, 'failed');
    assert.equal(run.error.code, 'rejected');
    assert.equal(run.error.detail, 'not like this');
    assert.equal((await answer(service, id, 'ok', { reject: 'not like this' })).status, 200, 'the same again');
    checkProblem(await answer(service, id, 'ok', { reject: 'other' }), 409, 'conflict');
});

test('what a person said is known again, whatever came of it in the step', limit, async (t) => {
    const service = await startService(t);
    const rejected = async (beside, why = 'not like this') => {
        const id = await service.background({ workflow: approval({}, beside) });
        await waits(service, id);
        assert.equal((await answer(service, id, 'ok', { reject: why })).status, 200);
        const run = await service.over(id);
        assert.equal((await answer(service, id, 'ok', { reject: why })).status, 200, 'the same again');
        checkProblem(await answer(service, id, 'ok', { reject: 'other' }), 409, 'conflict');
        checkProblem(await answer(service, id, 'ok', { output: { yes: true, note: 'stands in' } }), 409, 'conflict');
        return run.error;
    };
    const standIn = { on_error: { default: { yes: true, note: 'stands in' } } };
    const noDefault = { on_error: { default: '${ error("no default") }' } };
    assert.equal(await rejected(standIn), null);
    assert.equal(await rejected(standIn, ''), null);
    const once = await rejected(noDefault);
    assert.equal(once.code, 'expression_error');
    assert.equal(once.after.code, 'rejected');
    const twice = await rejected({ on_error: { step: { reduce: '${ error("no handler") }', ...noDefault } } });
    assert.match(twice.detail, /no default/);
    assert.match(twice.after.detail, /no handler/);
    assert.equal(twice.after.after.code, 'rejected', 'each error is told with the one before it');

    // an answer that was taken, and what is made of it fails
    const workflow = { ...approval({}, { writes: { said: '${ error("no write") }' } }), state: { said: {} } };
    const id = await service.background({ workflow });
    await waits(service, id);
    const output = { yes: true, note: 'fine' };
    assert.equal((await answer(service, id, 'ok', { output })).status, 200);
    assert.equal((await service.over(id)).error.code, 'expression_error');
    assert.equal((await answer(service, id, 'ok', { output })).status, 200, 'the same again');
    checkProblem(await answer(service, id, 'ok', { output: { yes: false } }), 409, 'conflict');
});

test('what comes first of answer, timeout and cancel wins', limit, async (t) => {
    const service = await startService(t);
    const late = await service.background({ workflow: approval({ timeout: '30ms', on_timeout: { default: { yes: false, note: 'nobody' } } }) });
    assert.equal((await service.over(late)).output, 'nobody');
    checkProblem(await answer(service, late, 'ok', { output: { yes: true } }), 409, 'conflict');

    const failed = await service.background({ workflow: approval({ timeout: '30ms' }) });
    assert.equal((await service.over(failed)).error.code, 'timeout');

    const cancelled = await service.background({ workflow: approval() });
    await waits(service, cancelled);
    await service.post(`/v1/runs/${cancelled}/steps/ok/cancel`);
    await service.over(cancelled);
    checkProblem(await answer(service, cancelled, 'ok', { output: { yes: true } }), 409, 'conflict');

    // many at once: one of them is taken, those that say the same are told so
    for (let round = 0; round < 5; round++) {
        const id = await service.background({ workflow: approval() });
        await waits(service, id);
        const words = ['a', 'b', 'a', 'c', 'a', 'b'];
        const all = await Promise.all(words.map((note) => answer(service, id, 'ok', { output: { yes: true, note } })));
        const { output } = await service.over(id);
        all.forEach(({ status }, i) => assert.equal(status, words[i] === output ? 200 : 409, `${words[i]} beside ${output}`));
    }
});

test('a run waits only while nothing else runs, and its time stands still', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const workflow = {
        timeout: '2s',
        steps: { slow: ask('mock-400ms', 'slow'), ok: { human: { ask: 'Go on?' } }, after: ask('mock-100ms', 'after ${ .steps.ok.output }') },
    };
    const id = await service.background({ workflow });
    await until(async () => (await service.steps(id, '&status=waiting')).length, 'the question');
    assert.equal((await service.get(`/v1/runs/${id}`)).json.status, 'running', 'slow still runs');
    assert.deepEqual((await service.get('/v1/runs?has=waiting')).json.data.map((run) => run.id), [id], 'but a step waits');
    await waits(service, id);
    assert.deepEqual((await service.get('/v1/runs?status=waiting')).json.data.map((run) => run.id), [id]);
    await sleep(1200);
    await service.restart();
    await sleep(1000); // more than its timeout is over by now
    assert.equal((await service.get(`/v1/runs/${id}`)).json.status, 'waiting');
    assert.equal((await answer(service, id, 'ok', { output: 'yes' })).status, 200);
    const run = await service.over(id);
    assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
    assert.deepEqual((await service.get('/v1/runs?has=waiting')).json.data, []);
    checkProblem(await service.get('/v1/runs?has=lunch'), 400, 'invalid_argument');
});

test('twenty steps that wait in parallel branches are answered in any order across a restart', limit, async (t) => {
    const seed = Number(process.env.SEED || Date.now() % 1_000_000);
    const next = random(seed);
    t.diagnostic(`seed ${seed}`);
    const model = await startModel(t);
    const service = await startService(t, { model });
    const branches = {};
    for (let i = 0; i < 20; i++)
        branches[`b${i}`] = {
            workflow: {
                steps: {
                    before: ask('mock-20ms', `before ${i}`),
                    asks: { human: { ask: `Number ${i}? \${ .steps.before.output }`, schema: { type: 'integer' } } },
                    after: ask('mock-20ms', `after ${i} was \${ .steps.asks.output }`),
                },
                output: '${ [.steps.asks.output, .steps.after.output] }',
            },
        };
    const id = await service.background({ workflow: { steps: { all: { parallel: { branches } } } } });
    await waits(service, id);
    const order = Array.from({ length: 20 }, (_, i) => [next(), i]).sort((a, b) => a[0] - b[0]).map(([, i]) => i);
    const give = async (i) => {
        const said = await answer(service, id, `all.b${i}.asks`, { output: 1000 + i });
        assert.equal(said.status, 200, said.text);
        assert.equal(said.json.path, `all.b${i}.asks`);
    };
    for (const i of order.slice(0, 7)) await give(i);
    await service.restart();
    assert.equal((await service.steps(id, '&status=waiting')).length, 13);
    await Promise.all(order.slice(7, 14).map(give));
    await service.restart();
    for (const i of order.slice(14)) await give(i);
    const run = checkHttpRun(await service.over(id));
    assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
    for (let i = 0; i < 20; i++) {
        const [number, text] = run.output[`b${i}`];
        assert.equal(number, 1000 + i);
        assert.match(text, new RegExp(`after ${i} was ${1000 + i}$`));
    }
    const calls = await model.allCalls();
    for (let i = 0; i < 20; i++) assert.equal(calls.filter(({ prompt }) => prompt === `before ${i}`).length, 1, `before ${i} was called once`);
});

test('an answer reaches its step inside a map, and no other', limit, async (t) => {
    const service = await startService(t);
    const workflow = {
        steps: {
            all: { map: { over: '${ .input.names }', do: { human: { ask: 'Is ${ .item } in?', schema: { type: 'boolean' } } } } },
        },
    };
    const id = await service.background({ workflow, input: { names: ['Ann', 'Bob', 'Cid'] } });
    await waits(service, id);
    const steps = await service.steps(id, '&status=waiting');
    assert.deepEqual(steps.map(({ path, waiting }) => [path, waiting.ask]), [['all.0', 'Is Ann in?'], ['all.1', 'Is Bob in?'], ['all.2', 'Is Cid in?']]);
    checkProblem(await answer(service, id, 'all.3', { output: true }), 404, 'not_found');
    checkProblem(await answer(service, id, 'all.*', { output: true }), 404, 'not_found');
    for (const i of [2, 0, 1]) assert.equal((await answer(service, id, `all.${i}`, { output: i === 1 })).status, 200);
    assert.deepEqual((await service.over(id)).output, [false, true, false]);
});

test('an answer is taken by a reader of the events, who sees the next question', limit, async (t) => {
    const service = await startService(t);
    const workflow = {
        steps: {
            game: { repeat: { steps: { guess: { human: { ask: 'Turn ${ .turn }: a number?', schema: { type: 'integer' } } } }, until: '${ .output == 3 }', max: 5 } },
        },
    };
    const id = await service.background({ workflow });
    const reader = await openEvents(service.port, `/v1/runs/${id}/events`, { query: '?types=step.waiting,run.*' });
    for (let turn = 0; turn < 3; turn++) {
        const asked = await event(reader, ({ type, data }) => type === 'step.waiting' && data.path === `game.${turn}.guess`, `turn ${turn}`);
        assert.equal(asked.data.waiting.ask, `Turn ${turn}: a number?`);
        assert.equal((await answer(service, id, asked.data.path, { output: turn + 1 })).status, 200);
    }
    assert.equal((await service.over(id)).output, 3);
});
