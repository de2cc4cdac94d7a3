// state.test.mjs - what a person sees of the state when a value does not fit its channel. What a step sees of it is in the scenarios.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limit, place, run } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';

test('a value that does not fit its reducer fails who reads it, and the message names the channel', limit, async (t) => {
    const home = place(t);
    const steps = { a: { reduce: 5, writes: { list: '${ .output }' } }, b: { reduce: '${ .state.list }', on_error: 'continue' } };
    const file = home.file('w.json', { state: { list: { reducer: 'concat', default: [] } }, steps, output: '${ .steps.b.error }' });
    const result = await run(t, home, ['run', file, '--json']);
    assert.equal(result.code, 1, result.err); // the end of the run reads the whole state
    const got = parseRun(result);
    for (const error of [got.step.b.error, got.error]) {
        assert.equal(error.code, 'expression_error');
        assert.match(error.detail, /^state channel list: concat: /);
    }
});
