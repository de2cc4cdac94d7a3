// workflows.test.mjs - stored workflows: versions, ETag and If-Match, lists, graphs, runs of them; and validation without a run.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startModel } from '../cli/support/model.mjs';
import { limit } from '../cli/support/plait.mjs';
import { checkProblem, startService } from './support/service.mjs';
import { ask, checkHttpRun, travel } from './support/workflows.mjs';

const say = (text) => ({ name: 'say', steps: { a: { reduce: text } } });
const put = (service, name, json, headers) => service.ask('PUT', `/v1/workflows/${name}`, { json, headers });

test('a definition has versions; the same content makes no new one', limit, async (t) => {
    const service = await startService(t);
    const first = await put(service, 'say', say('one'));
    assert.equal(first.status, 201, first.text);
    assert.equal(first.json.name, 'say');
    assert.equal(first.json.version, 1);
    assert.match(first.headers.etag, /^"[^"]+"$/);
    const same = await put(service, 'say', say('one'));
    assert.equal(same.status, 200, same.text);
    assert.equal(same.json.version, 1);
    assert.equal(same.headers.etag, first.headers.etag);
    const second = await put(service, 'say', say('two'));
    assert.equal(second.status, 201, second.text);
    assert.equal(second.json.version, 2);
    assert.notEqual(second.headers.etag, first.headers.etag);
    const got = await service.get('/v1/workflows/say');
    assert.equal(got.status, 200);
    assert.equal(got.json.version, 2);
    assert.equal(got.headers.etag, second.headers.etag);
    const old = await service.get('/v1/workflows/say@1');
    assert.equal(old.status, 200, old.text);
    assert.equal(old.json.version, 1);
    assert.ok(old.text.includes('one') && !old.text.includes('two'));
    checkProblem(await service.get('/v1/workflows/say@3'), 404, 'not_found');
    checkProblem(await service.get('/v1/workflows/nobody'), 404, 'not_found');
});

test('If-Match keeps two writers apart, If-None-Match spares what is known', limit, async (t) => {
    const service = await startService(t);
    const first = await put(service, 'say', say('one'), { 'if-none-match': '*' });
    assert.equal(first.status, 201, first.text);
    checkProblem(await put(service, 'say', say('other'), { 'if-none-match': '*' }), 412, 'precondition_failed');
    const second = await put(service, 'say', say('two'), { 'if-match': first.headers.etag });
    assert.equal(second.status, 201, second.text);
    checkProblem(await put(service, 'say', say('three'), { 'if-match': first.headers.etag }), 412, 'precondition_failed');
    checkProblem(await put(service, 'nobody', say('x'), { 'if-match': first.headers.etag }), 412, 'precondition_failed');
    checkProblem(await service.ask('DELETE', '/v1/workflows/say', { headers: { 'if-match': first.headers.etag } }), 412, 'precondition_failed');
    const known = await service.get('/v1/workflows/say', { headers: { 'if-none-match': second.headers.etag } });
    assert.equal(known.status, 304, known.text);
    assert.equal((await service.ask('DELETE', '/v1/workflows/say', { headers: { 'if-match': second.headers.etag } })).status, 204);
});

test('eight writers with one ETag: one wins', limit, async (t) => {
    const service = await startService(t);
    const { headers } = await put(service, 'say', say('start'));
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => put(service, 'say', say(`writer ${i}`), { 'if-match': headers.etag })));
    assert.deepEqual(answers.map((answer) => answer.status).sort(), [201, 412, 412, 412, 412, 412, 412, 412]);
    assert.equal((await service.get('/v1/workflows/say')).json.version, 2);
});

test('numbers are never used again, also not after a delete and a restart', limit, async (t) => {
    const service = await startService(t);
    for (const text of ['one', 'two']) await put(service, 'say', say(text));
    assert.equal((await service.ask('DELETE', '/v1/workflows/say')).status, 204);
    checkProblem(await service.get('/v1/workflows/say'), 404, 'not_found');
    checkProblem(await service.post('/v1/runs', { workflow: 'say' }), 404, 'not_found');
    checkProblem(await service.ask('DELETE', '/v1/workflows/say'), 404, 'not_found');
    assert.deepEqual((await service.get('/v1/workflows')).json.data, []);
    await service.restart();
    const again = await put(service, 'say', say('three'));
    assert.equal(again.status, 201, again.text);
    assert.equal(again.json.version, 3);
});

test('runs keep the version they started with, whatever is put or deleted after', limit, async (t) => {
    const model = await startModel(t);
    const service = await startService(t, { model });
    const slow = (word) => ({ name: 'slow', steps: { a: ask('mock-500ms', word), b: ask('mock', `${word} then \${ .steps.a.output }`) } });
    await put(service, 'slow', slow('first'));
    const one = await service.post('/v1/workflows/slow/runs', { background: true });
    assert.equal(one.status, 202, one.text);
    await model.inFlight(1);
    await put(service, 'slow', slow('second'));
    const two = await service.background({ workflow: 'slow' });
    const pinned = await service.background({ workflow: 'slow@1' });
    await model.inFlight(3);
    assert.equal((await service.ask('DELETE', '/v1/workflows/slow')).status, 204);
    await service.restart();
    for (const [id, version, word] of [[one.json.id, 1, 'first'], [two, 2, 'second'], [pinned, 1, 'first']]) {
        const run = checkHttpRun(await service.over(id));
        assert.equal(run.status, 'succeeded');
        assert.deepEqual(run.workflow, { name: 'slow', version });
        assert.match(run.output, new RegExp(`${word} then`));
    }
});

test('a stored workflow runs by name in all ways', limit, async (t) => {
    const service = await startService(t);
    await put(service, 'trip', { ...travel(), name: 'trip', defaults: { model: 'sim/echo' } });
    const input = { destination: 'Lisbon' };
    for (const answer of [await service.post('/v1/workflows/trip/runs', { input }), await service.post('/v1/runs', { workflow: 'trip@1', input })]) {
        assert.equal(answer.status, 200, answer.text);
        assert.deepEqual(checkHttpRun(answer.json).workflow, { name: 'trip', version: 1 });
    }
    checkProblem(await service.post('/v1/workflows/trip/runs', { input: {} }), 422, 'invalid_input');
    checkProblem(await service.post('/v1/workflows/nobody/runs', { input: {} }), 404, 'not_found');
    const { data } = (await service.get('/v1/runs?workflow=trip')).json;
    assert.equal(data.length, 2);
});

test('what is no workflow is not stored', limit, async (t) => {
    const service = await startService(t);
    const broken = await put(service, 'w', { steps: { a: { llm: { model: 'sim/echo', promt: 'x' } } } });
    const problem = checkProblem(broken, 422, 'invalid_workflow');
    assert.ok(problem.errors.some(({ pointer }) => pointer === '/steps/a/llm/promt'), broken.text);
    const named = await put(service, 'other', say('x'));
    assert.ok(named.status < 500, named.text);
    for (const name of ['Big', 'a'.repeat(65), '-a', 'a b']) {
        const answer = await put(service, encodeURIComponent(name), say('x'));
        assert.ok(answer.status >= 400 && answer.status < 500, `${name}: ${answer.status}`);
        checkProblem(answer, answer.status);
    }
    checkProblem(await service.get('/v1/workflows/w'), 404, 'not_found');
});

test('YAML is stored too, with comments and all', limit, async (t) => {
    const service = await startService(t);
    const yaml = '# mine\nname: tea\nsteps:\n  a: {reduce: green}\n';
    const answer = await service.ask('PUT', '/v1/workflows/tea', { body: yaml, headers: { 'content-type': 'application/yaml' } });
    assert.equal(answer.status, 201, answer.text);
    assert.equal((await service.post('/v1/workflows/tea/runs', {})).json.output, 'green');
    const bad = await service.ask('PUT', '/v1/workflows/tea', { body: 'steps:\n  a: {reduce: green\n', headers: { 'content-type': 'application/yaml' } });
    checkProblem(bad, bad.status);
    assert.ok([400, 422].includes(bad.status), bad.text);
});

test('the list of workflows comes in pages by name', limit, async (t) => {
    const service = await startService(t);
    const all = Array.from({ length: 9 }, (_, i) => `w${i}`);
    for (const name of [...all].reverse()) assert.equal((await put(service, name, { ...say(name), name })).status, 201);
    const found = [];
    let after = '';
    for (let more = true; more; ) {
        const { json } = await service.get(`/v1/workflows?limit=4${after && `&after=${after}`}`);
        found.push(...json.data);
        more = json.has_more;
        after = json.next;
    }
    assert.deepEqual(found.map(({ name }) => name), all);
    for (const one of found) assert.deepEqual(Object.keys(one).slice(0, 2), ['name', 'version']);
});

test('the graph of a stored workflow', limit, async (t) => {
    const service = await startService(t);
    await put(service, 'trip', { ...travel(), name: 'trip', defaults: { model: 'sim/echo' } });
    const { status, json, text } = await service.get('/v1/workflows/trip/graph');
    assert.equal(status, 200, text);
    assert.ok(text.includes('attractions') && text.includes('plan'), text);
    assert.equal(typeof json, 'object');
    checkProblem(await service.get('/v1/workflows/nobody/graph'), 404, 'not_found');
});

test('validate says all that is wrong, and starts nothing', limit, async (t) => {
    const service = await startService(t);
    const good = await service.post('/v1/validate', { ...travel(), defaults: { model: 'sim/echo' } });
    assert.equal(good.status, 200, good.text);
    assert.equal(good.json.valid, true, good.text);
    assert.deepEqual(good.json.errors, []);
    assert.ok(good.json.graph);
    const bad = await service.post('/v1/validate', { steps: { a: { llm: { model: 'sim/echo', promt: 'x' } }, b: { reduce: '${ .steps.c.output }' } } });
    assert.equal(bad.status, 200, bad.text);
    assert.equal(bad.json.valid, false);
    const pointers = bad.json.errors.map(({ pointer }) => pointer);
    for (const pointer of ['/steps/a/llm/promt', '/steps/b/reduce']) assert.ok(pointers.includes(pointer), `${pointer} is not among ${pointers}`);
    const yaml = await service.ask('POST', '/v1/validate', { body: 'steps:\n  a:\n    llm: {model: sim/echo, promt: x}\n', headers: { 'content-type': 'application/yaml' } });
    assert.equal(yaml.json.valid, false);
    assert.ok(yaml.json.errors.some(({ pointer, line }) => pointer === '/steps/a/llm/promt' && line === 3), yaml.text);
    assert.deepEqual((await service.get('/v1/runs')).json.data, []);
});

test('validate warns of what is most likely not meant, each time it is asked', limit, async (t) => {
    const service = await startService(t);
    const document = { input: { properties: { city: {} } }, steps: { a: { llm: { model: 'sim/echo', prompt: '{{ x }} ${ .input.ctiy }' } } } };
    const places = (answer) => answer.json.warnings.map(({ pointer }) => pointer);
    const first = await service.post('/v1/validate', { workflow: document });
    assert.equal(first.json.valid, true, first.text);
    assert.deepEqual(first.json.errors, []);
    assert.deepEqual(places(first), Array(2).fill('/workflow/steps/a/llm/prompt'));
    assert.match(first.text, /did you mean 'city'/);
    assert.match(first.text, /'\{\{ x \}\}' is sent as it stands/);
    const again = await service.post('/v1/validate', { workflow: document });
    assert.deepEqual(again.json, first.json);
    const wrong = await service.post('/v1/validate', { ...document, outptu: 1 });
    assert.equal(wrong.json.valid, false);
    assert.equal(wrong.json.errors.length, 1);
    assert.equal(wrong.json.warnings.length, 2);
    const good = await service.post('/v1/validate', { steps: { a: { reduce: 1 } } });
    assert.deepEqual(good.json.warnings, []);
});

test('a definition whose paths find nothing by its own schema is not stored', limit, async (t) => {
    const service = await startService(t);
    const answer = await put(service, 'lost', { input: { additionalProperties: false, properties: { city: {} } }, steps: { a: { reduce: '${ .input.ctiy }' } } });
    checkProblem(answer, 422, 'invalid_workflow');
    assert.match(answer.json.errors[0].detail, /did you mean 'city'/);
});
