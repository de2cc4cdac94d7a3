// service.mjs - `plait serve` of a test's own on a port of its own: started, killed, started again, and asked over HTTP. Not
// the events (events.mjs) and not raw sockets (raw.mjs). Used by tests/http/*.test.mjs.
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { PLAIT, environment, folder, start, until } from '../../cli/support/plait.mjs';

// Ports outside the range that the kernel gives to connecting sockets, so that a killed server finds its own again.
async function freePort() {
    for (;;) {
        const port = 20_000 + Math.floor(Math.random() * 12_000);
        const free = await new Promise((resolve) => {
            const probe = net.createServer();
            probe.once('error', () => resolve(false));
            probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
        });
        if (free) return port;
    }
}

// Asks once and gives {status, headers, text, json, ms}. Options: headers, body (text or bytes), json (a value to send), port,
// agent (default: a connection of its own), timeout (ms of silence). Rejects when the connection breaks.
export function ask(port, method, resource, { headers = {}, body, json, agent = false, timeout = 60_000 } = {}) {
    const bytes = json === undefined ? body : JSON.stringify(json);
    const all = { ...headers };
    if (bytes !== undefined) {
        all['content-length'] ??= Buffer.byteLength(bytes);
        if (!Object.keys(all).some((name) => name.toLowerCase() === 'content-type')) all['content-type'] = 'application/json';
    }
    const began = performance.now();
    return new Promise((resolve, reject) => {
        const request = http.request({ host: '127.0.0.1', port, method, path: resource, headers: all, agent, timeout }, (answer) => {
            const pieces = [];
            answer.on('data', (piece) => pieces.push(piece));
            answer.on('error', reject);
            answer.on('end', () => {
                const text = Buffer.concat(pieces).toString('utf8');
                const isJson = /^application\/(problem\+)?json/.test(answer.headers['content-type'] ?? '');
                resolve({
                    status: answer.statusCode,
                    headers: answer.headers,
                    text,
                    json: isJson && text ? JSON.parse(text) : undefined,
                    ms: performance.now() - began,
                });
            });
        });
        request.on('timeout', () => request.destroy(new Error(`${method} ${resource}: no answer in ${timeout} ms`)));
        request.on('error', reject);
        request.end(bytes);
    });
}

// Sends a request and hands over the connection before the answer: {socket, request}. For clients that leave.
export function leave(port, method, resource, { headers = {}, json } = {}) {
    const bytes = JSON.stringify(json);
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => {});
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('');
    socket.write(`${method} ${resource} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n${lines}` +
        `Content-Length: ${Buffer.byteLength(bytes)}\r\n\r\n${bytes}`);
    return socket;
}

// Starts a service. Options: args and env (added), model (a stand-in whose address becomes provider `openai`), port, database (a file
// instead of one in the service's own folder).
export async function startService(t, { args = [], env = {}, model, port: wanted, database: file } = {}) {
    const dir = folder(t);
    const database = file ?? path.join(dir, 'plait.db');
    const service = { dir, database, port: wanted ?? (await freePort()), restarts: 0 };
    const all = environment({ HOME: dir, ...(model ? model.env : {}), ...env });

    // Starts the program and waits until it answers.
    service.begin = async () => {
        const words = ['serve', '--listen', `127.0.0.1:${service.port}`, '--db', `sqlite:${database}`, ...args];
        service.process = start(t, PLAIT, words, { env: all, cwd: dir });
        await until(async () => {
            if (service.process.ended) throw new Error(`plait serve ended: ${service.process.err()}`);
            return ask(service.port, 'GET', '/healthz', { timeout: 5000 }).then((answer) => answer.status === 200, () => false);
        }, 'plait serve to answer');
        return service;
    };
    service.ask = (method, resource, options) => ask(service.port, method, resource, options);
    service.get = (resource, options) => ask(service.port, 'GET', resource, options);
    service.post = (resource, json, options = {}) => ask(service.port, 'POST', resource, { json, ...options });
    service.run = async (json, options) => {
        const answer = await service.post('/v1/runs', json, options);
        assert.equal(answer.status, 200, answer.text);
        return answer.json;
    };
    // Starts a run in the background and gives its id.
    service.background = async (json, options) => {
        const answer = await service.post('/v1/runs', { ...json, background: true }, options);
        assert.equal(answer.status, 202, answer.text);
        return answer.json.id;
    };
    service.isOver = async (id) => {
        const { status, json, text } = await service.get(`/v1/runs/${id}`);
        assert.equal(status, 200, text);
        return ['succeeded', 'failed', 'cancelled'].includes(json.status) && json;
    };
    service.over = (id, ms) => until(() => service.isOver(id), `the end of ${id}`, ms);
    service.steps = async (id, query = '') => {
        const { status, json, text } = await service.get(`/v1/runs/${id}/steps?limit=1000${query}`);
        assert.equal(status, 200, text);
        return json.data;
    };
    service.kill = async () => {
        service.process.kill('SIGKILL');
        await service.process.done;
    };
    service.restart = async () => {
        if (!service.process.ended) await service.kill();
        service.restarts++;
        return service.begin();
    };
    // Ends it as an operator would; gives {code, signal, ms}.
    service.stop = (signal = 'SIGTERM') => {
        service.process.kill(signal);
        return service.process.done;
    };
    return service.begin();
}

// A problem of RFC 9457 as every refusal carries it. Gives the body.
export function checkProblem(answer, status, code) {
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.headers['content-type'], /^application\/problem\+json/);
    const problem = answer.json;
    for (const key of ['type', 'title', 'detail', 'request_id'])
        assert.ok(typeof problem[key] === 'string' && problem[key], `problem.${key}: ${answer.text}`);
    assert.equal(problem.status, status);
    assert.match(problem.type, /^urn:plait:error:[a-z_]+$/);
    assert.equal(problem.request_id, answer.headers['x-request-id']);
    if (code) assert.equal(problem.type, `urn:plait:error:${code}`, answer.text);
    for (const { pointer, detail } of problem.errors ?? []) {
        assert.equal(typeof pointer, 'string', answer.text);
        assert.ok(pointer === '' || pointer.startsWith('/'), `pointer ${pointer}`);
        assert.ok(typeof detail === 'string' && detail, answer.text);
    }
    return problem;
}
