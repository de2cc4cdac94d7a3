// same_state.test.mjs - one workflow with state, run many times while its steps end in another order each time: one and the same
// final state, across crashes too. Not the rules of state one by one (tests/scenario/state_*).
// RUNS=n sets how many runs (40; what is asked of a release is 1,000), SEED=n repeats their latencies.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SLOW, limit } from '../cli/support/plait.mjs';
import { startService } from './support/service.mjs';

const RUNS = Number(process.env.RUNS || (SLOW ? 10 : 40));
const SEED = Number(process.env.SEED || Date.now() % 1_000_000);
const AT_ONCE = 8;

// What a step with this name adds to every channel. Neither `trail` nor `chat` nor `log` is the same in another order.
const adds = (name, number) => ({
    log: name,
    list: [name, 'all'],
    total: number,
    facts: { last: name, number },
    chat: { role: 'user', content: name },
    trail: name,
    names: [name],
});
const say = (seed, text) => ({ llm: { model: `sim/echo?text=${encodeURIComponent(text)}&jitter=25ms`, prompt: text, seed } });

function stateful(seed) {
    const branches = {};
    for (let i = 0; i < 5; i++) branches[`b${i}`] = { ...say(seed, `b${i}`), writes: adds('${ .output }', i) };
    branches.deep = { workflow: { state: { own: { reducer: 'sum', default: 0 } }, steps: { x: { ...say(seed, 'deep'), writes: { own: 1, ...adds('${ .output }', 10) } } } } };
    return {
        name: 'stateful',
        state: {
            log: { reducer: 'append', default: [] },
            list: { reducer: 'concat', default: [] },
            total: { reducer: 'sum', default: 0 },
            facts: { reducer: 'merge', default: {} },
            chat: { reducer: 'messages' },
            trail: { reducer: '${ "\\(.left)>\\(.right)" }', default: '' },
            names: { reducer: 'unique', default: [] },
        },
        steps: {
            fan: { parallel: { branches } },
            items: {
                map: {
                    over: '${ [range(12)] }',
                    concurrency: 5,
                    do: { llm: { model: 'sim/echo?jitter=25ms', prompt: 'item ${ .item }', seed }, writes: adds('m${ .index }', '${ .index }') },
                    collapse: { fan_in: 5, do: { ...say(seed, 'group'), writes: adds('c${ .items | length }', 100) } },
                },
            },
            verdict: { vote: { of: { ...say(seed, 'vote'), writes: adds('${ .output }', 1000) }, samples: 5 } },
            loop: {
                repeat: {
                    state: { mine: { reducer: 'append', default: [] } },
                    steps: {
                        a: { ...say(seed, 'turn'), writes: { mine: '${ .turn }', ...adds('r${ .turn }', '${ .turn }') } },
                        b: { ...say(seed, 'turn'), writes: adds('s${ .turn }', 5) },
                    },
                    until: '${ .turn == 3 }',
                    output: '${ .state.mine }',
                },
            },
            end: { ...say(seed, 'end'), needs: ['fan', 'items', 'verdict', 'loop'], writes: adds('${ .output }', 1) },
            seen: { needs: ['end'], reduce: '${ .state }' },
        },
        output: { state: '${ .steps.seen.output }', mine: '${ .steps.loop.output }' },
    };
}

// The fold by hand: in declaration, item and turn order, groups behind the items.
function expected() {
    const m = [...Array(12).keys()].map((i) => [`m${i}`, i]);
    const turns = [0, 1, 2, 3].flatMap((i) => [[`r${i}`, i], [`s${i}`, 5]]);
    const all = [
        ...[0, 1, 2, 3, 4].map((i) => [`b${i}`, i]), ['deep', 10],
        ...m, ['c5', 100], ['c5', 100], ['c2', 100], ['c3', 100],
        ...Array(5).fill(['vote', 1000]), ...turns, ['end', 1],
    ];
    const names = all.map(([name]) => name);
    return {
        log: names,
        list: names.flatMap((name) => [name, 'all']),
        total: all.reduce((sum, [, number]) => sum + number, 0),
        facts: { last: 'end', number: 1 },
        chat: names.map((content) => ({ role: 'user', content })),
        trail: names.map((name) => `>${name}`).join(''),
        names: [...new Set(names)],
    };
}

async function runMany(service, count, seed, start) {
    const states = new Map();
    const orders = new Set();
    let next = 0;
    const work = async () => {
        while (next < count) {
            const number = seed + next++;
            const run = await start(stateful(number));
            assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
            assert.deepEqual(run.output.mine, [0, 1, 2, 3]);
            const text = JSON.stringify(run.output.state);
            states.set(text, (states.get(text) ?? 0) + 1);
            const steps = (await service.steps(run.id)).filter(({ kind }) => kind === 'llm');
            orders.add(steps.sort((a, b) => Date.parse(a.ended_at) - Date.parse(b.ended_at)).map(({ path }) => path).join());
        }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return { states, orders };
}

function check(t, { states, orders }, count) {
    assert.deepEqual(JSON.parse([...states.keys()][0]), expected());
    assert.equal(states.size, 1, [...states.keys()].join('\n'));
    t.diagnostic(`${count} runs, seed ${SEED}: ${states.size} state, ${orders.size} orders in which the steps ended`);
    assert.ok(orders.size > count / 2, `only ${orders.size} orders: the latencies are not random`);
}

test(`${RUNS} runs with random latencies end in one and the same state`, { timeout: limit.timeout + RUNS * 1000 }, async (t) => {
    const service = await startService(t);
    check(t, await runMany(service, RUNS, SEED, (workflow) => service.run({ workflow })), RUNS);
});

test('and so do runs whose server is killed while they run', limit, async (t) => {
    const service = await startService(t);
    const ids = [];
    for (let i = 0; i < AT_ONCE * 2; i++) ids.push(await service.background({ workflow: stateful(SEED + 100_000 + i) }));
    await service.restart();
    await service.restart();
    const found = await runMany(service, ids.length, 0, () => service.over(ids.shift()));
    check(t, found, AT_ONCE * 2);
});
