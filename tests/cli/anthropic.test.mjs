// anthropic.test.mjs - Anthropic's Messages API from outside: plain, streamed, with tools, structured, and its faults. Not the
// wire format's details (test_anthropic, test_recorded). The stand-in model refuses what the API refuses.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { startModel } from './support/model.mjs';
import { limit, place, run } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';
import { onTerminal } from './support/terminal.mjs';

// Runs one step by the model, on a terminal if it is to be streamed. `step` and `call` are those of the run's report.
async function ask(t, step, { stream = false, key } = {}) {
    const home = place(t);
    const model = await startModel(t, { key });
    const file = home.file('w.json', { steps: { a: step } });
    const stdout = home.path('out.json');
    const options = { stdout, env: model.anthropic };
    let result = stream ? await onTerminal(t, home, ['run', file, '--json'], options).done
        : await run(t, home, ['run', file, '--json'], options);
    if (stream) result = { ...result, out: fs.readFileSync(stdout, 'utf8'), err: result.out };
    const report = result.out ? parseRun(result) : undefined;
    return { ...result, report, step: report?.step.a, calls: await model.allCalls() };
}

const once = { attempts: 1 };
const scripted = (answers) => `find out ${JSON.stringify({ fake: { answers } })}`;

for (const stream of [false, true]) {
    const how = stream ? 'streamed' : 'whole';

    test(`a call gives the text, how it ended and what was counted, ${how}`, limit, async (t) => {
        const prompt = `hi ${JSON.stringify({ fake: { text: 'Olá!' } })}`;
        const result = await ask(t, { llm: { model: 'anthropic/m', system: 'Be kind.', prompt } }, { stream, key: 'sk-ant-test' });
        assert.equal(result.code, 0, result.err);
        assert.equal(result.step.output, 'Olá!');
        const { usage, call } = result.step;
        assert.equal(usage.cached_input_tokens, 3);
        assert.equal(usage.cache_write_input_tokens, 2);
        assert.ok(usage.input_tokens > 20, 'all of the input, whatever the cache had of it');
        assert.equal(usage.output_tokens, 12);
        assert.deepEqual(call, { finish_reason: 'stop', request_id: 'req-200' });
        assert.deepEqual(result.calls.map(({ path, status, stream: streamed }) => [path, status, streamed]), [['/v1/messages', 200, stream]]);
    });
}

test('an agent gives thoughts back as they were, whole and streamed', limit, async (t) => {
    const tools = { search: { parameters: { type: 'object', required: ['q'], properties: { q: { type: 'string' } } }, do: { reduce: 'about ${ .args.q }' } } };
    const turn = { tool_calls: [{ name: 'search', arguments: { q: 'tea' } }, { name: 'search', arguments: { q: 'jam' } }], text: 'let me look' };
    for (const stream of [false, true]) {
        const result = await ask(t, { agent: { model: 'anthropic/think', prompt: scripted([turn, turn, '$tools']), tools } }, { stream });
        assert.equal(result.code, 0, result.err);
        assert.equal(result.step.output, 'about tea | about jam | about tea | about jam');
        assert.deepEqual(result.calls.map(({ messages, status }) => [messages, status]), [[1, 200], [3, 200], [5, 200]]);
        assert.equal(result.calls[0].tools, 1);
    }
});

test('thoughts go back as they were after a resumed run', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const tools = { person: { do: { human: { ask: 'Well?' } } } };
    const prompt = scripted([{ tool_calls: [{ name: 'person' }] }, '$tools']);
    const file = home.file('w.json', { steps: { a: { agent: { model: 'anthropic/think', prompt, tools } } } });
    const stuck = await run(t, home, ['run', file], { env: model.anthropic });
    assert.notEqual(stuck.code, 0);
    const [, id] = stuck.err.match(/--resume (run_\w+)/);
    const result = await run(t, home, ['run', '--resume', id, '-q'], { env: model.anthropic, input: 'very well' });
    assert.equal(result.code, 0, result.err);
    assert.match(result.out, /very well/);
    assert.deepEqual((await model.allCalls()).map(({ messages, status }) => [messages, status]), [[1, 200], [3, 200]]);
});

test('structured output is asked for, judged, and asked for again', limit, async (t) => {
    const schema = { type: 'object', required: ['score'], properties: { score: { type: 'integer', maximum: 5 } } };
    const result = await ask(t, { llm: { model: 'anthropic/m', prompt: scripted(['{"score": 9}', '{"score": 5}']), schema } });
    assert.equal(result.code, 0, result.err);
    assert.deepEqual(result.step.output, { score: 5 });
    assert.deepEqual(result.calls.map((call) => [call.schema, call.messages]), [[true, 1], [true, 3]]);
    assert.match(result.calls[1].prompt, /does not fit: at \/score: /);
});

// What each fault is called, and whether another attempt helps.
for (const [word, code, pattern] of [
    ['529', 'overloaded', /answered 529/],
    ['err200', 'overloaded', /reported an error/],
    ['errlate', 'overloaded', /reported an error/],
    ['cut', 'truncated_response', /./],
    ['midreset', 'truncated_response|connection_lost', /./],
    ['429-code:rate_limit_error-dontretry', 'rate_limited', /answered 429/],
    ['404', 'model_not_found', /answered 404/],
    ['413', 'context_too_long', /answered 413/],
    ['refuse', 'refused', /the model refused/],
    ['length', 'output_truncated', /8192 tokens/],
    ['empty', 'empty_response', /no text/],
    ['notjson', 'bad_response', /check the base URL/],
]) {
    test(`${word} is ${code}`, limit, async (t) => {
        const result = await ask(t, { llm: { model: `anthropic/${word}`, prompt: 'hi' }, retry: once });
        assert.equal(result.code, 1, result.err);
        assert.match(result.step.error.code, new RegExp(`^(${code})$`), result.step.error.detail);
        assert.match(result.step.error.detail, pattern);
    });
}

for (const [word, code] of [
    ['529', 'overloaded'], ['err200', 'overloaded'], ['errlate', 'overloaded'], ['errlate-code:api_error', 'stream_error'],
    ['nodone', 'truncated_response'], ['nofinish', 'truncated_response'], ['cut', 'truncated_response'], ['refuse', 'refused'],
]) {
    test(`${word} in a stream is ${code}`, limit, async (t) => {
        const result = await ask(t, { llm: { model: `anthropic/${word}`, prompt: 'hi' }, retry: once }, { stream: true });
        assert.equal(result.code, 1, result.err);
        assert.equal(result.step.error.code, code, result.step.error.detail);
    });
}

for (const word of ['flip', 'notype']) {
    test(`${word} is a good answer, whole and streamed`, limit, async (t) => {
        for (const stream of [false, true]) {
            const result = await ask(t, { llm: { model: `anthropic/w5-${word}`, prompt: 'hi' } }, { stream });
            assert.equal(result.code, 0, result.err);
            assert.match(result.step.output, /^plan fly stay eat walk .* hi$/);
        }
    });
}

test('an overloaded server is asked again', limit, async (t) => {
    const result = await ask(t, { llm: { model: 'anthropic/529-okafter1', prompt: 'hi' }, retry: { attempts: 2, initial: '10ms' } });
    assert.equal(result.code, 0, result.err);
    assert.deepEqual(result.calls.map((call) => call.status), [529, 200]);
});

test('a wrong key is told', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t, { key: 'sk-right' });
    const file = home.file('w.json', { steps: { a: { llm: { model: 'anthropic/m', prompt: 'hi' } } } });
    const result = await run(t, home, ['run', file], { env: { ...model.anthropic, ANTHROPIC_API_KEY: 'sk-wrong-key' } });
    assert.equal(result.code, 1);
    assert.match(result.err, /auth_failed/);
    assert.doesNotMatch(result.err, /sk-wrong-key/);
});

test('what the API has no place for is refused before anything is sent', limit, async (t) => {
    const seed = await ask(t, { llm: { model: 'anthropic/m', prompt: 'hi', seed: 7 } });
    assert.notEqual(seed.code, 0);
    assert.match(seed.err, /\/steps\/a\/llm\/seed: .*take no 'seed'/);
    assert.equal(seed.calls.length, 0);
    const audio = [{ role: 'user', content: [{ type: 'input_audio', input_audio: { data: 'aGk=', format: 'wav' } }] }];
    const result = await ask(t, { llm: { model: 'anthropic/m', messages: audio } });
    assert.equal(result.code, 1);
    assert.match(result.err + result.out, /which anthropic does not take/);
    assert.equal(result.calls.length, 0);
});

test('a conversation that has to be turned round for the API is taken by it', limit, async (t) => {
    const messages = [
        { role: 'developer', content: 'Short.' },
        { role: 'user', content: 'one' },
        { role: 'user', content: [{ type: 'text', text: 'two' }, { type: 'text', text: '' }] },
        { role: 'assistant', content: null, tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{"n":1}' } }] },
        { role: 'tool', tool_call_id: 'c1', content: 'r' },
        { role: 'user', content: 'three' },
    ];
    const result = await ask(t, { llm: { model: 'anthropic/w2', messages, prompt: 'four', stop: ['x'], temperature: 0.5, max_tokens: 9 } });
    assert.equal(result.code, 0, result.err);
    assert.equal(result.calls[0].messages, 3);
});
