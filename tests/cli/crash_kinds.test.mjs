// crash_kinds.test.mjs - kill -9 at random moments of a run that has steps of every kind which lasts: `--resume` ends it with
// what it would have given without, and no call that was recorded is made again. What was recorded at the kill is read from
// the file as it lay there; what was called, from the server's log. Not a run of plain branches (crash.test.mjs).
// KILLS=n sets how many kills (8; what is asked of a release is 30); SEED=n repeats their moments.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startModel } from './support/model.mjs';
import { SLOW, limit, place, plait, run, sleep } from './support/plait.mjs';
import { ask, parseRun, random, rows } from './support/run.mjs';

const KILLS = Number(process.env.KILLS || (SLOW ? 3 : 8));
const SEED = Number(process.env.SEED || Date.now() % 1_000_000);

const inside = (steps, output) => ({ workflow: { steps, output } });
const sub = { name: 'sub', steps: { first: ask('mock-30ms', 'sub ${ .input.n }'), second: ask('mock-30ms', 'sub after ${ .steps.first.status }') } };

function everyKind() {
    const answers = [
        { tool_calls: [{ name: 'search', arguments: { q: 'x' } }, { name: 'search', arguments: { q: 'y' } }] },
        { tool_calls: [{ name: 'search', arguments: { q: 'z' } }] },
        'found',
    ];
    return {
        name: 'every-kind',
        defaults: { model: 'openai/mock-40ms-j40', retry: { attempts: 3, initial: '50ms' } },
        state: { log: { reducer: 'append', default: [] } },
        steps: {
            items: {
                map: {
                    over: '${ [range(12)] }',
                    concurrency: 4,
                    do: {
                        ...inside({ look: ask('mock-20ms-j60', 'look ${ .item }'), digest: ask('mock-20ms', 'digest ${ .item } ${ .steps.look.status }') }, '${ .item }'),
                        writes: { log: '${ .item }' },
                    },
                    collapse: { fan_in: 4, do: inside({ say: ask('mock-40ms', 'group ${ .items }') }, '${ .items | flatten }') },
                },
            },
            verdict: { vote: { of: ask('mock-30ms-j60', 'vote'), samples: 5 } },
            choice: {
                vote: {
                    among: { a: ask('mock-30ms', 'among a'), b: ask('mock-60ms', 'among b'), c: ask('mock-90ms', 'among c') },
                    method: 'judge',
                    judge: ask('mock-50ms', 'judge {"fake": {"text": "b"}}'),
                },
            },
            loop: {
                repeat: {
                    steps: { draft: ask('mock-30ms-j40', 'draft ${ .turn }'), critic: ask('mock-20ms', 'critic ${ .turn } of ${ .steps.draft.status }') },
                    until: '${ .turn == 3 }',
                    output: '${ .turn }',
                },
            },
            helper: {
                agent: {
                    prompt: `agent ${JSON.stringify({ fake: { answers } })}`,
                    tools: { search: { parameters: { type: 'object', properties: { q: { type: 'string' } } }, do: ask('mock-30ms-j30', 'tool ${ .args.q }') } },
                },
            },
            nap: { sleep: '300ms' },
            woken: ask('mock-20ms', 'woken ${ .steps.nap.status }', { writes: { log: 'woken' } }),
            called: { workflow: { name: 'sub', input: { n: 7 } } },
            end: ask('mock-40ms', 'end', { needs: ['items', 'verdict', 'choice', 'loop', 'helper', 'woken', 'called'] }),
            log: { needs: ['end'], reduce: '${ .state.log }' },
        },
    };
}

// By what the server knows the call of a step. Several steps may look alike to it: the samples of a vote.
const keys = [
    [/^items\.(\d+)\.(look|digest)$/, ([, n, id]) => `${id} ${n}`],
    [/^items\.collapse\.0\.(\d)\.say$/, ([, n]) => `group [${[0, 1, 2, 3].map((i) => 4 * n + i)}]`],
    [/^items\.collapse\.1\.0\.say$/, () => 'group [[0,1,2,3],[4,5,6,7],[8,9,10,11]]'],
    [/^verdict\.\d$/, () => 'vote'],
    [/^choice\.([abc])$/, ([, id]) => `among ${id}`],
    [/^choice\.judge$/, () => 'judge'],
    [/^loop\.(\d)\.(draft|critic)$/, ([, turn, id]) => `${id} ${turn}`],
    [/^helper\.(\d)$/, ([, turn]) => `agent ${[1, 4, 6][turn]}`],
    [/^helper\.(\d)\.search(-2)?$/, ([, turn, second]) => `tool ${turn === '1' ? 'z' : second ? 'y' : 'x'}`],
    [/^woken$/, () => 'woken'],
    [/^called\.(first|second)$/, ([, id]) => (id === 'first' ? 'sub 7' : 'sub after')],
    [/^end$/, () => 'end'],
];

function keyOf(path) {
    for (const [pattern, key] of keys) {
        const found = path.match(pattern);
        if (found) return key(found);
    }
    return null;
}

const keyOfCall = ({ prompt, messages }) =>
    prompt.startsWith('agent ') ? `agent ${messages}` : prompt.match(/^(judge|woken|sub after|(digest|critic) \d+)/)?.[0] ?? prompt;

function tally(list) {
    const counts = {};
    for (const key of list) if (key) counts[key] = (counts[key] ?? 0) + 1;
    return counts;
}

const recorded = (t, home, id) => rows(t, home.database(id), "SELECT path FROM steps WHERE status = 'succeeded'").map(({ path }) => path);

function prepare(t) {
    const home = place(t);
    home.file('sub.json', sub);
    return { home, file: home.file('w.json', everyKind()) };
}

// The run as it is without a crash: its output, its counts, its calls.
async function undisturbed(t) {
    const { home, file } = prepare(t);
    const model = await startModel(t);
    const result = await run(t, home, ['run', file, '--json'], { env: model.env });
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    const called = got.steps.filter(({ kind }) => kind === 'llm').map(({ path }) => path);
    called.forEach((path) => assert.ok(keyOf(path), `${path} has a key`));
    const wanted = tally(called.map(keyOf));
    assert.deepEqual(tally((await model.allCalls()).map(keyOfCall)), wanted, 'each step is one call');
    assert.deepEqual(got.output.length, 13);
    return { got, wanted, ms: got.duration_ms };
}

const outputs = (run) => Object.fromEntries(run.steps.map(({ path, status, output }) => [path, [status, output]]));

function checkSame(got, whole) {
    assert.equal(got.status, 'succeeded', JSON.stringify(got.error));
    assert.deepEqual(got.output, whole.got.output);
    assert.deepEqual(outputs(got), outputs(whole.got));
    assert.deepEqual(got.progress, whole.got.progress);
}

async function killAfter(process, wait) {
    // one that was killed between its end and its exit says so when it is resumed
    const [, id] = await process.said(/^run (run_\w+)(?: is over.*)?$/m);
    await Promise.race([sleep(wait), process.done]);
    process.kill('SIGKILL');
    const { signal, code, err } = await process.done;
    assert.ok(signal === 'SIGKILL' || code === 0, `ended with ${code}: ${err}`);
    return { id, over: signal !== 'SIGKILL' };
}

test(`killed at ${KILLS} random moments, a run of every kind gives the same, and calls nothing again that was recorded`,
    { timeout: 60_000 + KILLS * (SLOW ? 60_000 : 20_000) }, async (t) => {
        const next = random(SEED);
        const whole = await undisturbed(t);
        let kept = 0;
        let missing = 0;
        for (let kill = 0; kill < KILLS; kill++) {
            const { home, file } = prepare(t);
            const model = await startModel(t);
            const wait = (0.15 + 0.7 * next()) * whole.ms; // something is recorded, something is missing
            const where = `kill ${kill} of seed ${SEED}, after ${wait.toFixed(0)} ms`;
            const { id, over } = await killAfter(plait(t, home, ['run', file, '--json'], { env: model.env }), wait);
            if (over) continue;
            const done = tally(recorded(t, home, id).map(keyOf));
            const before = (await model.allCalls()).length;
            const result = await run(t, home, ['run', '--resume', id, '--json'], { env: model.env });
            assert.equal(result.code, 0, `${where}: ${result.err}`);
            checkSame(parseRun(result), whole);
            const late = tally((await model.allCalls()).slice(before).map(keyOfCall));
            for (const [key, count] of Object.entries(whole.wanted))
                assert.equal(late[key] ?? 0, count - (done[key] ?? 0), `${where}: ${key}, ${done[key] ?? 0} of ${count} recorded`);
            const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
            kept += sum(done);
            missing += sum(whole.wanted) - sum(done);
            assert.equal(sum(late), sum(whole.wanted) - sum(done), `${where}: no other calls`);
        }
        t.diagnostic(`seed ${SEED}, ${KILLS} kills within ${whole.ms} ms: ${kept} recorded calls kept, ${missing} made after, none too many`);
        assert.ok(kept > 0 && missing > 0);
    });

test('a run of every kind that is killed again and again gives the same', { timeout: limit.timeout * 2 }, async (t) => {
    const next = random(SEED + 1);
    const whole = await undisturbed(t);
    const { home, file } = prepare(t);
    const model = await startModel(t);
    const crashes = [];
    let process = plait(t, home, ['run', file, '--json'], { env: model.env });
    while (crashes.length < 12) {
        // within what the whole takes here, so that the first one at least hits it
        const { id, over } = await killAfter(process, whole.ms * (0.1 + next() * 0.4));
        if (over) break;
        crashes.push({ done: tally(recorded(t, home, id).map(keyOf)), before: (await model.allCalls()).length });
        process = plait(t, home, ['run', '--resume', id, '--json'], { env: model.env });
    }
    t.diagnostic(`${crashes.length} crashes, seed ${SEED}`);
    assert.ok(crashes.length > 0);
    const result = await process.done;
    assert.equal(result.code, 0, result.err);
    checkSame(parseRun(result), whole);
    const calls = await model.allCalls();
    const counts = tally(calls.map(keyOfCall));
    for (const [key, count] of Object.entries(whole.wanted)) {
        assert.ok(counts[key] >= count && counts[key] <= count * (crashes.length + 1), `${key}: ${counts[key]} calls`);
        for (const { before, done } of crashes.filter((crash) => crash.done[key] === count))
            assert.equal(calls.slice(before).filter((call) => keyOfCall(call) === key).length, 0, `${key} was recorded (${done[key]})`);
    }
});
