// crash.test.mjs - kill -9 at random moments, and Ctrl-C: `--resume` finishes the run, and what was recorded is not paid for
// again. What was recorded at the kill is read from the file as it lay there; what was called, from the server's log.
// KILLS=n sets how many kills (8; what is asked of a release is 20); SEED=n repeats their moments.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs/promises';
import { test } from 'node:test';
import { callsOf, startModel } from './support/model.mjs';
import { SLOW, limit, place, plait, run, sleep, until } from './support/plait.mjs';
import { ask, once, parseRun, random, rows } from './support/run.mjs';
import { json, startServer } from './support/server.mjs';

const KILLS = Number(process.env.KILLS || (SLOW ? 4 : 8));
const SEED = Number(process.env.SEED || Date.now() % 1_000_000);
const BRANCHES = 16;

// Sixteen branches that end at different times, and a step that needs them all.
function sixteen() {
    const branches = {};
    for (let i = 0; i < BRANCHES; i++) branches[`b${i}`] = ask(`mock-${20 + i * 50}ms`, `branch ${i}`);
    return {
        name: 'sixteen',
        defaults: { retry: { attempts: 3, initial: '50ms' } },
        steps: { fan: { parallel: { branches } }, sum: ask('mock-100ms', 'sum ${ .steps.fan.output }') },
        output: { fan: '${ .steps.fan.output }', sum: '${ .steps.sum.output }' },
    };
}

const recorded = (t, home, id) => rows(t, home.database(id), "SELECT path, status FROM steps WHERE status = 'succeeded'").map((row) => row.path);

// The prompt by which the server knows a step of `sixteen`.
const promptOf = (path) => (path.startsWith('fan.b') ? `branch ${path.slice(5)}` : null);
const isOf = (path) => (call) => (path === 'sum' ? call.prompt.startsWith('sum ') : call.prompt === promptOf(path));

function checkWhole(got) {
    assert.equal(got.status, 'succeeded');
    for (let i = 0; i < BRANCHES; i++) assert.match(got.output.fan[`b${i}`], new RegExp(` branch ${i}$`));
    assert.match(got.output.sum, /sum \{"b0":/);
    assert.equal(got.progress.succeeded, BRANCHES + 2);
}

// Kills the run after `wait` milliseconds, or sees it end before. Returns its id, or null when it had none yet.
async function runAndKill(process, wait) {
    const [, id] = await process.said(/^run (run_\w+)$/m);
    await Promise.race([sleep(wait), process.done]);
    process.kill('SIGKILL');
    const { signal, code } = await process.done;
    assert.ok(signal === 'SIGKILL' || code === 0, `ended with ${code}: ${process.err()}`);
    return { id, over: signal !== 'SIGKILL' };
}

test(`killed at ${KILLS} random moments, a run of 16 branches is finished and nothing recorded is called again`,
    { timeout: 60_000 + KILLS * (SLOW ? 60_000 : 15_000) }, async (t) => {
        const next = random(SEED);
        t.diagnostic(`seed ${SEED}`);
        let kept = 0;
        let again = 0;
        for (let kill = 0; kill < KILLS; kill++) {
            const home = place(t);
            const model = await startModel(t);
            const file = home.file('w.json', sixteen());
            const process = plait(t, home, ['run', file, '--json'], { env: model.env });
            const wait = next() * (SLOW ? 2000 : 1000);
            const { id, over } = await runAndKill(process, wait);
            if (over) continue;
            const killed = Date.now();
            const done = recorded(t, home, id);
            const before = await model.allCalls();
            const result = await run(t, home, ['run', '--resume', id, '--json'], { env: model.env });
            assert.equal(result.code, 0, `kill ${kill} after ${wait} ms: ${result.err}`);
            checkWhole(parseRun(result));
            const calls = await model.allCalls();
            const paths = [...Array(BRANCHES).keys()].map((i) => `fan.b${i}`).concat('sum');
            for (const path of paths) {
                const mine = calls.filter(isOf(path));
                const late = mine.filter((call) => call.start_ms > killed);
                if (done.includes(path)) assert.equal(late.length, 0, `${path} was recorded and called again (kill ${kill}, ${wait} ms)`);
                assert.ok(late.length <= 1, `${path} was called ${late.length} times after one crash`);
                assert.ok(mine.length >= 1 && mine.length <= 2, `${path}: ${mine.length} calls`);
            }
            kept += done.filter((path) => promptOf(path)).length;
            again += calls.length - before.length - (BRANCHES + 1 - done.filter((path) => path !== 'fan').length);
            assert.equal(calls.length - before.length, paths.filter((path) => !done.includes(path)).length, 'each that was not recorded, once');
        }
        t.diagnostic(`${KILLS} kills: ${kept} recorded branches kept, ${again} calls too many`);
        assert.equal(again, 0);
    });

test('one run killed again and again still comes to its end', { timeout: SLOW ? 400_000 : 120_000 }, async (t) => {
    const next = random(SEED + 1);
    const home = place(t);
    const model = await startModel(t);
    const file = home.file('w.json', sixteen());
    let process = plait(t, home, ['run', file, '--json'], { env: model.env });
    const done = new Set();
    let id;
    let crashes = 0;
    for (let ended = false; !ended && crashes < 12; ) {
        const killed = await runAndKill(process, (SLOW ? 300 : 60) + next() * 150);
        id = killed.id;
        ended = killed.over;
        if (ended) break;
        crashes++;
        const begun = Date.now();
        for (const path of done) assert.equal(model.calls().filter(isOf(path)).filter((call) => call.start_ms > done.at).length, 0, path);
        recorded(t, home, id).forEach((path) => done.add(path));
        done.at = begun;
        await model.allCalls();
        process = plait(t, home, ['run', '--resume', id, '--json'], { env: model.env });
    }
    t.diagnostic(`${crashes} crashes, seed ${SEED}`);
    assert.ok(crashes > 0);
    const result = await process.done;
    assert.equal(result.code, 0, result.err);
    checkWhole(parseRun(result));
    for (let i = 0; i < BRANCHES; i++) assert.ok(callsOf(await model.allCalls(), `branch ${i}`).length <= crashes + 1);
});

test('the resumed run keeps its id, its start, its input and its definition', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const file = home.file('w.json', { name: 'pinned', steps: { a: ask('mock-1000ms', 'hello ${ .input.who }') } });
    const process = plait(t, home, ['run', file, '-i', 'who=you', '--thread', 'th'], { env: model.env });
    const [, id] = await process.said(/^run (run_\w+)$/m);
    await model.inFlight(1);
    process.kill();
    await process.done;
    home.file('w.json', { name: 'other', steps: { z: { reduce: 1 } } });
    const result = await run(t, home, ['run', '--resume', id, '--json'], { env: model.env });
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    assert.equal(got.id, id);
    assert.equal(got.workflow.name, 'pinned');
    assert.deepEqual(got.input, { who: 'you' });
    assert.equal(got.thread, 'th');
    assert.match(got.output, / hello you$/);
    assert.equal(got.step.a.attempts, 2);
    assert.ok(got.duration_ms >= 1000);
    assert.ok((await model.allCalls()).every((call) => call.prompt === 'hello you'));
});

test('a run that is going on cannot be resumed a second time', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const process = plait(t, home, ['run', home.file('w.json', once({ a: ask('mock-hang', 'x') }))], { env: model.env });
    const [, id] = await process.said(/^run (run_\w+)$/m);
    const second = await run(t, home, ['run', '--resume', id], { env: model.env });
    assert.equal(second.code, 2);
    assert.match(second.err, new RegExp(`process ${process.pid}\\b`));
    process.kill();
});

test('killed while a retry waits, the wait goes on and the attempts are not counted anew', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const wait = SLOW ? 8000 : 2500;
    const retry = { attempts: 2, initial: `${wait}ms`, max: `${wait}ms`, jitter: 0 };
    const file = home.file('w.json', { steps: { a: ask('mock-s500', 'a', { retry }) } });
    const process = plait(t, home, ['run', file], { env: model.env });
    const [, id] = await process.said(/^run (run_\w+)$/m);
    await process.said(/\bretrying\b/);
    process.kill();
    await process.done;
    const [row] = rows(t, home.database(id), 'SELECT status, attempts FROM steps');
    assert.deepEqual(row, { status: 'retrying', attempts: 1 });
    const result = await run(t, home, ['run', '--resume', id, '--json'], { env: model.env });
    assert.equal(result.code, 1);
    assert.equal(parseRun(result).step.a.attempts, 2);
    const calls = await model.allCalls();
    assert.equal(calls.length, 2);
    const gap = calls[1].start_ms - calls[0].end_ms;
    t.diagnostic(`asked again after ${gap.toFixed(0)} ms of ${wait} ms`);
    assert.ok(gap >= wait - 5, `${gap} ms`);
});

test('on_ambiguous: fail never calls again what was in flight', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const steps = { a: ask('mock-hang', 'a', { on_ambiguous: 'fail' }), b: ask('mock', 'b') };
    const process = plait(t, home, ['run', home.file('w.json', once(steps, { join: 'settled' }))], { env: model.env });
    const [, id] = await process.said(/^run (run_\w+)$/m);
    await process.said(/\bb\b.*\bdone\b/);
    await model.inFlight(1);
    process.kill();
    await process.done;
    const result = await run(t, home, ['run', '--resume', id, '--json'], { env: model.env });
    assert.equal(result.code, 1);
    const got = parseRun(result);
    assert.equal(got.step.a.error.code, 'ambiguous_attempt');
    assert.equal(got.step.b.status, 'succeeded');
    assert.deepEqual((await model.allCalls()).map((call) => call.prompt).sort(), ['a', 'b']);
});

test('a POST in flight at the crash is not sent again, a GET is', limit, async (t) => {
    const home = place(t);
    const silent = new Set();
    const server = await startServer(t, (request, response) => {
        if (!silent.has(request.method)) {
            silent.add(request.method); // the first of each kind is never answered
            return;
        }
        json(response, 200, { method: request.method });
    });
    const steps = {
        get: { http: { url: `${server.url}/get` } },
        post: { http: { method: 'POST', url: `${server.url}/post`, json: { a: 1 } } },
    };
    const config = home.file('c.yaml', `network: {allow_private: ["127.0.0.1:${server.port}"]}\n`);
    const file = home.file('w.json', once(steps, { join: 'settled' }));
    const process = plait(t, home, ['run', file, '--config', config]);
    const [, id] = await process.said(/^run (run_\w+)$/m);
    await until(() => server.requests.length === 2, 'both requests');
    process.kill();
    await process.done;
    const result = await run(t, home, ['run', '--resume', id, '--config', config, '--json']);
    assert.equal(result.code, 1);
    const got = parseRun(result);
    assert.equal(got.step.post.error.code, 'ambiguous_attempt');
    assert.deepEqual(got.step.get.output.body, { method: 'GET' });
    assert.deepEqual(server.requests.map((request) => request.method).sort(), ['GET', 'GET', 'POST']);
});

// ---- Ctrl-C ----

const three = (latency) =>
    once({
        fan: { parallel: { branches: { a: ask(latency, 'a'), b: ask(latency, 'b'), c: ask(latency, 'c') } } },
        sum: ask('mock', 'sum ${ .steps.fan.output }'),
    });

for (const signal of ['SIGINT', 'SIGTERM'])
    test(`${signal} lets the calls in flight finish, exits 130 and says how to go on`, limit, async (t) => {
        const home = place(t);
        const model = await startModel(t);
        const file = home.file('w.json', three(SLOW ? 'mock-3000ms' : 'mock-1000ms'));
        const process = plait(t, home, ['run', file], { env: model.env });
        const [, id] = await process.said(/^run (run_\w+)$/m);
        await model.inFlight(3);
        process.kill(signal);
        const result = await process.done;
        assert.equal(result.code, 130, result.err);
        assert.equal(result.out, '');
        assert.match(result.err, new RegExp(`plait run \\S*w\\.json --resume ${id}$`, 'm'));
        const calls = await model.allCalls();
        assert.deepEqual(calls.map((call) => call.outcome), ['answered', 'answered', 'answered'], 'no new call, none cut off');
        const resumed = await run(t, home, ['run', '--resume', id, '--json'], { env: model.env });
        assert.equal(resumed.code, 0, resumed.err);
        assert.equal((await model.allCalls()).length, 4, 'only the last step was called');
        assert.match(parseRun(resumed).output, /sum/);
    });

test('a second Ctrl-C stops at once', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const process = plait(t, home, ['run', home.file('w.json', three('mock-hang'))], { env: model.env });
    const [, id] = await process.said(/^run (run_\w+)$/m);
    await model.inFlight(3);
    process.kill('SIGINT');
    await process.said(/interrupted/);
    assert.equal((await model.stats()).inflight, 3, 'the first one waits for them');
    const began = Date.now();
    process.kill('SIGINT');
    const result = await process.done;
    const took = Date.now() - began;
    t.diagnostic(`ended ${took} ms after the second signal`);
    assert.equal(result.code, 130, result.err);
    if (!SLOW) assert.ok(took < 1000, `${took} ms`);
    assert.deepEqual((await model.allCalls()).map((call) => call.outcome), ['aborted', 'aborted', 'aborted']);
    assert.match(result.err, new RegExp(`--resume ${id}`));
});

test('--drain bounds how long Ctrl-C waits', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const process = plait(t, home, ['run', home.file('w.json', three('mock-hang')), '--drain', '300ms'], { env: model.env });
    await process.said(/^run run_\w+$/m);
    await model.inFlight(3);
    const began = Date.now();
    process.kill('SIGINT');
    const result = await process.done;
    const took = Date.now() - began;
    assert.equal(result.code, 130, result.err);
    assert.ok(took >= 290, `${took} ms`);
    if (!SLOW) assert.ok(took < 2000, `${took} ms`);
});

test('Ctrl-C while a retry waits ends at once and keeps the run', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const file = home.file('w.json', { steps: { a: ask('mock-fail1', 'a', { retry: { attempts: 2, initial: '3s', max: '3s', jitter: 0 } }) } });
    const process = plait(t, home, ['run', file], { env: model.env });
    const [, id] = await process.said(/^run (run_\w+)$/m);
    await process.said(/\bretrying\b/);
    const began = Date.now();
    process.kill('SIGINT');
    assert.equal((await process.done).code, 130);
    if (!SLOW) assert.ok(Date.now() - began < 1500, `${Date.now() - began} ms`);
    const resumed = await run(t, home, ['run', '--resume', id], { env: model.env });
    assert.equal(resumed.code, 0, resumed.err);
    assert.equal((await model.allCalls()).length, 2);
});

test('a run that ends while Ctrl-C waits for it has its output and exits 0', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const file = home.file('w.json', once({ a: ask(SLOW ? 'mock-3000ms' : 'mock-800ms', 'a') }));
    for (const more of [[], ['--json']]) {
        const process = plait(t, home, ['run', file, ...more], { env: model.env });
        await model.inFlight(1);
        process.kill('SIGINT');
        const result = await process.done;
        assert.equal(result.code, 0, result.err);
        if (more.length) assert.match(parseRun(result).output, / a$/);
        else assert.match(JSON.parse(result.out), / a$/);
    }
});

test('Ctrl-C before the run is recorded loses nothing that was said', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', { steps: { a: { llm: { model: 'sim/echo?latency=5s', prompt: 'x' } } } });
    for (let i = 0; i < 10; i++) {
        const process = plait(t, home, ['run', file, '--drain', '0s']);
        await sleep(i * 2);
        process.kill('SIGINT');
        const result = await process.done;
        assert.ok([130, null].includes(result.code), `${result.code} ${result.err}`);
        const said = result.err.match(/^run (run_\w+)$/m);
        if (said && i % 4 === 3) {
            const rest = await run(t, home, ['run', '--resume', said[1], '--quiet']);
            assert.equal(rest.code, 0, rest.err);
        }
    }
});

test('a database torn in its log is taken up to the last whole record', limit, async (t) => {
    const fs = await import('node:fs');
    const home = place(t);
    const model = await startModel(t);
    const process = plait(t, home, ['run', home.file('w.json', sixteen())], { env: model.env });
    const [, id] = await process.said(/^run (run_\w+)$/m);
    await process.said(/fan\.b7\b.*\bdone\b/);
    process.kill();
    await process.done;
    const wal = `${home.database(id)}-wal`;
    fs.truncateSync(wal, fs.statSync(wal).size - 1000);
    const result = await run(t, home, ['run', '--resume', id, '--json'], { env: model.env });
    assert.equal(result.code, 0, result.err);
    checkWhole(parseRun(result));
});

test('resumed without the provider it needs, a run stays as it is', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const file = home.file('w.json', { steps: { a: ask('mock-300ms', 'needed') } });
    const process = plait(t, home, ['run', file], { env: model.env });
    await runAndKill(process, 0);
    const id = process.err().match(/^run (run_\w+)$/m)[1];
    const refused = await run(t, home, ['run', '--resume', id]);
    assert.equal(refused.code, 2, refused.err);
    assert.match(refused.err, /stays as it is: step a: .*OPENAI_API_KEY/);
    const result = await run(t, home, ['run', file, '--resume', id], { env: model.env });
    assert.equal(result.code, 0, result.err);
    assert.match(result.err, /^resuming with the workflow, model and input the run was started with$/m);
    assert.match(result.out, /needed"\n$/);
});

test('Ctrl-C ends the wait for an input that does not come', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', { steps: { a: { reduce: '${ .input }' } } });
    const fifo = `${home.dir}/input`;
    assert.equal(spawnSync('mkfifo', [fifo]).status, 0);
    const process = plait(t, home, ['run', '-q', file, '--input', `@${fifo}`]);
    const writer = await fs.open(fifo, 'w'); // done once the process has opened it
    t.after(() => writer.close());
    process.kill('SIGINT');
    await until(() => process.ended, 'the end of a process that waited for its input');
    assert.equal((await process.done).signal, 'SIGINT');
});
