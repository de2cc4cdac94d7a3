// structured.test.mjs - structured output from outside: JSON out of a model's answer, asked for again when it does not fit,
// failing when it never does. Not the validator's own rules (tests/schema) and not agents.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startModel } from './support/model.mjs';
import { limit, place, run } from './support/plait.mjs';

const verdict = {
    type: 'object',
    required: ['score'],
    additionalProperties: false,
    properties: { score: { type: 'integer', minimum: 1, maximum: 5 } },
};

// One step that asks for a verdict; the stand-in model gives these answers, one a turn of the conversation.
function workflow(answers, llm = {}, step = {}) {
    const prompt = `rate this ${JSON.stringify({ fake: { answers } })}`;
    return {
        steps: { rate: { llm: { model: 'openai/m', prompt, schema: verdict, ...llm }, retry: { attempts: 1 }, ...step } },
        output: '${ .steps.rate.output.score }',
    };
}

async function rate(t, answers, llm, step, args = []) {
    const home = place(t);
    const model = await startModel(t);
    const file = home.file('w.json', workflow(answers, llm, step));
    const result = await run(t, home, ['run', file, ...args], { env: model.env });
    return { ...result, calls: await model.allCalls() };
}

test('the answer is a value that later steps can look into', limit, async (t) => {
    const result = await rate(t, ['{"score": 4}']);
    assert.equal(result.code, 0, result.err);
    assert.equal(result.out, '4\n');
    assert.equal(result.calls.length, 1);
    assert.equal(result.calls[0].schema, true);
});

test('JSON between fences is taken out', limit, async (t) => {
    const result = await rate(t, ['Sure!\n```json\n{"score": 4}\n```\n']);
    assert.equal(result.code, 0, result.err);
    assert.equal(result.out, '4\n');
});

test('an answer that does not fit is asked for again with what is wrong, in the same attempt', limit, async (t) => {
    const result = await rate(t, ['{"score": 9}', '{"score": 5}'], {}, {}, ['--json']);
    assert.equal(result.code, 0, result.err);
    const done = JSON.parse(result.out);
    assert.equal(done.output, 5);
    assert.equal(done.usage.calls, 2);
    assert.deepEqual(result.calls.map((call) => call.messages), [1, 3]);
    assert.match(result.calls[1].prompt, /does not fit: at \/score: /);
});

test('an answer that never fits fails the step with what is wrong', limit, async (t) => {
    const result = await rate(t, ['four'], { repair: 2 });
    assert.equal(result.code, 1);
    assert.equal(result.out, '');
    assert.match(result.err, /rate: invalid_output: .*not valid JSON/);
    assert.equal(result.calls.length, 3);
});

test('retry.on: schema makes a new attempt, with its own repairs', limit, async (t) => {
    const once = await rate(t, ['four'], { repair: 0 }, { retry: { attempts: 3, initial: '1ms', on: ['schema'] } });
    assert.equal(once.code, 1);
    assert.equal(once.calls.length, 3);
    const never = await rate(t, ['four'], { repair: 0 }, { retry: { attempts: 3, initial: '1ms', on: ['server'] } });
    assert.equal(never.calls.length, 1);
});

test('each wait for another attempt is told once, also when that one repairs its answer', limit, async (t) => {
    const result = await rate(t, ['four', '{"score": 9}', '{"score": 8}'], { repair: 2 }, { retry: { attempts: 3, initial: '1ms' } });
    assert.equal(result.code, 1);
    assert.equal(result.err.match(/retrying/g).length, 2, result.err);
});

test('an answer cut at max_tokens is not taken for JSON', limit, async (t) => {
    const result = await rate(t, ['{"score": 4}'], { model: 'openai/m-length', max_tokens: 5 });
    assert.equal(result.code, 1);
    assert.match(result.err, /rate: output_truncated: .*max_tokens/);
});

test('a refusal is not asked for again', limit, async (t) => {
    const result = await rate(t, ['{"score": 4}'], { model: 'openai/m-refuse' });
    assert.equal(result.code, 1);
    assert.match(result.err, /rate: refused: /);
    assert.equal(result.calls.length, 1);
});
