// server.test.mjs - the server around the routes: who is let in, methods and unknown things, request ids, the OpenAPI document, health
// and metrics, and how it ends. Not framing (framing.test.mjs).
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { startModel } from '../cli/support/model.mjs';
import { SLOW, limit, place, plait, run, until } from '../cli/support/plait.mjs';
import { event, openEvents } from './support/events.mjs';
import { exchange } from './support/raw.mjs';
import { checkProblem, startService } from './support/service.mjs';
import { ask, echo } from './support/workflows.mjs';

// What this version answers to, as the contract of the service says.
const routes = [
    ['GET', '/v1/runs'], ['POST', '/v1/runs'], ['GET', '/v1/runs/{id}'], ['DELETE', '/v1/runs/{id}'], ['GET', '/v1/runs/{id}/steps'],
    ['GET', '/v1/runs/{id}/events'], ['POST', '/v1/runs/{id}/cancel'], ['POST', '/v1/runs/{id}/steps/{path}/cancel'],
    ['GET', '/v1/workflows'], ['PUT', '/v1/workflows/{name}'], ['GET', '/v1/workflows/{name}'], ['DELETE', '/v1/workflows/{name}'],
    ['GET', '/v1/workflows/{name}/graph'], ['POST', '/v1/workflows/{name}/runs'], ['POST', '/v1/validate'],
    ['GET', '/healthz'], ['GET', '/readyz'], ['GET', '/metrics'], ['GET', '/openapi.json'],
];

const methods = ['get', 'put', 'post', 'delete', 'patch', 'options', 'head', 'trace'];

test('the OpenAPI document and the routes are the same', limit, async (t) => {
    const service = await startService(t);
    const answer = await service.get('/openapi.json');
    assert.equal(answer.status, 200);
    const document = answer.json;
    assert.match(document.openapi, /^3\.1\./);
    assert.ok(document.info.title && document.info.version);
    for (const [method, pattern] of routes) assert.ok(document.paths[pattern]?.[method.toLowerCase()], `${method} ${pattern} is documented`);
    const ids = new Set();
    const known = JSON.stringify(document.components?.schemas ?? {});
    assert.ok(known.length > 2);
    for (const [pattern, item] of Object.entries(document.paths)) {
        const verbs = Object.keys(item).filter((key) => methods.includes(key));
        assert.ok(verbs.length > 0, pattern);
        const target = pattern.replace(/\{\w+\}/g, 'x');
        const refused = await service.ask('PROPFIND', target);
        checkProblem(refused, 405, 'method_not_allowed');
        const allowed = refused.headers.allow.split(', ').filter((verb) => verb !== 'HEAD').map((verb) => verb.toLowerCase()).sort();
        assert.deepEqual(allowed, verbs.filter((verb) => verb !== 'head').sort(), `Allow of ${pattern}`);
        for (const verb of verbs) {
            const operation = item[verb];
            if (operation.operationId) assert.ok(!ids.has(operation.operationId) && ids.add(operation.operationId), operation.operationId);
            const parameters = (operation.parameters ?? item.parameters ?? []).filter((one) => one.in === 'path').map((one) => one.name);
            assert.deepEqual(parameters.sort(), [...pattern.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort(), `${verb} ${pattern}`);
            assert.ok(Object.keys(operation.responses).length > 0);
            const got = await service.ask(verb.toUpperCase(), target, ['post', 'put'].includes(verb) ? { json: {} } : {});
            assert.ok(got.status !== 405 && got.status < 500, `${verb} ${pattern}: ${got.status}`);
            assert.ok(operation.responses[got.status] ?? operation.responses.default, `${verb} ${pattern} answers ${got.status}, which is not documented`);
        }
    }
    for (const [, reference] of answer.text.matchAll(/"\$ref":\s*"#\/([^"]+)"/g)) {
        const found = reference.split('/').reduce((value, key) => value?.[key.replaceAll('~1', '/').replaceAll('~0', '~')], document);
        assert.ok(found, `$ref ${reference}`);
    }
});

test('what is not there is 404, what is not done is 405 with Allow', limit, async (t) => {
    const service = await startService(t);
    for (const target of ['/v1', '/v1/run', '/v1/runs/x/nothing', '/v2/runs', '/v1/runs/', '//v1/runs', '/v1//runs', '/v1/runs/x/steps/', '/favicon.ico'])
        checkProblem(await service.get(target), 404, 'not_found');
    for (const [method, target, allow] of [
        ['DELETE', '/v1/runs', ['GET', 'POST']],
        ['PATCH', '/v1/runs/x', ['DELETE', 'GET']],
        ['POST', '/healthz', ['GET']],
        ['GET', '/v1/validate', ['POST']],
        ['GET', '/v1/runs/x/cancel', ['POST']],
        ['OPTIONS', '/v1/runs', ['GET', 'POST']],
    ]) {
        const answer = await service.ask(method, target);
        checkProblem(answer, 405, 'method_not_allowed');
        assert.deepEqual(answer.headers.allow.split(', ').filter((verb) => verb !== 'HEAD').sort(), allow, `${method} ${target}`);
    }
});

test('HEAD is GET without a body', limit, async (t) => {
    const service = await startService(t);
    const id = (await service.run({ workflow: echo() })).id;
    for (const target of ['/healthz', '/v1/runs', `/v1/runs/${id}`, '/openapi.json']) {
        const got = await service.get(target);
        const head = await service.ask('HEAD', target);
        assert.equal(head.status, 200, target);
        assert.equal(head.text, '');
        assert.equal(head.headers['content-type'], got.headers['content-type']);
        assert.equal(head.headers['content-length'], got.headers['content-length']);
    }
    const keep = `HEAD /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`;
    const { bytes } = await exchange(service.port, keep);
    assert.equal(bytes.toString().match(/HTTP\/1\.1 200/g).length, 2);
    const events = await service.ask('HEAD', `/v1/runs/${id}/events`, { timeout: 3000 });
    assert.equal(events.status, 200, 'HEAD of a stream ends');
});

test('an unknown query parameter is refused by its name', limit, async (t) => {
    const service = await startService(t);
    for (const target of ['/v1/runs?statsu=failed', '/healthz?x=1', '/v1/workflows?q=a']) {
        const problem = checkProblem(await service.get(target), 400, 'invalid_argument');
        assert.match(problem.detail + JSON.stringify(problem.errors ?? []), /statsu|x|q/);
    }
    checkProblem(await service.post('/v1/runs?stream=true', { workflow: echo() }), 400);
});

test('a request id is echoed when it is sane, else made', limit, async (t) => {
    const service = await startService(t);
    const mine = await service.get('/healthz', { headers: { 'x-request-id': 'abc-123_X.y' } });
    assert.equal(mine.headers['x-request-id'], 'abc-123_X.y');
    const made = new Set();
    for (const headers of [{}, { 'x-request-id': 'x'.repeat(500) }, { 'x-request-id': 'a b"<script>' }, { 'x-request-id': '' }]) {
        const { 'x-request-id': id } = (await service.get('/healthz', { headers })).headers;
        assert.match(id, /^[\w.:-]{8,64}$/);
        made.add(id);
    }
    assert.equal(made.size, 4);
    const problem = await service.get('/nothing', { headers: { 'x-request-id': 'find-me' } });
    assert.equal(problem.json.request_id, 'find-me');
});

test('only loopback names are answered without keys', limit, async (t) => {
    const service = await startService(t);
    const asked = (host) => service.get('/v1/runs', { headers: { host } });
    for (const host of ['127.0.0.1', `127.0.0.1:${service.port}`, 'localhost', `localhost:${service.port}`, 'LOCALHOST', '[::1]', `[::1]:${service.port}`, '127.0.0.2'])
        assert.equal((await asked(host)).status, 200, host);
    for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', '10.0.0.1', '169.254.169.254', 'localhost@evil.example',
        'evil.example:80', '0.0.0.0', '[::]', '[::ffff:10.0.0.1]', 'xn--localhost-', '127.1.evil', '2130706433.example']) {
        const answer = await asked(host);
        assert.ok([400, 403, 421].includes(answer.status), `${host}: ${answer.status}`);
        checkProblem(answer, answer.status);
    }
});

test('a public address without keys is refused at start, unless --no-auth', limit, async (t) => {
    const home = place(t);
    const database = `sqlite:${home.path('x.db')}`;
    for (const address of ['0.0.0.0:0', '[::]:0']) {
        const refused = await run(t, home, ['serve', '--listen', address, '--db', database]);
        assert.notEqual(refused.code, 0);
        assert.equal(refused.signal, null);
        assert.match(refused.err, /--no-auth/);
    }
    const open = plait(t, home, ['serve', '--listen', '0.0.0.0:0', '--db', database, '--no-auth']);
    const [, port] = await open.said(/0\.0\.0\.0:(\d+)/);
    const answer = await new Promise((resolve, reject) => {
        http.get({ host: '127.0.0.1', port, path: '/v1/runs', headers: { host: 'plait.example' }, agent: false }, resolve).on('error', reject);
    });
    assert.equal(answer.statusCode, 200, 'and then it answers to any name');
    answer.resume();
    open.kill('SIGTERM');
    assert.equal((await open.done).code, 0);
});

test('what cannot be listened on, or is no address, is said in one line with status 2 or 1', limit, async (t) => {
    const service = await startService(t);
    const home = place(t);
    const database = `sqlite:${home.path('x.db')}`;
    for (const address of [`127.0.0.1:${service.port}`, 'nonsense', '127.0.0.1', '127.0.0.1:99999', '127.0.0.1:', ':8080x', '300.1.1.1:80']) {
        const refused = await run(t, home, ['serve', '--listen', address, '--db', database]);
        assert.ok([1, 2].includes(refused.code), `${address}: ${refused.code} ${refused.signal} ${refused.err}`);
        assert.ok(refused.err.includes('plait'), refused.err);
        assert.equal(refused.err.trim().split('\n').length, 1, refused.err);
    }
    const second = await run(t, home, ['serve', '--listen', '127.0.0.1:0', '--db', `sqlite:${service.database}`]);
    assert.notEqual(second.code, 0, 'a second engine on one database');
    assert.match(second.err, /another|lock|in use/i);
    assert.equal((await service.get('/healthz')).status, 200);
});

test('health, readiness and metrics', limit, async (t) => {
    const service = await startService(t);
    assert.equal((await service.get('/healthz')).status, 200);
    assert.equal((await service.get('/readyz')).status, 200);
    const before = await service.get('/metrics');
    assert.equal(before.status, 200);
    assert.match(before.headers['content-type'], /^text\/plain/);
    for (let i = 0; i < 3; i++) await service.run({ workflow: echo() });
    const { text } = await service.get('/metrics');
    const names = new Set();
    for (const line of text.trim().split('\n')) {
        if (line.startsWith('# ')) {
            assert.match(line, /^# (HELP|TYPE) (plait|process)_[a-z0-9_]+ /);
            continue;
        }
        assert.match(line, /^(plait|process)_[a-z0-9_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[0-9.e+]+$/, line);
        names.add(line.match(/^\w+/)[0]);
    }
    assert.ok(names.size >= 3, [...names].join());
    assert.notEqual(text, before.text, 'they count');
});

test('SIGTERM: what runs is finished, waiting clients are answered, new runs are refused, and it ends with 0', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const agent = new http.Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    await service.get('/healthz', { agent }); // a connection that is there before
    const waiting = service.post('/v1/runs', { workflow: { name: 'w', steps: { a: ask('mock-1500ms', 'a') } } });
    const streaming = openEvents(service.port, '/v1/runs', { json: { workflow: { name: 's', steps: { a: ask('mock-1500ms', 'b') } }, stream: true } });
    await model.inFlight(2);
    const done = service.stop();
    const says = [];
    await until(async () => {
        says.push(await service.get('/readyz', { agent }).then((answer) => answer.status, (error) => error.code ?? error.message));
        return says.at(-1) === 503;
    }, '/readyz to say 503').catch((error) => assert.fail(`${error.message}; it said ${says}`));
    const refused = await service.post('/v1/runs', { workflow: echo() }, { agent }).catch((error) => error);
    if (refused.status) {
        checkProblem(refused, 503, 'shutting_down');
        assert.ok(Number(refused.headers['retry-after']) > 0);
    }
    const answer = await waiting;
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.status, 'succeeded');
    const reader = await streaming;
    await reader.done;
    assert.equal(reader.events.at(-1).type, 'run.succeeded');
    const { code, signal, ms, err } = await done;
    assert.equal(code, 0, `${signal} ${err}`);
    assert.ok(SLOW || ms < 10_000);
    assert.ok((await model.allCalls()).every((call) => call.outcome === 'answered'));
});

test('SIGTERM with calls that do not end: after --drain they are left, and go on at the next start', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model, args: ['--drain', '1s'] });
    const waiting = service.post('/v1/runs', { workflow: { name: 'w', timeout: '5m', steps: { a: ask('mock-4000ms', 'a') } } });
    await model.inFlight(1);
    const asked = Date.now();
    const { code } = await service.stop();
    const took = Date.now() - asked;
    assert.equal(code, 0);
    assert.ok(took >= 900 && (SLOW || took < 3500), `${took} ms`);
    const answer = await waiting;
    assert.equal(answer.status, 202, answer.text);
    assert.equal(answer.json.status, 'running');
    assert.equal(answer.headers.location, `/v1/runs/${answer.json.id}`);
    await service.restart();
    assert.equal((await service.over(answer.json.id)).status, 'succeeded');
});

test('an idle service ends at once, also with readers and connections that are open', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model, args: ['--drain', '300ms'] });
    const agent = new http.Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    await service.get('/healthz', { agent });
    const id = await service.background({ workflow: { name: 'w', timeout: '10m', steps: { a: ask('mock-hang', 'a') } } });
    const reader = await openEvents(service.port, `/v1/runs/${id}/events`);
    await event(reader, ({ type }) => type === 'step.started', 'step.started');
    const asked = Date.now();
    assert.equal((await service.stop('SIGINT')).code, 0);
    const took = Date.now() - asked;
    assert.ok(SLOW || took < 2500, `${took} ms`);
    await reader.done;
    await service.restart();
    assert.equal((await service.get(`/v1/runs/${id}`)).json.status, 'running', 'and the run is still there');
});

test('the command says how it is used', limit, async (t) => {
    const home = place(t);
    const help = await run(t, home, ['serve', '--help']);
    assert.equal(help.code, 0);
    for (const word of ['--listen', '--db', '--no-auth', '--drain', '--config', '127.0.0.1:8080']) assert.ok(help.out.includes(word), word);
    const byEnvironment = plait(t, home, ['serve'], { env: { PLAIT_LISTEN: '127.0.0.1:0', PLAIT_DB: `sqlite:${home.path('env.db')}` } });
    const [, port] = await byEnvironment.said(/127\.0\.0\.1:(\d+)/);
    assert.ok(Number(port) > 0, 'port 0 takes a free one and says which');
    byEnvironment.kill('SIGTERM');
    assert.equal((await byEnvironment.done).code, 0);
    for (const args of [['serve', '--nonsense'], ['serve', 'what'], ['serve', '--db', 'mysql:x']]) {
        const wrong = await run(t, home, args);
        assert.equal(wrong.code, 2, wrong.err);
    }
});
