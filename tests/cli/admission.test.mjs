// admission.test.mjs - how many calls at once and a minute a provider gets, whose turn it is, and what a 429 or a server out of reach
// holds up, seen by the server. The sliding minute itself is tested under a clock of its own (tests/unit/service/test_limits.c).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startModel } from './support/model.mjs';
import { limit, place, run } from './support/plait.mjs';
import { once, parseRun } from './support/run.mjs';
import { onTerminal } from './support/terminal.mjs';

const call = (model, prompt, more = {}) => ({ llm: { model, prompt, ...more } });

// A configuration whose provider `limited` is the stand-in.
function configured(home, model, provider) {
    return home.file('plait.json', { providers: { limited: { kind: 'openai', base_url: `${model.url}/v1`, api_key: 'k', ...provider } } });
}

const mapOf = (items, step) => once({ all: { map: { over: `\${ [range(${items})] }`, do: step } } });

function mostAtOnce(calls) {
    const edges = calls.flatMap(({ start_ms, end_ms }) => [[start_ms, 1], [end_ms, -1]]);
    edges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    let now = 0;
    return Math.max(...edges.map(([, step]) => (now += step)));
}

test('no more calls than allowed are under way at once, and all are made', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const config = configured(home, model, { limits: { concurrency: 3 } });
    const file = home.file('w.json', mapOf(30, call('limited/mock-30ms', 'n ${ .item }')));
    const { code, out, err } = await run(t, home, ['run', '--json', '--config', config, file]);
    assert.equal(code, 0, err);
    assert.equal(parseRun({ out, err }).status, 'succeeded');
    const calls = await model.allCalls();
    assert.equal(calls.length, 30);
    assert.equal(mostAtOnce(calls), 3);
});

test('a model with a limit of its own is held back alone', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const config = configured(home, model, { models: { 'mock-31ms': { concurrency: 1 } } });
    const file = home.file('w.json', once({
        slow: { map: { over: '${ [range(6)] }', do: call('limited/mock-31ms', 'slow ${ .item }') } },
        fast: { map: { over: '${ [range(6)] }', do: call('limited/mock-300ms', 'fast ${ .item }') } },
    }));
    const { code, err } = await run(t, home, ['run', '--config', config, file]);
    assert.equal(code, 0, err);
    const calls = await model.allCalls();
    assert.equal(mostAtOnce(calls.filter((one) => one.model === 'mock-31ms')), 1);
    assert.equal(mostAtOnce(calls.filter((one) => one.model === 'mock-300ms')), 6);
});

test('requests beyond what a minute allows wait, and a terminal shows it', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const config = configured(home, model, { limits: { rpm: 120 } });
    const file = home.file('w.json', mapOf(8, call('limited/mock-5ms', 'n ${ .item }')));
    const { code, out } = await onTerminal(t, home, ['run', '--config', config, file]).done;
    assert.equal(code, 0, out);
    assert.match(out, /\d+ calls? waits? for (their|its) turn: requests_per_minute/);
    const starts = (await model.allCalls()).map((one) => one.start_ms);
    assert.equal(starts.length, 8);
    // three at once, then one each half second
    assert.ok(starts[7] - starts[0] >= 2300, `${starts[7] - starts[0]} ms`);
});

test('tokens are counted as the answers tell them', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const config = configured(home, model, { limits: { tpm: 100000 } });
    const file = home.file('w.json', mapOf(5, call('limited/mock-5ms-w5', 'n ${ .item }', { max_tokens: 50000 })));
    const { code, err, ms } = await run(t, home, ['run', '--config', config, file]);
    assert.equal(code, 0, err);
    assert.equal((await model.allCalls()).length, 5);
    assert.ok(ms < 30_000, `${ms} ms: what was reserved came back`);
});

test('steps that wait for their turn are cancelled with the race they were in', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const config = configured(home, model, { limits: { concurrency: 2 } });
    const file = home.file('w.json', once({
        race: { join: 'any', parallel: { branches: Object.fromEntries([...'abcdefgh'].map((id, i) => [id, call(i ? 'limited/mock-5000ms' : 'limited/mock-50ms', id)])) } },
    }));
    const { code, out, err, ms } = await run(t, home, ['run', '--json', '--config', config, file]);
    assert.equal(code, 0, err);
    assert.equal(parseRun({ out, err }).status, 'succeeded');
    assert.equal((await model.allCalls()).length, 2);
    assert.ok(ms < 4000, `${ms} ms`);
});

test('a 429 holds up all calls, not each for itself', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const config = configured(home, model, {});
    const file = home.file('w.json', once({
        first: call('limited/mock-retryafter1', 'first'),
        rest: { map: { over: '${ [.steps.begun] | [range(10)] }', do: call('limited/mock-20ms', 'n ${ .item }') }, needs: ['begun'] },
        begun: { sleep: '300ms' },
    }));
    const { code, err } = await run(t, home, ['run', '--config', config, file]);
    assert.equal(code, 0, err);
    const calls = await model.allCalls();
    const refused = calls.find((one) => one.status === 429);
    const next = calls.filter((one) => one !== refused).map((one) => one.start_ms);
    assert.equal(calls.filter((one) => one.status === 429).length, 1);
    assert.ok(Math.min(...next) - refused.end_ms >= 900, `${Math.min(...next) - refused.end_ms} ms`);
});

test('a server that fails time after time is left alone, and is not waited for long', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const config = configured(home, model, {});
    const file = home.file('w.json', once({
        all: { join: 'settled', map: { over: '${ [range(120)] }', concurrency: 5, do: call('limited/mock-300ms-s500', 'n ${ .item }') } },
    }));
    const { code, out, err } = await run(t, home, ['run', '--json', '--config', config, file]);
    assert.equal(code, 0, err);
    const parsed = parseRun({ out, err });
    const calls = await model.allCalls();
    assert.ok(calls.length < 90, `${calls.length} calls of 120`);
    const untried = parsed.steps.filter((step) => /time after time/.test(step.error?.detail));
    assert.ok(untried.length >= 120 - calls.length, `${untried.length} were not sent`);
    for (const step of untried) assert.equal(step.error.code, 'provider_error');
});

test('a step with another model goes on to it at once when a server fails time after time', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const provider = { kind: 'openai', base_url: `${model.url}/v1`, api_key: 'k' };
    const config = home.file('plait.json', { providers: { limited: provider, other: provider } });
    const step = call('limited/mock-300ms-s500', 'n ${ .item }', { fallback: ['other/mock-20ms'] });
    const file = home.file('w.json', once({ all: { map: { over: '${ [range(120)] }', concurrency: 5, do: step } } }));
    const { code, err } = await run(t, home, ['run', '--config', config, file]);
    assert.equal(code, 0, err);
    const calls = await model.allCalls();
    const bad = calls.filter((one) => one.status === 500);
    assert.ok(bad.length < 90, `${bad.length} calls in vain`);
    assert.equal(calls.length - bad.length, 120);
});
