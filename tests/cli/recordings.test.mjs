// recordings.test.mjs - `plait test`: what a recording holds, that it plays back offline and in no time with whatever kind of
// step, and what is said of a workflow that has changed since. The recorded example is in examples.test.mjs.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { startMcp, text } from './support/mcp.mjs';
import { startModel } from './support/model.mjs';
import { SLOW, limit, place, plait, run } from './support/plait.mjs';
import { ask } from './support/run.mjs';
import { json, startServer } from './support/server.mjs';

const recording = (home, name = 'w') => JSON.parse(fs.readFileSync(home.path(`${name}.recording.json`), 'utf8'));

// Records a workflow and plays it back, where nothing can be called; gives both and the recording.
async function both(t, workflow, { args = [], env = {}, code = 0, play = [], input } = {}) {
    const home = place(t);
    const file = home.file('w.json', workflow);
    const recorded = await run(t, home, ['test', file, '--record', ...args], { env, input });
    assert.equal(recorded.code, code, recorded.err + recorded.out);
    const first = fs.readFileSync(home.path('w.recording.json'), 'utf8');
    const played = await run(t, home, ['test', file, ...play]);
    assert.equal(played.code, 0, played.out + played.err);
    assert.match(played.out, /^passed: \d+ calls? answered/);
    assert.equal(fs.readFileSync(home.path('w.recording.json'), 'utf8'), first, 'playing back changes nothing');
    return { home, file, recorded, played, kept: recording(home) };
}

// Writes a changed workflow in the place of the recorded one and plays that.
async function changed(t, { home, file }, workflow, args = []) {
    home.file('w.json', workflow);
    const result = await run(t, home, ['test', file, ...args]);
    assert.equal(result.code, 1, result.out + result.err);
    return result.out;
}

const say = (prompt, more = {}) => ({ llm: { model: 'openai/mock', prompt, ...more } });

test('parallel branches, dependencies and retries are recorded in the order of their paths', limit, async (t) => {
    const model = await startModel(t);
    const steps = {
        zeta: say('z'), alpha: { ...ask('mock-s503-okafter2', 'a'), retry: { attempts: 3, initial: '2s', jitter: 0 } }, beta: say('b'),
        sum: say('${ .steps.alpha.output } ${ .steps.beta.output } ${ .steps.zeta.output }'),
    };
    const { kept, recorded, played, home } = await both(t, { name: 'order', steps }, { env: model.env });
    assert.deepEqual(kept.calls.map(({ path }) => path), ['alpha', 'alpha', 'alpha', 'beta', 'sum', 'zeta']);
    assert.deepEqual(kept.calls.map(({ error }) => error?.code ?? null), ['overloaded', 'overloaded', null, null, null, null]);
    assert.equal(kept.status, 'succeeded');
    assert.deepEqual(JSON.parse(recorded.out), kept.output);
    assert.match(recorded.err, /recorded 6 calls in .*w\.recording\.json/);
    const calls = (await model.allCalls()).length;
    assert.equal(calls, 6, 'nothing was called when it was played back');
    if (!SLOW) assert.ok(played.ms < 2000, `${played.ms} ms: nobody waits for a retry that is played back`);
    assert.deepEqual(fs.readdirSync(home.dir).filter((name) => /\.db|\.new/.test(name)), []);
    assert.ok(!fs.existsSync(home.runs) || fs.readdirSync(home.runs).length === 0, 'a test is none of the runs that can be resumed');
});

test('what has changed in a call is told, to the member, with what it was', limit, async (t) => {
    const model = await startModel(t);
    const steps = { a: say('first prompt', { temperature: 0.5 }), b: say('${ .steps.a.output }'), c: say('other') };
    const was = await both(t, { steps }, { env: model.env });
    const out = await changed(t, was, { steps: { ...steps, a: say('first question', { temperature: 0.7, max_tokens: 9 }) } });
    assert.match(out, /^a: the llm call has changed$/m);
    assert.match(out, /^ {2}messages\[0\]\.content: "first question", was "first prompt"$/m);
    assert.match(out, /^ {2}temperature: 0\.7, was 0\.5$/m);
    assert.match(out, /^ {2}max_tokens: 9, was nothing$/m);
    assert.match(out, /^failed: 1 call changed$/m);
    assert.doesNotMatch(out, /^[bc]: /m);
});

test('calls that are new, calls that are not made and another output are told', limit, async (t) => {
    const model = await startModel(t);
    const was = await both(t, { steps: { a: say('one'), b: say('two') } }, { env: model.env });
    const out = await changed(t, was, { steps: { a: say('one'), added: { ...say('two and more'), on_error: 'continue' } } });
    assert.match(out, /^added: the llm call is not in the recording; the nearest is that of \w+$/m);
    assert.match(out, /^b: the llm call is recorded and was not made$/m);
    assert.match(out, /^the output differs$/m);
    assert.match(out, /^failed: 1 not in the recording, 1 not made, it ends differently$/m);
    const more = await changed(t, was, { steps: { a: say('one'), b: say('two') }, output: 'something else' });
    assert.match(more, /^the output differs\n {2}"something else", was \{/m);
});

test('items that move take their answers along; only the new one is told', limit, async (t) => {
    const model = await startModel(t);
    const workflow = { steps: { all: { map: { over: '${ .input.items }', do: say('about ${ .item }') } } } };
    const was = await both(t, workflow, { env: model.env, args: ['--input', '{"items": ["b", "c", "d"]}'] });
    const out = await changed(t, was, workflow, ['--input', '{"items": ["a", "b", "c", "d"]}']);
    const lines = out.split('\n').filter((line) => /^all\./.test(line));
    assert.equal(lines.length, 1, out);
    assert.match(lines[0], /^all\.0: /);
});

test('votes, agents, repairs, repeats and sub-workflows play back', limit, async (t) => {
    const schema = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } };
    const steps = {
        vote: { vote: { of: { llm: { model: 'sim/echo?vote=a:3,b:2', prompt: 'which' } }, samples: 5 } },
        shape: { llm: { model: 'sim/echo?bad_json=1', prompt: 'give', schema } },
        agent: {
            agent: {
                model: 'sim/echo', prompt: 'look it up', max_turns: 3,
                tools: { look: { description: 'looks', parameters: { type: 'object' }, do: { llm: { model: 'sim/echo', prompt: 'found' } } } },
            },
        },
        loop: { repeat: { steps: { draft: { llm: { model: 'sim/echo', prompt: 'turn ${ .turn }' } } }, max: 3 } },
        inner: { workflow: { input: { x: 1 }, steps: { deep: { llm: { model: 'sim/echo', prompt: 'deep' } } } } },
        wait: { needs: ['loop'], sleep: '1h' },
    };
    // an hour's sleep is not recorded for real here: it is added afterwards
    const { wait, ...rest } = steps;
    const was = await both(t, { steps: rest });
    assert.ok(was.kept.calls.length >= 5 + 1 + 3 + 3 + 1, was.kept.calls.map(({ path }) => path).join());
    const result = await (was.home.file('w.json', { steps, output: '${ .steps.inner.output }' }), run(t, was.home, ['test', was.file]));
    assert.equal(result.code, 1);
    assert.match(result.out, /^failed: it ends differently$/m);
    if (!SLOW) assert.ok(result.ms < 5000, 'an hour passes at once');
});

test('races end as they were recorded, whoever would be first now', limit, async (t) => {
    const model = await startModel(t);
    const race = { join: 'any', parallel: { branches: { slow: ask('mock-5000ms', 's'), quick: ask('mock-50ms', 'q'), fails: ask('mock-s500', 'f') } } };
    const late = { join: { policy: 'all', deadline: '600ms', min: 1 }, parallel: { branches: { in: ask('mock-20ms', 'in'), out: ask('mock-9000ms', 'out') } } };
    const hedge = { join: { quorum: 2 }, parallel: { branches: { a: ask('mock-300ms', 'a'), b: ask('mock-10ms', 'b'), c: ask('mock-150ms', 'c') } } };
    const { kept } = await both(t, { defaults: { retry: { attempts: 1 } }, steps: { race, late, hedge } }, { env: model.env });
    const by = Object.fromEntries(kept.calls.map((call) => [call.path, call]));
    assert.equal(by['race.slow'].cancelled, true);
    assert.equal(by['race.fails'].error.code, 'provider_error');
    assert.equal(by['late.out'].cancelled, true);
    assert.equal(by['hedge.a'].cancelled, true);
    assert.equal(kept.output.late.out, null);
});

test('a call that was stopped before it was sent is told as such, and plays back', limit, async (t) => {
    const server = await startServer(t, (request, response) => json(response, 200, { n: 1 }));
    const home = place(t);
    const config = home.file('c.yaml', `network: {allow_private: ["127.0.0.1:${server.port}"]}\n`);
    const post = { http: { url: `${server.url}/a`, json: { x: 1 } } };
    const race = { join: 'any', parallel: { branches: { over: { sleep: { until: '2020-01-01T00:00:00Z' } }, post } } };
    const turn = { join: 'settled', map: { over: '${ [range(4)] }', do: { llm: { model: 'slow/echo?latency=300ms', prompt: '${ .item }' } } }, timeout: '80ms', on_error: 'continue' };
    home.file('c.yaml', `providers: {slow: {kind: sim, limits: {concurrency: 1}}}\n${fs.readFileSync(config)}`);
    const file = home.file('w.json', { steps: { race, turn }, output: '${ .steps.turn.error.code }' });
    const recorded = await run(t, home, ['test', file, '--record', '--config', config]);
    assert.equal(recorded.code, 0, recorded.err);
    assert.equal(server.requests.length, 0);
    const kept = Object.fromEntries(recording(home).calls.map((call) => [call.path, call]));
    assert.deepEqual([kept['race.post'].unsent, kept['race.post'].request.json], [true, { x: 1 }]);
    assert.deepEqual(['turn.1', 'turn.2', 'turn.3'].map((path) => kept[path].unsent), [true, true, true], 'they waited for their turn');
    assert.equal(kept['turn.0'].cancelled, true);
    const played = await run(t, home, ['test', file]);
    assert.equal(played.code, 0, played.out + played.err);
    const out = await changed(t, { home, file }, { steps: { race: { ...race, join: 'all' }, turn }, output: 'x' });
    assert.match(out, /the recording does not tell the answer/);
});

test('deadlines, sleeps and expressions end in the order in which they did, however slow each is now', limit, async (t) => {
    const slow = { reduce: '${ [range(400000)] | map(. * 2) | add }' };
    const quick = { reduce: '${ 1 + 1 }' };
    const steps = {
        // whatever wins here: the recording is played back, not decided anew
        short: { join: { policy: 'settled', deadline: '30ms' }, parallel: { branches: { slow, quick } }, on_error: 'continue' },
        race: { join: 'any', parallel: { branches: { slow, sleep: { sleep: '30ms' } } } },
        step: { ...slow, deadline: '30ms', on_error: { default: 'late' } },
        call: { llm: { model: 'sim/echo?latency=15ms', prompt: '${ [range(100000)] | length }' }, deadline: '30ms', on_error: 'continue' },
    };
    const output = Object.fromEntries(Object.keys(steps).map((id) => [id, [`\${ .steps.${id}.output }`, `\${ .steps.${id}.status }`, `\${ .steps.${id}.join }`]]));
    const { kept, home, file } = await both(t, { steps, output });
    const words = kept.timeline.map((line) => line.split(' ')[1]);
    assert.ok(words.includes('time') && words.includes('jq'), kept.timeline.join('\n'));
    for (const first of ['jq', 'time']) { // and where the file says that one of them was first, it was
        const turns = kept.timeline.filter((line) => line.includes('jq call race.slow'));
        assert.equal(turns.length, 1);
        const line = first === 'jq' ? '1 jq call race.slow' : '- jq call race.slow';
        const timeline = [...(first === 'jq' ? ['1 jq call race.slow', '2 done race.slow'] : []), '30 time', ...(first === 'time' ? [line] : [])];
        home.file('one.json', { steps: { race: steps.race }, output: '${ .steps.race.join.winner }' });
        home.file('one.recording.json', { ...kept, calls: [], timeline, output: first === 'jq' ? 'slow' : 'sleep' });
        const played = await run(t, home, ['test', home.path('one.json')]);
        assert.equal(played.code, 0, `${first}: ${played.out}${played.err}`);
    }
    assert.equal((await run(t, home, ['test', file])).code, 0);
});

test('a recording of before there were timelines is played by the order of its answers', limit, async (t) => {
    const model = await startModel(t);
    const race = { join: 'any', parallel: { branches: { slow: ask('mock-5000ms', 's'), quick: ask('mock-50ms', 'q'), fails: ask('mock-s500', 'f') } } };
    const { kept, home, file } = await both(t, { defaults: { retry: { attempts: 1 } }, steps: { race, after: { needs: ['race'], sleep: '10ms' } } }, { env: model.env });
    assert.ok(kept.timeline.length);
    home.file('w.recording.json', { ...kept, timeline: undefined });
    const played = await run(t, home, ['test', file]);
    assert.equal(played.code, 0, played.out + played.err);
});

test('people\'s answers are recorded, and given when it is played back', limit, async (t) => {
    const steps = {
        ok: { human: { ask: 'Go on?', schema: { type: 'boolean' } } },
        why: { human: { ask: 'Why?', schema: { type: 'object' } } },
        name: { human: { ask: 'Who?' } },
        no: { human: { ask: 'And this?' }, on_error: 'continue' },
        late: { human: { ask: 'Later?', timeout: '1s', on_timeout: { default: 'nobody' } } },
        end: { llm: { model: 'sim/echo', prompt: '${ .steps.ok.output } ${ .steps.why.output } ${ .steps.name.output } ${ .steps.late.output } ${ .steps.no.error.code }' } },
    };
    const args = ['--answer', 'ok=yes', '--answer', 'why={"because": [1]}', '--answer', 'name=Ann "A" O\'x', '--answer', 'no=/reject not today'];
    const { kept, home, file } = await both(t, { steps }, { args });
    assert.deepEqual(kept.answers, { ok: { output: true }, why: { output: { because: [1] } }, name: { output: 'Ann "A" O\'x' }, no: { reject: 'not today' } });
    assert.match(kept.calls[0].request.messages[0].content, /^true \{"because":\[1\]\} Ann "A" O'x nobody rejected$/);
    const other = await run(t, home, ['test', file, '--answer', 'name=Bob']);
    assert.equal(other.code, 1);
    assert.match(other.out, /Bob nobody/);
    assert.doesNotMatch(other.err, /has asked/);
    const misspelt = await run(t, home, ['test', file, '--answer', 'nam=Bob']);
    assert.equal(misspelt.code, 0, misspelt.out);
    assert.match(misspelt.err, /^plait: --answer 'nam': no step at this path has asked$/m);
    assert.equal(misspelt.err.split('has asked').length, 2, 'nothing is said of recorded answers');
});

test('http steps play back without network, policy or secrets, and nothing secret is kept', limit, async (t) => {
    const key = 'sk-canary-in-a-recording/9f3a';
    const server = await startServer(t, (request, response, number) =>
        number === 1 ? json(response, 503, { busy: true }, { 'retry-after': '1' }) : json(response, 200, { n: 1, auth: request.headers.authorization ?? null, mine: request.headers['x-api-key'] ?? null }));
    const home = place(t);
    const config = home.file('c.yaml', `secrets: {s: {value: "\${KEY}", origins: ["${server.url}"]}}\nnetwork: {allow_private: ["127.0.0.1:${server.port}"]}\n`);
    const workflow = {
        steps: {
            get: { http: { url: `${server.url}/a`, query: { q: '${ .input.q }' }, auth: 's' } },
            post: { needs: ['get'], http: { url: `${server.url}/b`, json: { body: '${ .steps.get.output.body }', run: '${ .run.id } ${ .run.started_at }' }, headers: { 'x-api-key': '${ .input.key }' } } },
        },
    };
    const file = home.file('w.json', workflow);
    const recorded = await run(t, home, ['test', file, '--record', '--config', config, '-i', 'q=x', '-i', 'key=written-by-hand'], { env: { KEY: key } });
    assert.equal(recorded.code, 0, recorded.err);
    const text = fs.readFileSync(home.path('w.recording.json'), 'utf8');
    for (const form of [key, encodeURIComponent(key), Buffer.from(key).toString('base64')]) assert.ok(!text.includes(form), form);
    const kept = recording(home);
    assert.deepEqual(kept.calls.map(({ path, error }) => [path, error?.code ?? null]), [['get', 'overloaded'], ['get', null], ['post', null]]);
    assert.equal(kept.calls[0].request.auth, 's');
    assert.equal(kept.calls[1].output.body.auth, 'Bearer ***');
    assert.equal(kept.calls[2].request.headers['x-api-key'], '***');
    assert.ok(!JSON.stringify(kept.calls[2].request).includes('written-by-hand'));
    const seen = server.requests.length;
    const played = await run(t, home, ['test', file]);
    assert.equal(played.code, 0, played.out + played.err);
    assert.equal(server.requests.length, seen);
});

test('a run that failed is recorded, and passes when it fails the same way', limit, async (t) => {
    const model = await startModel(t);
    const steps = { a: { ...ask('mock-s400', 'x'), retry: { attempts: 3 } } };
    const was = await both(t, { steps }, { env: model.env, code: 1 });
    assert.equal(was.kept.status, 'failed');
    const out = await changed(t, was, { steps: { ...steps, a: { ...steps.a, on_error: 'continue' } } });
    assert.match(out, /^the run succeeded, was failed with \w+$/m);
});

test('long texts are cut in the file, and still compared', limit, async (t) => {
    const model = await startModel(t);
    const long = 'word '.repeat(2000);
    const was = await both(t, { steps: { a: say(long) } }, { env: model.env });
    const text = was.kept.calls[0].request.messages[0].content;
    assert.match(text, /^word word .* \[cut: 10000 bytes, sha256 [0-9a-f]{64}\]$/);
    const out = await changed(t, was, { steps: { a: say(`${long}!`) } });
    assert.match(out, /^a: the llm call has changed$/m);
    assert.match(out, /messages\[0\]\.content: .*cut: 10001 bytes/);
});

test('without a recording, with a broken one and with a bad workflow it exits 2', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.yaml', 'steps: {a: {llm: {model: sim/echo, prompt: x}}}\n');
    const none = await run(t, home, ['test', file]);
    assert.equal(none.code, 2);
    assert.match(none.err, /there is no recording .*w\.recording\.json; make it with: plait test .*w\.yaml --record, and the input/);
    const named = await run(t, home, ['test', file, '--recording', 'other.json']);
    assert.match(named.err, /there is no recording other\.json; make it with: plait test .*w\.yaml --record --recording other\.json, and/);
    for (const [text, says] of [
        ['{', /w\.recording\.json: /], ['{}', /this is no recording/], ['{"plait_recording": 2}', /another version/], ['{"plait_recording": 1, "calls": []}', /how it ended/],
        ['{"plait_recording": 1, "started_at": "2026-01-01T00:00:00Z", "status": "succeeded", "calls": [{}]}', /not whole/],
        ['{"plait_recording": 1, "started_at": "2026-01-01T00:00:00Z", "status": "succeeded"}', /no list of calls/],
    ]) {
        home.file('w.recording.json', text);
        const broken = await run(t, home, ['test', file]);
        assert.equal(broken.code, 2, text);
        assert.match(broken.err, says);
    }
    const nowhere = await run(t, home, ['test', file, '--record', '--recording', 'missing/w.json']);
    assert.equal(nowhere.code, 2);
    assert.equal(nowhere.err, 'plait: cannot write missing/w.json: No such file or directory\n', 'before any call');
    home.file('w.yaml', 'steps: {a: {lm: {}}}\n');
    fs.rmSync(home.path('w.recording.json'));
    const bad = await run(t, home, ['test', file, '--record']);
    assert.equal(bad.code, 2);
    assert.ok(!fs.existsSync(home.path('w.recording.json')));
});

test('neither keys, providers nor the configuration are looked at when it is played back', limit, async (t) => {
    const model = await startModel(t);
    const was = await both(t, { steps: { a: ask('mock', 'x') } }, { env: model.env });
    await model.process.kill();
    const env = { PLAIT_CONFIG: was.home.path('missing.yaml'), OPENAI_API_KEY: '', OPENAI_BASE_URL: 'no url', PLAIT_RESUME: 'run_x', PLAIT_DB: 'nonsense:', PLAIT_THREAD: 'x' };
    const result = await run(t, was.home, ['test', was.file], { env });
    assert.equal(result.code, 0, result.err + result.out);
    assert.equal((await run(t, was.home, ['test', was.file, '--quiet'])).out, '');
    const elsewhere = was.home.file('kept.json', fs.readFileSync(was.home.path('w.recording.json'), 'utf8'));
    fs.rmSync(was.home.path('w.recording.json'));
    assert.equal((await run(t, was.home, ['test', was.file, '--recording', elsewhere])).code, 0);
});

test('one that is interrupted while it records leaves the old recording', limit, async (t) => {
    const model = await startModel(t);
    const was = await both(t, { steps: { a: ask('mock', 'x') } }, { env: model.env });
    was.home.file('w.json', { steps: { a: ask('mock-hang', 'x') } });
    const process = plait(t, was.home, ['test', was.file, '--record'], { env: model.env });
    for (;;) {
        const { inflight } = await model.stats();
        if (inflight) break;
    }
    process.kill('SIGINT');
    process.kill('SIGINT');
    const result = await process.done;
    assert.equal(result.code, 130, result.err);
    assert.deepEqual(recording(was.home), was.kept);
});

test('an agent\'s MCP server is not needed when it is played back', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const echo = { call: ({ words }) => text(`echo ${words}`), schema: { type: 'object', required: ['words'], properties: { words: { type: 'string' } } } };
    const server = await startMcp(t, { sessions: true, tools: { echo } });
    const config = home.file('c.yaml', `secrets: {s: {value: "sk-canary-mcp", origins: ["${server.url}"]}}\nnetwork: {allow_private: ["127.0.0.1:${server.port}"]}\n`);
    const answers = [{ tool_calls: [{ name: 'echo', arguments: { words: 'tea' } }] }, '$tools'];
    const agent = (args) => ({ steps: { helper: { agent: { model: 'openai/m', prompt: `find out ${JSON.stringify({ fake: { answers } })}`, mcp: [{ url: `${server.url}/mcp`, auth: 's' }], ...args } } } });
    const file = home.file('w.json', agent());
    const recorded = await run(t, home, ['test', file, '--record', '--config', config], { env: model.env });
    assert.equal(recorded.code, 0, recorded.err);
    assert.equal(JSON.parse(recorded.out), 'echo tea');
    const kept = recording(home);
    assert.deepEqual(kept.calls.filter(({ kind }) => kind === 'mcp').map(({ request }) => request.method).sort(), ['tools/call', 'tools/list']);
    assert.ok(!fs.readFileSync(home.path('w.recording.json'), 'utf8').includes('sk-canary'));
    const seen = server.of('tools/call').length + server.of('tools/list').length + server.of('initialize').length;
    const played = await run(t, home, ['test', file]);
    assert.equal(played.code, 0, played.out + played.err);
    assert.equal(server.of('tools/call').length + server.of('tools/list').length + server.of('initialize').length, seen);
    const out = await changed(t, { home, file }, agent({ max_tokens: 5 }));
    assert.match(out, /^helper\.0: the llm call has changed\n {2}max_tokens: 5, was nothing$/m);
});

test('repairs and hedged calls are part of their attempt, a fallback is an attempt of its own', limit, async (t) => {
    const schema = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } };
    const steps = {
        repaired: { llm: { model: 'sim/echo?bad_json=1', prompt: 'give', schema } },
        hedged: { llm: { model: 'sim/echo?latency=400ms', prompt: 'late', hedge: { after: '20ms', max: 2 } } },
        fallen: { llm: { model: 'sim/echo?fail=500', prompt: 'again', fallback: ['sim/echo'] }, retry: { attempts: 2, initial: '1ms' } },
    };
    const { kept } = await both(t, { steps });
    const at = (path) => kept.calls.filter((call) => call.path === path);
    assert.deepEqual(at('repaired').map(({ usage }) => usage.calls), [2]);
    assert.equal(at('hedged').length, 1);
    assert.ok(at('hedged')[0].usage.calls >= 2);
    assert.deepEqual(at('fallen').map(({ request, error }) => [request.model, error?.code ?? null]), [
        ['sim/echo?fail=500', 'provider_error'], ['sim/echo?fail=500', 'provider_error'], ['sim/echo', null]]);
});

test('a wide map plays back at once', limit, async (t) => {
    const steps = { all: { map: { over: '${ [range(2000)] }', do: { llm: { model: 'sim/echo', prompt: 'item ${ .item }' } } } } };
    const { played, kept } = await both(t, { steps, output: '${ .steps.all.output | length }' });
    assert.equal(kept.output, 2000);
    assert.deepEqual(kept.calls.slice(9, 12).map(({ path }) => path), ['all.9', 'all.10', 'all.11']);
    if (!SLOW) assert.ok(played.ms < 10_000, `${played.ms} ms`);
});
