// gates.test.mjs - what stands between a step and its call, all of it at once: answers that are kept or shared, budgets, lanes, warm_up and
// hedges. What was called is judged by the server's log. Each of them alone is in cache, money, admission and hedge.test.mjs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startModel } from './support/model.mjs';
import { SLOW, limit, place, plait, run, sleep } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';

function configured(home, model, limits = {}) {
    const prices = Object.fromEntries(['mock-20ms-w5', 'mock-20ms-slow20p10-w5', 'mock-200ms-w5'].map((name) => [`limited/${name}`, { input_usd_per_mtok: 10, output_usd_per_mtok: 20 }]));
    return home.file('plait.json', { providers: { limited: { kind: 'openai', base_url: `${model.url}/v1`, api_key: 'k', limits } }, models: prices });
}

function mostAtOnce(calls) {
    const edges = calls.flatMap(({ start_ms, end_ms }) => [[start_ms, 1], [end_ms, -1]]);
    edges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    let now = 0;
    return Math.max(0, ...edges.map(([, step]) => (now += step)));
}

// 200 branches that ask 100 different things, each twice.
const pairs = (model, budget, llm = {}, more = {}) => ({
    name: 'pairs',
    defaults: { retry: { attempts: 1 } },
    steps: {
        all: {
            map: { over: '${ [range(200)] }', do: { llm: { model: `limited/${model}`, prompt: 'thing ${ .item % 100 }', max_tokens: 50, cache: { ttl: '1h' }, ...llm } }, ...more },
            join: 'settled',
            ...(budget ? { budget } : {}),
        },
    },
    output: '${ .steps.all.output }',
});

const tokens = (usage) => usage.input_tokens + usage.output_tokens;

function judge(got, calls, limits) {
    assert.equal(got.status, 'succeeded');
    assert.ok(mostAtOnce(calls) <= limits.concurrency, `${mostAtOnce(calls)} at once`);
    assert.equal(got.usage.calls, calls.length, 'each call is counted once');
    if (limits.tokens) assert.ok(tokens(got.usage) <= limits.tokens, `${tokens(got.usage)} of ${limits.tokens} tokens`);
    for (const step of got.steps.filter(({ path }) => path.startsWith('all.'))) {
        if (step.cached) assert.equal(step.usage.calls + tokens(step.usage), 0, step.path);
        if (step.status === 'failed') assert.equal(step.error.code, 'budget_exceeded', step.error.detail);
    }
    for (let i = 0; i < 100; i++) {
        const [one, other] = [got.step[`all.${i}`], got.step[`all.${i + 100}`]];
        assert.equal(one.status, other.status, `${i}: what one has an answer to the other has too: ${JSON.stringify([one.error, other.error])}`);
        if (one.status === 'succeeded') assert.deepEqual(one.output, other.output);
    }
}

test('duplicates, a budget for some of them, three places at once and hedges', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const limits = { concurrency: 3, tokens: 1500 };
    const config = configured(home, model, { concurrency: 3 });
    const file = home.file('w.json', pairs('mock-20ms-slow20p10-w5', { tokens: 1500 }, { hedge: { after: '100ms', max: 1 } }));
    const got = parseRun(await run(t, home, ['run', file, '--json', '--config', config]));
    const calls = await model.allCalls();
    judge(got, calls, limits);
    const failed = got.steps.filter((step) => step.status === 'failed').length;
    assert.ok(failed > 0 && failed < 190, `${failed} failed`);
});

test('equal branches that no budget has room for fail at once, not one after the other', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const config = configured(home, model, { concurrency: 3 });
    const workflow = pairs('mock-20ms-w5', { tokens: 40 });
    workflow.steps.all.map.do.llm.prompt = 'the same';
    const { out, err, ms } = await run(t, home, ['run', home.file('w.json', workflow), '--json', '--config', config]);
    const got = parseRun({ out, err });
    assert.equal((await model.allCalls()).length, 0);
    assert.equal(got.step.all.join.failed, 200);
    if (!SLOW) assert.ok(ms < 5000, `${ms} ms`);
});

test('equal branches of which the first has room: one call, 200 answers', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const config = configured(home, model, { concurrency: 3 });
    const workflow = pairs('mock-200ms-w5', { tokens: 70 }, {}, { warm_up: true });
    workflow.steps.all.map.do.llm.prompt = 'the same';
    const { out, err, ms } = await run(t, home, ['run', home.file('w.json', workflow), '--json', '--config', config]);
    const got = parseRun({ out, err });
    assert.equal((await model.allCalls()).length, 1);
    assert.equal(got.step.all.join.counted, 200);
    assert.equal(got.usage.calls, 1);
    assert.ok('waited_ms' in got.step.all.join.warm_up);
    if (!SLOW) assert.ok(ms < 5000, `${ms} ms`);
});

test('what a budget refused is in a recording, and is refused when that is played back', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const config = configured(home, model, { concurrency: 3 });
    const workflow = pairs('mock-20ms-w5', { tokens: 400 }, { fallback: ['limited/mock-200ms-w5'] });
    workflow.steps.all.map.over = '${ [range(30)] }';
    delete workflow.steps.all.map.do.llm.cache;
    const file = home.file('w.json', workflow);
    const recorded = await run(t, home, ['test', file, '--record', '--config', config]);
    assert.equal(recorded.code, 0, recorded.err);
    const calls = await model.allCalls();
    assert.ok(calls.length > 3 && calls.length < 25, `${calls.length} calls`);
    const played = await run(t, home, ['test', file]);
    assert.equal(played.code, 0, played.out + played.err);
    assert.match(played.out, /^passed: 30 calls answered/);
    assert.equal((await model.allCalls()).length, calls.length);
});

test('a first branch that the cache answers lets the others go, and so does one that is refused', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const config = configured(home, model, { concurrency: 3 });
    const db = `sqlite:${home.path('all.db')}`;
    const branch = (prompt, more = {}) => ({ llm: { model: 'limited/mock-20ms-w5', prompt, max_tokens: 50, cache: { ttl: '1h' } }, ...more });
    const args = ['--json', '--config', config, '--db', db];
    await run(t, home, ['run', home.file('first.json', { steps: { a: branch('kept') } }), ...args]);
    const file = home.file('w.json', {
        steps: {
            kept: { parallel: { warm_up: true, branches: { a: branch('kept'), b: branch('b'), c: branch('c') } } },
            refused: { parallel: { warm_up: true, branches: { a: branch('refused', { budget: { tokens: 10 } }), b: branch('d') } }, join: 'settled' },
            hurried: { parallel: { warm_up: true, branches: { a: branch('e'), b: branch('f') } }, budget: { tokens: 100 } },
        },
    });
    const { out, err, ms } = await run(t, home, ['run', file, ...args]);
    const got = parseRun({ out, err });
    assert.equal(got.status, 'succeeded', out);
    assert.equal(got.step['kept.a'].cached, true);
    assert.equal(got.step['refused.a'].error.code, 'budget_exceeded');
    assert.equal((await model.allCalls()).length, 6);
    assert.ok(['kept', 'refused', 'hurried'].every((id) => 'waited_ms' in got.step[id].join.warm_up));
    if (!SLOW) assert.ok(ms < 5000, `${ms} ms`);
});

test('stopped in the middle, nothing that waits is called any more and the figures are those of the server', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const config = configured(home, model, { concurrency: 3 });
    const timeout = SLOW ? 4000 : 900;
    const workflow = pairs('mock-200ms-w5', { tokens: 3000 }, { hedge: { after: '150ms', max: 1 } });
    Object.assign(workflow.steps.all, { timeout: `${timeout}ms`, on_error: 'continue' });
    workflow.steps.after = { needs: ['all'], llm: { model: 'limited/mock-20ms-w5', prompt: 'after it' } };
    const got = parseRun(await run(t, home, ['run', home.file('w.json', workflow), '--json', '--config', config]));
    const calls = await model.allCalls();
    assert.equal(got.step.all.error.code, 'timeout');
    assert.equal(got.step.after.status, 'succeeded', 'what was set aside and whose turn it was came free');
    assert.ok(mostAtOnce(calls) <= 3);
    assert.equal(got.usage.calls, calls.length, 'each call is counted once');
    assert.ok(got.steps.some(({ status }) => status === 'cancelled') && calls.length < 100);
});

test('interrupted in the middle and resumed, each call is counted once', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const limits = { concurrency: 3, tokens: 1500 };
    const config = configured(home, model, { concurrency: 3 });
    const file = home.file('w.json', pairs('mock-20ms-slow20p10-w5', { tokens: limits.tokens }, { hedge: { after: '100ms', max: 1 } }));
    const process = plait(t, home, ['run', file, '--json', '--config', config]);
    const [, id] = await process.said(/^run (run_\w+)$/m);
    await model.inFlight(3);
    process.kill('SIGINT');
    await process.done;
    const before = await model.allCalls();
    assert.ok(before.length < 60, `${before.length} calls`);
    const got = parseRun(await run(t, home, ['run', '--resume', id, '--json', '--config', config]));
    judge(got, await model.allCalls(), limits);
});

test('killed in the middle and resumed, the run ends within its budget and asks nothing twice that was recorded', limit, async (t) => {
    for (const wait of [150, 400, 900]) {
        const home = place(t);
        const model = await startModel(t);
        const limits = { concurrency: 3, tokens: 1200 };
        const config = configured(home, model, { concurrency: 3 });
        const file = home.file('w.json', pairs('mock-20ms-w5', { tokens: limits.tokens }, {}, { warm_up: true }));
        const process = plait(t, home, ['run', file, '--json', '--config', config]);
        const [, id] = await process.said(/^run (run_\w+)$/m);
        await Promise.race([sleep(wait), process.done]);
        process.kill('SIGKILL');
        const { signal } = await process.done;
        if (signal !== 'SIGKILL') continue;
        const lost = await model.allCalls();
        const got = parseRun(await run(t, home, ['run', '--resume', id, '--json', '--config', config]));
        const calls = await model.allCalls();
        assert.equal(got.status, 'succeeded');
        assert.ok(tokens(got.usage) <= limits.tokens, `${tokens(got.usage)} tokens`);
        // three may have been under way, and what came back last may not have been written
        assert.ok(calls.length - got.usage.calls <= lost.length && got.usage.calls <= calls.length, `${calls.length} made, ${got.usage.calls} counted`);
        assert.ok(mostAtOnce(calls.slice(lost.length)) <= 3);
        assert.ok(got.steps.every((step) => step.status === 'succeeded' || step.error?.code === 'budget_exceeded'));
    }
});

test('duplicates, a cache, hedges, warm_up and a budget play back from a recording', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const config = configured(home, model, { concurrency: 3 });
    const workflow = pairs('mock-20ms-slow20p10-w5', { tokens: 900 }, { hedge: { after: '100ms', max: 1 } }, { warm_up: true });
    const file = home.file('w.json', workflow);
    const recorded = await run(t, home, ['test', file, '--record', '--config', config]);
    assert.equal(recorded.code, 0, recorded.err);
    const calls = await model.allCalls();
    assert.ok(calls.length > 10 && calls.length < 100, `${calls.length} calls`);
    const played = await run(t, home, ['test', file]);
    assert.equal(played.code, 0, played.out + played.err);
    assert.match(played.out, /^passed: 200 calls answered/);
    assert.equal((await model.allCalls()).length, calls.length, 'nothing is called');
});
