// crash.test.mjs - kill -9 of the service under running runs, while clients read: after the restart every run comes to its end
// by itself, and what any client had seen is still so. KILLS=n sets how many kills (3; what is asked of a release is 20), RUNS=n how
// many runs at once (32), SEED=n repeats the moments.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startModel } from '../cli/support/model.mjs';
import { SLOW, sleep, until } from '../cli/support/plait.mjs';
import { random, rows } from '../cli/support/run.mjs';
import { durable, openEvents, readAll } from './support/events.mjs';
import { startService } from './support/service.mjs';
import { ask, checkHttpRun, fan } from './support/workflows.mjs';

const KILLS = Number(process.env.KILLS || (SLOW ? 1 : 3));
const RUNS = Number(process.env.RUNS || 32);
const SEED = Number(process.env.SEED || Date.now() % 1_000_000);
const patience = { timeout: 90_000 + KILLS * (SLOW ? 60_000 : 15_000) };

// Reads a run's events for as long as it takes, across restarts; `seen` gets what was seen.
async function follow(t, service, id, seen) {
    for (let over = false; !over && !t.signal.aborted; ) {
        const after = seen.findLast((event) => event.id !== undefined)?.id;
        let reader;
        try {
            reader = await openEvents(service.port, `/v1/runs/${id}/events`, { after });
            assert.equal(reader.status, 200, reader.text);
        } catch (error) {
            if (error.code === 'ERR_ASSERTION') throw error;
            await sleep(20); // it is down
            continue;
        }
        await reader.done;
        if (reader.failure) throw reader.failure;
        seen.push(...reader.events);
        over = reader.events.some(({ type }) => /^run\.(succeeded|failed|cancelled)$/.test(type));
        assert.ok(over || !reader.whole, 'a stream does not end as a whole before its run');
    }
}

const labelOf = (call) => call.prompt;

test(`killed ${KILLS} times under ${RUNS} runs, every run is finished and nothing anybody saw is lost`, patience, async (t) => {
    const next = random(SEED);
    t.diagnostic(`seed ${SEED}`);
    const model = await startModel(t);
    const service = await startService(t, { model });
    const runs = new Map(); // id -> what was seen of it
    const readers = [];
    const polled = new Map(); // path of a run -> what a poll said of it
    for (let i = 0; i < RUNS; i++) {
        const workflow = fan(8, (k) => `mock-${100 + ((i * 37 + k * 211) % 1900)}ms-w6`, { label: `run ${i} branch`, timeout: '10m' });
        workflow.steps.sum = ask('mock-100ms', `run ${i} sum \${ .steps.fan.output }`);
        workflow.output = '${ .steps.sum.output }';
        const id = await service.background({ workflow, metadata: { number: i } });
        runs.set(id, []);
        readers.push(follow(t, service, id, runs.get(id)));
    }
    const settled = Promise.all(readers);
    settled.catch(() => {});
    let recorded = [];
    for (let kill = 0; kill < KILLS; kill++) {
        await sleep(100 + next() * 700);
        for (const id of runs.keys())
            for (const step of await service.steps(id)) if (step.status === 'succeeded') polled.set(`${id} ${step.path}`, step);
        await service.kill();
        const killed = Date.now();
        recorded = rows(t, service.database, "SELECT run, path FROM steps WHERE status = 'succeeded'").map((row) => `${row.run} ${row.path}`);
        await service.restart();
        recorded.killed = killed;
    }
    await settled;
    const numberOf = new Map();
    let events = 0;
    for (const [id, seen] of runs) {
        const run = checkHttpRun((await service.get(`/v1/runs/${id}`)).json);
        assert.equal(run.status, 'succeeded', `${id}: ${JSON.stringify(run.error)}`);
        assert.equal(run.progress.succeeded, 10);
        numberOf.set(id, run.metadata.number);
        const replay = await readAll(await openEvents(service.port, `/v1/runs/${id}/events`));
        assert.deepEqual(durable(seen), durable(replay), `${id}: what its reader saw is what there is`);
        const said = Object.fromEntries(replay.map((event) => [event.id, event.data]));
        for (const event of seen) if (event.id) assert.deepEqual(event.data, said[event.id]);
        const steps = Object.fromEntries((await service.steps(id)).map((step) => [step.path, step]));
        for (const event of seen) if (event.type === 'step.succeeded') assert.deepEqual(steps[event.data.path].output, event.data.output);
        for (const [key, step] of polled) if (key.startsWith(id)) assert.deepEqual(steps[step.path], step, 'a polled result stays');
        events += durable(seen).length;
    }
    const calls = await model.allCalls();
    const late = new Set(calls.filter((call) => call.start_ms > recorded.killed).map(labelOf));
    for (const key of recorded) {
        const [id, path] = key.split(' ');
        if (path.startsWith('fan.b')) assert.ok(!late.has(`run ${numberOf.get(id)} branch ${path.slice(5)}`), `${key} was recorded and called again`);
    }
    const times = new Map();
    for (const call of calls) times.set(labelOf(call), (times.get(labelOf(call)) ?? 0) + 1);
    for (const [label, count] of times) assert.ok(count <= KILLS + 1, `${label}: ${count} calls, ${KILLS} crashes`);
    const again = calls.length - RUNS * 9;
    t.diagnostic(`${KILLS} kills, ${RUNS} runs finished, ${events} events seen, ${polled.size} polled results, ${again} calls made again, which had not been recorded`);
});

test('a run that was waiting for its turn to be answered goes on after the crash without its client', { timeout: 120_000 }, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const waiting = service.post('/v1/runs', { workflow: { name: 'one', steps: { a: ask('mock-1000ms', 'a') } } });
    const failed = assert.rejects(waiting, 'the connection broke');
    await model.inFlight(1);
    await until(async () => (await service.get('/v1/runs')).json.data.length === 1, 'the run on disk');
    await service.kill();
    await failed;
    await service.restart();
    const { data } = (await service.get('/v1/runs')).json;
    assert.equal(data.length, 1);
    assert.equal((await service.over(data[0].id)).status, 'succeeded');
});

test('whatever was answered 202 is there after a kill -9', { timeout: 120_000 }, async (t) => {
    const service = await startService(t);
    const next = random(SEED + 7);
    for (let kill = 0; kill < (SLOW ? 2 : 6); kill++) {
        const ids = [];
        let stopped = false;
        const clients = Array.from({ length: 8 }, async () => {
            while (!stopped) {
                const answer = await service.post('/v1/runs', { workflow: { name: 'x', steps: { a: { reduce: 1 } } }, background: true }).catch(() => null);
                if (!answer) return;
                assert.equal(answer.status, 202, answer.text);
                ids.push(answer.json.id);
            }
        });
        await until(() => ids.length > 0, 'the first answer');
        await sleep(next() * 150);
        await service.kill();
        stopped = true;
        await Promise.all(clients);
        await service.restart();
        for (const id of ids) assert.equal((await service.over(id)).status, 'succeeded');
        t.diagnostic(`${ids.length} runs answered before the kill, all there`);
    }
});

test('twenty cuts, some of them a kill -9: the reader misses nothing and sees nothing twice', patience, async (t) => {
    const next = random(SEED + 1);
    const model = await startModel(t);
    const service = await startService(t, { model });
    const id = await service.background({ workflow: fan(40, (i) => `mock-${100 + i * 90}ms-w8`) });
    const seen = [];
    let cuts = 0;
    let kills = 0;
    for (let whole = false; !whole; ) {
        const after = seen.findLast((event) => event.id !== undefined)?.id;
        const reader = await openEvents(service.port, `/v1/runs/${id}/events`, { after });
        assert.equal(reader.status, 200, reader.text);
        if (cuts < 20) {
            await Promise.race([sleep(40 + next() * 160), reader.done]);
            if (cuts % 5 === 4 && !reader.ended) {
                await service.restart();
                kills++;
            }
            reader.cut();
        }
        await reader.done;
        if (reader.failure) throw reader.failure;
        whole = reader.whole;
        cuts += whole ? 0 : 1;
        seen.push(...reader.events);
    }
    const replay = await readAll(await openEvents(service.port, `/v1/runs/${id}/events`));
    assert.deepEqual(durable(seen), durable(replay));
    t.diagnostic(`${cuts} cuts, ${kills} of them kills, ${durable(seen).length} events`);
    assert.ok(kills >= 2, `${kills} kills`);
});

test('started without the provider it needs, the service leaves a run as it is and says so', { timeout: 120_000 }, async (t) => {
    const model = await startModel(t);
    const first = await startService(t, { model });
    const id = await first.background({ workflow: { steps: { a: ask('mock-300ms', 'needed') } } });
    await first.kill();
    const bare = await startService(t, { database: first.database });
    assert.match(bare.process.err(), /RUN-NOT-ADOPTED.*step a: no provider 'openai'/);
    const refused = await bare.post(`/v1/runs/${id}/steps/a/cancel`);
    assert.equal(refused.status, 409, refused.text);
    assert.match(refused.json.detail, /does not go on in this process/);
    await bare.kill();
    await first.restart();
    assert.equal((await first.over(id)).status, 'succeeded');
    assert.equal((await first.post(`/v1/runs/${id}/cancel`)).status, 200, 'of one that is over nothing is left to cancel');
});

test('started without a provider that only finished steps needed, the service goes on with a run', { timeout: 120_000 }, async (t) => {
    const model = await startModel(t);
    const first = await startService(t, { model });
    const done = ask('mock-0ms', 'done');
    const human = { human: { ask: 'well?' } };
    const over = {
        a: done,
        p: { parallel: { branches: { x: done, y: human } } },
        v: { vote: { among: { x: done, y: human }, method: 'union' } },
        m: { map: { over: [1, 2], do: done } },
        w: { workflow: { steps: { x: done, y: human } } },
        h: { ...human, on_error: { step: { reduce: 1 } } },
        s: { needs: ['h'], llm: { model: 'sim/echo', prompt: 'after' } },
    };
    const asks = ['h', 'p.y', 'v.y', 'w.y'];
    const needs = {
        handler: { h: { ...human, on_error: { step: done } } },
        after: { h: human, b: { needs: ['h'], ...done } },
        judge: { v: { vote: { among: { x: human, y: human }, method: 'judge', judge: done } } },
        item: { h: human, m: { needs: ['h'], map: { over: [1], do: done } } },
        turn: { r: { repeat: { steps: { x: human, y: { needs: ['x'], ...done } }, max: 1 } } },
        inside: { w: { workflow: { steps: { x: human, y: { needs: ['x'], ...done } } } } },
    };
    const start = async (steps, questions) => {
        const id = await first.background({ workflow: { steps } });
        await until(async () => (await first.steps(id, '&status=waiting')).length === questions && (await first.get(`/v1/runs/${id}`)).json.status === 'waiting', `${id} to wait`);
        return id;
    };
    const id = await start(over, asks.length);
    const left = {};
    for (const [name, steps] of Object.entries(needs)) left[name] = await start(steps, name === 'judge' ? 2 : 1);
    const { calls } = await model.stats();
    await first.kill();

    const bare = await startService(t, { database: first.database });
    for (const path of asks) {
        const answer = await bare.post(`/v1/runs/${id}/steps/${path}/answer`, { output: 'yes' });
        assert.equal(answer.status, 200, answer.text);
    }
    const run = await bare.over(id);
    assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
    assert.equal((await model.stats()).calls, calls, 'what succeeded is not called again');
    for (const [name, one] of Object.entries(left))
        assert.match(bare.process.err(), new RegExp(`RUN-NOT-ADOPTED.*${one}.*no provider 'openai'`), name);
});

test('what cannot go on can be cancelled, without a call, and deleted', { timeout: 120_000 }, async (t) => {
    const model = await startModel(t);
    const first = await startService(t, { model });
    const steps = { a: ask('mock-9000ms', 'one'), b: { parallel: { branches: { c: ask('mock-9000ms', 'two'), d: { human: { ask: 'well?' } } } } }, e: ask('mock-0ms', '${ .steps.a.output }') };
    const ids = [await first.background({ workflow: { steps } }), await first.background({ workflow: { steps }, thread: 'chat' }), await first.background({ workflow: { steps }, thread: 'chat' })];
    await model.inFlight(4); // two of each run whose turn it is
    await first.kill();
    const bare = await startService(t, { database: first.database });
    for (const id of ids) {
        const cancelled = await bare.post(`/v1/runs/${id}/cancel`);
        assert.equal(cancelled.status, 200, cancelled.text);
        assert.equal(cancelled.json.status, 'cancelled');
        const events = await readAll(await openEvents(bare.port, `/v1/runs/${id}/events`));
        assert.equal(events.at(-1).type, 'run.cancelled');
        assert.equal((await bare.ask('DELETE', `/v1/runs/${id}`)).status, 204);
    }
    assert.equal((await model.allCalls()).length, 4, 'nothing was asked');
    assert.equal((await bare.get('/v1/runs')).json.data.length, 0);
});
