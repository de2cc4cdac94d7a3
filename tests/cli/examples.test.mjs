// examples.test.mjs - every file in examples/ runs from the command line on the simulated provider, and where it calls servers,
// against one of the test's own. What each must show is in support/examples.mjs; the same over HTTP in tests/http.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { answering, examples, folder, names, prepared, simulated, source } from './support/examples.mjs';
import { limit, place, run } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';
import { json, startServer } from './support/server.mjs';

const allow = (home, server) => ['--config', home.file('config.yaml', `network: {allow_private: ["127.0.0.1:${server.port}"]}\n`)];

// Runs a text as an example; gives what --json says.
async function runText(t, home, name, text, input, more = []) {
    const file = home.file(`${name}.yaml`, text);
    const result = await run(t, home, ['run', file, '--input', `@${home.file('input.json', input)}`, '--json', ...more]);
    assert.equal(result.code, 0, result.err);
    return parseRun(result);
}

test('every example is run here', () => {
    assert.deepEqual(names, Object.keys(examples).sort());
});

test('each example says in its first comment how to run it', () => {
    for (const name of names) assert.match(source(name), new RegExp(`^#.*(\\n#.*)*\\n#   plait run examples/${name}\\.yaml -i `));
});

test('what is recorded of the examples is still what they do', limit, async (t) => {
    const home = place(t);
    const recorded = fs.readdirSync(folder).filter((file) => file.endsWith('.recording.json'));
    assert.ok(recorded.length > 0);
    for (const file of recorded) {
        const result = await run(t, home, ['test', path.join(folder, file.replace('.recording.json', '.yaml'))]);
        assert.equal(result.code, 0, `${file}: ${result.out}${result.err}`);
    }
});

for (const [name, example] of Object.entries(examples))
    test(`${name} is valid, has a graph, and runs on sim/echo`, limit, async (t) => {
        const home = place(t);
        const checked = await run(t, home, ['check', path.join(folder, `${name}.yaml`)]);
        assert.deepEqual([checked.code, checked.out, checked.err], [0, '', '']);
        const drawn = await run(t, home, ['graph', path.join(folder, `${name}.yaml`), '--format', 'json']);
        assert.equal(drawn.code, 0, drawn.err);
        assert.ok(JSON.parse(drawn.out).nodes.length > 0);
        const server = example.serve && (await startServer(t, example.serve));
        for (const other of example.also ?? []) home.file(`${other}.yaml`, prepared(other));
        const more = server ? allow(home, server) : [];
        for (const [at, answer] of Object.entries(example.answers ?? {})) more.push('--answer', `${at}=${JSON.stringify(answer)}`);
        const got = await runText(t, home, name, prepared(name, server?.url), example.input(server?.url), more);
        example.check(got, server);
    });

// As their comments say it.
test('a run of review-analysis takes its reviews from a file, thousands of them', limit, async (t) => {
    const home = place(t);
    const lines = Array.from({ length: 3000 }, (_, i) => JSON.stringify({ text: `review ${i}` }));
    const file = home.file('many.jsonl', `${lines.join('\n')}\n`);
    const workflow = home.file('review-analysis.yaml', examples['review-analysis'].change(simulated(source('review-analysis'))));
    const result = await run(t, home, ['run', workflow, '-i', `reviews=@${file}`, '--quiet']);
    assert.equal(result.code, 0, result.err);
    assert.deepEqual(JSON.parse(result.out), { summary: { reviews: 3000, moods: { negative: 3000 }, themes: ['price'] }, left_out: 0 });
});

test('a conversation remembers what was said before, in its own thread', limit, async (t) => {
    const home = place(t);
    const say = async (message, thread) => {
        const args = ['--model', 'sim/echo', '-i', `message=${message}`, '--thread', thread, '-q'];
        const result = await run(t, home, ['run', path.join(folder, 'conversation.yaml'), ...args]);
        assert.equal(result.code, 0, result.err);
        return JSON.parse(result.out);
    };
    await say('My name is Ada.', 'ada');
    assert.equal((await say('Hello.', 'bob')).turns, 1);
    const { turns, messages } = await say('What is my name?', 'ada');
    assert.equal(turns, 2);
    assert.deepEqual(messages.map(({ content }) => content),
        ['My name is Ada.', '[simulated] My name is Ada.', 'What is my name?', '[simulated] What is my name?']);
});

test('approve-before-sending asks at the prompt; dropped is not sent', limit, async (t) => {
    const home = place(t);
    const server = await startServer(t);
    const args = ['-i', 'customer=Ada', '-i', 'problem=a broken handle', '-i', `send_to=${server.url}/send`, '--model', 'sim/echo'];
    const file = path.join(folder, 'approve-before-sending.yaml');
    const result = await run(t, home, ['run', file, ...args, ...allow(home, server)], { input: '{"decision": "perhaps"}\n{"decision": "drop"}\n' });
    assert.equal(result.code, 0, result.err);
    assert.match(result.err, /Send this to Ada\?/);
    assert.match(result.err, /Write to Ada about a broken handle/, 'the draft is shown');
    assert.deepEqual(JSON.parse(result.out), { decision: 'drop', sent: false });
    assert.equal(server.requests.length, 0);
});

test('guardrails refuses, and cuts the answer off', limit, async (t) => {
    const home = place(t);
    const text = answering(simulated(source('guardrails')), 'Is this question', { allowed: false, why: 'not ours' })
        .replace('answer:\n          llm: {', 'answer:\n          llm: {model: "sim/echo?latency=60s", ');
    const got = await runText(t, home, 'guardrails', text, { question: 'Who wins the election?' });
    assert.deepEqual([got.output.answer, got.output.refused], [null, true]);
    assert.match(got.output.because, /guarded\.subject/);
    assert.equal(got.step['guarded.answer'].status, 'cancelled');
    const free = await runText(t, home, 'guardrails', simulated(source('guardrails')), { question: 'My password is 1234' });
    assert.match(free.output.because, /guarded\.secrets/);
});

test('evaluator-optimiser ends as soon as the judge is content', limit, async (t) => {
    const home = place(t);
    const text = answering(simulated(source('evaluator-optimiser')), 'Score this', { score: 9, advice: 'none' });
    const got = await runText(t, home, 'evaluator-optimiser', text, { task: 'A haiku' });
    assert.deepEqual([got.output.turns, got.output.score, got.usage.calls], [1, 9, 2]);
});

test('fallback-on-error goes on in all its ways when everything is down', limit, async (t) => {
    const home = place(t);
    const server = await startServer(t, (request, response) => json(response, 500, {}));
    const args = ['-i', 'order=A-1', '-i', `api=${server.url}`, ...allow(home, server), '--model', 'sim/echo?fail=400'];
    const result = await run(t, home, ['run', path.join(folder, 'fallback-on-error.yaml'), '--json', ...args]);
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    assert.deepEqual(got.step.order.output, { status: 0, body: { state: 'unknown' } });
    assert.equal(got.output.answer.because, 'bad_request');
    assert.equal(got.output.survey, null);
    assert.equal(got.output.handled.code, 'bad_request');
});

test('the picture of picture-and-text goes out as a part of the message, and --model replaces every model', limit, async (t) => {
    const home = place(t);
    const args = ['-i', 'image=https://pictures.example/a.png', '--model', 'sim/echo', '--json'];
    const result = await run(t, home, ['run', path.join(folder, 'picture-and-text.yaml'), ...args]);
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    assert.deepEqual([got.step.description.model, got.step.tags.model], ['sim/echo', 'sim/echo']);
});
