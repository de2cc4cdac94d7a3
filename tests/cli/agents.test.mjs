// agents.test.mjs - an agent from outside: the stand-in model calls tools by a script, their results go back to it. Not the
// wire format's details (test_openai_tools) and not crashes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startModel } from './support/model.mjs';
import { limit, place, run } from './support/plait.mjs';

const tools = {
    search: {
        description: 'looks something up',
        parameters: { type: 'object', required: ['q'], properties: { q: { type: 'string' }, n: { type: 'integer', default: 2 } } },
        do: { reduce: '${ .args.n } of ${ .args.q }' },
    },
    clock: { do: { reduce: { time: 'noon' } } },
};

// Runs one agent; the stand-in model gives these answers, one a turn of the conversation.
async function talk(t, answers, agent = {}, args = []) {
    const home = place(t);
    const model = await startModel(t);
    const prompt = `find out ${JSON.stringify({ fake: { answers } })}`;
    const file = home.file('w.json', { steps: { helper: { agent: { model: 'openai/m', prompt, tools, ...agent } } } });
    const result = await run(t, home, ['run', file, ...args], { env: model.env });
    return { ...result, calls: await model.allCalls() };
}

const search = (args) => ({ name: 'search', arguments: args });

test('the tools of one turn run and what they give goes back to the model', limit, async (t) => {
    const result = await talk(t, [{ tool_calls: [search({ q: 'tea', n: 1 }), { name: 'clock' }, search({ q: 'jam' })] }, '$tools']);
    assert.equal(result.code, 0, result.err);
    assert.equal(JSON.parse(result.out), '1 of tea | {"time":"noon"} | 2 of jam');
    assert.deepEqual(result.calls.map((call) => call.messages), [1, 5]);
    assert.deepEqual(result.calls.map((call) => call.tools), [2, 2]);
});

test('a model that calls no tool has answered', limit, async (t) => {
    const result = await talk(t, ['done']);
    assert.equal(result.code, 0, result.err);
    assert.equal(result.out, '"done"\n');
    assert.equal(result.calls.length, 1);
});

test('arguments that are wrong are told to the model, and the step does not fail', limit, async (t) => {
    const wrong = { tool_calls: [search('{"q": '), search({ q: 7 }), { name: 'gone', arguments: {} }, search({ q: 'tea' })] };
    const result = await talk(t, [wrong, '$tools']);
    assert.equal(result.code, 0, result.err);
    const told = JSON.parse(result.out).split(' | ');
    assert.match(told[0], /not valid JSON/);
    assert.match(told[1], /at \/q: /);
    assert.match(told[2], /tool.*gone/);
    assert.equal(told[3], '2 of tea');
});

test("an agent's answer fits its schema, and is asked for again while tools are offered", limit, async (t) => {
    const schema = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } };
    const result = await talk(t, [{ tool_calls: [{ name: 'clock' }] }, 'seven', '{"n": 7}'], { schema });
    assert.equal(result.code, 0, result.err);
    assert.deepEqual(JSON.parse(result.out), { n: 7 });
    assert.deepEqual(result.calls.map((call) => call.messages), [1, 3, 5]);
    assert.deepEqual(result.calls.map((call) => call.schema && call.tools), [2, 2, 2]);
});

test('calls that come in the fragments of a stream are whole', limit, async (t) => {
    const script = [{ tool_calls: [search({ q: 'té' }), { name: 'clock' }], text: 'let me look' }, '$tools'];
    const result = await talk(t, script, { model: 'openai/m-flip' });
    assert.equal(result.code, 0, result.err);
    assert.equal(JSON.parse(result.out), '2 of té | {"time":"noon"}');
});
