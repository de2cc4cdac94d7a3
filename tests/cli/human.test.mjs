// human.test.mjs - `plait run` asks what a run's human steps ask: at a terminal, from a pipe, by --answer; what happens when there
// is nobody. Not the answers over HTTP (tests/http/human.test.mjs).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limit, place, plait, run } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';

const human = (ask, schema, more = {}) => ({ human: { ask, ...(schema && { schema }), ...more } });
const two = {
    steps: {
        name: human('Who?', { type: 'string', minLength: 2 }),
        sure: human('Sure, ${ .input.greeting }?', { type: 'boolean' }, { data: { list: [1, 2] } }),
        both: { reduce: '${ [.steps.name.output, .steps.sure.output] }' },
    },
    output: '${ .steps.both.output }',
};
const start = (home, more = []) => ['run', home.file('w.json', two), '-i', 'greeting=hello', ...more];

test('a pipe answers question after question; what does not fit is asked again', limit, async (t) => {
    const home = place(t);
    const result = await run(t, home, start(home), { input: 'x\nAnn\nperhaps\n\nyes\n' });
    assert.equal(result.code, 0, result.err);
    assert.deepEqual(JSON.parse(result.out), ['Ann', true]);
    assert.match(result.err, /\? name: Who\?/);
    assert.match(result.err, /must have at least 2 characters/);
    assert.match(result.err, /\? sure: Sure, hello\?\n {2}\{"list":\[1,2\]\}/);
    assert.match(result.err, /expected a boolean/);
});

test('--answer answers without asking', limit, async (t) => {
    const home = place(t);
    const result = await run(t, home, start(home, ['--answer', 'sure=false', '--answer', 'name=Bob', '--json']));
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    assert.deepEqual(got.output, ['Bob', false]);
    assert.doesNotMatch(result.err, /\?/);
});

test('an --answer that is none is refused, one that nobody asked for is told', limit, async (t) => {
    const home = place(t);
    const none = await run(t, home, start(home, ['--answer', 'sure']));
    assert.equal(none.code, 2);
    assert.equal(none.err, "plait: run: --answer 'sure': write PATH=VALUE\n");
    const misspelt = await run(t, home, start(home, ['-q', '--answer', 'sure=no', '--answer', 'name=Bob', '--answer', 'nam=Bob']));
    assert.equal(misspelt.code, 0, misspelt.err);
    assert.equal(misspelt.err, "plait: --answer 'nam': no step at this path has asked\n");
});

test('a choice among values is asked as one', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', { steps: { colour: { human: { ask: 'Which?', schema: { enum: ['red', 'blue'] } } } } });
    const result = await run(t, home, ['run', file], { input: 'blue\n' });
    assert.equal(result.out, '"blue"\n');
    assert.match(result.err, /answer \(one of \["red","blue"\]\):/);
});

test('with nobody to ask it says so, and the run goes on where it was', limit, async (t) => {
    const home = place(t);
    const first = await run(t, home, start(home, ['--answer', 'name=Cid']));
    assert.equal(first.code, 2, first.err);
    assert.match(first.err, /step sure waits for an answer, and standard input has none/);
    assert.equal(first.out, '');
    const [, id] = first.err.match(/--resume (run_\w+)/);
    const still = await run(t, home, ['run', '--resume', id]);
    assert.equal(still.code, 2, still.err);
    const result = await run(t, home, ['run', '--resume', id, '-q'], { input: 'no' });
    assert.equal(result.code, 0, result.err);
    assert.deepEqual(JSON.parse(result.out), ['Cid', false]);
});

test('a person says no', limit, async (t) => {
    const home = place(t);
    const result = await run(t, home, start(home), { input: '/reject we never met\n' });
    assert.equal(result.code, 1, result.err);
    assert.match(result.err, /failed at step name: rejected: we never met/);
});

test('nobody is waited for when the question ends by itself', limit, async (t) => {
    const home = place(t);
    const steps = { ask: human('?', undefined, { timeout: '200ms', on_timeout: { default: 'silence' } }) };
    const result = await run(t, home, ['run', home.file('w.json', { steps })]);
    assert.equal(result.code, 0, result.err);
    assert.equal(JSON.parse(result.out), 'silence');
    assert.equal(result.err.match(/standard input has ended: this waits until the question times out/g)?.length, 1, result.err);
});

test('several that wait at once are asked in turn, others run on', limit, async (t) => {
    const home = place(t);
    const branches = {};
    for (const id of ['a', 'b', 'c']) branches[id] = human(`Is it ${id}?`, { enum: [1, 2, 3] });
    const steps = { all: { parallel: { branches } }, other: { llm: { model: 'sim/echo?latency=100ms', prompt: 'x' } } };
    const process = plait(t, home, ['run', home.file('w.json', { steps, output: '${ .steps.all.output }' })], { input: null });
    for (const id of ['a', 'b', 'c']) {
        await process.said(new RegExp(`\\? all\\.${id}: Is it ${id}\\?`));
        process.child.stdin.write(`${id.charCodeAt(0) - 96}\n`);
    }
    const result = await process.done;
    assert.equal(result.code, 0, result.err);
    assert.deepEqual(JSON.parse(result.out), { a: 1, b: 2, c: 3 });
});

test('Ctrl-C at a question leaves the run for later', limit, async (t) => {
    const home = place(t);
    const process = plait(t, home, start(home), { input: null });
    await process.said(/\? name: Who\?/);
    process.kill('SIGINT');
    const result = await process.done;
    assert.equal(result.code, 130, result.err);
    assert.match(result.err, /--resume run_/);
});

test('runs of one --thread remember, and one that waits for a person keeps the turn', limit, async (t) => {
    const home = place(t);
    const steps = { note: human('Note?'), all: { needs: ['note'], reduce: '${ .state.notes }' } };
    steps.note.writes = { notes: '${ .output }' };
    const chat = home.file('chat.yaml', { state: { notes: { reducer: 'append', default: [] } }, steps, output: '${ .steps.all.output }' });
    const say = (text, more = []) => run(t, home, ['run', chat, '--thread', 'Ann & Bob', '-q', ...more, ...(text ? ['--answer', `note=${text}`] : [])]);
    assert.deepEqual(JSON.parse((await say('one')).out), ['one']);
    assert.deepEqual(JSON.parse((await say('two')).out), ['one', 'two']);
    const stuck = await say();
    assert.equal(stuck.code, 2, stuck.err);
    const [, id] = stuck.err.match(/--resume (run_\w+)/);
    const refused = await say('four');
    assert.equal(refused.code, 2, refused.err);
    assert.match(refused.err, new RegExp(`run ${id} of this thread waits for a person`));
    assert.deepEqual(JSON.parse((await run(t, home, ['run', '--resume', id, '-q', '--answer', 'note=three'])).out), ['one', 'two', 'three']);
    assert.deepEqual(JSON.parse((await say('four')).out), ['one', 'two', 'three', 'four']);
    const elsewhere = await run(t, home, ['run', chat, '--thread', 'other', '-q', '--answer', 'note=x']);
    assert.deepEqual(JSON.parse(elsewhere.out), ['x']);
});
