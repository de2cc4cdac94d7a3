// votes.test.mjs - a vote whose outcome is fixed early: what its server sees of the rest, and what the vote tells. Not the
// methods one by one (tests/scenario/vote_*).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callsOf, startModel } from './support/model.mjs';
import { SLOW, limit, place, run } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';

const ANSWER = SLOW ? 'mock-1500ms' : 'mock-150ms'; // long enough that all nine are asked before the first answers
const CLOSE_MS = 100; // what a loser's connection may stay open after the outcome is known

const says = (text, more = {}) => JSON.stringify({ fake: { text, ...more } });
const voter = (model, text, more) => ({ retry: { attempts: 1 }, llm: { model: `openai/${model}`, prompt: `vote ${says(text, more)}` } });

async function vote(t, config, { code = 0 } = {}) {
    const home = place(t);
    const model = await startModel(t);
    const steps = { verdict: { vote: config }, after: { reduce: '${ .steps.verdict.join.tally }' } };
    const file = home.file('w.json', { name: 'election', steps, output: '${ .steps.verdict.output }' });
    const result = await run(t, home, ['run', file, '--json'], { env: model.env });
    assert.equal(result.code, code, result.err);
    return { got: parseRun(result), calls: await model.allCalls() };
}

function checkFixed(t, { got, calls }, value) {
    assert.equal(got.output, value);
    assert.equal(calls.length, 9, 'all nine were asked');
    const won = calls.filter((call) => call.outcome === 'answered');
    const lost = calls.filter((call) => call.outcome === 'aborted');
    assert.deepEqual([won.length, lost.length], [5, 4]);
    assert.equal(new Set(calls.map((call) => call.conn)).size, 9, 'each on a connection of its own');
    const late = Math.max(...lost.map((call) => call.closed_ms)) - Math.max(...won.map((call) => call.end_ms));
    t.diagnostic(`the last of 4 connections was closed ${late.toFixed(1)} ms after the fifth answer`);
    if (!SLOW) assert.ok(late <= CLOSE_MS, `${late} ms`);

    const steps = got.steps.filter(({ path }) => /^verdict\./.test(path));
    assert.equal(steps.length, 9);
    const cancelled = steps.filter(({ status }) => status === 'cancelled');
    assert.deepEqual(cancelled.map(({ reason }) => reason), Array(4).fill('outcome_fixed'));
    const { join } = got.step.verdict;
    assert.equal(join.satisfied_by, 'outcome_fixed');
    assert.deepEqual([join.counted, join.failed, join.cancelled, join.missing], [5, 0, 4, 0]);
    assert.deepEqual(got.step.after.output, join.tally, 'a later step sees the tally');
    assert.deepEqual(join.tally.map(({ key, votes }) => [key, votes]), [[value, 5]]);
    const names = steps.filter(({ status }) => status === 'succeeded').map(({ path }) => path.split('.')[1]);
    assert.deepEqual(join.tally[0].branches.map(String).sort(), names.sort());
    assert.equal(got.progress.cancelled, 4);
    assert.equal(got.usage.calls, 9);
}

test('nine samples, the first five agree: the other four connections are closed, with outcome_fixed', limit, async (t) => {
    // the first four requests of one body hang, the others answer
    const of = voter(ANSWER, 'yes', { fault: 'hang-okafter4' });
    checkFixed(t, await vote(t, { of, samples: 9, method: 'majority', stop: 'early' }), 'yes');
});

test('nine models by name, the first five agree: the same', limit, async (t) => {
    const among = {};
    for (let i = 0; i < 9; i++) among[`m${i}`] = voter(i % 2 ? 'mock-hang' : ANSWER, 'yes', { words: i });
    checkFixed(t, await vote(t, { among, stop: 'early' }), 'yes');
});

test('without stop: early all nine are heard, the minority is told', limit, async (t) => {
    const among = {};
    for (let i = 0; i < 9; i++) among[`m${i}`] = voter(`mock-${20 * i}ms`, i < 5 ? 'yes' : 'no');
    const { got, calls } = await vote(t, { among });
    assert.equal(got.output, 'yes');
    assert.ok(calls.every((call) => call.outcome === 'answered'));
    assert.deepEqual(got.step.verdict.join.tally.map(({ key, votes }) => [key, votes]), [['yes', 5], ['no', 4]]);
    assert.equal(got.step.verdict.join.cancelled, 0);
});

test('four that agree do not end it: a failure and three others could still win', limit, async (t) => {
    const among = {};
    for (let i = 0; i < 4; i++) among[`yes${i}`] = voter('mock-10ms', 'yes');
    for (let i = 0; i < 4; i++) among[`no${i}`] = voter('mock-150ms', 'no');
    among.last = voter('mock-300ms', 'no');
    const { got, calls } = await vote(t, { among, stop: 'early' });
    assert.equal(got.output, 'no', 'the last one decides');
    assert.ok(calls.every((call) => call.outcome === 'answered'));
    assert.deepEqual(got.step.verdict.join.tally.map(({ votes }) => votes).sort(), [4, 5]);
});

test('a failed vote leaves the count, so fewer fix the outcome', limit, async (t) => {
    const among = {};
    for (let i = 0; i < 2; i++) among[`down${i}`] = { retry: { attempts: 1 }, llm: { model: 'openai/mock-s500', prompt: `down ${i}` } };
    for (let i = 0; i < 4; i++) among[`yes${i}`] = voter('mock-100ms', 'yes');
    for (let i = 0; i < 3; i++) among[`slow${i}`] = voter('mock-hang', `slow${i}`);
    const { got, calls } = await vote(t, { among, stop: 'early' });
    assert.equal(got.output, 'yes', 'four of seven that count');
    assert.equal(calls.filter((call) => call.outcome === 'aborted').length, 3);
    assert.equal(callsOf(calls, 'down 0').length, 1);
    const { join } = got.step.verdict;
    assert.deepEqual([join.satisfied_by, join.counted, join.failed, join.cancelled], ['outcome_fixed', 4, 2, 3]);
});
