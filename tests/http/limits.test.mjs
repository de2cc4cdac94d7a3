// limits.test.mjs - many connections and slow ones: the trap of 1,020 connections, headers of 8 KB, clients that never finish, more
// runs than are let in. The long forms are in load/. Not slow readers of events (events.test.mjs).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { startModel } from '../cli/support/model.mjs';
import { SLOW, limit, until } from '../cli/support/plait.mjs';
import { openEvents } from './support/events.mjs';
import { exchange } from './support/raw.mjs';
import { checkProblem, startService } from './support/service.mjs';
import { ask } from './support/workflows.mjs';

const request = (headers = '') => `GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`;

function connect(port) {
    return new Promise((resolve, reject) => {
        const socket = net.connect(port, '127.0.0.1', () => resolve(socket));
        socket.answers = 0;
        socket.on('data', (piece) => (socket.answers += (piece.toString('latin1').match(/HTTP\/1\.1 200/g) ?? []).length));
        socket.on('close', () => (socket.over = true));
        socket.on('error', (error) => {
            socket.over = true;
            reject(error);
        });
    });
}

test('1,100 connections at once are all answered, and again', { ...limit, skip: SLOW && 'instrumented' }, async (t) => {
    const service = await startService(t);
    const sockets = [];
    t.after(() => sockets.forEach((socket) => socket.destroy()));
    for (let i = 0; i < 11; i++) sockets.push(...(await Promise.all(Array.from({ length: 100 }, () => connect(service.port)))));
    for (let round = 1; round <= 2; round++) {
        for (const socket of sockets) socket.write(request());
        // libmicrohttpd 0.9.75 looks for more before it serves anybody when it was told of exactly 128 sockets, or 256, ...: it
        // then goes on with whatever comes next, as it does all the time where so many are.
        const next = setInterval(() => service.get('/healthz').catch(() => {}), 1000);
        t.after(() => clearInterval(next));
        await until(() => sockets.every((socket) => socket.answers === round), `round ${round}`, 10_000);
        clearInterval(next);
    }
    assert.equal((await service.get('/healthz')).status, 200, 'and one more');
});

test('1,100 readers of events at once: each gets every event', { ...limit, skip: SLOW && 'instrumented' }, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const id = await service.background({ workflow: { name: 'w', steps: { a: ask('mock-3000ms-w5', 'a'), b: { reduce: '${ .steps.a.output }' } } } });
    const readers = [];
    for (let i = 0; i < 11; i++) readers.push(...(await Promise.all(Array.from({ length: 100 }, () => openEvents(service.port, `/v1/runs/${id}/events?types=step.started,step.succeeded,run.*`)))));
    await Promise.all(readers.map((reader) => reader.done));
    const numbers = (reader) => reader.events.filter((event) => event.id).map((event) => event.id).join();
    assert.equal(new Set(readers.map(numbers)).size, 1, 'all the same');
    assert.equal(readers[0].events.at(-1).type, 'run.succeeded');
});

test('8 KB of headers are taken, what is too much is refused', limit, async (t) => {
    const service = await startService(t);
    const value = 'v'.repeat(1000);
    const some = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`x-h${i}`, value]));
    assert.equal((await service.get('/healthz', { headers: some })).status, 200);
    const names = ['cookie', 'x-one'];
    for (const name of names) assert.equal((await service.get('/healthz', { headers: { [name]: 'c'.repeat(8192) } })).status, 200, `one line: ${name}`);
    const cookies = Array.from({ length: 80 }, (_, i) => `c${i}=${'v'.repeat(95)}`).join('; ');
    assert.equal((await service.get('/healthz', { headers: { cookie: cookies } })).status, 200, '80 cookies');
    for (const name of names) checkProblem(await service.get('/healthz', { headers: { [name]: 'c'.repeat(11_000) } }), 431, 'headers_too_large');
    for (const size of [20_000, 200_000]) {
        const { answers, closed } = await exchange(service.port, request(`Cookie: ${'c'.repeat(size)}\r\n`));
        assert.ok([400, 413, 431, undefined].includes(answers[0]?.status), `${answers[0]?.status}`);
        assert.ok(closed);
    }
    assert.equal((await service.get('/healthz')).status, 200);
});

test('a reader that waits costs little, whatever headers it sent', { ...limit, skip: SLOW && 'instrumented' }, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const id = await service.background({ workflow: { name: 'w', steps: { a: ask('mock-hang', 'a') } } });
    const resident = async () => Number((await service.get('/metrics')).text.match(/^process_resident_memory_bytes (\d+)/m)[1]);
    const headers = Object.fromEntries(Array.from({ length: 80 }, (_, i) => [`x-padding-${i}`, 'p'.repeat(85)]));
    const sockets = [];
    t.after(() => sockets.forEach((socket) => socket.destroy()));
    const padding = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('');
    const before = await resident();
    for (let i = 0; i < 10; i++) {
        const some = await Promise.all(Array.from({ length: 100 }, () => connect(service.port)));
        sockets.push(...some);
        for (const socket of some) socket.write(`GET /v1/runs/${id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n${padding}\r\n`);
        await until(() => some.every((socket) => socket.answers === 1), 'the heads of the answers', 10_000);
    }
    const kib = ((await resident()) - before) / 1024 / sockets.length;
    t.diagnostic(`${kib.toFixed(2)} KiB a reader`);
    assert.ok(kib < 8, `${kib} KiB a reader`);
});

test('clients that never finish their request hold nobody up', { ...limit, skip: SLOW && 'instrumented' }, async (t) => {
    const service = await startService(t);
    const sockets = [];
    t.after(() => sockets.forEach((socket) => socket.destroy()));
    for (let i = 0; i < 300; i++) {
        const socket = await connect(service.port);
        socket.on('error', () => {});
        sockets.push(socket);
        if (i % 3 === 0) socket.write('GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ');
        else if (i % 3 === 1) socket.write('POST /v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{"work');
    }
    const times = [];
    for (let i = 0; i < 200; i++) {
        const { status, ms } = await service.get('/healthz');
        assert.equal(status, 200);
        times.push(ms);
    }
    times.sort((a, b) => a - b);
    t.diagnostic(`healthz beside 300 slow clients: p50 ${times[100].toFixed(2)} ms, p99 ${times[198].toFixed(2)} ms`);
    assert.ok(times[100] < 10, `p50 ${times[100]} ms`);
});

test('runs over the limit are refused with 429 and Retry-After, and let in again', limit, async (t) => {
    const model = await startModel(t);
    const home = await startService(t, { model }).then((service) => service.dir);
    const config = `${home}/plait.yaml`;
    fs.writeFileSync(config, 'limits: {runs: 5}\n');
    const service = await startService(t, { model, args: ['--config', config] });
    const workflow = { name: 'w', steps: { a: ask('mock-hang', 'a') } };
    const ids = [];
    for (let i = 0; i < 5; i++) ids.push(await service.background({ workflow }));
    const refused = await service.post('/v1/runs', { workflow, background: true });
    checkProblem(refused, 429, 'limit_exceeded');
    assert.ok(Number(refused.headers['retry-after']) > 0);
    await service.post(`/v1/runs/${ids[0]}/cancel`);
    await service.over(ids[0]);
    await until(async () => (await service.post('/v1/runs', { workflow, background: true })).status === 202, 'room for one more');
});
