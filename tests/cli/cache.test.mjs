// cache.test.mjs - answers used again and calls shared, counted by the log of the server that would have been called; and the
// first branch of a warm_up. Not ages and tenants (tests/unit/service/test_reuse.c).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callsOf, startModel } from './support/model.mjs';
import { SLOW, limit, place, run } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';

const cached = (model, prompt, more = {}, step = {}) => ({ llm: { model: `openai/${model}`, prompt, cache: { ttl: '1h' }, ...more }, ...step });

// A world in which workflows run one after another on one database, as on the database of a service.
async function world(t) {
    const home = place(t);
    const model = await startModel(t);
    const db = `sqlite:${home.path('all.db')}`;
    let count = 0;
    return {
        async run(steps, { code = 0, args = [], ...more } = {}) {
            const file = home.file(`w${count++}.json`, { name: 'w', steps, ...more });
            const before = (await model.allCalls()).length;
            const result = await run(t, home, ['run', file, '--json', '--db', db, ...args], { env: model.env });
            assert.equal(result.code, code, result.err);
            return { got: parseRun(result), calls: (await model.allCalls()).slice(before) };
        },
    };
}

const none = { calls: 0, input_tokens: 0, cached_input_tokens: 0, output_tokens: 0, cost_usd: null };

test('500 identical branches make one call, and every branch has its answer', limit, async (t) => {
    const { got, calls } = await (await world(t)).run({
        many: { map: { over: '${ [range(500)] }', do: cached(SLOW ? 'mock-3000ms' : 'mock-500ms', 'the same') } },
    });
    assert.equal(calls.length, 1);
    assert.equal(got.usage.calls, 1);
    const { output } = got.step.many;
    assert.equal(output.length, 500);
    assert.equal(new Set(output).size, 1);
    const items = got.steps.filter(({ path }) => path.startsWith('many.'));
    const reused = items.filter((step) => step.cached);
    assert.equal(reused.length, 499);
    for (const step of reused) {
        assert.deepEqual(step.usage, none);
        assert.ok(step.call.saved_input_tokens > 0 && step.call.saved_output_tokens > 0, JSON.stringify(step.call));
        assert.equal(step.call.finish_reason, 'stop');
    }
});

test('an answer is used again by the next process, and only where the same is asked', limit, async (t) => {
    const there = await world(t);
    const first = await there.run({ a: cached('mock', 'hello') });
    assert.equal(first.calls.length, 1);
    assert.equal(first.got.step.a.cached, false);
    const second = await there.run({ a: cached('mock', 'hello'), b: { needs: ['a'], ...cached('mock', 'hello') } });
    assert.equal(second.calls.length, 0);
    for (const id of ['a', 'b']) {
        assert.equal(second.got.step[id].cached, true);
        assert.equal(second.got.step[id].output, first.got.step.a.output);
        assert.deepEqual(second.got.step[id].usage, none);
        assert.ok(second.got.step[id].call.age_ms >= 0);
    }
    const others = await there.run({
        prompt: cached('mock', 'hello!'),
        model: cached('mock-w3', 'hello'),
        system: cached('mock', 'hello', { system: 'be brief' }),
        temperature: cached('mock', 'hello', { temperature: 0.5 }),
        tokens: cached('mock', 'hello', { max_tokens: 9 }),
        seed: cached('mock', 'hello', { seed: 7 }),
        plain: { llm: { model: 'openai/mock', prompt: 'hello' } },
    });
    assert.equal(others.calls.length, 7);
    assert.ok(Object.values(others.got.step).every((step) => !step.cached));
});

test('samples of a vote are asked each for itself, and each is kept', limit, async (t) => {
    const there = await world(t);
    const steps = { v: { vote: { of: cached('mock', 'vote {"fake": {"text": "yes"}}'), samples: 3 } } };
    assert.equal((await there.run(steps)).calls.length, 3);
    const again = await there.run(steps);
    assert.equal(again.calls.length, 0);
    assert.equal(again.got.step.v.output, 'yes');
    assert.equal(again.got.usage.calls, 0);
});

test('an answer that was repaired is kept as it became', limit, async (t) => {
    const there = await world(t);
    const schema = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } };
    const steps = { a: cached('mock', '{"fake": {"answers": ["not JSON", "{\\"n\\": 7}"]}}', { schema }) };
    assert.equal((await there.run(steps)).calls.length, 2);
    const again = await there.run(steps);
    assert.equal(again.calls.length, 0);
    assert.deepEqual(again.got.step.a.output, { n: 7 });
});

test('the turns of an agent are used again, its tools are not', limit, async (t) => {
    const there = await world(t);
    const answers = [{ tool_calls: [{ name: 'look', arguments: { q: 'x' } }] }, 'done'];
    const steps = {
        a: {
            agent: {
                model: 'openai/mock', prompt: JSON.stringify({ fake: { answers } }), cache: { ttl: '1h' },
                tools: { look: { description: 'looks', parameters: { type: 'object' }, do: { llm: { model: 'openai/mock', prompt: 'look it up {"fake": {"text": "found"}}' } } } },
            },
        },
    };
    const first = await there.run(steps);
    assert.equal(first.calls.length, 3);
    const again = await there.run(steps);
    assert.equal(again.got.step.a.output, 'done');
    assert.deepEqual(again.calls.map(({ prompt }) => prompt.slice(0, 10)), ['look it up']);
});

test('what was cut by its length is no answer to use again', limit, async (t) => {
    const there = await world(t);
    const steps = { a: cached('mock-length', 'a long story', {}, { on_error: 'continue', retry: { attempts: 1 } }) };
    const first = await there.run(steps);
    const second = await there.run(steps);
    assert.ok(first.calls.length >= 1);
    assert.equal(second.calls.length, first.calls.length);
});

test('a failed call is not shared: the next one who waits makes it', limit, async (t) => {
    const { got, calls } = await (await world(t)).run({
        m: { map: { over: [1, 2, 3, 4], do: cached('mock-300ms-s503-okafter1', 'the same', {}, { retry: { attempts: 1 } }) }, join: 'settled' },
    });
    assert.deepEqual(calls.map(({ status }) => status), [503, 200]);
    assert.deepEqual([got.step.m.join.counted, got.step.m.join.failed], [3, 1]);
});

test('a leader whose race is lost is stopped, and who waited for it makes the call', limit, async (t) => {
    // `race.slow` asks first, hangs, and is cancelled by `race.fast`; `other` asked for the same and is in no race
    const steps = {
        race: {
            parallel: {
                branches: {
                    slow: cached('mock-hang-okafter1', 'the same'),
                    fast: { llm: { model: SLOW ? 'openai/mock-1500ms' : 'openai/mock-300ms', prompt: 'another' } },
                },
            },
            join: 'any',
        },
        other: cached('mock-hang-okafter1', 'the same'),
    };
    const { got, calls } = await (await world(t)).run(steps);
    assert.deepEqual(callsOf(calls, 'the same').map(({ outcome }) => outcome), ['aborted', 'answered']);
    assert.equal(got.step['race.slow'].status, 'cancelled');
    assert.equal(got.step.other.status, 'succeeded');
    assert.equal(got.step.other.cached, false);
});

test('one who waits and loses its race leaves the leader alone', limit, async (t) => {
    const steps = {
        other: cached(SLOW ? 'mock-4000ms' : 'mock-900ms', 'the same'),
        race: {
            parallel: {
                branches: {
                    slow: cached(SLOW ? 'mock-4000ms' : 'mock-900ms', 'the same'),
                    fast: { llm: { model: 'openai/mock-100ms', prompt: 'another' } },
                },
            },
            join: 'any',
        },
    };
    const { got, calls } = await (await world(t)).run(steps);
    assert.deepEqual(callsOf(calls, 'the same').map(({ outcome }) => outcome), ['answered']);
    assert.equal(got.step['race.slow'].status, 'cancelled');
    assert.equal(got.step.other.status, 'succeeded');
});

test('a leader that a server puts off is waited for, and calls when it may', limit, async (t) => {
    const { got, calls } = await (await world(t)).run({
        m: { map: { over: '${ [range(50)] }', do: cached('mock-retryafter300ms', 'the same') } },
    });
    assert.ok(got.step.m.output.every((text) => text === got.step.m.output[0]));
    assert.equal(got.usage.calls, calls.length);
    assert.equal(calls.filter(({ status }) => status === 200).length, 1);
    assert.ok(calls.length <= 3, `${calls.length} calls`);
});

// ---- warm_up ----

test('with warm_up the first branch is called alone, the others once it answers', limit, async (t) => {
    const say = (prompt) => ({ llm: { model: SLOW ? 'openai/mock-6000ms-w20' : 'openai/mock-1200ms-w20', prompt } });
    const { got, calls } = await (await world(t)).run({
        m: { map: { over: '${ [range(6)] }', warm_up: true, do: say('item ${ .item }') } },
        p: { parallel: { warm_up: true, branches: { a: say('a'), b: say('b'), c: say('c') } } },
    });
    for (const [id, names] of [['m', ['item 0', 'item 1', 'item 2', 'item 3', 'item 4', 'item 5']], ['p', ['a', 'b', 'c']]]) {
        const [first, ...rest] = names.map((name) => callsOf(calls, name)[0]);
        const { join } = got.step[id];
        assert.ok(join.warm_up.waited_ms > 0, JSON.stringify(join));
        assert.equal(join.warm_up.cached_input_tokens, got.step[id].usage.cached_input_tokens);
        for (const call of rest) {
            // the log counts from when a call arrived, the report from when the step began, which is before
            assert.ok(call.start_ms > first.start_ms, `${id}: behind the first`);
            assert.ok(call.start_ms < first.end_ms, `${id}: before the first one's end`);
        }
        assert.ok(first.stream, 'streamed, so that its beginning is seen');
    }
});

test('with warm_up a first branch that fails lets the others go', limit, async (t) => {
    const { got, calls } = await (await world(t)).run({
        m: { map: { over: [1, 2, 3], warm_up: true, do: { llm: { model: 'openai/mock-s503-okafter1', prompt: 'item ${ .item }' }, retry: { attempts: 1 } } }, join: 'settled' },
    }, { code: 0 });
    assert.equal(calls.length, 3);
    assert.ok(got.step.m.join.warm_up.waited_ms >= 0);
});
