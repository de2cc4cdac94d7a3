// examples.mjs - the files of examples/: the input of each, what of it needs a server of the test's own, and what a run of it on
// the simulated provider must show. Not how it is run: from the command line (tests/cli/examples.test.mjs) and over HTTP
// (tests/http/examples.test.mjs). That they are valid is in check.test.mjs.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { top } from './plait.mjs';
import { json } from './server.mjs';

export const folder = path.join(top, 'examples');
export const source = (name) => fs.readFileSync(path.join(folder, `${name}.yaml`), 'utf8');
export const names = fs.readdirSync(folder).filter((name) => name.endsWith('.yaml')).map((name) => name.slice(0, -5)).sort();

// Every model on the simulated provider: what `--model sim/echo` does from the command line.
export const simulated = (text) => text.replace(/\bopenai\/gpt-[a-z0-9.-]+/g, 'sim/echo');

// The text of an example in which the branch whose system message begins so answers this.
export function answering(text, system, answer) {
    const at = new RegExp(`^( *)system: ("?)${system}`, 'm');
    assert.match(text, at);
    return text.replace(at, (line, indent) => `${indent}model: "sim/echo?text=${encodeURIComponent(JSON.stringify(answer))}"\n${line}`);
}

const paths = (got, pattern) => Object.keys(got.step).filter((each) => pattern.test(each)).sort();
const reviewTexts = () => fs.readFileSync(path.join(folder, 'reviews.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
const notAllowed = 'this example asks no server';

// Of each: input (of the address of its server), serve (a server is needed, and answers so), answers (what people say, by path),
// also (examples it calls by name), check (of {output, step by path, usage}, and of the server).
export const examples = {
    'travel-plan': {
        input: () => ({ destination: 'Lisbon', days: 4 }),
        check: (got) => assert.match(got.output, /^\[simulated\] 4 days in Lisbon\./),
    },
    'first-answer-wins': {
        input: () => ({ question: 'Why is the sky blue?' }),
        check(got) {
            assert.match(got.output.answer, /^\[simulated\] Why is the sky blue\?/);
            assert.match(got.output.won_by, /^(mini|nano|large)$/);
        },
    },
    'mcp-tools': {
        input: (url) => ({ question: 'What is 20 plus 22?', server: `${url}/mcp` }),
        serve(request, response) {
            const { id, method, params } = JSON.parse(request.body);
            const tool = (name) => ({ name, inputSchema: { type: 'object', required: ['message'], properties: { message: { type: 'string' } } } });
            const results = {
                'tools/list': { tools: ['echo', 'get-sum', 'get-env'].map(tool) },
                'tools/call': { content: [{ type: 'text', text: `${params.name} says 42` }] },
            };
            json(response, 200, { jsonrpc: '2.0', id, result: results[method] });
        },
        check(got, server) {
            assert.match(got.output, /^\[simulated\] What is 20 plus 22/);
            assert.equal(got.step['answer.0.echo'].output.content[0].text, 'echo says 42');
            assert.deepEqual(paths(got, /^answer\.0\./), ['answer.0.echo', 'answer.0.get-sum', 'answer.0.today']);
            assert.equal(server.requests.length, 3);
        },
    },
    'quorum-review': {
        input: () => ({ text: 'A text.' }),
        check(got) {
            assert.match(got.output.verdict, /^\[simulated\] Clarity: /);
            assert.ok(Object.values(got.output.reviews).filter(Boolean).length >= 3);
            assert.equal(got.step['reviews.examples'].status, 'skipped');
        },
    },
    'best-effort-research': {
        input: () => ({ topic: 'Alan Turing' }),
        // the two services stand in one server
        change: (text, url) => text.replace(/https:\/\/\$\{[^}]*\}\.wikipedia\.org/, url).replace('https://openlibrary.org', url),
        serve: (request, response) =>
            request.url.startsWith('/w/api.php') ? json(response, 200, { query: { search: ['found'] } }) : json(response, 503, {}),
        check(got, server) {
            assert.match(got.output.brief, /^\[simulated\] .*found/s);
            assert.equal(got.output.sources.counted, 2);
            assert.equal(got.output.sources.failed, 1);
            assert.ok(server.requests.some((request) => /srsearch=Alan(%20|\+)Turing/.test(request.url)));
        },
    },
    'fallback-on-error': {
        input: (url) => ({ order: 'A-1007', api: url, notify: true }),
        serve: (request, response) => json(response, 200, { state: 'on its way' }),
        check(got, server) {
            assert.match(got.output.answer, /on its way/);
            assert.equal(server.requests[1].method, 'POST');
            assert.equal(JSON.parse(server.requests[1].body).order, 'A-1007');
            assert.equal(got.output.handled, null);
        },
    },
    'code-review': {
        input: () => ({ change: '+ strcpy(to, from);' }),
        // two of the three agree, and what the third found is kept all the same
        change(text) {
            const finding = (what) => ({ where: 'line 1', what, severity: 'blocker' });
            const no = (what) => ({ decision: 'request_changes', findings: [finding(what)] });
            const yes = { decision: 'approve', findings: [finding('a name')] };
            return answering(answering(answering(text, 'You look for holes', no('a hole')), 'You look for mistakes', yes),
                'You look for what', no('no test'));
        },
        check(got) {
            assert.equal(got.output.decision, 'request_changes');
            assert.deepEqual(got.output.votes.map(({ key, votes, branches }) => [key, votes, branches]),
                [['request_changes', 2, ['security', 'upkeep']], ['approve', 1, ['correctness']]]);
            assert.deepEqual(got.output.findings.map(({ what }) => what), ['a hole', 'a name', 'no test']);
            assert.equal(got.usage.calls, 3);
        },
    },
    'research-assistant': {
        input: (url) => ({ topic: 'Tidal power', analysts: 2, encyclopedia: `${url}/w/api.php`, library: `${url}/search.json` }),
        serve(request, response) {
            if (request.url.startsWith('/search.json')) json(response, 200, { docs: [{ title: 'Tides' }] });
            else json(response, 200, { query: { search: [{ title: 'Tidal stream' }] } });
        },
        // the first team is not right
        answers: { 'team.0.feedback': { approved: false, feedback: 'one engineer' }, 'team.1.feedback': { approved: true } },
        check(got, server) {
            assert.equal(paths(got, /^team\.\d+\.propose$/).length, 2, 'proposed again');
            const again = got.step['team.1.propose'].output.analysts;
            assert.match(JSON.stringify(again), /one engineer/, 'with what was said');
            assert.equal(got.output.sections.length, again.length);
            const questions = paths(got, /^sections\.0\.interview\.\d+\.question$/);
            assert.equal(questions.length, 2, 'each analyst asks twice');
            const found = got.step['sections.0.interview.1.note'].output.found;
            assert.match(found.encyclopedia, /Tidal stream/);
            assert.match(found.library, /Tides/);
            assert.equal(server.requests.length, again.length * questions.length * 2, 'both sources for each question');
            assert.match(got.output.report, /^\[simulated\] .*Tidal stream.*Tides/s);
        },
    },
    'review-analysis': {
        // no answer is an echo: the texts would go through every level of the tree
        change: (text) => text.replaceAll('sim/echo', 'sim/echo?text=%7B%22mood%22%3A%22negative%22%2C%22themes%22%3A%5B%22price%22%5D%7D')
            .replace('system: Merge these', 'model: "sim/echo?text=%5B%22price%22%5D"\n                  system: Merge these'),
        input: () => ({ reviews: Array.from({ length: 60 }, (_, i) => reviewTexts()[i % 24]) }),
        check(got) {
            assert.deepEqual(got.output, { summary: { reviews: 60, moods: { negative: 60 }, themes: ['price'] }, left_out: 0 });
            assert.equal(paths(got, /^analysis\.collapse\.0\.\d+$/).length, 3, 'sixty in groups of twenty');
            assert.equal(paths(got, /^analysis\.collapse\.1\.\d+$/).length, 1);
            assert.equal(got.usage.calls, 64);
        },
    },
    jokes: {
        input: () => ({ topic: 'animals' }),
        check(got) {
            const subjects = got.step.subjects.output;
            assert.ok(subjects.length >= 2 && subjects.length <= 5);
            assert.equal(paths(got, /^jokes\.\d+$/).length, subjects.length);
            assert.deepEqual(got.output.all, subjects.map((subject) => `[simulated] A joke in two lines about ${subject}`));
            assert.equal(got.output.joke, got.output.all[got.step.best.output.index]);
        },
    },
    'ab-options': {
        input: () => ({ product: 'a kettle' }),
        change: (text) => answering(text.replace(/^ *model: sim\/echo\n( *system: .You are the aud)/m, '$1'), 'You are the audience', { choice: 'plain', why: 'short' }),
        check(got) {
            assert.equal(got.output.pitch, '[simulated] A plain pitch, two sentences, for a kettle.');
            assert.equal(got.output.decision.winner, 'plain');
            assert.equal(got.step['pitch.judge'].output.why, 'short');
        },
    },
    guardrails: {
        input: () => ({ question: 'How do I descale a kettle?' }),
        check(got) {
            assert.deepEqual(got.output, { answer: '[simulated] How do I descale a kettle?', refused: false, because: null });
        },
    },
    'support-team': {
        input: () => ({ question: 'Where is order A-1007?' }),
        check(got) {
            assert.equal(got.output, '[simulated] Where is order A-1007?');
            for (const tool of ['find_order', 'ask_returns_expert', 'today']) assert.equal(got.step[`answer.0.${tool}`].status, 'succeeded');
            assert.equal(got.step['answer.0.ask_returns_expert.0.read_rules'].status, 'succeeded', 'a colleague with a tool');
            assert.match(got.step['answer.0.today'].output, /^\d{4}-\d\d-\d\d$/);
        },
    },
    'approve-before-sending': {
        input: (url) => ({ customer: 'Ada', problem: 'a broken handle', send_to: `${url}/send` }),
        serve: (request, response) => json(response, 200, {}),
        answers: { approval: { decision: 'send', text: 'Dear Ada' } },
        check(got, server) {
            assert.deepEqual(got.output, { decision: 'send', sent: true });
            assert.deepEqual(server.requests.map(({ method, body }) => [method, JSON.parse(body)]), [['POST', { to: 'Ada', text: 'Dear Ada' }]]);
        },
    },
    conversation: {
        input: () => ({ message: 'My name is Ada.' }),
        check(got) {
            const messages = [{ role: 'user', content: 'My name is Ada.' }, { role: 'assistant', content: '[simulated] My name is Ada.' }];
            assert.deepEqual(got.output, { reply: messages[1].content, turns: 1, messages });
        },
    },
    translate: {
        input: () => ({ text: 'Good morning', language: 'Finnish' }),
        check: (got) => assert.match(got.output, /^\[simulated\] Make this Finnish .*Into Finnish, in a friendly style: Good morning$/),
    },
    newsletter: {
        input: () => ({ topic: 'frost', languages: ['Finnish', 'Irish'] }),
        also: ['translate'],
        check(got) {
            assert.equal(got.output.original, '[simulated] A letter of five lines to our readers about frost.');
            assert.deepEqual(got.output.translations.map((text) => text.match(/this (\w+) sound/)[1]), ['Finnish', 'Irish']);
            assert.equal(got.step['translations.1.polish'].output, got.output.translations[1]);
            assert.equal(got.usage.calls, 5);
        },
    },
    'evaluator-optimiser': {
        input: () => ({ task: 'A haiku' }),
        change: (text) => answering(text.replace('sim/echo', 'sim/echo?tokens=8'), 'Score this', { score: 5, advice: 'shorter' }),
        check(got) {
            assert.equal(got.output.turns, 4, 'never good enough');
            assert.equal(got.output.score, 5);
            assert.equal(got.output.text, got.step['work.3.write'].output, 'of equal ones the last');
            assert.equal(got.usage.calls, 8);
        },
    },
    'picture-and-text': {
        input: () => ({ image: 'https://pictures.example/attic.png', note: 'old' }),
        check(got) {
            assert.equal(got.output.description, "[simulated] Describe this picture. The owner's note: old");
            assert.ok(got.output.tags.length >= 1 && typeof got.output.has_text === 'boolean');
        },
    },
};

// The text to run, with every model simulated and every server replaced by the test's own.
export function prepared(name, url) {
    const example = examples[name];
    let text = simulated(source(name));
    if (example.change) text = example.change(text, url);
    if (url) assert.doesNotMatch(text.replace(/^\s*#.*$|default: "https:[^"]*"/gm, ''), /https:\/\/[a-z]/, notAllowed);
    return text;
}
