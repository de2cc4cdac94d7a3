// redirects.test.mjs - redirects of http steps: what is followed and with what, what is refused, and the limits of what
// comes back. Not the addresses of one request (http.test.mjs) and not whole networks (network.test.mjs).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { limit, place, run } from './support/plait.mjs';
import { once, parseRun } from './support/run.mjs';
import { json, startServer } from './support/server.mjs';

// Runs one http step with the ports of `open` allowed; gives the step.
async function call(t, open, http, more = {}) {
    const home = place(t);
    const ports = open.map(({ port }) => `"127.0.0.1:${port}"`).join(', ');
    const config = home.file('config.yaml', `network: {allow_private: [${ports}]}\n${more.config ?? ''}`);
    const file = home.file('w.json', once({ a: { http, on_error: 'continue', timeout: more.timeout ?? '20s' } }));
    const result = await run(t, home, ['run', file, '--json', '--config', config], { env: more.env });
    assert.equal(result.code, 0, result.err);
    return parseRun(result).step.a;
}

const redirect = (response, status, location) => {
    response.writeHead(status, { location });
    response.end('moved');
};

test('301 and 302 turn a POST into a GET, 303 everything, 307 and 308 nothing', limit, async (t) => {
    const server = await startServer(t, (request, response) => {
        const [, status] = request.url.split('/');
        if (status === 'end') json(response, 200, { method: request.method, body: request.body, type: request.headers['content-type'] ?? null });
        else redirect(response, Number(status), '/end');
    });
    for (const [status, method, then] of [
        [301, 'POST', 'GET'], [302, 'POST', 'GET'], [303, 'POST', 'GET'], [303, 'PUT', 'GET'], [301, 'PUT', 'PUT'], [302, 'DELETE', 'DELETE'],
        [307, 'POST', 'POST'], [308, 'PATCH', 'PATCH'], [302, 'GET', 'GET'],
    ]) {
        const step = await call(t, [server], { method, url: `${server.url}/${status}`, ...(method === 'GET' || method === 'DELETE' ? {} : { json: { a: 1 } }) });
        const kept = then === method && method !== 'GET' && method !== 'DELETE';
        assert.deepEqual(step.output?.body, { method: then, body: kept ? '{"a":1}' : '', type: kept ? 'application/json' : null }, `${status} ${method}: ${JSON.stringify(step.error)}`);
    }
});

test('five redirects are followed, relative or not, and no sixth', limit, async (t) => {
    const server = await startServer(t, (request, response) => {
        const url = new URL(request.url, 'http://x');
        const left = Number(url.searchParams.get('left'));
        if (left === 0) json(response, 200, { path: url.pathname });
        else redirect(response, 302, left % 2 ? `?left=${left - 1}#part` : `${server.url}/deep/${left}/er?left=${left - 1}`);
    });
    const five = await call(t, [server], { url: `${server.url}/?left=5` });
    assert.equal(five.output.body.path, '/deep/2/er');
    assert.equal(server.requests.length, 6);
    const six = await call(t, [server], { url: `${server.url}/?left=6` });
    assert.equal(six.error.code, 'unexpected_status');
    assert.match(six.error.detail, /after 5 redirects/);
    assert.equal(six.attempts, 1);
    assert.equal(server.requests.length, 12);
});

test('credentials never follow a redirect, the other headers not to another origin', limit, async (t) => {
    const elsewhere = await startServer(t, (request, response) => json(response, 200, request.headers));
    const server = await startServer(t, (request, response) => {
        if (request.url === '/same') redirect(response, 307, '/here');
        else if (request.url === '/other') redirect(response, 307, `${elsewhere.url}/there`);
        else if (request.url === '/back') redirect(response, 307, `${elsewhere.url}/back`);
        else json(response, 200, request.headers);
    });
    const headers = { Authorization: 'Bearer literal', Cookie: 'session=1', 'X-Api-Key': 'k', 'X-Mine': 'v', Accept: 'application/json' };
    const same = (await call(t, [server, elsewhere], { method: 'POST', url: `${server.url}/same`, headers, json: {} })).output.body;
    assert.equal(same.authorization, undefined);
    assert.equal(same.cookie, undefined);
    assert.equal(same['x-mine'], 'v');
    assert.equal(same['x-api-key'], 'k');
    assert.ok(same['idempotency-key']);
    const other = (await call(t, [server, elsewhere], { method: 'POST', url: `${server.url}/other`, headers, json: {} })).output.body;
    for (const name of ['authorization', 'cookie', 'x-api-key', 'x-mine']) assert.equal(other[name], undefined, name);
    assert.equal(other.accept, 'application/json');
    assert.equal(other['content-type'], 'application/json');
    assert.match(other.host, new RegExp(`:${elsewhere.port}$`));
});

test('a redirect to what may not be called reaches nothing', limit, async (t) => {
    const canary = await startServer(t);
    const server = await startServer(t, (request, response) => redirect(response, 302, decodeURIComponent(request.url.slice(1))));
    const p = canary.port;
    for (const [target, code] of [
        [`http://127.0.0.1:${p}/`, 'address_denied'], [`http://localhost:${p}/`, 'address_denied'], [`http://2130706433:${p}/`, 'address_denied'],
        [`http://0x7f.1:${p}/`, 'address_denied'], [`http://0177.0.0.1:${p}/`, 'address_denied'], [`http://[::ffff:127.0.0.1]:${p}/`, 'address_denied'],
        [`http://[64:ff9b::7f00:1]:${p}/`, 'address_denied'], [`//127.0.0.1:${p}/`, 'address_denied'], ['http://169.254.169.254/latest', 'address_denied'],
        ['http://[fd00:ec2::254]/', 'address_denied'], ['file:///etc/passwd', 'unexpected_status'], ['gopher://127.0.0.1:1/x', 'unexpected_status'],
        [`http://user:pw@127.0.0.1:${p}/`, 'unexpected_status'], ['ftp://example.com/', 'unexpected_status'], ['http://', 'unexpected_status'], ['javascript:alert(1)', 'unexpected_status'],
    ]) {
        const step = await call(t, [server], { url: `${server.url}/${encodeURIComponent(target)}` });
        assert.equal(step.error?.code, code, `${target}: ${JSON.stringify(step.error ?? step.output)}`);
        assert.equal(step.attempts, 1, target);
    }
    assert.equal(canary.connections, 0);
});

test('all hops share the timeout of the attempt', limit, async (t) => {
    const server = await startServer(t, async (request, response) => {
        const left = Number(request.url.slice(1));
        await new Promise((resolve) => setTimeout(resolve, 200));
        if (left) redirect(response, 302, `/${left - 1}`);
        else json(response, 200, {});
    });
    const step = await call(t, [server], { url: `${server.url}/5` }, { timeout: '500ms' });
    assert.equal(step.error.code, 'timeout');
    assert.ok(server.requests.length < 6);
});

test('a redirect is one call of the step, and its body is not the answer', limit, async (t) => {
    const server = await startServer(t, (request, response) => (request.url === '/' ? redirect(response, 301, '/x') : response.end('end')));
    const step = await call(t, [server], { url: `${server.url}/` });
    assert.equal(step.output.body, 'end');
    assert.equal(step.usage.calls, 1);
});

// ---- sizes ----

test('a small answer that unpacks to a large one ends early', limit, async (t) => {
    let sent = 0;
    const bomb = zlib.gzipSync(Buffer.alloc(64 << 20));
    const server = await startServer(t, (request, response) => {
        response.writeHead(200, { 'content-encoding': 'gzip', 'content-type': 'text/plain' });
        for (let at = 0; at < bomb.length; at += 1024) sent += response.write(bomb.subarray(at, at + 1024)) ? 1 : 0;
        response.end();
    });
    const step = await call(t, [server], { url: server.url }, { config: 'limits: {step_output_bytes: 65536}\n' });
    assert.equal(step.error.code, 'response_too_large', JSON.stringify(step.error));
    assert.equal(step.attempts, 1);
    assert.match(server.requests[0].headers['accept-encoding'], /^gzip, deflate$/);
    assert.ok(sent > 0);
});

test('an answer that is packed three times over is counted as it comes out', limit, async (t) => {
    const bomb = zlib.gzipSync(zlib.gzipSync(zlib.gzipSync(Buffer.alloc(64 << 20))));
    const server = await startServer(t, (request, response) => {
        response.writeHead(200, { 'content-encoding': 'gzip, gzip, gzip' });
        response.end(bomb);
    });
    const step = await call(t, [server], { url: server.url });
    assert.equal(step.error.code, 'response_too_large', JSON.stringify(step.error));
});

test('a packed answer without end that unpacks to nothing ends at the same limit', limit, async (t) => {
    let closed;
    const ended = new Promise((resolve) => (closed = resolve));
    const server = await startServer(t, (request, response) => {
        response.writeHead(200, { 'content-encoding': 'deflate' });
        response.write(Buffer.from([0x78, 0x9c]));
        const empty = Buffer.alloc(5 * 2000);
        for (let i = 0; i < empty.length; i += 5) empty.set([0, 0, 0, 0xff, 0xff], i); // a stored block of no bytes
        const more = () => {
            while (!response.destroyed && response.write(empty));
        };
        response.on('drain', more);
        response.on('close', closed);
        more();
    });
    const step = await call(t, [server], { url: server.url }, { config: 'limits: {step_output_bytes: 65536}\n' });
    assert.equal(step.error.code, 'response_too_large', JSON.stringify(step.error));
    await ended;
});

test('what is compressed comes out plain', limit, async (t) => {
    const server = await startServer(t, (request, response) => {
        response.writeHead(200, { 'content-encoding': request.url.slice(1), 'content-type': 'application/json' });
        response.end((request.url === '/gzip' ? zlib.gzipSync : zlib.deflateSync)('{"n": 1}'));
    });
    for (const encoding of ['gzip', 'deflate'])
        assert.deepEqual((await call(t, [server], { url: `${server.url}/${encoding}` })).output.body, { n: 1 });
});
