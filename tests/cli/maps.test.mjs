// maps.test.mjs - wide maps from outside: whole, in order, and in memory that does not grow with what is not under way. Not the
// rules of map (tests/scenario/map_*) and not figures (tests/bench/wide_map.mjs).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startModel } from './support/model.mjs';
import { SLOW, limit, peakMemory, place, plait, run } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';

const MIB = 1024 * 1024;
const MOST = (200 * MIB) / 100_000; // bytes an item that is over: 200 MiB for 100,000 is what is promised
const COUNT = SLOW ? 1500 : 5000;
const sim = (options, prompt) => ({ llm: { model: `sim/echo?${options}`, prompt } });
const many = (count, map, more = {}) => ({
    name: 'many',
    steps: { all: { map: { over: `\${ [range(${count})] }`, ...map }, ...more } },
    output: '${ .steps.all.output }',
});
const numbers = (count) => Array.from({ length: count }, (_, i) => i);

// Runs a document; gives its output and the most memory it needed.
async function measured(t, document) {
    const home = place(t);
    const process = plait(t, home, ['run', '--quiet', home.file('w.json', document)]);
    const peak = await peakMemory(process);
    const result = await process.done;
    assert.equal(result.code, 0, result.err);
    return { output: JSON.parse(result.out), peak, ms: result.ms };
}

test(`a map over ${COUNT} items, 500 at a time, is whole and in item order`, limit, async (t) => {
    const { output, peak, ms } = await measured(t, many(COUNT, { concurrency: 500, do: sim('latency=5ms&jitter=20ms', 'item ${ .item }') }));
    assert.deepEqual(output, numbers(COUNT).map((i) => `[simulated] item ${i}`));
    t.diagnostic(`${(peak / MIB).toFixed(1)} MiB at most, ${ms.toFixed(0)} ms`);
});

test('what is not under way costs next to no memory', { ...limit, skip: SLOW && 'instrumented' }, async (t) => {
    const document = (count) => many(count, { concurrency: 500, do: sim('latency=1ms', 'item ${ .item }') });
    const { peak: idle } = await measured(t, { steps: { a: { reduce: 1 } } });
    const { peak: small } = await measured(t, document(1000));
    const more = COUNT * 4;
    let best = Infinity;
    for (let i = 0; i < 3 && best > MOST; i++) {
        const { peak: large } = await measured(t, document(more));
        const each = (large - small) / (more - 1000);
        t.diagnostic(`idle ${(idle / MIB).toFixed(1)}, 1,000 items ${(small / MIB).toFixed(1)}, ${more} items ${(large / MIB).toFixed(1)} MiB: ${each.toFixed(0)} bytes an item`);
        best = Math.min(best, each);
    }
    assert.ok(best <= MOST, `${best} bytes an item`);
});

test('never more than `concurrency` items are under way, and all that many are', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const file = home.file('w.json', many(60, { concurrency: 7, do: { llm: { model: 'openai/mock-20ms-j30', prompt: 'item ${ .item }' } } }));
    const result = await run(t, home, ['run', file, '--json'], { env: model.env });
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    numbers(60).forEach((i) => assert.match(got.output[i], new RegExp(` item ${i}$`)));
    assert.equal((await model.stats()).peak, 7);
    const calls = await model.allCalls();
    assert.deepEqual(calls.map((call) => call.prompt).sort(), numbers(60).map((i) => `item ${i}`).sort(), 'each once');
});

test('collapse begins while items still run, and keeps their order', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const slow = SLOW ? 3000 : 600;
    const prompt = 'item ${ .item } ${ if .item == 39 then "{\\"fake\\": {\\"latency_ms\\": ' + slow + '}}" else "" end }';
    const map = {
        concurrency: 100,
        do: { workflow: { steps: { say: { llm: { model: 'openai/mock-10ms', prompt } }, n: { needs: ['say'], reduce: ['${ .item }'] } }, output: '${ .steps.n.output }' } },
        collapse: {
            fan_in: 4,
            do: { workflow: { steps: { say: { llm: { model: 'openai/mock', prompt: 'group ${ .items }' } }, n: { needs: ['say'], reduce: '${ .items | add }' } }, output: '${ .steps.n.output }' } },
        },
    };
    const result = await run(t, home, ['run', home.file('w.json', many(40, map)), '--json'], { env: model.env });
    assert.equal(result.code, 0, result.err);
    assert.deepEqual(parseRun(result).output, numbers(40), 'every item once, in order');
    const calls = await model.allCalls();
    const groups = calls.filter((call) => call.prompt.startsWith('group '));
    assert.equal(groups.length, 10 + 3 + 1);
    const last = calls.find((call) => call.prompt.startsWith('item 39 '));
    assert.ok(groups.filter((call) => call.start_ms < last.end_ms).length >= 9 + 2, 'all groups but those of the slow item');
});

test('a failed item leaves the others and its place', limit, async (t) => {
    const home = place(t);
    const step = { ...sim('fail_rate=0.2&latency=1ms', 'item ${ .item }'), retry: { attempts: 1 } };
    const result = await run(t, home, ['run', '--json', home.file('w.json', many(300, { concurrency: 50, do: step }, { join: 'settled' }))]);
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    const failed = got.output.filter((value) => value.error).length;
    assert.ok(result.err.includes(`  ${failed} of ${got.output.length} failed`), result.err);
    got.output.forEach((value, i) => value.error || assert.equal(value, `[simulated] item ${i}`));
    assert.ok(failed > 20 && failed < 120, `${failed} failed`);
    const { join } = got.step.all;
    assert.deepEqual([join.counted, join.failed, join.cancelled, join.missing], [300 - failed, failed, 0, 0]);
});

// All of them end in one activation: what one end costs must not grow with how many there are.
test('a map that computes a hundred thousand items at once ends in time', limit, async (t) => {
    const home = place(t);
    const over = Array.from({ length: SLOW ? 20_000 : 100_000 }, (_, i) => i);
    const file = home.file('w.json', {
        steps: { m: { map: { over: '${ .input.over }', concurrency: 100_000, do: { reduce: '${ .item }' } } } },
    });
    const result = await run(t, home, ['run', file, '--input', `@${home.file('input.json', { over })}`, '--quiet']);
    assert.equal(result.code, 0, result.err);
    assert.deepEqual(JSON.parse(result.out), over);
    assert.ok(result.ms < 30_000, `${result.ms} ms`);
});
