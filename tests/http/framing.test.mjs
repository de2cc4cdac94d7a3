// framing.test.mjs - requests whose end can be read in two ways, by raw sockets: straight to the service, and through nginx (when it
// is there) the way it stands in front of a service. Whatever is answered, nothing may be smuggled: behind each request lies
// another, which starts a run if it is ever taken for one of its own. Not bad bodies (bad_input.test.mjs).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { SLOW, environment, folder, limit, start, until } from '../cli/support/plait.mjs';
import { exchange } from './support/raw.mjs';
import { startService } from './support/service.mjs';

const host = 'Host: 127.0.0.1\r\n';
const type = 'Content-Type: application/json\r\n';
const smuggledBody = '{"workflow":{"name":"smuggled","steps":{"a":{"reduce":1}}}}';
const smuggled = `POST /v1/runs HTTP/1.1\r\n${host}${type}Content-Length: ${smuggledBody.length}\r\n\r\n${smuggledBody}`;
const post = (headers, body = '') => `POST /v1/validate HTTP/1.1\r\n${host}${type}${headers}\r\n${body}`;
const get = (target, headers = host, version = '1.1') => `GET ${target} HTTP/${version}\r\n${headers}\r\n`;

// name, bytes, statuses that are right (0: closed without an answer), and whether the connection must be closed after it. Each is followed
// by `smuggled` on the same connection. `seen`: cannot be told from a proper request by the service (the library hides it); the answer
// is then whatever the rest asks for, but what follows may only be taken for what it is.
const table = [
    ['Content-Length twice, different', post('Content-Length: 0\r\nContent-Length: 5\r\n', 'aaaaa'), [400]],
    ['Content-Length twice, the same', post('Content-Length: 2\r\nContent-Length: 2\r\n', '{}'), [400]],
    ['Content-Length and chunked', post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\nX'), [400]],
    ['chunked and Content-Length', post('Transfer-Encoding: chunked\r\nContent-Length: 6\r\n', '0\r\n\r\nX'), [400]],
    ['Transfer-Encoding twice', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', '0\r\n\r\n'), [400]],
    ['chunked twice', post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n'), [400, 501]],
    ['identity, chunked', post('Transfer-Encoding: identity, chunked\r\n', '0\r\n\r\n'), [400, 501, 0]],
    ['an unknown Transfer-Encoding', post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'), [400, 501, 0]],
    ['chunked with a tab before it', post('Transfer-Encoding:\tchunked\r\nContent-Length: 3\r\n', '0\r\n\r\n'), [400]],
    ['chunked on HTTP/1.0', `POST /v1/validate HTTP/1.0\r\n${host}${type}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, [400]],
    ['a space before the colon', post('Content-Length : 5\r\n', 'aaaaa'), [400]],
    ['a space in a name', post('Content Length: 5\r\n', 'aaaaa'), [400]],
    ['a name that is no token', get('/healthz', `${host}X-(a): b\r\n`), [400]],
    ['Content-Length with a sign', post('Content-Length: +5\r\n', 'aaaaa'), [400]],
    ['a negative Content-Length', post('Content-Length: -5\r\n', 'aaaaa'), [400]],
    ['a hexadecimal Content-Length', post('Content-Length: 0x5\r\n', 'aaaaa'), [400]],
    ['a list of lengths', post('Content-Length: 5, 5\r\n', 'aaaaa'), [400]],
    ['a Content-Length past all numbers', post('Content-Length: 99999999999999999999999\r\n', 'aaaaa'), [400, 413]],
    ['a chunk size past all numbers', post('Transfer-Encoding: chunked\r\n', 'fffffffffffffffff\r\naaaaa\r\n0\r\n\r\n'), [400, 413, 0]],
    ['a chunk size that is none', post('Transfer-Encoding: chunked\r\n', 'zz\r\naaaaa\r\n0\r\n\r\n'), [400, 413, 0]],
    ['a carriage return in a value', get('/healthz', `${host}X-A: b\rc\r\n`), [400]],
    ['a control in a value', get('/healthz', `${host}X-A: b\u0001c\r\n`), [400]],
    ['no Host', get('/healthz', ''), [400]],
    ['Host twice', get('/healthz', `${host}${host}`), [400]],
    ['Host of somebody else', get('/healthz', 'Host: evil.example\r\n'), [400, 403, 421], { open: true }],
    ['an absolute target', get('http://127.0.0.1/healthz'), [400]],
    ['an absolute target of somebody else', get('http://evil.example/healthz'), [400, 403, 421]],
    ['a target without slash', get('healthz'), [400]],
    ['a NUL in the target', get('/health%00z'), [400]],
    ['a slash in disguise', get('/v1%2fruns'), [400]],
    ['a backslash in disguise', get('/v1%5cruns'), [400]],
    ['dot segments', get('/v1/../healthz'), [400]],
    ['dot segments in disguise', get('/v1/%2e%2e/healthz'), [400]],
    ['half an escape', get('/healthz%4'), [400, 404]],
    ['a byte over 127 in the target', get('/health\u00e9'), [400]],
    ['a body for GET', `GET /healthz HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\naaaaa`, [400]],
    ['a body for DELETE', `DELETE /v1/runs/run_x HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\naaaaa`, [400]],
    ['a target of 64 KB', get(`/${'a'.repeat(65_000)}`), [400, 414, 431, 0]],
    ['1,000 headers', get('/healthz', `${host}${Array.from({ length: 1000 }, (_, i) => `X-H${i}: ${'v'.repeat(30)}\r\n`).join('')}`), [400, 413, 431, 0]],
    ['not HTTP', 'hello there\r\n\r\n', [400, 0]],
    ['a TLS client', Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), [400, 0]],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [400, 505, 0]],
    ['HTTP/9.9', get('/healthz', host, '9.9'), [400, 505, 0]],
    // seen by nobody behind the library of Debian 12
    ['a folded line', get('/healthz', `${host}X-A: b\r\n c\r\n`), [200, 400], { seen: true }],
    ['bare LF', `GET /healthz HTTP/1.1\n${host.replace('\r', '')}\n`, [200, 400], { seen: true }],
    ['a NUL in a value', get('/healthz', `${host}X-A: b\u0000c\r\n`), [200, 400], { seen: true }],
];

const bytesOf = (text) => (Buffer.isBuffer(text) ? text : Buffer.from(text, 'latin1'));

async function names(service) {
    const { json } = await service.get('/v1/runs');
    return json.data.map((run) => run.workflow.name);
}

test('the table, straight to the service: each is refused, the connection closed, and nothing smuggled', { ...limit, skip: SLOW && 'waits for silence' }, async (t) => {
    const service = await startService(t);
    const faults = [];
    await Promise.all(table.map(async ([name, head, statuses, { open = false, seen = false } = {}]) => {
        const { answers, closed } = await exchange(service.port, Buffer.concat([bytesOf(head), Buffer.from(smuggled)]), { quiet: 700 });
        const status = answers[0]?.status ?? 0;
        if (!statuses.includes(status)) faults.push(`${name}: ${status}, not ${statuses.join(' or ')} ${answers[0]?.body ?? ''}`);
        if (seen || open) return;
        if (answers.length > 1) faults.push(`${name}: ${answers.length} answers: ${answers.map((answer) => answer.status)}`);
        if (!closed) faults.push(`${name}: the connection stays open`);
        if (status === 400 && answers[0].headers['content-type']?.startsWith('application/problem+json') &&
            JSON.parse(answers[0].body).status !== 400) faults.push(`${name}: ${answers[0].body}`);
    }));
    assert.equal(faults.length, 0, `${faults.length} of ${table.length}:\n${faults.join('\n')}`);
    const allowed = table.filter(([, , , how]) => how?.seen || how?.open).length;
    const found = await names(service);
    assert.ok(found.length <= allowed && found.every((name) => name === 'smuggled'), `${found.length} runs`);
    assert.equal(service.process.ended, false);
});

// Two requests on one connection: each is answered for itself, in order.
const proper = [
    ['keep-alive', get('/healthz') + get('/healthz'), [200, 200]],
    ['a body, then another request', post('Content-Length: 2\r\n', '{}') + get('/healthz'), [422, 200]],
    ['a chunked body, then another request', post('Transfer-Encoding: chunked\r\n', '2\r\n{}\r\n0\r\n\r\n') + get('/healthz'), [422, 200]],
    ['chunks and a trailer', post('Transfer-Encoding: chunked\r\n', '1\r\n{\r\n1\r\n}\r\n0\r\nX-T: 1\r\n\r\n') + get('/healthz'), [422, 200]],
    // libmicrohttpd 1.0.1 refuses what nobody uses: then all of it
    ['a chunk with an extension', post('Transfer-Encoding: chunked\r\n', '2;a=b\r\n{}\r\n0\r\n\r\n') + get('/healthz'), [422, 200], [400]],
    ['Connection: close', get('/healthz', `${host}Connection: close\r\n`) + get('/healthz'), [200]],
];

test('proper requests on one connection are answered one by one', limit, async (t) => {
    const service = await startService(t);
    for (const [name, text, statuses, refused] of proper) {
        const { answers } = await exchange(service.port, text);
        const found = answers.map((answer) => (answer.status === 200 && answer.body.includes('"valid":false') ? 422 : answer.status));
        const right = refused && found[0] === refused[0] ? refused : statuses;
        assert.deepEqual(found, right, `${name}: ${JSON.stringify(answers)}`);
    }
});

test('a request that comes byte by byte is a request', limit, async (t) => {
    const service = await startService(t);
    const text = post('Content-Length: 2\r\n', '{}');
    const socket = net.connect(service.port, '127.0.0.1');
    socket.setNoDelay(true);
    const pieces = [];
    socket.on('data', (piece) => pieces.push(piece));
    for (const byte of text) {
        socket.write(byte);
        await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => Buffer.concat(pieces).includes('\r\n\r\n'), 'the answer');
    socket.destroy();
    assert.match(Buffer.concat(pieces).toString(), /^HTTP\/1\.1 200 /);
});

// ---- behind nginx ----

const nginx = [process.env.NGINX, '/usr/sbin/nginx', '/usr/bin/nginx', '/usr/local/sbin/nginx'].find((file) => file && fs.existsSync(file));

async function startNginx(t, upstream) {
    const dir = folder(t);
    const port = 32_000 + Math.floor(Math.random() * 700);
    fs.chmodSync(dir, 0o755);
    fs.writeFileSync(path.join(dir, 'nginx.conf'), `
daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log;
events { worker_connections 512; }
http {
    access_log off; client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
    upstream plait { server 127.0.0.1:${upstream}; keepalive 8; }
    server {
        listen 127.0.0.1:${port}; client_max_body_size 16m;
        location / { proxy_pass http://plait; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host 127.0.0.1; proxy_buffering off; proxy_read_timeout 60s; }
    }
}
`);
    const process = start(t, nginx, ['-p', dir, '-c', path.join(dir, 'nginx.conf'), '-e', path.join(dir, 'error.log')], { env: environment() });
    await until(() => {
        if (process.ended) throw new Error(`nginx ended: ${process.err()}${fs.readFileSync(path.join(dir, 'error.log'), 'utf8')}`);
        return new Promise((resolve) => {
            const probe = net.connect(port, '127.0.0.1', () => resolve(probe.destroy() && true));
            probe.on('error', () => resolve(false));
        });
    }, 'nginx');
    return port;
}

test('the table through nginx: what it passes on is taken for what nginx took it for', { ...limit, skip: !nginx ? 'nginx is not there' : SLOW && 'waits for silence' }, async (t) => {
    const service = await startService(t);
    const port = await startNginx(t, service.port);
    const faults = [];
    let passed = 0;
    for (const [name, head] of table) {
        const before = (await names(service)).length;
        // With Connection: close in it, what follows is a request of its own only if something took a part for the whole.
        const { answers } = await exchange(port, Buffer.concat([bytesOf(head), Buffer.from(smuggled)]), { quiet: 250 });
        const after = (await names(service)).length;
        const own = answers.filter((answer) => /"name":"smuggled"/.test(answer.body)).length;
        if (answers[0]?.status === 200) passed++;
        // A run without an answer to the client that nginx knows of would be a smuggled one.
        if (after - before > own) faults.push(`${name}: ${after - before} runs, ${own} answers`);
        if (answers.length > 2) faults.push(`${name}: ${answers.length} answers`);
        const probe = await exchange(port, get('/healthz', `${host}Connection: close\r\n`));
        if (probe.answers.length !== 1 || probe.answers[0].status !== 200 || probe.answers[0].body.includes('smuggled'))
            faults.push(`${name}: the next client got ${JSON.stringify(probe.answers)}`);
    }
    assert.deepEqual(faults, []);
    t.diagnostic(`${table.length} requests through nginx, ${passed} passed on as they should be`);
});

test('a stream of events passes through nginx as it comes', { ...limit, skip: !nginx && 'nginx is not there' }, async (t) => {
    const { openEvents, readAll } = await import('./support/events.mjs');
    const service = await startService(t);
    const port = await startNginx(t, service.port);
    const workflow = { name: 'slow', steps: { a: { llm: { model: 'sim/echo?latency=400ms', prompt: 'one' } } } };
    const reader = await openEvents(port, '/v1/runs', { json: { workflow, stream: true } });
    const events = await readAll(reader);
    assert.ok(events.at(-1).at - events[0].at > 250, 'not all at the end');
});
