// travel.test.mjs - the main job: the travel plan of the examples against an OpenAI-compatible server, found by
// OPENAI_BASE_URL. Not the other examples (examples.test.mjs).
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { startModel } from './support/model.mjs';
import { SLOW, limit, place, run, top } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';

const travelPlan = path.join(top, 'examples/travel-plan.yaml');

async function plan(t, model, more = []) {
    const home = place(t);
    const args = ['run', travelPlan, '-i', 'destination=Lisbon', '-i', 'days=4', '--json', ...more];
    const result = await run(t, home, args, { env: model.env });
    assert.equal(result.code, 0, result.err);
    return { got: parseRun(result), calls: await model.allCalls(), result };
}

test('the three researches run at once and the plan gets all three answers', limit, async (t) => {
    const model = await startModel(t);
    const { got, calls } = await plan(t, model, ['--model', 'openai/mock-300ms']);
    assert.equal(calls.length, 4);
    const [last] = calls.slice(-1);
    const researches = calls.slice(0, 3);
    const prompts = researches.map((call) => call.prompt).sort();
    assert.deepEqual(prompts, ['Best sights of Lisbon in 4 days.', 'Getting around Lisbon.', 'Where to stay in Lisbon.']);
    const latestStart = Math.max(...researches.map((call) => call.start_ms));
    const earliestEnd = Math.min(...researches.map((call) => call.end_ms));
    assert.ok(latestStart < earliestEnd, 'the three were in flight at the same time');
    assert.ok(last.start_ms >= Math.max(...researches.map((call) => call.end_ms)), 'the plan waited for all three');
    for (const id of ['attractions', 'hotels', 'transport'])
        assert.ok(last.prompt.includes(got.step[id].output), `the plan was asked with the answer of ${id}`);
    assert.match(last.prompt, /^4 days in Lisbon\./);
    assert.equal(got.output, got.step.plan.output);
    assert.equal(got.usage.calls, 4);
    assert.ok(got.usage.input_tokens > 0 && got.usage.output_tokens > 0);
});

test('it takes the time of the longest way, not of the sum', { ...limit, skip: SLOW && 'instrumented' }, async (t) => {
    const model = await startModel(t);
    let best = Infinity;
    for (let i = 0; i < 5 && best > 420; i++) {
        const { got } = await plan(t, model, ['--model', 'openai/mock-200ms']);
        best = Math.min(best, Date.parse(got.ended_at) - Date.parse(got.started_at));
    }
    t.diagnostic(`best of a few: ${best} ms for a critical path of 400 ms`);
    assert.ok(best <= 420, `${best} ms`);
});

test('the key and the model go out as OpenAI expects them', limit, async (t) => {
    const model = await startModel(t, { key: 'sk-right' });
    const { calls } = await plan(t, model);
    assert.deepEqual([...new Set(calls.map((call) => call.model))], ['gpt-4o-mini']);
    assert.deepEqual([...new Set(calls.map((call) => call.path))], ['/v1/chat/completions']);
    assert.ok(calls.every((call) => call.status === 200));
});

test('a base URL with a slash at its end, or without a key, works as well', limit, async (t) => {
    const model = await startModel(t);
    model.env = { OPENAI_BASE_URL: `${model.url}/v1/` };
    const { calls } = await plan(t, model);
    assert.deepEqual([...new Set(calls.map((call) => call.path))], ['/v1/chat/completions']);
});

test('a wrong key fails the run with auth_failed after one call a branch', limit, async (t) => {
    const model = await startModel(t, { key: 'sk-right' });
    const home = place(t);
    const env = { ...model.env, OPENAI_API_KEY: 'sk-wrong' };
    const result = await run(t, home, ['run', travelPlan, '-i', 'destination=Lisbon', '--json'], { env });
    assert.equal(result.code, 1);
    assert.equal(parseRun(result).error.code, 'auth_failed');
    assert.ok((await model.allCalls()).length <= 3, 'nothing was tried again');
});

test('a step says how its last call ended and what the provider called it', limit, async (t) => {
    const model = await startModel(t);
    const home = place(t);
    const result = await run(t, home, ['run', travelPlan, '-i', 'destination=Lisbon', '--json'], { env: model.env });
    const { steps } = parseRun(result);
    for (const step of steps.filter((one) => one.kind === 'llm')) {
        assert.deepEqual(step.call, { finish_reason: 'stop', request_id: 'req-200' });
        assert.equal(step.cached, false);
    }
});
