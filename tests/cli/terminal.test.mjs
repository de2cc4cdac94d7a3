// terminal.test.mjs - what a person sees while `plait run` goes on: a live line for each branch on a terminal, plain lines
// elsewhere; never text of a model, never leftovers. What is written is played on a small screen (support/terminal.mjs).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { callsOf, startModel } from './support/model.mjs';
import { SLOW, limit, place, run, top, until } from './support/plait.mjs';
import { ask, once } from './support/run.mjs';
import { Screen, onTerminal } from './support/terminal.mjs';

const evil = 'evil\u001b[2J\u001b]0;title\u0007text';
const slowly = SLOW ? 'mock-3000ms' : 'mock-700ms';

// The screen at the end; nothing on it but what a terminal was meant to get.
function shown(result, rows, columns) {
    const screen = new Screen(rows, columns).write(result.out);
    assert.deepEqual(screen.unknown, [], 'only controls that are known');
    return screen.text();
}

const linesWith = (lines, word) => lines.filter((line) => line.includes(word));

test('each step has one line with its state, its time, its tokens and its attempts', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const retry = { attempts: 2, initial: '50ms', jitter: 0 };
    const steps = {
        good: ask(slowly, 'good'),
        heals: ask('mock-fail1', 'heals', { retry }),
        bad: ask('mock-s500', 'bad', { on_error: 'continue' }),
        off: ask('mock', 'off', { when: '${ .input.on }' }),
        race: { join: 'any', parallel: { branches: { won: ask('mock-50ms', 'won'), lost: ask('mock-hang', 'lost') } } },
        last: { reduce: '${ .steps.good.status }' },
    };
    const stdout = home.path('out');
    const args = ['run', home.file('w.json', once(steps, { output: 'out' }))];
    const result = await onTerminal(t, home, args, { stdout, env: model.env }).done;
    assert.equal(result.code, 0, result.out);
    const lines = shown(result, 24, 80);
    assert.equal(fs.readFileSync(stdout, 'utf8'), '"out"\n');
    for (const [word, pattern] of [
        ['good ', /done +\d\S+s? .*12 tokens/],
        ['heals ', /done .*attempt 2/],
        ['bad ', /failed .*provider_error/],
        ['off ', /skipped/],
        ['race.won', /done/],
        ['race.lost', /cancelled .*lost_race/],
        ['last ', /done/],
    ]) {
        const found = linesWith(lines, word);
        assert.equal(found.length, 1, `one line for ${word}in\n${lines.join('\n')}`);
        assert.match(found[0], pattern);
    }
    assert.equal(lines.length, 11, `a line for the run, one a step, the total, what was used:\n${lines.join('\n')}`);
    assert.match(lines[0], /^run run_\w+$/);
});

test('while it runs the lines are redrawn in place', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const process = onTerminal(t, home, ['run', home.file('w.json', once({ one: ask(slowly, 'one'), two: ask('mock-hang', 'two', { timeout: SLOW ? '6s' : '1500ms' }) }, { join: 'settled' }))], { env: model.env });
    const now = () => new Screen(24, 80).write(process.out()).text();
    await until(() => linesWith(now(), 'one').some((line) => line.includes('running')), 'a line of a running step');
    await until(() => linesWith(now(), 'one').some((line) => line.includes('done')), 'the same line, done');
    assert.ok(linesWith(now(), 'two').some((line) => line.includes('running')));
    const result = await process.done;
    assert.equal(result.code, 1);
    const lines = shown(result, 24, 80);
    assert.equal(linesWith(lines, 'running').length, 0);
    assert.match(linesWith(lines, 'two')[0], /failed .*timeout/);
    assert.ok(result.out.split('\u001b[').length > 20, 'it was drawn several times');
});

test('no text of a model and no control of anybody’s reaches the terminal', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const prompt = `{"fake": {"text": ${JSON.stringify(evil)}, "latency_ms": 300}}`;
    const stdout = home.path('out');
    const file = home.file('w.json', once({ a: ask('mock', prompt), b: ask('mock-300ms', 'b') }));
    const result = await onTerminal(t, home, ['run', file], { stdout, env: model.env }).done;
    assert.equal(result.code, 0, result.out);
    assert.match(JSON.parse(fs.readFileSync(stdout, 'utf8')).a, /^evil/);
    assert.ok(!result.out.includes('evil'));
    shown(result, 24, 80);
});

test('stdout on the terminal is readable JSON below the lines', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', { steps: { a: { reduce: { list: [1, 2], text: 'x' } } } });
    const result = await onTerminal(t, home, ['run', file]).done;
    assert.equal(result.code, 0);
    const lines = shown(result, 24, 80);
    const from = lines.indexOf('{');
    assert.ok(from > 0, lines.join('\n'));
    assert.deepEqual(JSON.parse(lines.slice(from).join('\n')), { list: [1, 2], text: 'x' });
    assert.ok(lines.length - from > 3, 'on several lines');
});

test('more steps than lines: the block stays on the screen and nothing is left over', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const steps = {};
    for (let i = 0; i < 40; i++) steps[`step${i}`] = ask(`mock-${100 + i * 20}ms`, `s${i}`);
    const result = await onTerminal(t, home, ['run', home.file('w.json', once(steps, { output: 'end' }))], { rows: 12, stdout: home.path('out'), env: model.env }).done;
    assert.equal(result.code, 0, result.out);
    const lines = shown(result, 12, 80);
    assert.equal(lines.filter((line) => /\brunning\b/.test(line)).length, 0, lines.join('\n'));
    for (let i = 0; i < 10; i++) assert.ok(linesWith(lines, `step${i} `).length <= 1, `step${i}:\n${lines.join('\n')}`);
    assert.ok(lines.length <= 13, lines.join('\n')); // what was used comes behind the block
});

test('many branches are one bar that fills', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const branches = {};
    for (let i = 0; i < 60; i++) branches[`b${i}`] = ask(i % 10 ? `mock-${i * 10}ms` : 'mock-s500', `b${i}`);
    const file = home.file('w.json', once({ fan: { join: 'settled', parallel: { branches } } }));
    const result = await onTerminal(t, home, ['run', file], { stdout: home.path('out'), env: model.env }).done;
    assert.equal(result.code, 0, result.out);
    const lines = shown(result, 24, 80);
    assert.ok(linesWith(lines, '60/60').length === 1, lines.join('\n'));
    assert.match(linesWith(lines, '60/60')[0], /6 failed/);
    assert.equal(linesWith(lines, 'fan.b1').length, 0);
});

test('a narrow terminal cuts lines, it does not wrap them', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const steps = { first: ask(slowly, 'first'), second: ask('mock-s500', 'second', { on_error: 'continue', retry: { attempts: 2, initial: '200ms' } }) };
    const result = await onTerminal(t, home, ['run', home.file('w.json', once(steps, { output: 1 }))], { columns: 40, stdout: home.path('out'), env: model.env }).done;
    assert.equal(result.code, 0, result.out);
    const lines = shown(result, 24, 40);
    assert.equal(linesWith(lines, 'first').length, 1, lines.join('\n'));
    assert.equal(linesWith(lines, 'second').length, 1, lines.join('\n'));
    assert.equal(lines.length, 5, lines.join('\n'));
    assert.match(lines.at(-1), /^3 calls, \d+ tokens in, \d+ out$/);
});

test('a terminal that changes its size does no harm', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const steps = {};
    for (let i = 0; i < 8; i++) steps[`step${i}`] = ask(`mock-${(SLOW ? 3 : 1) * (300 + i * 150)}ms`, `s${i}`);
    const process = onTerminal(t, home, ['run', home.file('w.json', once(steps, { output: 1 }))], { stdout: home.path('out'), env: model.env });
    await until(() => process.out().includes('step7'), 'the first picture');
    for (const [rows, columns] of [[6, 80], [40, 30], [2, 10], [24, 200], [24, 80]]) {
        await process.resize(rows, columns);
        const before = process.out().length;
        await until(() => process.ended || process.out().length > before, 'another picture');
    }
    const result = await process.done;
    assert.equal(result.code, 0, result.out);
    const last = result.out.slice(result.out.lastIndexOf('step0'));
    for (let i = 0; i < 8; i++) assert.match(last, new RegExp(`step${i} +\\S*done`.replace('\\S*', '')));
});

test('NO_COLOR is respected', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', { steps: { a: { llm: { model: 'sim/echo', prompt: 'x' } } } });
    const plain = await onTerminal(t, home, ['run', file], { env: { NO_COLOR: '1' } }).done;
    assert.doesNotMatch(plain.out, /\u001b\[[0-9;]*m/);
    const coloured = await onTerminal(t, home, ['run', file]).done;
    assert.match(coloured.out, /\u001b\[[0-9;]*m/);
});

test('--quiet draws nothing on a terminal either', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', { steps: { a: { llm: { model: 'sim/echo', prompt: 'x' } } } });
    const result = await onTerminal(t, home, ['run', file, '--quiet'], { stdout: home.path('out') }).done;
    assert.equal(result.out, '');
});

test('Ctrl-C typed on the terminal leaves it in order', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const process = onTerminal(t, home, ['run', home.file('w.json', once({ a: ask(slowly, 'a'), b: ask('mock', 'b ${ .steps.a.output }') }))], { env: model.env });
    await model.inFlight(1);
    await until(() => /run run_\w+/.test(process.out()), 'the run to be recorded');
    const pid = await until(() => childOf(process.pid), 'the process of plait');
    globalThis.process.kill(pid, 'SIGINT');
    const result = await process.done;
    assert.equal(result.code, 130, result.out);
    const lines = shown(result, 24, 80);
    assert.match(lines.join('\n'), /interrupted/);
    assert.match(lines.join('').replace(/\s/g, ''), /--resumerun_\w+/);
    assert.equal(callsOf(await model.allCalls(), 'a')[0].outcome, 'answered');
});

// The process that script started on its terminal.
function childOf(parent) {
    const text = fs.readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim();
    return text ? Number(text.split(' ')[0]) : 0;
}

test('where stderr is no terminal there is one plain line when something ends', limit, async (t) => {
    const home = place(t);
    const result = await run(t, home, ['run', path.join(top, 'examples/travel-plan.yaml'), '-i', 'destination=Lisbon', '--model', 'sim/echo?latency=50ms']);
    assert.doesNotMatch(result.err, /[\u001b\r]/);
    assert.equal(result.err.trimEnd().split('\n').length, 6, result.err);
    for (const id of ['attractions', 'hotels', 'transport', 'plan']) assert.match(result.err, new RegExp(`\\b${id}\\b.*\\bdone\\b`));
});
