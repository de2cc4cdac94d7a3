// events.test.mjs - the events of a run: order, numbers, paths; late readers, filters, NDJSON; readers that come again with
// Last-Event-ID after random cuts, slow ones, idle ones. Not crashes (crash.test.mjs). CUTS=n sets how many cuts (20).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { startModel } from '../cli/support/model.mjs';
import { SLOW, limit, sleep, until } from '../cli/support/plait.mjs';
import { random } from '../cli/support/run.mjs';
import { checkOrder, durable, event, openEvents, readAll, texts } from './support/events.mjs';
import { checkProblem, startService } from './support/service.mjs';
import { ask, echo, fan, travel } from './support/workflows.mjs';

const CUTS = Number(process.env.CUTS || 20);
const SEED = Number(process.env.SEED || Date.now() % 1_000_000);
const input = { destination: 'Lisbon' };

test('replay and live give every reader the same events, whenever it comes', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const id = await service.background({ workflow: fan(12, (i) => `mock-${100 + i * 60}ms-w10`) });
    const resource = `/v1/runs/${id}/events`;
    const readers = [];
    for (let i = 0; i < 10; i++) {
        readers.push(openEvents(service.port, resource));
        await sleep(90);
    }
    const all = (await Promise.all((await Promise.all(readers)).map(readAll))).map(durable);
    const replay = await readAll(await openEvents(service.port, resource));
    assert.ok(durable(replay).length >= 12 * 2 + 2);
    for (const [i, one] of all.entries()) assert.deepEqual(one, durable(replay), `reader ${i}`);
    assert.equal(replay.filter(({ type }) => type === 'step.delta').length, 0, 'a run that is over has no deltas');
    const outputs = replay.filter(({ type, data }) => type === 'step.succeeded' && data.path.startsWith('fan.'));
    assert.equal(outputs.length, 12);
    for (const { data } of outputs) {
        assert.match(data.output, new RegExp(`branch ${data.path.slice(5)}$`));
        assert.ok(data.usage.output_tokens > 0);
    }
});

test('a step whose prompt jq makes is streamed like any other', limit, async (t) => {
    const service = await startService(t);
    const say = { llm: { model: 'sim/echo?latency=500ms', prompt: '${ [range(200)] | map(tostring) | join(" ") }' } };
    const reader = await openEvents(service.port, '/v1/runs', { json: { workflow: { name: 'say', steps: { say } } } });
    const events = await readAll(reader);
    assert.ok(events.filter(({ type }) => type === 'step.delta').length > 10, 'deltas as they come, not one at the end');
});

test('an answer that comes before its beginning is stored is told as text too, once and in its place', limit, async (t) => {
    const service = await startService(t);
    const branches = Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`b${n}`, { llm: { model: `sim/echo?latency=${n * 3}ms`, prompt: `branch ${n} of all` } }]));
    for (let i = 0; i < 5; i++) {
        const reader = await openEvents(service.port, '/v1/runs', { json: { workflow: { name: 'fan', steps: { fan: { parallel: { branches } } } } } });
        const events = await readAll(reader);
        assert.equal(Object.keys(texts(events)).length, 8);
        for (const [path, text] of Object.entries(texts(events))) {
            const own = events.filter(({ data }) => data.path === path);
            assert.equal(text, own.at(-1).data.output, JSON.stringify(own));
            assert.equal(own[0].type, 'step.started');
        }
    }
});

test('a reader that comes late gets the text so far in one delta', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const id = await service.background({ workflow: { name: 'talk', steps: { say: ask('mock-1500ms-w60', 'say it') } } });
    const first = await openEvents(service.port, `/v1/runs/${id}/events`);
    await until(() => first.events.filter(({ type }) => type === 'step.delta').length > 10, 'ten deltas');
    const late = await openEvents(service.port, `/v1/runs/${id}/events`);
    const [one, two] = await Promise.all([readAll(first), readAll(late)]);
    const deltas = two.filter(({ type }) => type === 'step.delta');
    assert.equal(deltas[0].data.snapshot, true);
    assert.ok(deltas[0].data.text.length > 10, JSON.stringify(deltas[0].data));
    assert.ok(deltas.slice(1).every(({ data }) => !data.snapshot));
    const { output } = two.find(({ type }) => type === 'step.succeeded').data;
    assert.equal(texts(two).say, output);
    assert.equal(texts(one).say, output);
});

test('a retry in the middle of a text voids it', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const workflow = { name: 'again', defaults: { retry: { attempts: 3, initial: '50ms' } }, steps: { say: ask('mock-300ms-cut-okafter1-w20', 'say') } };
    const events = await readAll(await openEvents(service.port, '/v1/runs', { json: { workflow, stream: true } }));
    const types = events.filter(({ type }) => type !== 'step.delta').map(({ type }) => type);
    assert.ok(types.includes('step.retrying'), types.join());
    assert.ok(types.includes('step.reset'), types.join());
    const { output } = events.find(({ type }) => type === 'step.succeeded').data;
    assert.equal(texts(events).say, output, 'after the reset the deltas are the output');
});

test(`${CUTS} random cuts: a reader with Last-Event-ID misses nothing and sees nothing twice`, limit, async (t) => {
    const next = random(SEED);
    t.diagnostic(`seed ${SEED}`);
    const model = await startModel(t);
    const service = await startService(t, { model });
    const id = await service.background({ workflow: fan(40, (i) => `mock-${50 + i * 45}ms-w8`) });
    const seen = [];
    let cuts = 0;
    for (let whole = false; !whole; ) {
        const after = seen.findLast(({ id: number }) => number !== undefined)?.id;
        const query = cuts % 2 && after ? `?after=${after}` : '';
        const reader = await openEvents(service.port, `/v1/runs/${id}/events`, { after: query ? undefined : after, query });
        assert.equal(reader.status, 200, reader.text);
        if (cuts < CUTS) await Promise.race([until(() => reader.bytes > next() * 4000, 'bytes'), sleep(next() * 120), reader.done]);
        if (cuts < CUTS) reader.cut();
        await reader.done;
        if (reader.failure) throw reader.failure;
        whole = reader.whole;
        cuts += whole ? 0 : 1;
        seen.push(...reader.events);
    }
    const replay = await readAll(await openEvents(service.port, `/v1/runs/${id}/events`));
    assert.deepEqual(durable(seen), durable(replay));
    t.diagnostic(`${cuts} cuts, ${durable(seen).length} events`);
    assert.ok(cuts >= Math.min(CUTS, 10), `${cuts} cuts`);
});

test('from every number on, the rest and nothing else', limit, async (t) => {
    const service = await startService(t);
    const run = await service.run({ workflow: { ...travel(), defaults: { model: 'sim/echo' } }, input });
    const resource = `/v1/runs/${run.id}/events`;
    const all = durable(await readAll(await openEvents(service.port, resource)));
    for (let i = 0; i < all.length; i++) {
        const after = all[i].split(' ')[0];
        const reader = await openEvents(service.port, resource, i % 2 ? { after } : { query: `?after=${after}` });
        await reader.done;
        assert.ok(reader.whole, 'a stream with nothing left ends too');
        assert.deepEqual(durable(reader.events), all.slice(i + 1));
    }
    for (const after of ['x', '-1', '1.5', '99999999999999999999']) {
        const reader = await openEvents(service.port, resource, { query: `?after=${after}` });
        checkProblem({ ...reader, json: JSON.parse(reader.text) }, 400);
    }
});

test('filters by type and by step hold for replay and live alike', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const id = await service.background({ workflow: fan(11, (i) => `mock-${200 + i * 20}ms`) });
    const resource = `/v1/runs/${id}/events`;
    const queries = ['?types=step.succeeded', '?types=run.*', '?types=step.started,run.succeeded', '?steps=fan.b1', '?steps=fan',
        '?steps=fan.b1,fan.b10&types=step.*'];
    const live = await Promise.all(queries.map((query) => openEvents(service.port, resource, { query })));
    await Promise.all(live.map((reader) => reader.done));
    for (const [i, query] of queries.entries()) {
        const replay = await openEvents(service.port, resource, { query });
        await replay.done;
        assert.deepEqual(durable(live[i].events), durable(replay.events), query);
        assert.ok(replay.events.length > 0, query);
        checkOrder(live[i].events.filter(({ type }) => type === 'nothing'));
    }
    const types = (reader) => [...new Set(reader.events.map(({ type }) => type))].sort();
    const paths = (reader) => [...new Set(reader.events.map(({ data }) => data.path).filter(Boolean))].sort();
    assert.deepEqual(types(live[0]), ['step.succeeded']);
    assert.deepEqual(types(live[1]).filter((type) => type !== 'run.progress'), ['run.started', 'run.succeeded']);
    assert.deepEqual(types(live[2]), ['run.succeeded', 'step.started']);
    assert.deepEqual(paths(live[3]), ['fan.b1'], 'whole segments: b1 is not b10');
    assert.ok(types(live[3]).includes('run.succeeded'), 'events of the run pass');
    assert.equal(paths(live[4]).length, 12);
    assert.deepEqual(paths(live[5]), ['fan.b1', 'fan.b10']);
});

test('NDJSON gives the same events, one a line', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const id = await service.background({ workflow: travel('mock-100ms'), input });
    const resource = `/v1/runs/${id}/events`;
    const [lines, sse] = await Promise.all([openEvents(service.port, resource, { ndjson: true }), openEvents(service.port, resource)]);
    assert.match(lines.headers['content-type'], /^application\/x-ndjson/);
    assert.deepEqual(durable(await readAll(lines)), durable(await readAll(sse)));
});

test('an output over 64 KiB is left out of the events and said to be', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const workflow = { name: 'big', steps: { big: ask('mock-w20000', 'much') } };
    const events = await readAll(await openEvents(service.port, '/v1/runs', { json: { workflow, stream: true } }));
    const { data } = events.find(({ type }) => type === 'step.succeeded');
    assert.equal(data.output_omitted, true);
    assert.ok(!('output' in data));
    const [step] = await service.steps(data.run_id);
    assert.ok(step.output.length > 65536, `${step.output.length} bytes`);
});

test('events of no run, of no number and to no taste are refused', limit, async (t) => {
    const service = await startService(t);
    checkProblem(await service.get('/v1/runs/run_01ARZ3NDEKTSV4RRFFQ69G5FAV/events'), 404, 'not_found');
    checkProblem(await service.get('/v1/runs/nonsense/events'), 404, 'not_found');
    const run = await service.run({ workflow: echo() });
    checkProblem(await service.get(`/v1/runs/${run.id}/events`, { headers: { 'last-event-id': 'soon' } }), 400);
    const plain = await service.get(`/v1/runs/${run.id}/events`);
    assert.match(plain.headers['content-type'], /^text\/event-stream/, 'what curl asks for without saying');
});

const ticks = (pid) => {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
    return Number(fields[11]) + Number(fields[12]); // of 10 ms
};

test('idle readers cost no time, and a comment keeps proxies awake', { ...limit, skip: SLOW && 'instrumented' }, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const id = await service.background({ workflow: { name: 'idle', steps: { a: ask('mock-hang', 'a') } } });
    const readers = await Promise.all(Array.from({ length: 50 }, () => openEvents(service.port, `/v1/runs/${id}/events`)));
    await Promise.all(readers.map((reader) => event(reader, ({ type }) => type === 'step.started', 'step.started')));
    const before = ticks(service.process.pid);
    await sleep(2000);
    const used = ticks(service.process.pid) - before;
    t.diagnostic(`${used * 10} ms of processor in 2 s with 50 idle readers`);
    assert.ok(used <= 10, `${used * 10} ms of processor in 2 s`);
    await until(() => readers.every((reader) => reader.parser.comments > 0), 'a comment for every reader', 20_000);
    const { status } = await service.post(`/v1/runs/${id}/cancel`);
    assert.equal(status, 200);
    for (const reader of readers) assert.equal((await readAll(reader)).at(-1).type, 'run.cancelled');
});

function resident(pid) {
    return Number(fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB/m)[1]) * 1024;
}

test('readers that do not read are bounded, and miss nothing', { ...limit, skip: SLOW && 'instrumented' }, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const branches = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`b${i}`, ask(`mock-${200 + i * 3}ms-w1500`, `b ${i}`)]));
    const workflow = { name: 'much', steps: { fan: { parallel: { branches } } }, output: 'done' };
    const grown = async (count) => {
        const id = await service.background({ workflow });
        const readers = await Promise.all(Array.from({ length: count }, () => openEvents(service.port, `/v1/runs/${id}/events`, { paused: true })));
        let peak = 0;
        await until(async () => {
            peak = Math.max(peak, resident(service.process.pid));
            return service.isOver(id);
        }, 'the end of the run');
        return { id, readers, peak };
    };
    await grown(0);
    const without = await grown(0);
    const { id, readers, peak } = await grown(20);
    const each = (peak - without.peak) / 20 / 1024;
    t.diagnostic(`20 readers that do not read: ${each.toFixed(0)} KiB each, of 100 outputs of 9 KB and 150,000 deltas`);
    assert.ok(each < 1024, `${each} KiB a reader`);
    const replay = durable(await readAll(await openEvents(service.port, `/v1/runs/${id}/events`)));
    for (const reader of readers) reader.answer.resume();
    for (const reader of readers) assert.deepEqual(durable(await readAll(reader)), replay);
});

// ---- another client: the eventsource package, when tests/run.sh has installed it ----

const modules = process.env.PLAIT_NODE_MODULES;
const missing = !(modules && fs.existsSync(path.join(modules, 'eventsource'))) && 'the eventsource package is not installed (PLAIT_NODE_MODULES)';

test('the eventsource package reads it, and comes again by itself after a kill -9', { ...limit, skip: missing }, async (t) => {
    const { EventSource } = createRequire(path.join(modules, 'x.js'))('eventsource');
    const model = await startModel(t);
    const service = await startService(t, { model });
    const id = await service.background({ workflow: fan(10, (i) => `mock-${200 + i * 200}ms`) });
    const seen = [];
    let opened = 0;
    const source = new EventSource(`http://127.0.0.1:${service.port}/v1/runs/${id}/events`);
    const over = new Promise((resolve) => {
        for (const type of ['run.started', 'step.started', 'step.succeeded', 'run.succeeded'])
            source.addEventListener(type, (message) => {
                seen.push(`${message.lastEventId} ${type} ${JSON.parse(message.data).path ?? ''}`);
                if (type === 'run.succeeded') resolve();
            });
        source.addEventListener('open', () => opened++);
    });
    await until(() => seen.length >= 16, 'some events');
    await service.restart();
    await over;
    source.close();
    const replay = durable(await readAll(await openEvents(service.port, `/v1/runs/${id}/events`)));
    const shown = new Set(['run.started', 'step.started', 'step.succeeded', 'run.succeeded']);
    assert.deepEqual(seen, replay.filter((line) => shown.has(line.split(' ')[1])));
    assert.ok(opened >= 2, `it connected ${opened} times`);
});
