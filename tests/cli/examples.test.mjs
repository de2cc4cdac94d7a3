// examples.test.mjs - every file in examples/ runs, on the simulated provider, and where it calls servers, against one of the
// test's own. What they show is told in their comments; that they are valid is in check.test.mjs.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { limit, place, run, top } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';
import { json, startServer } from './support/server.mjs';

const folder = path.join(top, 'examples');
const source = (name) => fs.readFileSync(path.join(folder, name), 'utf8');

// What each needs: its input, and what its output must show.
const examples = {
    'travel-plan.yaml': {
        args: ['-i', 'destination=Lisbon', '-i', 'days=4'],
        check: (got) => assert.match(got.output, /^\[simulated\] 4 days in Lisbon\./),
    },
    'first-answer-wins.yaml': {
        args: ['-i', 'question=Why is the sky blue?'],
        check(got) {
            assert.match(got.output.answer, /^\[simulated\] Why is the sky blue\?/);
            assert.match(got.output.won_by, /^(mini|nano|large)$/);
        },
    },
    'quorum-review.yaml': {
        args: ['-i', 'text=A text.'],
        check(got) {
            assert.match(got.output.verdict, /^\[simulated\] Clarity: /);
            assert.ok(Object.values(got.output.reviews).filter(Boolean).length >= 3);
            assert.equal(got.step['reviews.examples'].status, 'skipped');
        },
    },
    'best-effort-research.yaml': {
        args: ['-i', 'topic=Alan Turing'],
        // the two services stand in one server
        change: (text, url) => text.replace(/https:\/\/\$\{[^}]*\}\.wikipedia\.org/, url).replace('https://openlibrary.org', url),
        serve: (request, response) =>
            request.url.startsWith('/w/api.php') ? json(response, 200, { query: { search: ['found'] } }) : json(response, 503, {}),
        check(got, server) {
            assert.match(got.output.brief, /^\[simulated\] .*found/s);
            assert.equal(got.output.sources.counted, 2);
            assert.equal(got.output.sources.failed, 1);
            assert.ok(server.requests.some((request) => request.url.includes('srsearch=Alan%20Turing') || request.url.includes('srsearch=Alan+Turing')));
        },
    },
    'fallback-on-error.yaml': {
        args: (url) => ['-i', 'order=A-1007', '-i', `api=${url}`, '-i', 'notify=true'],
        serve: (request, response) => json(response, 200, { state: 'on its way' }),
        check(got, server) {
            assert.match(got.output.answer, /on its way/);
            assert.equal(server.requests[1].method, 'POST');
            assert.equal(JSON.parse(server.requests[1].body).order, 'A-1007');
            assert.equal(got.output.handled, null);
        },
    },
};

test('every example is run here', () => {
    assert.deepEqual(fs.readdirSync(folder).filter((name) => /\.(yaml|json)$/.test(name)).sort(), Object.keys(examples).sort());
});

for (const [name, example] of Object.entries(examples))
    test(`${name} runs on sim/echo`, limit, async (t) => {
        const home = place(t);
        const server = example.serve && (await startServer(t, example.serve));
        const args = typeof example.args === 'function' ? example.args(server.url) : example.args;
        let file = path.join(folder, name);
        if (example.change) {
            const text = example.change(source(name), server.url);
            assert.doesNotMatch(text.replace(/^\s*#.*$/gm, ''), /https:/, 'no server outside is called');
            file = home.file(name, text);
        }
        if (server) args.push('--config', home.file('config.yaml', `network: {allow_private: ["127.0.0.1:${server.port}"]}\n`));
        const result = await run(t, home, ['run', file, '--model', 'sim/echo', '--json', ...args]);
        assert.equal(result.code, 0, result.err);
        example.check(parseRun(result), server);
    });

test('fallback-on-error goes on in all its ways when everything is down', limit, async (t) => {
    const home = place(t);
    const server = await startServer(t, (request, response) => json(response, 500, {}));
    const config = home.file('config.yaml', `network: {allow_private: ["127.0.0.1:${server.port}"]}\n`);
    const args = ['-i', 'order=A-1', '-i', `api=${server.url}`, '--config', config, '--model', 'sim/echo?fail=400'];
    const result = await run(t, home, ['run', path.join(folder, 'fallback-on-error.yaml'), '--json', ...args]);
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    assert.deepEqual(got.step.order.output, { status: 0, body: { state: 'unknown' } });
    assert.equal(got.output.answer.because, 'bad_request');
    assert.equal(got.output.survey, null);
    assert.equal(got.output.handled.code, 'bad_request');
});

test('each example says in its first comment how to run it', () => {
    for (const name of Object.keys(examples)) assert.match(source(name), new RegExp(`^#.*(\\n#.*)*\\n#   plait run examples/${name} -i `));
});
