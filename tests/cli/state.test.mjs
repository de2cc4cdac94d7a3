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

test('a program of jq sees a channel that jq folds, as a path does', limit, async (t) => {
    const home = place(t);
    const fold = { reducer: '${ [.left, .right] }' };
    const steps = {
        a: { reduce: 1, writes: { x: 1, y: 10 } },
        b: { needs: ['a'], reduce: 1, writes: { x: 2, y: 20 } },
        program: { needs: ['b'], reduce: '${ .state.x + .state.y }' },
        path: { needs: ['b'], reduce: ['${ .state.x }', '${ .state.y }'] },
        when: { needs: ['b'], when: '${ .state.x | length == 2 }', llm: { model: 'sim/echo', prompt: 'saw ${ .state.y | tojson }' } },
    };
    const file = home.file('w.json', { state: { x: fold, y: fold }, steps, output: { steps: { program: '${ .steps.program.output }', path: '${ .steps.path.output }', when: '${ .steps.when.output }' }, all: '${ .state | tojson }' } });
    const result = await run(t, home, ['run', file]);
    assert.equal(result.code, 0, result.err);
    assert.deepEqual(JSON.parse(result.out), {
        steps: { program: [1, 2, 10, 20], path: [[1, 2], [10, 20]], when: '[simulated] saw [10,20]' },
        all: '{"x":[1,2],"y":[10,20]}',
    });
});

test('a program of jq fails, as a path does, where it reads a channel whose values do not fit', limit, async (t) => {
    const home = place(t);
    const steps = { a: { reduce: 5, writes: { list: '${ .output }' } }, b: { reduce: '${ .state.list | length }', on_error: 'continue' } };
    const file = home.file('w.json', { state: { list: { reducer: 'concat', default: [] } }, steps });
    const result = await run(t, home, ['run', file, '--json']);
    assert.equal(result.code, 1, result.err);
    assert.match(parseRun(result).step.b.error.detail, /^state channel list: concat: /);
});

// The sibling has written long before the bodies are over: whether it has must make no difference to them.
test('the output and until of a body see what their step waited for and what is inside, not siblings', limit, async (t) => {
    const home = place(t);
    const turns = { repeat: { max: 9, until: '${ .state.log[2] }', steps: { b: { sleep: '20ms', writes: { log: '${ .turn }' } } }, output: '${ .state.log }' } };
    const branches = {
        sibling: { reduce: 1, writes: { log: 'sibling' } },
        body: { workflow: { steps: { b: { sleep: '50ms', writes: { log: 'body' } } }, output: '${ .state.log }' } },
        turns,
    };
    const steps = { first: { reduce: 1, writes: { log: 'first' } }, fan: { needs: ['first'], parallel: { branches } } };
    const file = home.file('w.json', { state: { log: { reducer: 'append' } }, steps, output: { body: '${ .steps.fan.output.body }', turns: '${ .steps.fan.output.turns }', all: '${ .state.log }' } });
    const result = await run(t, home, ['run', file]);
    assert.equal(result.code, 0, result.err);
    assert.deepEqual(JSON.parse(result.out), { body: ['first', 'body'], turns: ['first', 0, 1], all: ['first', 'sibling', 'body', 0, 1] });
});
