// http.test.mjs - http steps against servers of the test's own: what is sent, what is taken, which addresses are denied, and
// the configuration that says so. Crashes are in crash.test.mjs.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';
import { SLOW, environment, limit, place, plait, run, sleep, start, until } from './support/plait.mjs';
import { once, parseRun } from './support/run.mjs';
import { json, startServer } from './support/server.mjs';

// Runs http steps with the server's port allowed.
async function call(t, server, steps, { more = {}, code = 0, args = [] } = {}) {
    const home = place(t);
    const config = home.file('config.yaml', `network: {allow_private: ["127.0.0.1:${server.port}"]}\n`);
    const file = home.file('w.json', once(steps, more));
    const result = await run(t, home, ['run', file, '--json', '--config', config, ...args]);
    assert.equal(result.code, code, result.err);
    assert.equal(server.failure, undefined);
    return parseRun(result);
}

test('private addresses are denied in every spelling, and nothing reaches them', limit, async (t) => {
    const home = place(t);
    const canary = await startServer(t);
    const canary6 = await startServer(t, null, '::1').catch(() => null);
    const hosts = ['127.0.0.1', 'localhost', '2130706433', '0x7f000001', '0177.0.0.1', '127.1', '0.0.0.0', '[::1]', '[::]',
        '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::127.0.0.1]', '[64:ff9b::7f00:1]', '127.0.0.1.', 'LOCALHOST'];
    const branches = {};
    hosts.forEach((host, i) => {
        const port = host === '[::1]' && canary6 ? canary6.port : canary.port;
        branches[`h${i}`] = { http: { url: `http://${host}:${port}/` }, timeout: '10s' };
    });
    const file = home.file('w.json', once({ fan: { join: 'settled', parallel: { branches } } }));
    const result = await run(t, home, ['run', file, '--json']);
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    hosts.forEach((host, i) => {
        const step = got.step[`fan.h${i}`];
        assert.equal(step.status, 'failed', host);
        // a spelling the resolver does not know never becomes an address
        const codes = host === '127.0.0.1.' ? ['address_denied', 'unreachable'] : ['address_denied'];
        assert.ok(codes.includes(step.error.code), `${host}: ${step.error.code}: ${step.error.detail}`);
        assert.equal(step.attempts, 1);
    });
    assert.equal(canary.connections, 0);
    assert.equal(canary6?.connections ?? 0, 0);
});

test('other private and reserved ranges are denied without waiting for them', limit, async (t) => {
    const home = place(t);
    const hosts = ['10.0.0.1', '172.16.0.1', '192.168.1.1', '169.254.169.254', '100.64.0.1', '224.0.0.1', '255.255.255.255', '[fc00::1]', '[fe80::1]', '[fd00:ec2::254]'];
    const branches = Object.fromEntries(hosts.map((host, i) => [`h${i}`, { http: { url: `http://${host}/` } }]));
    const result = await run(t, home, ['run', home.file('w.json', once({ fan: { join: 'settled', parallel: { branches } } })), '--json']);
    const got = parseRun(result);
    hosts.forEach((host, i) => assert.equal(got.step[`fan.h${i}`].error.code, 'address_denied', host));
    if (!SLOW) assert.ok(result.ms < 5000, `${result.ms} ms`);
});

test('network.allow_private opens an endpoint, and only that one', limit, async (t) => {
    const open = await startServer(t);
    const shut = await startServer(t);
    const got = await call(t, open, { a: { http: { url: `${open.url}/x` } }, b: { http: { url: `${shut.url}/x` }, on_error: 'continue' } });
    assert.deepEqual(got.step.a.output, { status: 200, headers: got.step.a.output.headers, body: { ok: true } });
    assert.equal(got.step.b.error.code, 'address_denied');
    assert.equal(shut.connections, 0);
});

test('a redirect that expect lists is the answer, not followed', limit, async (t) => {
    const canary = await startServer(t);
    const server = await startServer(t, (request, response) => json(response, 302, {}, { location: `${canary.url}/secret` }));
    const got = await call(t, server, { a: { http: { url: server.url, expect: [302] } } });
    assert.equal(got.step.a.output.status, 302);
    assert.equal(got.step.a.output.headers.location, `${canary.url}/secret`);
    assert.equal(canary.connections, 0);
});

test('method, query, headers and a JSON body go out as written', limit, async (t) => {
    const server = await startServer(t, (request, response) => json(response, 201, { got: JSON.parse(request.body) }));
    const got = await call(t, server, {
        a: {
            http: {
                method: 'put',
                url: `${server.url}/path/${'${ .input.part }'}?fixed=1`,
                query: { q: '${ .input.text }', n: 5, flag: true },
                headers: { 'x-name': 'value ${ .input.part }', Accept: 'application/x' },
                json: { text: '${ .input.text }', list: [1, '${ .input }'] },
            },
        },
    }, { args: ['-i', 'text=a b&c=ü/?', '-i', 'part=p1'] });
    const [request] = server.requests;
    assert.equal(request.method, 'PUT');
    const url = new URL(request.url, server.url);
    assert.equal(url.pathname, '/path/p1');
    assert.deepEqual(Object.fromEntries(url.searchParams), { fixed: '1', q: 'a b&c=ü/?', n: '5', flag: 'true' });
    assert.equal(request.headers['x-name'], 'value p1');
    assert.equal(request.headers.accept, 'application/x');
    assert.match(request.headers['content-type'], /^application\/json/);
    const input = { text: 'a b&c=ü/?', part: 'p1' };
    assert.deepEqual(JSON.parse(request.body), { text: input.text, list: [1, input] });
    assert.equal(got.output.status, 201);
    assert.deepEqual(got.output.body, { got: JSON.parse(request.body) });
});

test('input cannot break out of a header', limit, async (t) => {
    const server = await startServer(t);
    const steps = { a: { http: { url: `${server.url}/`, headers: { 'x-h': '${ .input.h }' } }, on_error: 'continue' } };
    const got = await call(t, server, steps, { args: ['--input', JSON.stringify({ h: 'a\r\nx-evil: 1' })] });
    assert.equal(got.step.a.status, 'failed');
    assert.equal(server.requests.length, 0);
});

test('a text body is sent as it is, and an answer that is no JSON comes back as text', limit, async (t) => {
    const server = await startServer(t, (request, response) => {
        response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', 'x-many': ['one', 'two'] });
        response.end(`you said ${request.body}`);
    });
    const got = await call(t, server, { a: { http: { url: server.url, body: 'plain ${ .run.id }' } } });
    assert.equal(server.requests[0].method, 'POST');
    assert.equal(got.output.body, `you said plain ${got.id}`);
    assert.match(got.output.headers['content-type'], /text\/plain/);
});

test('a status that is not expected fails the step, and with expect it does not', limit, async (t) => {
    const server = await startServer(t, (request, response) => json(response, Number(request.url.slice(1)), { error: 'because' }));
    const step = (status, more = {}) => ({ http: { url: `${server.url}/${status}`, ...more } });
    const got = await call(t, server, {
        fan: { join: 'settled', parallel: { branches: { a: step(404), b: step(404, { expect: [200, 404] }), c: step(500, { expect: ['2xx', '5xx'] }), d: step(503) } } },
    });
    assert.equal(got.output.a.error.code, 'unexpected_status');
    assert.equal(got.output.a.error.status, 404);
    assert.equal(got.output.b.status, 404);
    assert.deepEqual(got.output.b.body, { error: 'because' });
    assert.equal(got.output.c.status, 500);
    assert.equal(got.step['fan.d'].status, 'failed');
});

test('retries of a request carry one Idempotency-Key, other steps another', limit, async (t) => {
    const server = await startServer(t, (request, response, number) => json(response, number < 3 ? 503 : 200, {}));
    const post = { http: { method: 'POST', url: `${server.url}/a`, json: {} }, retry: { attempts: 3, initial: '10ms', jitter: 0 } };
    const got = await call(t, server, { a: post, b: { needs: ['a'], ...post, http: { ...post.http, url: `${server.url}/b` } } });
    const keys = server.requests.map((request) => request.headers['idempotency-key']);
    assert.equal(keys.length, 4);
    assert.ok(keys[0] && keys[0].length >= 8, keys[0]);
    assert.equal(new Set(keys.slice(0, 3)).size, 1, 'the same through all attempts');
    assert.notEqual(keys[3], keys[0]);
    assert.equal(got.step.a.attempts, 3);
});

test('the Idempotency-Key is the same after a crash', limit, async (t) => {
    const home = place(t);
    const server = await startServer(t, (request, response, number) => number > 1 && json(response, 200, { n: number }));
    const config = home.file('c.yaml', `network: {allow_private: ["127.0.0.1:${server.port}"]}\n`);
    const file = home.file('w.json', once({ a: { http: { method: 'POST', url: server.url, json: {} }, on_ambiguous: 'retry' } }));
    const process = plait(t, home, ['run', file, '--config', config]);
    const [, id] = await process.said(/^run (run_\w+)$/m);
    await until(() => server.requests.length === 1, 'the request');
    process.kill();
    await process.done;
    const result = await run(t, home, ['run', '--resume', id, '--config', config]);
    assert.equal(result.code, 0, result.err);
    const keys = server.requests.map((request) => request.headers['idempotency-key']);
    assert.equal(keys.length, 2);
    assert.equal(keys[0], keys[1]);
});

test('a POST is sent only once its intent is on disk', limit, async (t) => {
    const home = place(t);
    const seen = [];
    const server = await startServer(t, (request, response) => {
        const sql = "SELECT status FROM steps WHERE path = 'a'";
        seen.push(execFileSync('sqlite3', ['-readonly', home.path('runs.db'), sql], { encoding: 'utf8' }).trim());
        json(response, 200, {});
    });
    const config = home.file('c.yaml', `network: {allow_private: ["127.0.0.1:${server.port}"]}\n`);
    const file = home.file('w.json', once({ a: { http: { method: 'POST', url: server.url, json: {} } } }));
    for (let i = 0; i < 5; i++) {
        const result = await run(t, home, ['run', file, '--config', config, '--db', 'sqlite:runs.db']);
        assert.equal(result.code, 0, result.err);
        assert.equal(server.failure, undefined, String(server.failure));
        fs.rmSync(home.path('runs.db'));
    }
    assert.deepEqual(seen, Array(5).fill('running'));
});

test('while nothing can be written a GET goes out, a POST waits', limit, async (t) => {
    const home = place(t);
    const server = await startServer(t, (request, response) => json(response, 200, {}));
    const config = home.file('c.yaml', `network: {allow_private: ["127.0.0.1:${server.port}"]}\n`);
    const methods = () => server.requests.map((request) => request.method);
    const database = ['--db', 'sqlite:runs.db'];
    assert.equal((await run(t, home, ['run', home.file('first.json', { steps: { a: { reduce: 1 } } }), ...database])).code, 0);
    const writer = start(t, 'sqlite3', [home.path('runs.db')], { env: environment(), input: null });
    writer.child.stdin.write('BEGIN IMMEDIATE;\nSELECT 1;\n');
    await until(() => writer.out() === '1\n', 'the lock');
    const steps = { get: { http: { url: server.url } }, post: { http: { method: 'POST', url: server.url, json: {} } } };
    const process = plait(t, home, ['run', home.file('w.json', once(steps)), '--config', config, ...database]);
    await until(() => methods().includes('GET'), 'the GET');
    await sleep(300); // long enough for a request that does not wait
    assert.deepEqual(methods(), ['GET']);
    writer.child.stdin.end('COMMIT;\n');
    const result = await process.done;
    assert.equal(result.code, 0, result.err);
    assert.deepEqual(methods(), ['GET', 'POST']);
});

test('an answer larger than limits.step_output_bytes fails its step only', limit, async (t) => {
    const server = await startServer(t, (request, response) => json(response, 200, { text: 'x'.repeat(request.url === '/big' ? 5000 : 500) }));
    const home = place(t);
    const config = home.file('c.yaml', `network: {allow_private: ["127.0.0.1:${server.port}"]}\nlimits: {step_output_bytes: 2048}\n`);
    const branches = { big: { http: { url: `${server.url}/big` } }, small: { http: { url: `${server.url}/small` } } };
    const file = home.file('w.json', once({ fan: { join: 'settled', parallel: { branches } } }));
    const result = await run(t, home, ['run', file, '--json', '--config', config]);
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    assert.ok(['response_too_large', 'too_large'].includes(got.step['fan.big'].error.code), got.step['fan.big'].error.code);
    assert.equal(got.output.small.body.text.length, 500);
});

test('a slow server ends by the timeout, and its connection is closed', limit, async (t) => {
    let closed = false;
    const server = await startServer(t, (request, response) => {
        response.on('close', () => {
            closed = true;
        });
    });
    const got = await call(t, server, { a: { http: { url: server.url }, timeout: '300ms', on_error: 'continue' } });
    assert.equal(got.step.a.error.code, 'timeout');
    await until(() => closed, 'the connection to be closed');
});

test('a user name in a URL, another scheme and a broken URL are refused', limit, async (t) => {
    const home = place(t);
    const canary = await startServer(t);
    const urls = [`http://user:pw@127.0.0.1:${canary.port}/`, 'file:///etc/passwd', 'ftp://example.com/', 'http://', 'not a url', 'http://[::1', 'gopher://127.0.0.1:70/x'];
    const branches = Object.fromEntries(urls.map((url, i) => [`u${i}`, { http: { url: `\${ .input.u${i} }` } }]));
    const file = home.file('w.json', once({ fan: { join: 'settled', parallel: { branches } } }));
    const input = JSON.stringify(Object.fromEntries(urls.map((url, i) => [`u${i}`, url])));
    const result = await run(t, home, ['run', file, '--json', '--input', input]);
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    urls.forEach((url, i) => assert.equal(got.step[`fan.u${i}`].status, 'failed', url));
    assert.equal(canary.connections, 0);
    assert.doesNotMatch(result.out, /root:/);
});

// ---- configuration ----

test('a wrong configuration exits 2 with every problem, its line and the nearest key', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', { steps: { a: { reduce: 1 } } });
    for (const [text, ...says] of [
        ['provders: {}\n', /c\.yaml:1:\d+ \/provders: unknown key 'provders'; did you mean 'providers'\?/],
        ['providers:\n  openai: {base_ulr: "http://x/v1"}\n', /c\.yaml:2:\d+ \/providers\/openai\/base_ulr: .*'base_url'/],
        ['providers:\n  a: {kind: opnai, base_url: "http://x"}\n', /c\.yaml:2:\d+ \/providers\/a.*opnai/],
        ['providers: {openai: {api_key: "${NOT_SET_ANYWHERE}"}}\n', /\/providers\/openai\/api_key: .*NOT_SET_ANYWHERE/],
        ['providers: {openai: {api_key_file: /no/such/file}}\n', /\/providers\/openai\/api_key_file: .*\/no\/such\/file/],
        ['network: {allow_private: ["10.0.0.0/99", "example.com"]}\n', /allow_private\/0: /, /allow_private\/1: /],
        ['network: {allow_private: yes}\n', /allow_private: /],
        ['limits: {step_output_bytes: -5}\n', /step_output_bytes: /],
        ['cors: {origins: []}\n', /'cors' is not supported by this version/],
        ['providers: [1]\n', /\/providers: /],
        ['providers: {\n', /c\.yaml:\d+:\d+/],
        ['a: 1\na: 2\n', /c\.yaml:2:1/],
    ]) {
        const result = await run(t, home, ['run', file, '--config', home.file('c.yaml', text)]);
        assert.equal(result.code, 2, `${text}: ${result.err}`);
        for (const pattern of says) assert.match(result.err, pattern);
        assert.equal(result.out, '');
    }
    const missing = await run(t, home, ['run', file, '--config', 'nowhere.yaml']);
    assert.equal(missing.code, 2);
    assert.match(missing.err, /nowhere\.yaml.*No such file/);
});

test('a provider of the configuration is called with its key, and wins over the environment', limit, async (t) => {
    const home = place(t);
    const answer = { choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }] };
    const server = await startServer(t, (request, response) => json(response, 200, answer));
    home.file('key', 'from-a-file\n');
    const config = home.file('c.yaml', [
        'providers:',
        `  openai: {base_url: "${server.url}/one", api_key: "pre-\${MY_KEY}"}`,
        `  local: {kind: openai, base_url: "${server.url}/two", api_key_file: ${home.path('key')}}`,
        `  bare: {kind: openai, base_url: "${server.url}/three"}`,
        '',
    ].join('\n'));
    const step = (model, needs) => ({ llm: { model, prompt: 'x' }, ...(needs && { needs }) });
    const file = home.file('w.json', once({ a: step('openai/m'), b: step('local/m', ['a']), c: step('bare/m', ['b']) }));
    const env = { MY_KEY: 'expanded', OPENAI_API_KEY: 'not-this', OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' };
    const result = await run(t, home, ['run', file, '--config', config], { env });
    assert.equal(result.code, 0, result.err);
    assert.deepEqual(server.requests.map((request) => [request.url, request.headers.authorization]), [
        ['/one/chat/completions', 'Bearer pre-expanded'],
        ['/two/chat/completions', 'Bearer from-a-file'],
        ['/three/chat/completions', undefined],
    ]);
});

test('a request whose body jq makes is sent, though nothing is left to record when the body is there', limit, async (t) => {
    const server = await startServer(t);
    const note = { http: { method: 'POST', url: `${server.url}/note`, json: { n: '${ [.input.list[] * 2] }' } } };
    const got = await call(t, server, { note }, { args: ['--input', '{"list":[1,2]}'] });
    assert.equal(got.step.note.status, 'succeeded');
    assert.deepEqual(server.requests.map(({ body }) => JSON.parse(body)), [{ n: [2, 4] }]);
});
